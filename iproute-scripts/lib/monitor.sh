# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# xlnet-route monitor: which events matter, and what is done about peers that come and go before reconcile looks at
# everything. Sourced by xlnet-route.
#
# lib/look.sh assigns the variables it names.
# shellcheck disable=SC2154

# The peer list that is routed, as address=MAC of each, into $listed. A list that changes meanwhile leaves it as it was,
# and is a failure.
read_list() { # as lib/look.sh has read it
	list=, first='' last=''
	while IFS= read -r line; do
		case $line in
		'xlnet '*) first=${line#*' generation='} first=${first%% *} ;;
		'end generation='*) last=${line#end generation=} ;;
		*[!\ -~]*) ;;
		'peer '*' mac='*' route=1 addr='?*)
			mac=${line#*' mac='} addrs=${line##*' addr='},
			while [ -n "$addrs" ]; do
				list=$list${addrs%%,*}=${mac%% *},
				addrs=${addrs#*,}
			done
			;;
		esac
	done <<-END
		$peers_text
	END
	[ -n "$last" ] && [ "$first" = "$last" ] || return 1
	listed=$list
}

# Everything that reconcile goes by, but for netlink's state, of which there are messages.
see() { # sets sight, empty if there was none
	look 0
	sight=
	if [ -z "$dev" ]; then
		listed=,
	elif ! read_list; then
		return
	fi
	sight="$dev $ifindex $XR_UP $XR_V6 $XR_UPLINK $XR_UPLINK_MAC $XR_CLAIM,$XR_RP_ALL,$XR_RP_DEV,$XR_RP_UPLINK $listed"
}

# Whether an event may matter. While no uplink is known, everything may.
relevant() { # line of ip monitor
	[ "$1" != "$reminder" ] || return 0
	[ -n "$dev" ] && [ -n "$uplink" ] || return 0
	case $1 in
	# A global address, of whatever device, may lie in a network behind a peer.
	*" $dev"[\ :@]* | *' scope 0 '*) return 0 ;;
	*" $uplink"[\ :@]* | *" $XR_UPLINK_MAC "*) ;;
	# That of nobody's routes has been deleted by reconcile.
	Deleted*"lookup $XR_TABLE"*)
		[ "$listed" != , ]
		return
		;;
	*'receive error'*) return 0 ;;
	*) return 1 ;;
	esac
	# The uplink's carrier comes and goes, above all when a guest is moved, which is no time for a look at everything. But a
	# device that was set down has lost its routes, even if it is up again by now.
	case $1 in
	Deleted*) return 0 ;;
	*': <'*,UP[\>,]*) ;;
	*) return 0 ;;
	esac
	seen=$sight
	see
	[ -z "$sight" ] || [ "$sight" != "$seen" ]
}

# What was made for each address last, the newest first, into $made: lines of address, MAC and source.
remember() { # plan
	old=$made made=$nl
	while read -r word line; do
		if [ "$word" = made ]; then made=$made$line$nl; fi
	done <<-END
		$1
	END
	while read -r addr line; do
		case $made in
		*"$nl$addr "*) ;;
		# Peers may come under ever new addresses.
		*) if [ -n "$addr" ] && [ ${#made} -lt 8192 ]; then made="$made$addr $line$nl"; fi ;;
		esac
	done <<-END
		$old
	END
}

# The lines for `ip` that make what was made for the address before, if it was for the same peer, into $lines4 or $lines6.
again() { # address mac
	case $made in *"$nl$1 $2 "*) ;; *) return 0 ;; esac
	# Another peer has it too.
	case $listed in *",$1="*",$1="*) return 0 ;; esac
	# To cut the text at a line takes a shell the square of the text's length.
	IFS=$nl
	for line in $made; do
		case $line in "$1 $2 "*) source=${line#"$1 $2 "} ;; esac
	done
	unset IFS
	neigh="neigh replace $1 lladdr $2 dev $dev nud permanent protocol $XR_PROTO$nl"
	route="table $XR_TABLE proto $XR_PROTO src $source$nl"
	case $1 in
	*:*) lines6="$lines6${neigh}route replace $1 dev $dev $route" ;;
	*) lines4="$lines4${neigh}route replace $1 dev $dev scope link $route" ;;
	esac
}

