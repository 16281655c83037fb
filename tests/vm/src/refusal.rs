// SPDX-License-Identifier: GPL-2.0
//! Another device of a guest refuses to be suspended when xlnet is ready for it.

use anyhow::{ensure, Result};
use xlnet_lab::{agent::Background, guest::Guest};

use crate::{
    bed::eventually,
    policy::all_joined,
    relocation::{across, epoch},
    view::join,
    Bed, Scenario, Spec,
};

pub(crate) const SCENARIOS: &[Scenario] = &[Scenario::new(
    "refusal::by-another-device",
    Spec::mixed(),
    by_another_device,
)
.long()];

/// What Linux logs then.
const SAID: &str = "do_suspend: dpm_suspend_start -16";

/// Makes a USB host controller that refuses while something is plugged in, here the other end of a socket. Nobody asks what that is,
/// as the root hubs have no driver. xlnet0 is made after it, because devices are made ready in the reverse order.
const PLUG: &str = "set -e
    rmmod xlnet
    modprobe vhci-hcd
    for hub in /sys/bus/usb/drivers/hub/[0-9]*; do
        echo ${hub##*/} > /sys/bus/usb/drivers/hub/unbind
    done
    until ss -Hltn | grep -q 127.0.0.1:7700; do sleep 0.1; done
    socat TCP:127.0.0.1:7700 SYSTEM:'echo 0 0 1 3 > /sys/devices/platform/vhci_hcd.0/attach',nofork
    modprobe xlnet";

/// Takes it out again.
const UNPLUG: &str = "echo 0 > /sys/devices/platform/vhci_hcd.0/detach && rmmod vhci-hcd";

fn plug(guest: &Guest) -> Result<Background> {
    let device =
        guest.spawn("exec socat -u TCP-LISTEN:7700,bind=127.0.0.1,reuseaddr OPEN:/dev/null")?;
    guest.sh(PLUG)?;
    Ok(device)
}

/// The guest's kernel is told to suspend itself, does not, and goes on.
fn by_another_device(bed: &mut Bed) -> Result<()> {
    across(bed, |bed, guest, others| {
        let _device = plug(guest)?;
        all_joined(bed)?;
        for other in others {
            join(guest, other)?;
        }
        let before = epoch(bed, guest)?;
        let node = format!("/local/domain/{}/control/shutdown", guest.domid()?);
        // Nobody in Dom0 waits for it, as `xl save` would for a minute.
        bed.sh(&format!("xenstore-write {node} suspend"))?;
        eventually("the suspend is refused", || {
            Ok(guest.sh("dmesg")?.contains(SAID))
        })?;
        all_joined(bed)?;
        ensure!(
            epoch(bed, guest)? != before,
            "the driver has not been made ready before the other device"
        );
        guest.sh(UNPLUG).map(drop)
    })
}
