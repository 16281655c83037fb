// SPDX-License-Identifier: GPL-2.0
//! Attacks that go on for a while: what the bystander gets through meanwhile is compared with what it got before.

use anyhow::{ensure, Result};

use super::arena::{Arena, Attacker};
use crate::{bed::eventually, quantile::median, Bed};

/// The acts, how long each lasts in seconds, and how its last channel ends.
const ACTS: &[(&str, u32, &str)] = &[
    ("deaf", 15, "open"),
    ("flood", 15, "open"),
    ("storm", 15, "open"),
    ("mute", 15, "open"),
    ("reconnect", 15, "open"),
    ("vanish", 15, "open"),
    ("late-events", 15, "open"),
    ("race", 15, "open"),
    ("scribble", 15, "open"),
    // As long as it takes to make more channels than the victim grants, and less than the kernel waits before it
    // says that grants are still in use.
    ("keep-mapped", 25, "refused"),
];

/// What the bystander may not fall below, as a part of what it had before: the campaign's limit.
const LEAST: f64 = 0.8;

/// Seconds before the first act that it is compared with.
const BEFORE: f64 = 10.0;

/// Tries all of them, one after the other, and then asks what the bystander noticed.
pub(super) fn all(bed: &mut Bed) -> Result<()> {
    let arena = Arena::enter(bed, Attacker::Connector)?;
    let begun = arena.now()?;
    eventually("some time has passed before the first act", || {
        Ok(arena.now()? > begun + BEFORE)
    })?;
    let pinned = arena.pinned()?;
    let mut windows = vec![("before", (begun, arena.now()?))];
    for &(act, seconds, wanted) in ACTS {
        let from = arena.now()?;
        let ending = arena.attack(act, seconds)?;
        windows.push((act, (from, arena.now()?)));
        ensure!(ending == wanted, "{act} ends {ending}");
        arena.await_unpinned(pinned)?;
    }
    let from = arena.now()?;
    eventually("some time has passed after the last act", || {
        Ok(arena.now()? > from + BEFORE)
    })?;
    windows.push(("after", (from, arena.now()?)));

    let arrivals = arena.leave(bed)?;
    let rates: Vec<_> = windows
        .iter()
        .map(|(name, (from, to))| {
            let within = |(at, _): &&(f64, f64)| at > from && at < to;
            let rates = arrivals.rate().iter().filter(within).map(|(_, rate)| *rate);
            (*name, median(&rates.collect::<Vec<_>>()))
        })
        .collect();
    let text: Vec<_> = rates
        .iter()
        .map(|(name, rate)| format!("{name} {rate:.1}"))
        .collect();
    eprintln!("datagrams a second from the bystander: {}", text.join(", "));
    let least = LEAST * rates[0].1;
    for (name, rate) in &rates {
        ensure!(
            *rate >= least,
            "{name}: {rate:.1}, and {:.1} before",
            rates[0].1
        );
    }
    Ok(())
}
