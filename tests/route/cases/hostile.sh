#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# A peer list whose content is wrong or wants to do harm: what is bad is left out, what is good still works, and nothing
# of it is ever run.
# shellcheck disable=SC2154  # the harness's variables
set -u
# shellcheck source=/dev/null
. "${0%/*}/../harness.sh"
setup
good=$(peer 2 "$MAC2" 1 10.0.0.2)
GOOD="10.0.0.2 dev xlnet0 proto 88 src 10.0.0.1"
mark=$tmp/mark
cd "$tmp" || exit 1

# Each bad thing beside a good peer.
while IFS= read -r bad; do
	bad=$(printf '%s\n' "$bad" | sed "s|MARK|$mark|g")
	peers "$bad" "$good"
	exits 0 "$route" reconcile
	ok "survives: $bad"
	grep -q skipped "$tmp/err" || grep -q 'not routed' "$tmp/err"
	ok "says that it is left out"
	equal "$(routes 4)$(routes 6)/$(rules 4)$(rules 6)/$(neighbours)" "$GOOD/$RULE/10.0.0.2 lladdr $MAC2 PERMANENT proto 88"
	ok "routes the good peer alone"
	exits 0 "$route" status
	ok "status: in sync"
done <<'END'
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=$(touch${IFS}MARK)
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=`touch MARK`
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=10.0.0.3;touch${IFS}MARK
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=-force
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=default
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=0.0.0.0/0
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=::/0
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=10.0.0.0/8
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=10.0.0.1
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=127.0.0.1
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=224.0.0.1
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=255.255.255.255
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=ff02::1
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=fe80::3
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=::ffff:10.0.0.3
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=::1
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=10.0.0.3/33
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=10.0.0.3/-1
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=10.5.0.1/16
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=10.5.0.0/16
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=10.0.0.003
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=10.0.0.256
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=10.0.0
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=fd00:::3
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=fd00::3::4
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=fd00:1:2:3:4:5:6:7:8
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=fd00::12345
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=,
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=10.0.0.3 addr=10.0.0.4
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=10.0.0.3 dev eth7
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=2 addr=10.0.0.3
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up addr=10.0.0.3
peer domid=3 mac=01:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=10.0.0.3
peer domid=3 mac=00:00:00:00:00:00 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=10.0.0.3
peer domid=3 mac=02:58:00:00:00 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=10.0.0.3
peer domid=3 mac=$(touch${IFS}MARK) uplink-mac=02:00:00:00:00:03 state=up route=1 addr=10.0.0.3
peer domid=-3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=10.0.0.3
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state="up" route=1 addr=10.0.0.3
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 addr=10.0.0.3	table=main
peer domid=3 mac=02:58:00:00:00:03 uplink-mac=02:00:00:00:00:03 state=up route=1 =10.0.0.3
END
! [ -e "$mark" ]
ok "nothing of the list was run"

peers "$(peer 3 "$MAC3" 1 10.0.0.3,fd00::3)" "$(peer 4 "$MAC2" 1 10.0.0.3)" "$good"
exits 0 "$route" reconcile
ok "two peers claim one address"
equal "$(routes 4)/$(routes 6)" "$GOOD/fd00::3 dev xlnet0 proto 88 src fd00::1"
ok "neither is routed there; what else they have is"
grep -q 'claimed by peers 3 and 4' "$tmp/err"
ok "which is said"

peers "$(peer 3 "$MAC3" 1 10.0.0.3,10.0.0.0/8)" "$good"
exits 0 "$route" reconcile
ok "a peer with a prefix that contains the uplink's subnet"
equal "$(routes 4)" "$GOOD
10.0.0.3 dev xlnet0 proto 88 src 10.0.0.1"
ok "its address is routed, the prefix is not"

ip link add other type veth peer name far-other
ip addr add 172.17.0.1/16 dev other
peers "$(peer 3 "$MAC3" 1 10.0.0.3,172.16.0.0/12)" "$good"
exits 0 "$route" reconcile
ok "a peer with a prefix that contains another device's subnet"
equal "$(routes 4)" "$GOOD
10.0.0.3 dev xlnet0 proto 88 src 10.0.0.1"
ok "its address is routed, the prefix is not"
ip link del other
exits 0 "$route" reconcile
equal "$(routes 4 | grep -c '^172.16.0.0/12 via 10.0.0.3 ')" 1
ok "once that device is gone, the prefix is"

peers "$good colour=blue" "something new"
exits 0 "$route" reconcile
ok "unknown fields and lines are passed over"
equal "$(routes 4)" "$GOOD"
ok "the peer is routed"

# A list that another one replaced while it was read.
file=$tmp/sys/xlnet0/xlnet/peers
sed -i 's/^end .*/end generation=999/' "$file"
exits 2 "$route" reconcile
ok "a torn list is an error"
equal "$(routes 4)" "$GOOD"
ok "and changes nothing"
exits 2 "$route" status
ok "status cannot tell"
sed -i '/^end /d' "$file"
exits 2 "$route" reconcile
ok "so is one without an end"
equal "$(routes 4)" "$GOOD"
ok "which changes nothing either"
: >"$file"
exits 2 "$route" reconcile
ok "so is an empty one"
peers "$good"
exits 0 "$route" reconcile
ok "the whole list works again"

sed -i 's/version=1/version=2/' "$file"
exits 2 "$route" reconcile
ok "a list of another version is an error"
nothing_left
ok "and everything goes back to the uplink"
printf 'xlnet version=1 generation=9\nend generation=9\n' >"$file"
exits 0 "$route" reconcile
ok "a list before xlnetd has answered"
nothing_left
ok "routes nobody"
exits 0 "$route" status
grep -q 'xlnetd has not answered' "$tmp/out"
ok "status says why"

exits 2 "$route"
ok "no subcommand: usage, exit 2"
exits 2 "$route" reconcile now
ok "an argument too many: usage, exit 2"
exits 2 "$route" statuss
ok "an unknown subcommand: usage, exit 2"
exits 0 "$route" --help
ok "--help"
finish
