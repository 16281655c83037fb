// SPDX-License-Identifier: GPL-2.0
//! A guest has used up what Xen gives it: further peers stay on the uplink until there is something again.

use anyhow::{ensure, Result};
use xlnet_lab::guest::{Guest, GuestConfig};

use crate::{
    bed::eventually,
    figures::counter,
    leaks::event_channels,
    policy::all_joined,
    transfer::send,
    view::{join, state_of},
    Bed, Scenario, Spec,
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("exhaustion::pv-grants", Spec::pv(3), grants).long(),
    Scenario::new("exhaustion::pv-event-channels", Spec::pv(3), ports).long(),
];

/// Of the 1536 grants that three frames have, two uplinks take 1028: they leave enough for one channel and not for two.
fn grants(bed: &mut Bed) -> Result<()> {
    scarce(bed, "max_grant_frames = 3")
}

fn ports(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let guest = bed.g(1)?;
    guest.sh("rmmod xlnet")?;
    let used = event_channels(bed, guest.domid()?)?;
    // It is the highest port, and the lowest, which is 0, is nobody's.
    scarce(bed, &format!("max_event_channels = {}", used + 1))
}

/// Has the first guest be one of which `limit` is said, and the lowest domain, whose pages channels are made of.
fn scarce(bed: &mut Bed, limit: &str) -> Result<()> {
    let config = GuestConfig {
        xl: limit.to_owned(),
        ..bed.g(1)?.config
    };
    for number in 1..=3 {
        bed.g(number)?.destroy()?;
    }
    bed.host.create_guest(config)?.sh("modprobe xlnet")?;
    let others = [bed.add_guest(2)?, bed.add_guest(3)?];
    let guest = bed.g(1)?;
    all_joined(bed)?;
    // Whoever comes first: multicast may have asked for both.
    eventually("one peer has a channel and the other none", || {
        let states = talk(&guest, &others)?;
        let up = states.iter().filter(|state| state.as_str() == "up").count();
        let failed = others
            .iter()
            .map(|other| counter(&guest, other.domid()?, "setup_failed"))
            .sum::<Result<u64>>()?;
        ensure!(up < 2, "{limit}: it suffices for both");
        ensure!(
            up == 1 && failed > 0,
            "{states:?}, {failed} attempts failed"
        );
        Ok(true)
    })?;
    let states = talk(&guest, &others)?;
    let up = |wanted| {
        let states = others.iter().zip(&states);
        states
            .filter(move |(_, state)| (*state == "up") == wanted)
            .map(|(other, _)| other)
    };
    for other in up(false) {
        // The connection is made where segments may be as long as xlnet0 takes them, and goes where they may not.
        for (from, to, ip) in [
            (&guest, other, other.config.ip()),
            (other, &guest, guest.config.ip6()),
        ] {
            // The one with a channel keeps it.
            talk(&guest, &others)?;
            send(from, to, &ip, 4)?;
        }
        let state = state_of(&guest, other.domid()?)?;
        ensure!(state.as_deref() != Some("up"), "there is a channel by now");
    }
    for other in up(true) {
        other.sh("rmmod xlnet")?;
    }
    for other in up(false) {
        join(&guest, other)?;
    }

    guest.destroy()?;
    bed.add_guest(1)?;
    for other in &others {
        other.sh("modprobe xlnet")?;
    }
    all_joined(bed)
}

/// Has the guest talk with both, by whatever way, and returns the states of its channels to them.
fn talk(guest: &Guest, others: &[Guest]) -> Result<Vec<String>> {
    others
        .iter()
        .map(|other| {
            guest.sh(&format!("ping -q -c 3 -i 0.2 -W 10 {}", other.config.ip()))?;
            Ok(state_of(guest, other.domid()?)?.unwrap_or_default())
        })
        .collect()
}
