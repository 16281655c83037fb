// SPDX-License-Identifier: GPL-2.0
//! Frames of a sender that goes on sending are looked for seldom, unless it has to wait for space.

use anyhow::{ensure, Result};
use xlnet_lab::{
    guest::Guest,
    netperf::{self, Test},
};

use crate::{figures::Figures, flow::Flow, policy::all_joined, view::join, Bed, Scenario, Spec};

pub(crate) const SCENARIOS: &[Scenario] = &[Scenario::new(
    "moderation::fewer-interrupts",
    Spec::pv(3),
    fewer_interrupts,
)
.long()];

/// The bytes of a datagram of which a ring holds many, and of which it holds few.
const SMALL: u32 = 1400;
const LARGE: u32 = 16384;

/// Datagrams a second of the flow beside.
const RATE: u32 = 20;

fn fewer_interrupts(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let (a, b) = (bed.g(1)?, bed.g(2)?);
    // The smallest rings there are.
    for guest in [&a, &b] {
        guest.sh("ethtool -G xlnet0 rx 131072")?;
    }
    join(&a, &b)?;
    netperf::serve(&b)?;
    let flow = Flow::start(&b, &a, 7610, RATE)?;
    let at_once = stream(&a, &b, SMALL, 0)?;
    let moderated = stream(&a, &b, SMALL, 10_000)?;
    ensure!(
        4 * moderated.interrupts * at_once.frames < at_once.interrupts * moderated.frames,
        "not a fourth of the interrupts: {moderated:?} after {at_once:?}"
    );
    // The ring fills up meanwhile.
    let stopped = stream(&a, &b, LARGE, 10_000)?;
    ensure!(
        stopped.stops > 0 && stopped.interrupts >= stopped.stops / 2,
        "who waits for space did not say so: {stopped:?}"
    );
    flow.await_more(u64::from(RATE))?;
    flow.stop()?.is_lossless()?;
    // A new device has its defaults again.
    for guest in [&a, &b] {
        guest.sh("rmmod xlnet && modprobe xlnet")?;
    }
    all_joined(bed)
}

/// What a stream made of.
#[derive(Debug)]
struct Made {
    /// Frames the receiver took out.
    frames: u64,
    /// Its interrupts.
    interrupts: u64,
    /// Times the sender found the ring full.
    stops: u64,
}

/// A stream of datagrams of so many bytes, which may lie for so long at most.
fn stream(a: &Guest, b: &Guest, size: u32, usecs: u32) -> Result<Made> {
    b.sh(&format!("ethtool -C xlnet0 rx-usecs {usecs}"))?;
    let before = (Figures::read(a)?, Figures::read(b)?);
    netperf::measure(a, Test::UdpStream { size }, &b.config.ip(), 2)?;
    let sender = Figures::read(a)?.since(&before.0)?;
    let receiver = Figures::read(b)?.since(&before.1)?;
    let made = Made {
        frames: receiver.sum("_rx_frames"),
        interrupts: receiver.sum("_irqs"),
        stops: sender.sum("_tx_full"),
    };
    eprintln!("{size} B, {usecs} us: {made:?}");
    Ok(made)
}
