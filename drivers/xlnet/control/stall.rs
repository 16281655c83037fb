// SPDX-License-Identifier: GPL-2.0

//! Whether a peer takes what is sent to it.

use super::deadline::Deadline;

/// How long something may lie in the FIFO of a peer that takes nothing, in milliseconds: as long as
/// the stack gives the queue of a device.
pub(super) const STALL_MS: u32 = 5_000;

/// What a peer has taken at the last look, and since when no more.
pub(super) struct Stall {
    consumed: u32,
    limit: Option<Deadline>,
}

impl Stall {
    /// Makes one of a channel to which nothing was sent yet.
    pub(super) const fn new() -> Self {
        Self {
            consumed: 0,
            limit: None,
        }
    }

    /// Notes how many bytes the peer has consumed by now, modulo 2^32, and whether more lie there; true
    /// if it has consumed none for [`STALL_MS`] although it could.
    pub(super) fn note(&mut self, (consumed, more): (u32, bool)) -> bool {
        if consumed != self.consumed || !more {
            self.limit = None;
        }
        self.consumed = consumed;
        more && self.limit.get_or_insert(Deadline::after(STALL_MS)).passed()
    }
}
