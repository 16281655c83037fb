// SPDX-License-Identifier: GPL-2.0
//! The essentials with every kind of guest and under either xenstore daemon.
//!
//! PV guests under xenstored, and a PVH one beside them, have the whole of the other areas.

use anyhow::Result;

use crate::{
    meter::{connect, Meter},
    policy::all_joined,
    traffic, transfer, Bed, Scenario, Spec,
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("kinds::pvh-xenstored", Spec::pvh(2), smoke).long(),
    Scenario::new("kinds::pvh-oxenstored", Spec::pvh(2).oxen(), smoke).long(),
    Scenario::new("kinds::pv-oxenstored", Spec::pv(2).oxen(), smoke).long(),
];

/// Blocks of 4 MiB in each stream.
const BLOCKS: usize = 2;

fn smoke(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    for (from, to) in [(1, 2), (2, 1)] {
        let (sender, receiver) = (bed.g(from)?, bed.g(to)?);
        let (ip, ip6) = (receiver.config.ip(), receiver.config.ip6());
        traffic::ping(bed, from, to, &[ip.clone(), ip6.clone()])?;
        for ip in [ip, ip6] {
            connect(bed, from, to)?;
            let meter = Meter::start(bed)?;
            transfer::send(&sender, &receiver, &ip, BLOCKS)?;
            meter
                .moved()?
                .carried(from, to, (BLOCKS * transfer::BLOCK) as u64)?;
        }
    }
    Ok(())
}
