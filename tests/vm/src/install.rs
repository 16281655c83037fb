// SPDX-License-Identifier: GPL-2.0
//! The README's lines for a guest, as a new user types them.

use std::process::Command;

use anyhow::{ensure, Context, Result};
use xlnet_lab::product::Project;

use crate::{bed::eventually, Bed, Scenario, Spec};

pub(crate) const SCENARIOS: &[Scenario] = &[Scenario::new(
    "install::a-guest-by-hand",
    Spec::pv(3),
    guest_by_hand,
)];

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
        "mkdir -p /root/tree && tar -x -C /root/tree -f /root/tree.tar
        rmmod xlnet
        mv /usr/lib/modules/$(uname -r)/updates/xlnet.ko /root/xlnet.ko && depmod
        /root/tree/iproute-scripts/install.sh --uninstall",
    )?;
    ensure!(
        !g1.try_sh("modprobe xlnet")?.success() && !g1.try_sh("command -v xlnet-route")?.success(),
        "something of xlnet was left"
    );

    g1.sh(
        "cp /root/xlnet.ko /usr/lib/modules/$(uname -r)/updates/ && depmod
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
