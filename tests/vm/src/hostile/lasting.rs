// SPDX-License-Identifier: GPL-2.0
//! Attacks that go on for a while.

use anyhow::{ensure, Context, Result};

use super::arena::{Arena, Attacker};
use crate::Bed;

/// The acts, how long each lasts in seconds, and how its last channel ends.
const ACTS: &[(&str, u32, &str)] = &[
    // Longer than the victim lets it be.
    ("deaf", 20, "closed"),
    ("flood", 15, "open"),
    ("storm", 15, "open"),
    ("mute", 15, "open"),
    ("unheard", 15, "open"),
    ("ask-anew", 15, "open"),
    ("reconnect", 15, "open"),
    ("vanish", 15, "open"),
    ("late-events", 15, "open"),
    ("race", 15, "open"),
    ("race-counts", 15, "open"),
    ("race-lengths", 15, "open"),
    ("scribble", 15, "open"),
    // As long as it takes to make more channels than the victim grants, and less than the kernel waits before it
    // says that grants are still in use.
    ("keep-mapped", 25, "refused"),
];

/// What the victim must count of an act.
const COUNTED: &[(&str, &str)] = &[
    ("deaf", "stalls"),
    ("storm", "irqs_spurious"),
    ("ask-anew", "setup_failed"),
    ("race-counts", "faults"),
    ("race-lengths", "faults"),
    ("scribble", "faults"),
    ("keep-mapped", "setup_failed"),
];

/// What a peer may have a victim try in the time of an act, and once more.
const ATTEMPTS: u64 = 10;

/// Acts of one who maps what the victim grants.
const OF_A_CONNECTOR: &[&str] = &["ask-anew", "keep-mapped"];

/// Tries all of them that are for that part, one after the other.
pub(super) fn all(bed: &mut Bed, part: Attacker) -> Result<()> {
    let mut arena = Arena::enter(bed, part)?;
    let pinned = arena.pinned()?;
    for &(act, seconds, wanted) in ACTS {
        if matches!(part, Attacker::Listener) && OF_A_CONNECTOR.contains(&act) {
            continue;
        }
        let counter = COUNTED.iter().find(|(of, _)| *of == act);
        let counted = |arena: &Arena| counter.map_or(Ok(0), |(_, name)| arena.count(name));
        let (stalls, before) = (arena.count("stalls")?, counted(&arena)?);
        let ending = arena.attack(act, seconds)?;
        ensure!(ending == wanted, "{act} ends {ending}");
        let more = counted(&arena)? - before;
        ensure!(
            counter.is_none() || more > 0,
            "{act}: the victim counts no {counter:?}"
        );
        // Each attempt makes the next wait for twice as long.
        ensure!(
            act != "ask-anew" || more <= ATTEMPTS,
            "{act}: {more} attempts to make a channel"
        );
        ensure!(
            arena.count("stalls")? == stalls + u64::from(act == "deaf"),
            "{act}: whether the victim saw that nothing was taken"
        );
        arena.await_unpinned(pinned).context(act)?;
    }
    arena.leave(bed)
}
