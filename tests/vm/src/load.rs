// SPDX-License-Identifier: GPL-2.0
//! The module comes and goes.

use anyhow::{ensure, Result};

use crate::{bed::eventually, Bed, Scenario, Spec};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("load::device-appears", Spec::mixed(), device_appears),
    Scenario::new("load::unloads", Spec::mixed(), unloads),
];

fn device_appears(bed: &mut Bed) -> Result<()> {
    for number in 1..=bed.spec.guests {
        let guest = bed.g(number)?;
        eventually("xlnetd has given xlnet0 a MAC", || {
            let list = guest.sh("cat /sys/class/net/xlnet0/xlnet/peers")?;
            Ok(list.starts_with("xlnet version=1 ") && list.contains(" mac="))
        })?;
    }
    Ok(())
}

fn unloads(bed: &mut Bed) -> Result<()> {
    for number in 1..=bed.spec.guests {
        let guest = bed.g(number)?;
        guest.sh("rmmod xlnet")?;
        ensure!(
            !guest.try_sh("test -e /sys/class/net/xlnet0")?.success(),
            "xlnet0 of {} is still there",
            guest.name()
        );
        guest.sh("modprobe xlnet && test -e /sys/class/net/xlnet0")?;
    }
    Ok(())
}
