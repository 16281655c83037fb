#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The uplink's side: its addresses come, change and go; it is a port of a bridge; it is replaced; rp_filter.
# shellcheck disable=SC2154  # the harness's variables
set -u
# shellcheck source=/dev/null
. "${0%/*}/../harness.sh"
setup
both=$(peer 2 "$MAC2" 1 10.0.0.2,fd00::2)
claim() { cat "$tmp/sys/xlnet0/xlnet/claim"; }

echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter
echo 0 >/proc/sys/net/ipv4/conf/eth7/rp_filter
echo 1 >/proc/sys/net/ipv4/conf/xlnet0/rp_filter
peers "$both"
exits 0 "$route" reconcile
ok "reconcile with a strict rp_filter"
equal "$(rp_filter xlnet0) $(rp_filter eth7)" "2 2"
ok "both devices are loose"
exits 0 "$route" status
ok "status: in sync"
echo 1 >/proc/sys/net/ipv4/conf/xlnet0/rp_filter
exits 1 "$route" status
ok "status sees a device made strict again"
exits 0 "$route" reconcile
equal "$(rp_filter xlnet0)" 2
ok "and reconcile makes it loose"
peers
exits 0 "$route" reconcile
equal "$(rp_filter eth7)" 0
ok "the uplink's former value is back when no peer is routed"
peers "$both"
exits 0 "$route" reconcile
equal "$(rp_filter eth7)" 2
ok "loose again"
exits 0 "$route" flush
equal "$(rp_filter eth7)" 0
ok "flush gives it back"
equal "$(ip -o -4 addr show dev xlnet0 | squeeze | cut -d ' ' -f 4-7)" "192.0.0.8/32 scope host xlnet0\\"
ok "the device has the dummy address, without which loose were strict"
echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter
exits 0 "$route" reconcile
equal "$(rp_filter eth7) $(rp_filter xlnet0) $(ip -o -4 addr show dev xlnet0)" "0 0 "
ok "where nothing forces a filter there is none, and no dummy address"
ip addr add 10.44.0.1/24 dev xlnet0
echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter
exits 0 "$route" reconcile
equal "$(ip -o -4 addr show dev xlnet0 | wc -l)" 1
ok "an operator's address on the device does as well"
ip addr del 10.44.0.1/24 dev xlnet0
echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter
echo 0 >/proc/sys/net/ipv4/conf/eth7/rp_filter
echo 1 >/proc/sys/net/ipv4/conf/eth7/rp_filter
exits 0 "$route" reconcile
equal "$(rp_filter eth7)" 2
ok "its own strict value is loosened"
echo 0 >/proc/sys/net/ipv4/conf/eth7/rp_filter
peers
exits 0 "$route" reconcile
equal "$(rp_filter eth7)" 0
ok "a value that somebody set meanwhile stands"

peers "$both"
ip addr del 10.0.0.1/24 dev eth7
exits 0 "$route" reconcile
ok "the uplink loses its IPv4 address"
equal "$(routes 4)/$(rules 4)/$(routes 6)" "//fd00::2 dev xlnet0 proto 88 src fd00::1"
ok "only IPv6 is routed"
equal "$(claim)" "fd00::1"
ok "the claim follows"
ip addr add 192.168.7.5/24 dev eth7
ip addr add 10.0.0.7/24 dev eth7
exits 0 "$route" reconcile
ok "it gets two others"
equal "$(routes 4)" "10.0.0.2 dev xlnet0 proto 88 src 10.0.0.7"
ok "the one of the peer's subnet is the source"
equal "$(claim)" "192.168.7.5 10.0.0.7 fd00::1"
ok "both are claimed"
ip addr del 10.0.0.7/24 dev eth7
exits 0 "$route" reconcile
equal "$(routes 4)" "10.0.0.2 dev xlnet0 proto 88 src 192.168.7.5"
ok "without one of the subnet the other is the source"
ip addr add fd00::7/64 dev eth7 nodad
ip addr change fd00::1/64 dev eth7 preferred_lft 0
exits 0 "$route" reconcile
equal "$(routes 6)" "fd00::2 dev xlnet0 proto 88 src fd00::7"
ok "a deprecated IPv6 address is not the source"
ip addr del fd00::7/64 dev eth7
ip addr del fd00::1/64 dev eth7
echo 1 >/proc/sys/net/ipv6/conf/eth7/accept_dad
ip link set far-eth7 down
ip addr add fd00::8/64 dev eth7
exits 0 "$route" reconcile
equal "$(routes 6)/$(claim)" "/192.168.7.5"
ok "a tentative IPv6 address is neither used nor claimed"
ip link set far-eth7 up
eventually sh -c '! ip addr show dev eth7 tentative | grep -q fd00'
exits 0 "$route" reconcile
equal "$(routes 6)" "fd00::2 dev xlnet0 proto 88 src fd00::8"
ok "it is once it is found unique"
seq 11 30 | while read -r i; do ip addr add "10.0.0.$i/24" dev eth7; done
exits 0 "$route" reconcile
ok "more addresses than may be claimed"
equal "$(claim | wc -w)" 16
ok "16 are claimed"
ip addr flush dev eth7 scope global
exits 0 "$route" reconcile
nothing_left
ok "an uplink without addresses: nothing is routed"
equal "$(claim)" ""
ok "nothing is claimed"

# As port of a bridge the uplink has no addresses: they are on the bridge, which takes the port's MAC.
ip link add br0 type bridge
ip link set eth7 master br0
ip link set br0 address "$MAC_UP" up
ip addr add 10.0.0.1/24 dev br0
link_sysfs
echo 1 >/proc/sys/net/ipv4/conf/br0/rp_filter
exits 0 "$route" reconcile
ok "the uplink is a port of a bridge"
equal "$(routes 4)" "10.0.0.2 dev xlnet0 proto 88 src 10.0.0.1"
ok "the bridge's address is the source"
equal "$(rp_filter br0)" 2
ok "rp_filter of the bridge is loose"
ip link set eth7 nomaster
ip addr del 10.0.0.1/24 dev br0
ip addr add 10.0.0.1/24 dev eth7
exits 0 "$route" reconcile
ok "it is none any more, while the bridge keeps the MAC"
equal "$(routes 4)/$(rp_filter br0)" "10.0.0.2 dev xlnet0 proto 88 src 10.0.0.1/1"
ok "routed by its own address, the bridge's rp_filter restored"
ip link del br0

ip link set eth7 down
ip link set eth7 name enX0
ip link set enX0 up
link_sysfs
exits 0 "$route" reconcile
ok "the uplink has another name"
exits 0 "$route" status
grep -q '^uplink     enX0' "$tmp/out"
ok "it is found by its MAC"
ip link del enX0
link_sysfs
exits 0 "$route" reconcile
ok "the uplink is gone"
nothing_left
ok "nothing is left"
finish
