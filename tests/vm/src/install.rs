// SPDX-License-Identifier: GPL-2.0
//! The README's lines for a guest and for Dom0, as a new user types them.

use std::{fs, process::Command};

use anyhow::{ensure, Context, Result};
use xlnet_lab::product::Project;

use crate::{bed::eventually, helper, policy::all_joined, view::join, Bed, Scenario, Spec};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("install::a-guest-by-hand", Spec::mixed(), guest_by_hand),
    Scenario::new("install::dom0-by-hand", Spec::pv(3), dom0_by_hand).long(),
];

/// Makes systemd the first process of a namespace, as the lab's Dom0 is booted by a script. What the script has done
/// already, or what needs a machine of its own, is masked.
const SYSTEMD: &str = r#"
cd /etc/systemd/system
for unit in xen.service xendomains.service systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket \
    systemd-udev-trigger.service systemd-modules-load.service systemd-sysctl.service systemd-random-seed.service \
    systemd-tmpfiles-setup.service systemd-tmpfiles-setup-dev.service systemd-tmpfiles-setup-dev-early.service \
    systemd-remount-fs.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount dev-hugepages.mount \
    dev-mqueue.mount sys-fs-fuse-connections.mount sys-kernel-config.mount sys-kernel-tracing.mount \
    sys-kernel-debug.mount tmp.mount run-lock.mount kmod-static-nodes.service ldconfig.service; do
    ln -sf /dev/null $unit
done
mountpoint -q /sys/fs/cgroup || mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec env -i "PATH=$PATH" container=xlnet-lab \
    unshare --fork --pid --mount-proc --kill-child /usr/lib/systemd/systemd --system --unit=basic.target
"#;

/// What a user copies from the tree to a guest.
fn tree() -> Result<Vec<u8>> {
    let project = Project::find()?;
    let tar = Command::new("tar")
        .args(["-c", "-C"])
        .arg(project.root())
        .args(["iproute-scripts", "udev"])
        .output()
        .context("running tar")?;
    ensure!(tar.status.success(), "tar: {}", tar.status);
    Ok(tar.stdout)
}

/// Takes everything of xlnet out of a guest, puts it back by hand, and talks to the next guest.
fn guest_by_hand(bed: &mut Bed) -> Result<()> {
    let (g1, g2) = (bed.g(1)?, bed.g(2)?);
    g1.put("/root/tree.tar", &tree()?)?;
    g1.sh(
        "set -e; mkdir -p /root/tree && tar -x -C /root/tree -f /root/tree.tar
        rmmod xlnet
        mv /usr/lib/modules/$(uname -r)/updates/xlnet.ko /root/xlnet.ko && depmod
        rmdir /usr/lib/modules/$(uname -r)/updates
        /root/tree/iproute-scripts/install.sh --uninstall",
    )?;
    ensure!(
        !g1.try_sh("modprobe xlnet")?.success() && !g1.try_sh("command -v xlnet-route")?.success(),
        "something of xlnet was left"
    );

    g1.sh(
        "set -e; install -D -m 644 /root/xlnet.ko /usr/lib/modules/$(uname -r)/updates/xlnet.ko
        depmod
        /root/tree/iproute-scripts/install.sh
        modprobe xlnet",
    )?;
    eventually("the routes are there", || {
        Ok(g1.try_sh("xlnet-route status")?.success()
            && g1
                .sh(&format!("ip route get {}", g2.config.ip()))?
                .contains("dev xlnet0"))
    })?;
    g1.sh(&format!("ping -c 3 -i 0.2 -W 10 {}", g2.config.ip()))?;
    Ok(())
}

/// Takes xlnetd out of Dom0, puts it back by hand as a service, and has two guests find each other by it.
fn dom0_by_hand(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    helper::kill(bed, "TERM")?;
    bed.sh("mv /usr/sbin/xlnetd /root/xlnetd")?;
    let unit = Project::find()?.root().join("dom0-helper/xlnetd.service");
    bed.put(
        "/root/xlnetd.service",
        &fs::read(&unit).with_context(|| unit.display().to_string())?,
    )?;
    let systemd = bed.spawn(SYSTEMD)?;
    // A command in systemd's namespaces, as on a host whose first process it is.
    let on_host = |command: &str| {
        bed.sh(&format!(
            "exec nsenter -p -m -t $(pgrep -f '^/usr/lib/systemd/systemd --system') sh -c '{command}'"
        ))
    };
    eventually("systemd runs", || {
        ensure!(!systemd.is_finished(), "it has ended");
        Ok(on_host("systemctl is-system-running")?.trim() == "running")
    })?;

    on_host(
        "install -m 755 /root/xlnetd /usr/sbin/
        install -m 644 /root/xlnetd.service /etc/systemd/system/
        xlnetd check && systemctl enable --now xlnetd",
    )?;
    ensure!(
        on_host("systemctl is-active xlnetd && systemctl is-enabled xlnetd")?
            == "active\nenabled\n",
        "the service does not run"
    );
    let journal = on_host("journalctl -b -u xlnetd --no-pager")?;
    ensure!(
        journal.contains("serving") && journal.contains("Started xlnetd.service"),
        "the journal does not tell of it: {journal}"
    );
    all_joined(bed)?;
    let (g1, g2) = (bed.g(1)?, bed.g(2)?);
    g1.sh("rmmod xlnet && modprobe xlnet")?;
    all_joined(bed)?;
    join(&g1, &g2)?;

    on_host("systemctl disable --now xlnetd && rm /etc/systemd/system/xlnetd.service")?;
    drop(systemd);
    bed.start_helper()?;
    all_joined(bed)
}
