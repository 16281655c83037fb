# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# What xlnet-route sees: the device and its peer list, the uplink, sysctls, and netlink's state through `ip`. Sourced by
# xlnet-route; reads only. Files, but the list, are read by the shell itself, as processes are dear in a small guest.
#
# read_line assigns by name, and the XR_* are for the awk programs.
# shellcheck disable=SC2154,SC2034

conf4=/proc/sys/net/ipv4/conf
conf6=/proc/sys/net/ipv6/conf

# The first line of a file into a variable, empty if there is none.
read_line() { # variable file
	eval "$1="
	if [ -r "$2" ]; then
		{ IFS= read -r "$1" <"$2"; } 2>/dev/null || :
	fi
}

devtype() { # device directory; sets devtype
	devtype=
	[ -r "$1/uevent" ] || return 0
	while IFS='=' read -r key value; do
		if [ "$key" = DEVTYPE ]; then devtype=$value; fi
	done <"$1/uevent"
}

check_name() {
	case $1 in
	'' | -* | *[!A-Za-z0-9_.-]*) die "device name '$1' has characters that cannot be passed on; rename it" ;;
	esac
}

find_device() { # sets dev, ifindex
	dev='' ifindex=''
	for file in "$sysfs"/*/xlnet/peers; do
		dir=${file%/xlnet/peers}
		devtype "$dir"
		[ "$devtype" = xlnet ] || continue
		read_line ifindex "$dir/ifindex"
		# At its remove event a device can still be seen.
		if [ "${SUBSYSTEM:-}.${ACTION:-}.${IFINDEX:-}" = "net.remove.$ifindex" ]; then continue; fi
		dev=${dir##*/}
		check_name "$dev"
		return
	done
}

# The uplink is the vif with the MAC the driver names; a bridge, VLAN or macvlan on it has the same MAC and a DEVTYPE.
# Addresses are on its topmost master where it is a port of a bridge or bond.
find_uplink() { # mac; sets uplink
	uplink=
	[ -n "$1" ] || return 0
	for file in "$sysfs"/*/address; do
		dir=${file%/address}
		read_line mac "$file"
		if [ "$mac" != "$1" ] || [ "${dir##*/}" = "$dev" ]; then continue; fi
		devtype "$dir"
		if [ -e "$dir/device" ]; then
			uplink=${dir##*/}
			break
		elif [ -z "$devtype" ] && [ -z "$uplink" ]; then
			uplink=${dir##*/}
		fi
	done
	[ -n "$uplink" ] || return 0
	for _ in 1 2 3 4; do
		[ -e "$sysfs/$uplink/master" ] || break
		dir=$(cd -P -- "$sysfs/$uplink/master" && pwd) || break
		devtype "$dir"
		# A port of a VRF keeps its addresses.
		[ "$devtype" != vrf ] || break
		uplink=${dir##*/}
	done
	check_name "$uplink"
}

find_saved() { # the device whose rp_filter was changed; sets saved_dev, saved_value
	saved_dev='' saved_value=''
	read_line line "$run/rp_filter"
	[ -n "$line" ] || return 0
	saved_value=${line#* }
	for file in "$sysfs"/*/ifindex; do
		read_line index "$file"
		if [ "$index" = "${line%% *}" ]; then
			saved_dev=${file%/ifindex}
			saved_dev=${saved_dev##*/}
			return
		fi
	done
	if [ -w "$run/rp_filter" ]; then : >"$run/rp_filter"; fi
}

# Everything the decision needs that is not netlink's, as XR_* in the environment.
look() { # flush: 1 to want nothing
	export XR_FLUSH="$1" XR_DEV='' XR_UP=0 XR_MTU='' XR_PEERS='' XR_UPLINK='' XR_UPLINK_MAC='' XR_V4=1 XR_V6=0
	export XR_CLAIM='' XR_CLAIM_READ=0 XR_RP_ALL='' XR_RP_DEV='' XR_RP_UPLINK='' XR_RP_SAVED=''
	find_device
	find_saved
	uplink=
	if [ -n "$dev" ]; then
		[ "$1" = 1 ] || XR_PEERS=$sysfs/$dev/xlnet/peers
		# The driver makes the whole text for each read of it, and the shell reads bytes.
		peers_text=$(cat "$sysfs/$dev/xlnet/peers" 2>/dev/null) || :
		head=${peers_text%%"$nl"*}
		case $head in
		*' uplink-mac='*)
			XR_UPLINK_MAC=${head#*' uplink-mac='}
			XR_UPLINK_MAC=${XR_UPLINK_MAC%% *}
			;;
		esac
		find_uplink "$XR_UPLINK_MAC"
		read_line flags "$sysfs/$dev/flags"
		XR_UP=$((${flags:-0} & 1))
		read_line XR_MTU "$sysfs/$dev/mtu"
		read_line XR_RP_DEV "$conf4/$dev/rp_filter"
		read_line line "$conf6/$dev/disable_ipv6"
		if [ "$line" = 0 ]; then XR_V6=1; fi
		if [ -r "$sysfs/$dev/xlnet/claim" ]; then
			XR_CLAIM_READ=1
			read_line XR_CLAIM "$sysfs/$dev/xlnet/claim"
		fi
	fi
	XR_DEV=$dev XR_UPLINK=$uplink XR_RP_SAVED=$saved_dev
	read_line XR_RP_ALL "$conf4/all/rp_filter"
	if [ -n "$uplink" ]; then read_line XR_RP_UPLINK "$conf4/$uplink/rp_filter"; fi
}

kernel_state() { # family
	printf 'family %s\n' "$1"
	ip "-$1" -N -o -force -batch - <<-END || echo failed
	rule show
	route show table all proto $XR_PROTO
	addr show scope global
	${dev:+addr show dev $dev}
	${dev:+neigh show dev $dev nud permanent}
	END
}

# mode: plan, status or json; the result is left in $plan, the exit status is that of lib/plan.awk.
compare() {
	plan=$(
		{
			kernel_state 4
			if [ -d "$conf6" ]; then kernel_state 6; fi
		} | XR_MODE=$1 awk -f "$lib/address.awk" -f "$lib/peers.awk" -f "$lib/report.awk" -f "$lib/plan.awk"
	)
}
