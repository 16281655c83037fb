#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Peers appear, change, and go: IPv4, IPv6, prefixes behind a peer, peers that are not to be routed.
# shellcheck disable=SC2034,SC2154  # the harness's variables
set -u
# shellcheck source=/dev/null
. "${0%/*}/../harness.sh"
setup

exits 0 "$route" reconcile
ok "reconcile without peers"
nothing_left
ok "makes nothing"
equal "$(cat "$tmp/sys/xlnet0/xlnet/claim")" "10.0.0.1 fd00::1"
ok "claims the uplink's addresses"
exits 0 "$route" status
ok "status: in sync"

peers "$(peer 2 "$MAC2" 1 10.0.0.2,fd00::2)" "$(peer 3 "$MAC3" 1 10.0.0.3)"
exits 1 "$route" status
ok "status: differs before the reconcile"
exits 0 "$route" reconcile
ok "two peers appear"
equal "$(routes 4)" "10.0.0.2 dev xlnet0 proto 88 src 10.0.0.1
10.0.0.3 dev xlnet0 proto 88 src 10.0.0.1"
ok "IPv4 routes"
equal "$(routes 6)" "fd00::2 dev xlnet0 proto 88 src fd00::1"
ok "IPv6 route"
equal "$(rules 4)/$(rules 6)" "$RULE/$RULE"
ok "rules"
equal "$(neighbours)" "10.0.0.2 lladdr $MAC2 PERMANENT proto 88
10.0.0.3 lladdr $MAC3 PERMANENT proto 88
fd00::2 lladdr $MAC2 PERMANENT proto 88"
ok "neighbours"
ip -4 route get 10.0.0.2 | grep -q 'dev xlnet0 .*src 10.0.0.1'
ok "the kernel chooses xlnet0 for the peer"
ip -4 route get 10.0.0.9 | grep -q 'dev eth7'
ok "and the uplink for everyone else"
exits 0 "$route" status
ok "status: in sync"
exits 0 "$route" status --json
ok "status --json: in sync"
if command -v python3 >/dev/null; then
	cp "$tmp/out" "$tmp/json"
	exits 0 python3 -c 'import json,sys
s = json.load(open(sys.argv[1])); p = s["peers"][0]
assert s["in_sync"] and s["device"] == "xlnet0" and s["uplink"] == "eth7" and s["uplink_addresses"] == ["10.0.0.1", "fd00::1"]
assert p["domid"] == 2 and p["route"] and p["addresses"][0] == {"address": "10.0.0.2", "route": "ok", "neighbour": "ok", "source": "10.0.0.1"}' "$tmp/json"
	ok "its JSON says what is there"
fi
equal "$(events_of "$route" reconcile)" ""
ok "a second reconcile changes nothing"

peers "$(peer 2 "$MAC2" 1 10.0.0.22,fd00::2)" "$(peer 3 "$MAC3" 1 10.0.0.3)"
exits 0 "$route" reconcile
ok "a peer changes its address"
equal "$(routes 4)" "10.0.0.22 dev xlnet0 proto 88 src 10.0.0.1
10.0.0.3 dev xlnet0 proto 88 src 10.0.0.1"
ok "the route follows"
equal "$(neighbours | grep 10.0.0.2)" "10.0.0.22 lladdr $MAC2 PERMANENT proto 88"
ok "the neighbour follows"

peers "$(peer 4 "$MAC2" 1 10.0.0.22,fd00:0:0::2)" "$(peer 3 02:58:00:00:00:33 1 10.0.0.3)"
exits 0 "$route" reconcile
ok "a peer comes back with another MAC"
equal "$(neighbours | grep 10.0.0.3)" "10.0.0.3 lladdr 02:58:00:00:00:33 PERMANENT proto 88"
ok "the neighbour follows"
equal "$(routes 6)" "fd00::2 dev xlnet0 proto 88 src fd00::1"
ok "another spelling of an IPv6 address is the same route"

peers "$(peer 4 "$MAC2" 0 10.0.0.22,fd00::2)" "$(peer 3 "$MAC3" 1 10.0.0.3)"
exits 0 "$route" reconcile
ok "a peer becomes route=0"
equal "$(routes 4)/$(routes 6)/$(rules 6)" "10.0.0.3 dev xlnet0 proto 88 src 10.0.0.1//"
ok "its routes and the IPv6 rule go"
equal "$(neighbours)" "10.0.0.3 lladdr $MAC3 PERMANENT proto 88"
ok "its neighbours go"