change() { # lines for ip, option
	if [ -n "$1" ]; then printf '%s' "$1" | ip ${2+"$2"} -force -batch - 2>/dev/null || :; fi
}

# Deletes the routes to peers that have just gone and makes those to peers that are back, in one process and without a
# lock: the whole look that follows takes longer, and until then traffic goes where nobody is, or the long way.
follow() {
	if [ -z "$dev" ]; then
		routed=$listed
		return
	fi
	pairs=${routed#,} lines='' lines4='' lines6=''
	while [ -n "$pairs" ]; do
		case $listed in
		*",${pairs%%,*},"*) ;;
		*) lines="${lines}route del ${pairs%%=*} dev $dev table $XR_TABLE proto $XR_PROTO$nl" ;;
		esac
		pairs=${pairs#*,}
	done
	pairs=${listed#,}
	while [ -n "$pairs" ]; do
		pair=${pairs%%,*} pairs=${pairs#*,}
		case $routed in
		*",$pair,"*) ;;
		*) again "${pair%%=*}" "${pair#*=}" ;;
		esac
	done
	rule="rule add pref $XR_PREF table $XR_TABLE protocol $XR_PROTO$nl"
	if [ "$routed" != , ]; then
		change "$lines$lines4$lines6"
	else
		# The rules have gone with the last peer, and only they need to be told the family.
		change "${lines4:+$lines4$rule}" -4
		change "${lines6:+$lines6$rule}" -6
	fi
	routed=$listed
}

# Reads what has come so far, up to a line of our own.
drain() {
	# Of another process, as the pipe may be full.
	printf 'xlnet-route\n' >/proc/self/fd/8 &
	line=
	until [ "$line" = xlnet-route ]; do next_event; done
	wait "$!" || :
}

next_event() { # sets line
	IFS= read -r line <&8 || die "ip monitor has ended"
	[ "$line" != "$reminder" ] || reminded=
}

# Has an event of our own come after a while, unless one is on its way.
remind() { # seconds
	[ -z "$reminded" ] || return 0
	reminded=1
	{ sleep "$1" && printf '%s\n' "$reminder" >/proc/self/fd/8; } &
}

monitor() {
	[ -d "$run" ] || mkdir -p "$run" || die "cannot make $run: is this root?"
	fifo=$run/monitor.$$
	mkfifo -m 600 "$fifo" || die "cannot make $fifo"
	ip -N -o monitor address link rule >"$fifo" 2>&1 &
	child=$!
	trap 'rm -f "$run/monitor"; { kill "$child"; wait "$child"; } 2>/dev/null || :' EXIT
	trap 'exit 143' TERM
	trap 'exit 130' INT
	exec 8<"$fifo"
	rm -f "$fifo"
	# Events come in bursts: what arrives within a moment is one. The first pause lets the subscription stand before the
	# first look, so that no change falls between them.
	pause=1 listed=, routed=, made=$nl reminder='xlnet-route again' reminded='' patience=1
	while :; do
		sleep "$pause"
		pause=0.2
		drain
		# From here on udev need not reconcile when the list changes, for as long as this process is there.
		{ [ -L "$run/monitor" ] && [ -e "$run/monitor" ]; } || ln -sfn "/proc/$$" "$run/monitor"
		see
		# A list that came during the pause does not wait for whoever has the lock.
		follow
		if plan=$( (reconcile 0 && printf '%s\n' "$plan") 8<&-); then
			# What it has changed itself is no news.
			see
			patience=1
		else
			# After a failure, any event is a reason to try again, and one comes even if nothing changes any more.
			sight=
			remind "$patience"
			patience=$((patience < 32 ? patience * 2 : 60))
		fi
		remember "$plan"
		next_event
		until relevant "$line"; do next_event; done
		see
		follow
	done
}
