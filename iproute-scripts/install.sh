#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Installs the guest's policy routing: xlnet-route, its udev rule and systemd files, the names for iproute2.
#
# usage: [DESTDIR=…] [PREFIX=/usr] install.sh [--uninstall]
#
# With DESTDIR only files are copied, as for a package or an image. Without it, udev and systemd are told.
set -eu

here=$(cd -P -- "$(dirname -- "$0")" && pwd)
DESTDIR=${DESTDIR:-}
PREFIX=${PREFIX:-/usr}

# Mode, source from here, installed path. udev and systemd look below /usr and /usr/local alike, the others in one place.
files() {
	cat <<-END
	755 xlnet-route $PREFIX/sbin/xlnet-route
	644 lib/look.sh $PREFIX/lib/xlnet/look.sh
	644 lib/monitor.sh $PREFIX/lib/xlnet/monitor.sh
	644 lib/address.awk $PREFIX/lib/xlnet/address.awk
	644 lib/peers.awk $PREFIX/lib/xlnet/peers.awk
	644 lib/plan.awk $PREFIX/lib/xlnet/plan.awk
	644 lib/report.awk $PREFIX/lib/xlnet/report.awk
	644 rt_tables.conf /etc/iproute2/rt_tables.d/xlnet.conf
	644 rt_protos.conf /etc/iproute2/rt_protos.d/xlnet.conf
	644 ../udev/90-xlnet.rules $PREFIX/lib/udev/rules.d/90-xlnet.rules
	644 ../udev/80-xlnet.link $PREFIX/lib/systemd/network/80-xlnet.link
	644 ../udev/10-xlnet.network $PREFIX/lib/systemd/network/10-xlnet.network
	644 ../udev/xlnet-route@.service $PREFIX/lib/systemd/system/xlnet-route@.service
	644 ../udev/xlnet-modules-load.conf $PREFIX/lib/modules-load.d/xlnet.conf
	644 ../udev/xlnet-networkmanager.conf /usr/lib/NetworkManager/conf.d/10-xlnet.conf
	END
}

quietly() { # a daemon that is not there needs no telling
	command -v "$1" >/dev/null || return 0
	"$@" 2>/dev/null || :
}

tell_daemons() {
	[ -z "$DESTDIR" ] || return 0
	quietly udevadm control --reload
	quietly systemctl daemon-reload
	quietly systemctl try-reload-or-restart NetworkManager.service
	quietly udevadm trigger --action="$1" --subsystem-match=net --property-match=DEVTYPE=xlnet
}

install_all() {
	files | while read -r mode from to; do
		mkdir -p "$DESTDIR${to%/*}"
		sed "s|/usr/sbin/xlnet-route|$PREFIX/sbin/xlnet-route|; s|/usr/lib/xlnet|$PREFIX/lib/xlnet|" "$here/$from" >"$DESTDIR$to.new"
		chmod "$mode" "$DESTDIR$to.new"
		mv "$DESTDIR$to.new" "$DESTDIR$to"
	done
	tell_daemons add
	# One that runs has read the scripts that were there before.
	if [ -z "$DESTDIR" ]; then quietly systemctl try-restart 'xlnet-route@*.service'; fi
	echo "installed xlnet-route in $DESTDIR$PREFIX/sbin; it acts as soon as the xlnet module is loaded (modprobe xlnet)"
}

uninstall_all() {
	if [ -z "$DESTDIR" ]; then
		quietly systemctl stop 'xlnet-route@*.service'
		# The rule first, so that no event makes again what flush removes.
		rm -f "$PREFIX/lib/udev/rules.d/90-xlnet.rules"
		quietly udevadm control --reload
		if [ -x "$PREFIX/sbin/xlnet-route" ] && ! "$PREFIX/sbin/xlnet-route" flush; then
			echo "routes are left: see what ip said above, and \`ip route show table xlnet\`" >&2
		fi
	fi
	files | while read -r _ _ to; do rm -f "$DESTDIR$to"; done
	rmdir "$DESTDIR$PREFIX/lib/xlnet" 2>/dev/null || :
	tell_daemons change
	echo "removed xlnet-route; the module stays loaded (rmmod xlnet)"
}

case ${1:-} in
'') install_all ;;
--uninstall) uninstall_all ;;
*)
	sed -n 's/^# //; /^usage/p' "$0" >&2
	exit 2
	;;
esac
