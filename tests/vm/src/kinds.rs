// SPDX-License-Identifier: GPL-2.0
//! The essentials with every kind of guest and under either xenstore daemon.
//!
//! PV guests under xenstored, and a PVH one beside them, have the whole of the other areas.

use anyhow::{ensure, Result};

use crate::{
    flow::Flow,
    helper,
    lifecycle::reload,
    meter::{connect, Meter},
    policy::all_joined,
    traffic, transfer,
    view::join,
    Bed, Scenario, Spec,
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("kinds::pvh-xenstored", Spec::pvh(2), smoke).long(),
    Scenario::new("kinds::pvh-oxenstored", Spec::pvh(2).oxen(), smoke).long(),
    Scenario::new("kinds::pv-oxenstored", Spec::pv(2).oxen(), smoke).long(),
    Scenario::new("kinds::pv-xenstored-updated-live", Spec::pv(3), updated).long(),
];

/// Where Dom0 has the daemon in C.
const XENSTORED: &str = "/usr/lib/xen-4.20/bin/xenstored";

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

/// xenstored executes itself anew while it serves: what it held and watched is as before.
fn updated(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let (a, b, c) = (bed.g(1)?, bed.g(2)?, bed.g(3)?);
    join(&a, &b)?;
    let flow = Flow::start(&a, &b, 7700, 20)?;
    flow.await_more(20)?;
    let before = helper::nodes(bed)?;
    // Where it lies in its memory tells one execution from another.
    let image = || bed.sh("head -n 1 /proc/$(cat /run/xenstore.pid)/maps");
    let old = image()?;
    let said = bed.sh(&format!("xenstore-control live-update {XENSTORED}"))?;
    ensure!(image()? != old, "xenstored is the same as before: {said}");
    let after = helper::nodes(bed)?;
    ensure!(before == after, "{before}\nbecame\n{after}");
    reload(bed, 3)?;
    join(&a, &c)?;
    flow.await_more(20)?;
    flow.stop()?.is_lossless()
}
