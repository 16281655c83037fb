# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# What every case of tests/route shares. A case runs in network and mount namespaces of its own, with real devices, real
# `ip` and the real program. Only the driver's part of sysfs is made here: a directory in place of /sys/class/net in which
# xlnet0 has the driver's files and everything else is a link to the real entry.
#
# Much of it is used by the cases alone.
# shellcheck disable=SC2034,SC2119,SC2120,SC2153

root=$(cd -P -- "${0%/*}/../../.." && pwd)
route=$root/iproute-scripts/xlnet-route
case_name=${0##*/}
case_name=${case_name%.sh}
# unwanted: a command has exited as it should not, which the next `ok` tells of, whatever else came between.
count=0 failures=0 unwanted=0 held=
export LC_ALL=C

MAC_UP=02:00:00:00:00:01 MAC_X=02:58:00:00:00:01
MAC2=02:58:00:00:00:02 MAC3=02:58:00:00:00:03

setup() {
	mount -t sysfs sysfs /sys
	mount -t tmpfs tmpfs /run
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	export XLNET_SYSFS="$tmp/sys" XLNET_RUN="$tmp/run"
	mkdir "$tmp/sys"
	ip link set lo up
	add_uplink eth7
	ip addr add 10.0.0.1/24 dev eth7
	ip addr add fd00::1/64 dev eth7 nodad
	add_device
}

add_uplink() { # name
	ip link add "$1" address "$MAC_UP" type veth peer name "far-$1"
	# No link-local addresses, whose appearance would disturb the list of events.
	echo 1 >"/proc/sys/net/ipv6/conf/$1/addr_gen_mode"
	echo 1 >"/proc/sys/net/ipv6/conf/far-$1/addr_gen_mode"
	ip link set "$1" up
	ip link set "far-$1" up
	link_sysfs
}

add_device() {
	ip link add xlnet0 address "$MAC_X" mtu 65535 type veth peer name far-x mtu 65535
	echo 1 >/proc/sys/net/ipv6/conf/far-x/addr_gen_mode
	ip link set far-x up
	fake_device
}

fake_device() {
	mkdir -p "$tmp/sys/xlnet0/xlnet"
	printf 'DEVTYPE=xlnet\nINTERFACE=xlnet0\n' >"$tmp/sys/xlnet0/uevent"
	for attribute in ifindex flags mtu address; do
		ln -sf "/sys/class/net/xlnet0/$attribute" "$tmp/sys/xlnet0/$attribute"
	done
	: >"$tmp/sys/xlnet0/xlnet/claim"
	generation=0
	peers
}

remove_device() {
	ip link del xlnet0
	rm -r "$tmp/sys/xlnet0"
}

link_sysfs() {
	find "$tmp/sys" -type l -maxdepth 1 -delete
	for entry in /sys/class/net/*; do
		case ${entry##*/} in
		xlnet0) ;;
		*) ln -s "$entry" "$tmp/sys/${entry##*/}" ;;
		esac
	done
}

# The driver's peer list; each argument is a whole line. held: the addresses this guest is held to, if it is.
peers() {
	generation=$((generation + 1))
	{
		printf 'xlnet version=1 generation=%s mac=%s uplink-mac=%s group=test%s\n' "$generation" "$MAC_X" "$MAC_UP" \
			"${held:+ addr=$held}"
		[ $# = 0 ] || printf '%s\n' "$@"
		printf 'end generation=%s\n' "$generation"
	} >"$tmp/sys/xlnet0/xlnet/peers"
}

peer() { # domid mac route addresses
	printf 'peer domid=%s mac=%s uplink-mac=02:00:00:00:00:0%s state=idle route=%s addr=%s' "$1" "$2" "$1" "$3" "$4"
}

ok() { # description; the status of the last command decides
	result=$?
	if [ "$unwanted" = 1 ]; then result=1; fi
	unwanted=0
	count=$((count + 1))
	if [ "$result" = 0 ]; then
		printf 'ok %s - %s: %s\n' "$count" "$case_name" "$1"
	else
		failures=$((failures + 1))
		printf 'not ok %s - %s: %s\n' "$count" "$case_name" "$1"
		if [ -s "$tmp/detail" ]; then sed 's/^/#   /' "$tmp/detail"; fi
	fi
	: >"$tmp/detail"
}

equal() { # got wanted
	[ "$1" = "$2" ] || {
		printf 'got:\n%s\nwanted:\n%s\n' "$1" "$2" >"$tmp/detail"
		return 1
	}
}

exits() { # status command...
	wanted=$1
	shift
	status=0
	"$@" >"$tmp/out" 2>"$tmp/err" || status=$?
	[ "$status" = "$wanted" ] || {
		{
			printf '%s: exit %s, wanted %s\n' "$*" "$status" "$wanted"
			cat "$tmp/out" "$tmp/err"
		} >"$tmp/detail"
		unwanted=1
		return 1
	}
}

squeeze() { sed 's/[[:space:]][[:space:]]*/ /g; s/ $//; s/ pref medium//; s/ linkdown//' | sort; }

# What the kernel holds, in ip's own words. Routes and neighbours of anybody are shown, not of protocol 88 alone.
routes() { # 4 or 6
	ip "-$1" -N route show table all | grep ' table 5000' | sed 's/ table 5000//; s/ scope 253//; s/ metric 1024//' | squeeze
}

rules() { ip "-$1" -N rule show | grep -v -E 'lookup (253|254|255)' | squeeze; }

neighbours() { ip -N neigh show dev xlnet0 nud permanent | squeeze; }

rp_filter() { cat "/proc/sys/net/ipv4/conf/$1/rp_filter"; }

RULE='5000: from all lookup 5000 proto 88'

# Nothing of xlnet is left in the kernel.
nothing_left() {
	equal "$(routes 4)$(routes 6)$(rules 4)$(rules 6)" "" && if [ -e /sys/class/net/xlnet0 ]; then equal "$(neighbours)" ""; fi
}

# Runs a command and prints every netlink event it caused. A last event of our own marks the end, so nothing is waited for
# by the clock.
events_of() {
	: >"$tmp/events"
	ip monitor all >"$tmp/events" 2>&1 &
	monitor=$!
	until grep -q 192.0.2.1 "$tmp/events"; do
		ip addr add 192.0.2.1/32 dev lo
		ip addr del 192.0.2.1/32 dev lo
		sleep 0.05
	done
	"$@" || printf 'exit %s\n' $?
	ip addr add 192.0.2.2/32 dev lo
	until grep -q 192.0.2.2 "$tmp/events"; do sleep 0.05; done
	ip addr del 192.0.2.2/32 dev lo
	kill "$monitor"
	wait "$monitor" 2>/dev/null
	grep -v -e 192.0.2. -e ' lo ' -e valid_lft "$tmp/events"
}

eventually() { # command...; a bound against hanging, not a measure
	for _ in $(seq 200); do
		if "$@" >/dev/null 2>&1; then return 0; fi
		sleep 0.1
	done
	return 1
}

finish() {
	printf '%s %s\n' "$((count - failures))" "$failures" >"$RESULT"
	[ "$failures" = 0 ]
}
