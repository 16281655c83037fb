#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The monitor follows the uplink without being told.
# shellcheck disable=SC2154  # the harness's variables
set -u
# shellcheck source=/dev/null
. "${0%/*}/../harness.sh"
setup
peers "$(peer 2 "$MAC2" 1 10.0.0.2,fd00::2)"
holds() { [ "$(routes 4)" = "$1" ]; }
holds6() { [ "$(routes 6)" = "$1" ]; }
# The rule of IPv6 is made last.
ruled() { [ "$(rules 4) $(rules 6)" = "$RULE $RULE" ]; }
listener() { ps -o pid=,comm= --ppid "$monitor_pid" | sed -n 's/^ *\([0-9]*\) ip$/\1/p'; }
# It waits for the next event, so that a lock does not hold it up.
idle() { [ "$(ps -o comm= --ppid "$monitor_pid")" = ip ] && ps -o stat= -p "$monitor_pid" | grep -q '^S'; }
gone() { [ -z "$(routes 4)$(rules 4)" ]; }

"$route" monitor 2>"$tmp/monitor.err" &
monitor_pid=$!
eventually holds "10.0.0.2 dev xlnet0 proto 88 src 10.0.0.1"
ok "it reconciles at its start"
ip addr del 10.0.0.1/24 dev eth7
eventually gone
ok "the uplink loses its address: the routes go"
ip addr add 10.0.0.8/24 dev eth7
eventually holds "10.0.0.2 dev xlnet0 proto 88 src 10.0.0.8"
ok "it gets another: routed with that source"
ip rule del pref 5000
eventually sh -c 'ip -4 -N rule show | grep -q "lookup 5000"'
ok "the rule is deleted by somebody: it comes back"
ip link set xlnet0 down
eventually gone
ok "the device is set down: everything goes"
ip link set xlnet0 up
eventually holds "10.0.0.2 dev xlnet0 proto 88 src 10.0.0.8"
ok "and comes back with it"
ip link del eth7
eventually gone
ok "the uplink goes: everything goes"
add_uplink eth8
ip addr add 10.0.0.9/24 dev eth8
eventually holds "10.0.0.2 dev xlnet0 proto 88 src 10.0.0.9"
ok "another device with its MAC is the uplink"
seq 20 32 | while read -r i; do ip addr add "10.0.0.$i/24" dev eth8; done
ip addr del 10.0.0.9/24 dev eth8
eventually sh -c "\"$route\" status"
ok "after a burst of changes it is in sync"


# The driver tells of a new list by a link message without news; another alias is one.
told=0
tell() { told=$((told + 1)) && ip link set dev xlnet0 alias "$told"; }
ip addr add 10.0.0.1/24 dev eth8
ip addr add fd00::1/64 dev eth8 nodad
both="10.0.0.2 dev xlnet0 proto 88 src 10.0.0.1
10.0.0.3 dev xlnet0 proto 88 src 10.0.0.1"
peers "$(peer 2 "$MAC2" 1 10.0.0.2,fd00::2)" "$(peer 3 "$MAC3" 1 10.0.0.3,fd00::3)"
tell
eventually holds "$both"
ok "a peer more in the list: routed, and udev is not needed"
[ -e "$tmp/run/monitor" ]
ok "it says so to udev"
# Once it has seen to this, nothing that came before is left to be seen to.
ip rule del pref 5000
eventually sh -c 'ip -4 -N rule show | grep -q "lookup 5000"'
eventually idle
exec 7>"$tmp/run/lock"
flock 7
# Were that a reason to look at everything, it would wait for the lock, and what follows for it.
ip link set dev eth8 alias uplink
peers "$(peer 3 "$MAC3" 1 10.0.0.3,fd00::3)"
tell
eventually holds "10.0.0.3 dev xlnet0 proto 88 src 10.0.0.1"
ok "a peer that has gone is unrouted while another run has the lock"
eventually holds6 "fd00::3 dev xlnet0 proto 88 src fd00::1"
equal "$(routes 6)" "fd00::3 dev xlnet0 proto 88 src fd00::1"
ok "in both families"
neighbours | grep -q "^10.0.0.2 "
ok "what else was of it waits for the lock"
exec 7>&-
eventually sh -c "\"$route\" status"
ok "and goes then"

peers "$(peer 3 "$MAC3" 1 10.0.0.3,172.16.0.0/12)"
tell
behind() { routes 4 | grep -q '^172.16.0.0/12 via 10.0.0.3 '; }
eventually behind
ok "a network behind a peer is routed"
ip link add other type veth peer name far-other
ip addr add 172.17.0.1/16 dev other
eventually holds "10.0.0.3 dev xlnet0 proto 88 src 10.0.0.1"
ok "and not any more when another device has a part of it"
ip link del other

