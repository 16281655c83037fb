// SPDX-License-Identifier: GPL-2.0
//! Attacks that go on for a while.

use anyhow::{ensure, Result};

use super::arena::{Arena, Attacker};
use crate::Bed;

/// The acts, how long each lasts in seconds, and how its last channel ends.
const ACTS: &[(&str, u32, &str)] = &[
    // Longer than the victim lets it be.
    ("deaf", 20, "closed"),
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

/// Tries all of them, one after the other.
pub(super) fn all(bed: &mut Bed) -> Result<()> {
    let mut arena = Arena::enter(bed, Attacker::Connector)?;
    let pinned = arena.pinned()?;
    for &(act, seconds, wanted) in ACTS {
        let stalls = arena.count("stalls")?;
        let ending = arena.attack(act, seconds)?;
        ensure!(ending == wanted, "{act} ends {ending}");
        ensure!(
            arena.count("stalls")? == stalls + u64::from(act == "deaf"),
            "{act}: whether the victim saw that nothing was taken"
        );
        arena.await_unpinned(pinned)?;
    }
    arena.leave(bed)
}
