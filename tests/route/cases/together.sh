#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Several runs at once, and state that cannot be written.
# shellcheck disable=SC2154  # the harness's variables
set -u
# shellcheck source=/dev/null
. "${0%/*}/../harness.sh"
setup

peers "$(peer 2 "$MAC2" 1 10.0.0.2,fd00::2)"
mkdir "$tmp/run"
: >"$tmp/run/lock"
exec 7>"$tmp/run/lock"
flock 7
"$route" reconcile 7>&- &
first=$!
inode=$(stat -c %i "$tmp/run/lock")
eventually grep -q -e "->.*:$inode " /proc/locks
ok "a second run waits for the lock"
nothing_left
ok "and has changed nothing"
exec 7>&-
wait "$first"
ok "it goes on when the lock is free"
equal "$(routes 4)" "10.0.0.2 dev xlnet0 proto 88 src 10.0.0.1"
ok "and routes"

for round in 1 2 3 4 5; do
	peers "$(peer 2 "$MAC2" 1 10.0.0.$((100 + round)),fd00::$round)" "$(peer 3 "$MAC3" 1 10.0.0.3)"
	runs=
	for _ in 1 2 3 4; do
		"$route" reconcile 2>>"$tmp/detail" &
		runs="$runs $!"
	done
	bad=0
	for run in $runs; do wait "$run" || bad=1; done
	[ $bad = 0 ]
	ok "four runs at once, round $round"
	equal "$(routes 4)" "10.0.0.$((100 + round)) dev xlnet0 proto 88 src 10.0.0.1
10.0.0.3 dev xlnet0 proto 88 src 10.0.0.1"
	ok "leave what the list says"
done

rm "$tmp/run/lock"
exits 0 "$route" reconcile
equal "$(stat -c %a "$tmp/run/lock")" 600
ok "no other user can hold the lock"
XLNET_RUN=/proc/nothing exits 2 "$route" reconcile
ok "a state directory that cannot be made is an error"
grep -q 'is this root' "$tmp/err"
ok "that says what to do"
if command -v setpriv >/dev/null; then
	chmod 755 "$tmp"
	exits 0 setpriv --reuid 65534 --regid 65534 --clear-groups "$route" status
	ok "status needs no privilege"
	exits 2 setpriv --reuid 65534 --regid 65534 --clear-groups "$route" reconcile
	ok "reconcile does, and says so"
	# What the unit leaves to the service.
	exits 0 setpriv --bounding-set -all,+net_admin "$route" flush
	ok "CAP_NET_ADMIN is enough to flush"
	nothing_left
	ok "everything"
	exits 0 setpriv --bounding-set -all,+net_admin "$route" reconcile
	equal "$(routes 4 | wc -l)" 2
	ok "and to reconcile"
fi
finish
