// SPDX-License-Identifier: GPL-2.0

//! What an event costs here: the scale of all that is done to spare events.
//!
//! How long to look for a frame before sleeping, and how long to let one lie, depends on what the
//! event costs that this may spare. That differs tenfold between kinds of guests on one emulated
//! machine alone, so it is measured: by how long the hypercall takes that sends one. The other side's
//! part, the interrupt and getting the CPU out of its sleep, is dear where this is.

use kernel::{
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    time::{
        Instant,
        Monotonic, //
    },
};

/// The part of a difference that one event makes: who was preempted measured something else.
const WEIGHT: u64 = 16;

/// The usual time that sending an event takes, in nanoseconds; 0 before the first.
pub(crate) struct EventCost(Atomic<u64>);

impl EventCost {
    /// Makes that of a device that has sent none.
    pub(crate) const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Sends an event by `send`, and takes the time. Any context; of two at once, one may not count.
    pub(crate) fn measure(&self, send: impl FnOnce()) {
        let begun = Instant::<Monotonic>::now();
        send();
        let took = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(0);
        let usual = match self.nanos() {
            0 => took,
            usual => usual,
        };
        // However long this one took, it counts for no more than twice the usual.
        let took = took.min(usual.saturating_mul(2));
        let rest = usual.saturating_sub(usual / WEIGHT);
        self.0
            .store(rest.saturating_add(took.div_ceil(WEIGHT)), Relaxed);
    }

    /// Returns it in nanoseconds; 0 if none was sent yet.
    pub(crate) fn nanos(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Returns the microseconds that `count` events cost, at most `limit`.
    pub(crate) fn of(&self, count: u64, limit: u32) -> u64 {
        (self.nanos().saturating_mul(count) / 1000).min(limit.into())
    }
}
