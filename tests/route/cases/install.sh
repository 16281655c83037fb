#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# install.sh into a directory and out of it; what it installed is valid to the programs that read it.
# shellcheck disable=SC2154  # the harness's variables
set -u
# shellcheck source=/dev/null
. "${0%/*}/../harness.sh"
setup
export DESTDIR="$tmp/dest"
installer=$root/iproute-scripts/install.sh
installed() { find "$DESTDIR" -type f | sed "s|^$DESTDIR||" | sort; }

exits 0 "$installer"
ok "install"
installed >"$tmp/list"
for file in /usr/sbin/xlnet-route /usr/lib/udev/rules.d/90-xlnet.rules /usr/lib/systemd/network/80-xlnet.link \
	/usr/lib/systemd/network/10-xlnet.network /usr/lib/systemd/system/xlnet-route@.service \
	/usr/lib/modules-load.d/xlnet.conf /etc/iproute2/rt_tables.d/xlnet.conf /etc/iproute2/rt_protos.d/xlnet.conf; do
	grep -qx "$file" "$tmp/list"
	ok "$file"
done
sourced=$(cd "$root/iproute-scripts/lib" && find . -type f | sort)
equal "$(cd "$DESTDIR/usr/lib/xlnet" && find . -type f | sort)" "$sourced"
ok "every file of lib/"
exits 0 "$installer"
equal "$(installed)" "$(cat "$tmp/list")"
ok "a second install leaves the same files"

# As installed, but for the place of its library.
mount -t tmpfs tmpfs /mnt
cp -a "$DESTDIR/." /mnt
peers "$(peer 2 "$MAC2" 1 10.0.0.2)"
sed 's|/usr/lib/xlnet|/mnt/usr/lib/xlnet|' /mnt/usr/sbin/xlnet-route >/mnt/xlnet-route
chmod +x /mnt/xlnet-route
exits 0 /mnt/xlnet-route reconcile
equal "$(routes 4)" "10.0.0.2 dev xlnet0 proto 88 src 10.0.0.1"
ok "the installed program finds its library and works"
if [ -d /etc/iproute2/rt_tables.d ]; then
	cp /mnt/etc/iproute2/rt_tables.d/xlnet.conf "$tmp/tables"
	mount -t tmpfs tmpfs /etc/iproute2/rt_tables.d && cp "$tmp/tables" /etc/iproute2/rt_tables.d/xlnet.conf
	ip route show table xlnet | grep -q 10.0.0.2
	ok "iproute2 knows the table by its name"
	exits 0 "$route" status
	ok "and status does not mind"
fi

if command -v udevadm >/dev/null && udevadm verify --help >/dev/null 2>&1; then
	exits 0 udevadm verify "$DESTDIR/usr/lib/udev/rules.d/90-xlnet.rules"
	ok "udevadm verify"
fi

exits 0 "$installer" --uninstall
equal "$(installed)" ""
ok "uninstall leaves nothing"
PREFIX=/usr/local exits 0 "$installer"
grep -q '"/usr/local/sbin/xlnet-route reconcile"' "$DESTDIR/usr/local/lib/udev/rules.d/90-xlnet.rules"
ok "PREFIX reaches the udev rule"
grep -q '^ExecStart=/usr/local/sbin/xlnet-route' "$DESTDIR/usr/local/lib/systemd/system/xlnet-route@.service"
ok "and the service"
grep -q 'lib=/usr/local/lib/xlnet' "$DESTDIR/usr/local/sbin/xlnet-route"
ok "and the program"
PREFIX=/usr/local exits 0 "$installer" --uninstall
exits 2 "$installer" --remove
ok "an unknown option: usage, exit 2"
finish
