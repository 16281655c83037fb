#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The device's own life: first seen, set down by an operator, another MAC, gone and back, renamed.
# shellcheck disable=SC2154  # the harness's variables
set -u
# shellcheck source=/dev/null
. "${0%/*}/../harness.sh"
setup
both=$(peer 2 "$MAC2" 1 10.0.0.2,fd00::2)
conf6=/proc/sys/net/ipv6/conf/xlnet0
up() { ip link show dev xlnet0 | grep -q '[<,]UP[,>]'; }

! up
ok "the device begins down"
peers "$both"
exits 0 "$route" reconcile
up
ok "the first reconcile sets it up"
equal "$(cat $conf6/addr_gen_mode) $(cat $conf6/accept_ra)" "1 0"
ok "without link-local address and router advertisements"
equal "$(ip -o addr show dev xlnet0)" ""
ok "it has no address of its own"
equal "$(routes 4 | wc -l)$(routes 6 | wc -l)" 11
ok "peers are routed"

ip link set xlnet0 down
exits 0 "$route" reconcile
ok "an operator sets the device down"
nothing_left
ok "nothing is routed"
! up
ok "and it stays down"
exits 0 "$route" status
ok "status: in sync"
grep -q 'down: nothing is routed' "$tmp/out"
ok "and says that it is down"
SUBSYSTEM=net ACTION=change exits 0 "$route" reconcile
! up
ok "a change event does not set it up either"
ip link set xlnet0 up
exits 0 "$route" reconcile
equal "$(routes 4 | wc -l)$(routes 6 | wc -l)" 11
ok "set up again, its peers are routed"
ip link set xlnet0 down
SUBSYSTEM=net ACTION=add exits 0 "$route" reconcile
up
ok "an add event sets it up: it came back from another namespace"

# The kernel drops even permanent neighbours of a device whose address changes.
ip link set xlnet0 address 02:58:00:00:00:99
exits 0 "$route" reconcile
equal "$(neighbours | wc -l)" 2
ok "neighbours are there after the device's MAC has changed"

echo 1 >/proc/sys/net/ipv4/conf/eth7/rp_filter
exits 0 "$route" reconcile
index=$(cat /sys/class/net/xlnet0/ifindex)
SUBSYSTEM=net ACTION=remove IFINDEX=$index exits 0 "$route" reconcile
ok "the remove event, with the device still to be seen"
equal "$(rules 4)$(rules 6) $(rp_filter eth7)" " 1"
ok "rules are gone, rp_filter is restored"
exits 0 "$route" reconcile
remove_device
exits 0 "$route" reconcile
ok "the device is gone"
nothing_left
ok "nothing is left"
equal "$(rp_filter eth7)" 1
ok "rp_filter is restored"
exits 0 "$route" status
ok "status: in sync"
exits 0 "$route" status --json
grep -q '"device":null.*"in_sync":true' "$tmp/out"
ok "status --json: no device"

add_device
peers "$both"
exits 0 "$route" reconcile
up
ok "a new device is set up"
equal "$(routes 4 | wc -l)$(routes 6 | wc -l)" 11
ok "its peers are routed"

ip link set xlnet0 mtu 1000
exits 0 "$route" reconcile
ok "an MTU too small for IPv6"
equal "$(routes 4 | wc -l)/$(routes 6)$(rules 6)" "1/"
ok "IPv4 is routed, IPv6 is not"
ip link set xlnet0 mtu 65535
exits 0 "$route" reconcile
equal "$(routes 6 | wc -l)" 1
ok "with a larger one it is again"

echo 1 >$conf6/disable_ipv6
exits 0 "$route" reconcile
equal "$(routes 4 | wc -l)/$(routes 6)$(rules 6)" "1/"
ok "IPv6 switched off on the device"
exits 0 "$route" status
ok "status: in sync"

# A veth is not of type xlnet: without DEVTYPE the device is nobody's.
printf 'INTERFACE=xlnet0\n' >"$tmp/sys/xlnet0/uevent"
exits 0 "$route" reconcile
equal "$(routes 4)$(rules 4)" ""
ok "a device of another type is not taken"
finish