peers
tell
eventually gone
eventually sh -c "\"$route\" status"
ok "with the last peer, so does the rule"
eventually idle
exec 7>"$tmp/run/lock"
flock 7
peers "$(peer 2 "$MAC2" 1 10.0.0.2,fd00::2)" "$(peer 3 "$MAC3" 1 10.0.0.3,10.0.0.4,fd00::3)"
tell
eventually holds "$both"
ok "peers that are back are routed while another run has the lock"
eventually ruled
equal "$(routes 6)" "fd00::2 dev xlnet0 proto 88 src fd00::1
fd00::3 dev xlnet0 proto 88 src fd00::1"
ok "in both families"
equal "$(rules 4) $(rules 6)" "$RULE $RULE"
ok "by the rules"
equal "$(neighbours)" "10.0.0.2 lladdr $MAC2 PERMANENT proto 88
10.0.0.3 lladdr $MAC3 PERMANENT proto 88
fd00::2 lladdr $MAC2 PERMANENT proto 88
fd00::3 lladdr $MAC3 PERMANENT proto 88"
ok "and their neighbours, but an address that is new waits for the lock"
exec 7>&-
eventually sh -c "\"$route\" status"
ok "and is routed then"
peers "$(peer 3 "$MAC3" 1 10.0.0.3)" "$(peer 2 "$MAC2" 1 fd00::2)"
tell
eventually holds "10.0.0.3 dev xlnet0 proto 88 src 10.0.0.1"
eventually sh -c "\"$route\" status"
eventually idle
exec 7>"$tmp/run/lock"
flock 7
other=02:58:00:00:00:05
peers "$(peer 3 "$MAC3" 1 10.0.0.3,fd00::3)" "$(peer 2 "$other" 1 10.0.0.2)" "$(peer 4 "$MAC3" 1 10.0.0.4)" "$(peer 5 "$other" 1 10.0.0.4)"
tell
returned() { routes 6 | grep -q "^fd00::3 "; }
eventually returned
ok "one address that is back is routed at once"
equal "$(routes 4)" "10.0.0.3 dev xlnet0 proto 88 src 10.0.0.1"
ok "neither one that another peer has now, nor one that two have"
exec 7>&-
eventually holds "$both"
ok "the first is then, to whom has it now"
peers "$(peer 3 "$MAC3" 0 10.0.0.3,fd00::3)" 'peer domid=4 mac=x route=1 addr=10.0.0.3; touch /'
tell
eventually gone
ok "a peer that is not to be routed any more is unrouted, whatever else the list says"

child=$(listener)
[ -n "$child" ]
ok "one process listens for it"
kill "$monitor_pid"
wait "$monitor_pid"
equal $? 143
ok "it ends when told"
eventually sh -c "! kill -0 $child"
ok "and its listener with it"
equal "$(find "$tmp/run" -name 'monitor*')" ""
ok "leaving no file"
equal "$(grep -v -e "malformed line of the peer list: peer domid=4" -e "10.0.0.4 is claimed by peers 4 and 5" \
	-e "172.16.0.0/12 of peer 3 contains" "$tmp/monitor.err")" ""
ok "it had nothing else to complain of"

"$route" monitor 2>"$tmp/monitor.err" &
monitor_pid=$!
listens() { [ -n "$(listener)" ]; }
eventually listens
eventually idle
claim=$tmp/sys/xlnet0/xlnet/claim
rm "$claim"
mkdir "$claim"
ip addr add 10.0.0.40/24 dev eth8
eventually grep -q "cannot write the claim" "$tmp/monitor.err"
ok "it says what it could not do"
rmdir "$claim"
: >"$claim"
eventually grep -q 10.0.0.40 "$claim"
ok "and does it later, without an event"
kill "$(listener)"
wait "$monitor_pid"
equal $? 2
ok "it fails when its listener dies, for systemd to start it again"

"$route" monitor 2>"$tmp/monitor.err" &
monitor_pid=$!
marked() { [ -e "$tmp/run/monitor" ]; }
eventually marked
ok "the next one says that it is there"
child=$(listener)
kill -9 "$monitor_pid"
wait "$monitor_pid"
eventually sh -c "! [ -e \"$tmp/run/monitor\" ]"
ok "and does not when it was killed, so that udev reconciles"
kill "$child"
finish
