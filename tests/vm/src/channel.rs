// SPDX-License-Identifier: GPL-2.0
//! Channels are made by the first frame and reclaimed when idle, and no frame is lost by that.

use anyhow::{ensure, Result};
use xlnet_lab::guest::Guest;

use crate::{
    bed::eventually,
    figures::counter,
    flow::Flow,
    meter,
    policy::all_joined,
    view::{join, state_of},
    Bed, Scenario, Spec,
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("channel::pv-made-by-first-frame", Spec::pv(3), first_frame).long(),
    Scenario::new("channel::pv-reclaimed-when-idle", Spec::pv(3), reclaimed).long(),
    Scenario::new(
        "channel::pvh-made-by-first-frame",
        Spec::pvh(2),
        first_frame,
    )
    .long(),
    Scenario::new("channel::pvh-reclaimed-when-idle", Spec::pvh(2), reclaimed).long(),
    Scenario::new("channel::ring-size", Spec::pv(3), ring_size).long(),
];

/// Datagrams a second of each flow.
const RATE: u32 = 100;

fn pairs(bed: &Bed) -> Result<Vec<(Guest, Guest)>> {
    meter::pairs(bed)
        .into_iter()
        .map(|(from, to)| Ok((bed.g(from)?, bed.g(to)?)))
        .collect()
}

/// Every guest in turn begins anew, so that both the lower and the higher domid of a pair are the one that sends first.
fn first_frame(bed: &mut Bed) -> Result<()> {
    for number in 1..=bed.spec.guests {
        let own = bed.g(number)?;
        own.sh("rmmod xlnet && modprobe xlnet")?;
        all_joined(bed)?;
        let mut flows = Vec::new();
        for (from, to) in pairs(bed)? {
            if from.config.number == number {
                flows.push((begin(&own, &to)?, to));
            }
        }
        for (flow, other) in flows {
            made(flow, &own, &other)?;
        }
    }
    Ok(())
}

/// Fails if there is a channel before anything is sent.
fn begin(own: &Guest, other: &Guest) -> Result<Flow> {
    let domid = other.domid()?;
    let idle = state_of(own, domid)?;
    ensure!(
        idle.as_deref() == Some("idle") && counter(own, domid, "channels")? == 0,
        "{}: the channel with {} is {idle:?} before anything was sent",
        own.name(),
        other.name()
    );
    Flow::start(own, other, 7100, RATE)
}

/// Fails unless the flow made one channel, took the uplink until then and the channel from then on, and lost nothing.
fn made(flow: Flow, own: &Guest, other: &Guest) -> Result<()> {
    let (own_id, other_id) = (own.domid()?, other.domid()?);
    eventually("the channel is up", || {
        Ok(state_of(own, other_id)?.as_deref() == Some("up")
            && state_of(other, own_id)?.as_deref() == Some("up"))
    })?;
    let queued = counter(own, other_id, "tx_frames")?;
    flow.await_more(u64::from(RATE))?;
    ensure!(
        counter(own, other_id, "tx_frames")? >= queued + u64::from(RATE) / 2,
        "{}: the flow does not go through the channel",
        own.name()
    );
    flow.stop()?.is_lossless()?;
    ensure!(
        counter(own, other_id, "tx_uplink")? > 0,
        "{}: the first frames did not go by the uplink",
        own.name()
    );
    for (guest, peer) in [(own, other_id), (other, own_id)] {
        let made = counter(guest, peer, "channels")?;
        ensure!(made == 1, "{} has made {made} channels", guest.name());
    }
    Ok(())
}

/// All ordered pairs at once: each sender begins at the moment its channel closes, and goes on while the next is made.
fn reclaimed(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let pairs = pairs(bed)?;
    for (from, to) in &pairs {
        join(from, to)?;
    }
    let mut under_way = Vec::new();
    for (index, (from, to)) in (0..).zip(&pairs) {
        let domid = to.domid()?;
        let names = ["channels", "tx_uplink"];
        let before = [
            counter(from, domid, names[0])?,
            counter(from, domid, names[1])?,
        ];
        let flow = Flow::start_at_close(from, to, 7200 + index, RATE)?;
        under_way.push((flow, from, domid, before));
    }
    for (flow, from, domid, [channels, _]) in &under_way {
        flow.await_more(u64::from(RATE))?;
        eventually("there is a new channel", || {
            Ok(counter(from, *domid, "channels")? > *channels
                && state_of(from, *domid)?.as_deref() == Some("up"))
        })?;
    }
    // All flows are ended before any is judged, so that a failure tells of each.
    let mut failures = Vec::new();
    let mut by_uplink = 0;
    for (flow, from, domid, [_, uplink]) in under_way {
        flow.await_more(u64::from(RATE))?;
        by_uplink += counter(from, domid, "tx_uplink")? - uplink;
        if let Err(error) = flow.stop()?.is_lossless() {
            failures.push(format!("{error:#}"));
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    ensure!(
        by_uplink > 0,
        "no frame went by the uplink, so none was sent while channels were made or reclaimed"
    );
    Ok(())
}

/// Datagrams of 50000 bytes to a peer that does not run: four of them leave no place for a fifth in a ring of 256 KiB, and seven of them
/// fit one of 512 KiB.
fn ring_size(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let (from, to) = (bed.g(1)?, bed.g(2)?);
    for (size, fits) in [("262144", false), ("500000", true)] {
        // Both ends begin anew, as either of them may be the one that makes the rings.
        for guest in [&from, &to] {
            guest.sh(&format!(
                "ethtool -G xlnet0 rx {size} && ip link set xlnet0 down && ip link set xlnet0 up"
            ))?;
        }
        all_joined(bed)?;
        join(&from, &to)?;
        let full = counter(&from, to.domid()?, "tx_full")?;
        bed.sh("xl pause g2")?;
        let sent = from.sh(&format!(
            "for i in 1 2 3 4 5 6; do head -c 50000 /dev/zero | socat -u -b 65536 - UDP-SENDTO:{}:9; done",
            to.config.ip()
        ));
        let full = counter(&from, to.domid()?, "tx_full")? - full;
        bed.sh("xl unpause g2")?;
        sent?;
        ensure!(
            (full == 0) == fits,
            "rings made after `ethtool -G xlnet0 rx {size}` were full {full} times"
        );
    }
    Ok(())
}
