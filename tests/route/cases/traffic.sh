#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Real packets between two guests' worth of namespaces, each with an uplink and an xlnet0 and the program at work, and
# with rp_filter strict everywhere: which path is taken, and that nothing is lost when it changes.
# shellcheck disable=SC2154  # the harness's variables
set -u
# shellcheck source=/dev/null
. "${0%/*}/../harness.sh"
setup

echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter
ip netns add b
ip link set far-eth7 netns b
ip link set far-x netns b
in_b() { ip netns exec b env XLNET_SYSFS="$tmp/b/sys" XLNET_RUN="$tmp/b/run" "$@"; }
in_b sh -c "ip link set lo up; ip link set far-eth7 name eth0 address 02:00:00:00:00:02; ip link set eth0 up
	ip link set far-x down; ip link set far-x name xlnet0 address $MAC2
	ip addr add 10.0.0.2/24 dev eth0; ip addr add fd00::2/64 dev eth0 nodad; ip addr add 10.9.0.1/16 dev lo
	echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter"
mkdir -p "$tmp/b/sys/xlnet0/xlnet"
ln -s /sys/class/net/eth0 "$tmp/b/sys/eth0"
ln -s /sys/class/net/xlnet0/ifindex /sys/class/net/xlnet0/flags "$tmp/b/sys/xlnet0"
printf 'DEVTYPE=xlnet\n' >"$tmp/b/sys/xlnet0/uevent"
b_peers() {
	{
		printf 'xlnet version=1 generation=1 mac=%s uplink-mac=02:00:00:00:00:02 group=test\n' "$MAC2"
		[ $# = 0 ] || printf '%s\n' "$@"
		printf 'end generation=1\n'
	} >"$tmp/b/sys/xlnet0/xlnet/peers"
}
b_peers

a_line=$(peer 2 "$MAC2" 1 10.0.0.2,fd00::2,10.9.0.0/16)
b_line=$(peer 1 "$MAC_X" 1 10.0.0.1,fd00::1)
sent() { cat "/sys/class/net/$1/statistics/tx_bytes"; }

# Sends three pings of a size and says which device carried them.
carried_by() { # address size
	before_x=$(sent xlnet0) before_up=$(sent eth7)
	ping -q -c 3 -i 0.1 -W 5 -s "$2" -M "do" "$1" >"$tmp/detail" 2>&1 || {
		echo lost
		return
	}
	for device in xlnet0 eth7; do
		case $device in
		xlnet0) before=$before_x ;;
		*) before=$before_up ;;
		esac
		if [ $(($(sent $device) - before)) -ge $((3 * $2)) ]; then echo $device; fi
	done
}

exits 0 "$route" reconcile
exits 0 in_b "$route" reconcile
equal "$(carried_by 10.0.0.2 1400) $(carried_by fd00::2 1400)" "eth7 eth7"
ok "without peers the uplink carries everything"
equal "$(carried_by 10.0.0.2 60000)" lost
ok "and nothing that is larger than it"

peers "$a_line"
b_peers "$b_line"
exits 0 "$route" reconcile && exits 0 in_b "$route" reconcile
ok "both reconcile"
equal "$(carried_by 10.0.0.2 60000) $(carried_by fd00::2 60000)" "xlnet0 xlnet0"
ok "xlnet0 carries both families, 60000 bytes unfragmented"
equal "$(carried_by 10.9.0.1 60000)" xlnet0
ok "and what is behind a router peer"
equal "$(in_b ip -s -o link show dev eth0 | grep -c UP)$(in_b "$route" status | tail -n 1)" "1in sync"
ok "the other side is in sync"

exits 0 in_b "$route" flush
equal "$(carried_by 10.0.0.2 1400)" xlnet0
ok "a peer that answers over the uplink is heard, though rp_filter was strict"
exits 0 in_b "$route" reconcile
exits 0 "$route" flush
equal "$(carried_by 10.0.0.2 1400)" eth7
ok "one that sends over xlnet0 is heard by a guest that does not"
exits 0 "$route" reconcile

ping -q -c 100 -i 0.02 -W 5 10.0.0.2 >"$tmp/ping4" 2>&1 &
ping4=$!
ping -q -c 100 -i 0.02 -W 5 fd00::2 >"$tmp/ping6" 2>&1 &
ping6=$!
for _ in 1 2 3 4 5; do
	peers
	exits 0 "$route" reconcile
	peers "$a_line"
	exits 0 "$route" reconcile
	b_peers
	exits 0 in_b "$route" reconcile
	b_peers "$b_line"
	exits 0 in_b "$route" reconcile
done
wait "$ping4" && wait "$ping6"
ok "two flows go on while both sides change the path"
equal "$(cat "$tmp/ping4" "$tmp/ping6" | grep -c ' 0% packet loss')" 2
ok "and lose nothing"

peers
b_peers
exits 0 "$route" reconcile && exits 0 in_b "$route" reconcile
equal "$(carried_by 10.0.0.2 1400) $(carried_by fd00::2 1400)" "eth7 eth7"
ok "when the peers have gone the uplink carries everything again"
finish
