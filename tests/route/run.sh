#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Tests iproute-scripts/ and udev/ with real devices and the real `ip`, each case in network and mount namespaces of its
# own, so that nothing of this machine is touched. Once for each awk that is installed: the system's, gawk, busybox.
#
# usage: run.sh [case...]     names of files in cases/, without .sh; all by default
set -u

here=$(cd -P -- "$(dirname -- "$0")" && pwd)
[ "$(id -u)" = 0 ] || {
	echo "tests/route needs root, for network namespaces: run it with sudo" >&2
	exit 2
}
for tool in ip unshare flock ping timeout mount ps; do
	command -v "$tool" >/dev/null || {
		echo "tests/route needs $tool: apt-get install iproute2 util-linux iputils-ping coreutils mount procps" >&2
		exit 2
	}
done

[ $# -gt 0 ] || set -- peers addresses hostile device together monitor traffic install
RESULT=$(mktemp)
export RESULT
trap 'rm -f "$RESULT"' EXIT
passed=0 failed=0

for awk in system gawk busybox; do
	prepare=:
	if [ "$awk" != system ]; then
		command -v "$awk" >/dev/null || {
			echo "# $awk is not installed: left out"
			continue
		}
		prepare="mount --bind '$(command -v "$awk")' '$(readlink -f "$(command -v awk)")'"
	fi
	for name; do
		echo "# $awk: $name"
		: >"$RESULT"
		unshare --net --mount sh -c "$prepare && exec sh '$here/cases/$name.sh'"
		if read -r good bad <"$RESULT"; then
			passed=$((passed + good)) failed=$((failed + bad))
		else
			echo "not ok - $name: did not reach its end"
			failed=$((failed + 1))
		fi
	done
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