# A router peer. The longer prefix has its own gateway, the peer's first address of the family.
peers "$(peer 2 "$MAC2" 1 10.0.0.2,10.9.0.0/16,fd00::2,fd09::/32,10.0.0.21/32)"
exits 0 "$route" reconcile
ok "a peer with prefixes"
equal "$(routes 4)" "10.0.0.2 dev xlnet0 proto 88 src 10.0.0.1
10.0.0.21 dev xlnet0 proto 88 src 10.0.0.1
10.9.0.0/16 via 10.0.0.2 dev xlnet0 proto 88 src 10.0.0.1 onlink"
ok "IPv4 prefix goes through the peer"
equal "$(routes 6)" "fd00::2 dev xlnet0 proto 88 src fd00::1
fd09::/32 via fd00::2 dev xlnet0 proto 88 src fd00::1"
ok "IPv6 prefix goes through the peer"
exits 0 "$route" status
ok "status: in sync"
equal "$(events_of "$route" reconcile)" ""
ok "a second reconcile changes nothing"

# More addresses than those that Dom0 knows; IPv6 lists the newest first.
ip addr add 10.0.0.5/24 dev eth7
ip addr add fd00::5/64 dev eth7 nodad
held=10.0.0.5,fd00::1,10.8.0.0/16
peers "$(peer 2 "$MAC2" 1 10.0.0.2,fd00::2)"
exits 0 "$route" reconcile
equal "$(routes 4)/$(routes 6)" "10.0.0.2 dev xlnet0 proto 88 src 10.0.0.5/fd00::2 dev xlnet0 proto 88 src fd00::1"
ok "it sends from an address that it is held to"
held=
ip addr del 10.0.0.5/24 dev eth7
ip addr del fd00::5/64 dev eth7
peers "$(peer 2 "$MAC2" 1 10.0.0.2,10.9.0.0/16,fd00::2,fd09::/32,10.0.0.21/32)"
exits 0 "$route" reconcile
ok "and from what there is if it is not"

# Someone else meddles: what is ours is put right, what is theirs is left.
ip route del 10.0.0.2 table 5000
ip rule del pref 5000
ip neigh del fd00::2 dev xlnet0
ip route add 10.0.0.99 dev xlnet0 table 5000 proto 88
ip route add 10.0.0.98 dev xlnet0 table 5000 proto static
ip neigh add 10.0.0.98 lladdr "$MAC3" dev xlnet0 nud permanent
exits 1 "$route" status
ok "status sees what others changed"
equal "$(grep -c '^difference' "$tmp/out")" 4
ok "each of the four differences"
exits 0 "$route" reconcile
ok "reconcile"
equal "$(routes 4)" "10.0.0.2 dev xlnet0 proto 88 src 10.0.0.1
10.0.0.21 dev xlnet0 proto 88 src 10.0.0.1
10.0.0.98 dev xlnet0 proto 4
10.9.0.0/16 via 10.0.0.2 dev xlnet0 proto 88 src 10.0.0.1 onlink"
ok "puts ours right and leaves theirs"
equal "$(rules 4)" "$RULE"
ok "the rule is back"

exits 0 "$route" flush
ok "flush"
equal "$(routes 4)/$(neighbours)" "10.0.0.98 dev xlnet0 proto 4/10.0.0.98 lladdr $MAC3 PERMANENT"
ok "leaves only what is not ours"
ip route del 10.0.0.98 table 5000
ip neigh del 10.0.0.98 dev xlnet0
nothing_left
ok "nothing else is left"
equal "$(cat "$tmp/sys/xlnet0/xlnet/claim")" ""
ok "the claim is withdrawn"
exits 0 "$route" reconcile
equal "$(routes 4 | wc -l)" 3
ok "reconcile makes it again"

peers
exits 0 "$route" reconcile
ok "all peers go"
nothing_left
ok "nothing is left"

# Longer than a page, so that no reader gets it at once.
lines=$(seq 2 251 | while read -r i; do
	peer "$i" "02:58:00:00:01:$(printf %02x "$i")" 1 "10.0.1.$i,fd00::1:$i"
	echo
done)
peers "$lines"
exits 0 "$route" reconcile
ok "250 peers"
equal "$(routes 4 | wc -l)/$(routes 6 | wc -l)/$(neighbours | wc -l)" "250/250/500"
ok "all are routed"
exits 0 "$route" status
ok "status: in sync"
finish
