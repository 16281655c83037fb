// SPDX-License-Identifier: GPL-2.0

//! A channel under the [watch](crate::watch): neither side needs interrupts then.

use super::Channel;
use crate::net::{
    device::Device,
    napi::with_bh_disabled, //
};
use kernel::{
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Relaxed,
        Release, //
    },
    time::{
        Instant,
        Monotonic, //
    },
};

/// So many polls in a row must have come close enough to each other that a watch would have paid.
const WORTH: u32 = 4;

/// How a channel's polls follow each other.
pub(super) struct Pace {
    made: Instant<Monotonic>,
    /// Microseconds from then to the last poll that found something.
    last: Atomic<u64>,
    /// Polls in a row that came close to the one before and found the CPU waiting for them, at most
    /// [`WORTH`].
    close: Atomic<u32>,
    /// The last interrupt found the CPU asleep.
    slept: Atomic<u32>,
}

impl Pace {
    /// Makes one that has seen no poll.
    pub(super) fn new() -> Self {
        Self {
            made: Instant::now(),
            last: Atomic::new(0),
            close: Atomic::new(0),
            slept: Atomic::new(0),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_micros_ceil()).unwrap_or(0)
    }

    /// Notes an interrupt, and whether it woke the CPU. Hard interrupt context.
    pub(super) fn woken(&self, slept: bool) {
        self.slept.store(slept.into(), Relaxed);
    }

    /// Notes a poll that found something; `watched` says that it was not due to an interrupt. Only the
    /// poll.
    fn note(&self, window: u64, watched: bool) {
        let now = self.now();
        let gap = now.saturating_sub(self.last.load(Relaxed));
        self.last.store(now, Relaxed);
        let waited = watched || self.slept.xchg(0, Relaxed) != 0;
        let close = if gap < window && waited {
            self.close.load(Relaxed).saturating_add(1).min(WORTH)
        } else {
            0
        };
        self.close.store(close, Relaxed);
    }

    /// Whether the next frame is to be expected within the window.
    fn is_worth(&self, window: u64) -> bool {
        self.close.load(Relaxed) >= WORTH
            && self.now().saturating_sub(self.last.load(Relaxed)) < window
    }
}

impl Channel {
    fn window(&self) -> u64 {
        self.shared.poll_usecs.load(Relaxed).into()
    }

    /// Whether the watch looks, so that no interrupt is needed. Any context.
    pub(super) fn is_watched(&self) -> bool {
        self.watched.load(Acquire) != 0
    }

    /// Notes that a poll found something, and starts the watch if that pays. Only the poll.
    pub(super) fn note_work(&self) {
        let window = self.window();
        if window == 0 {
            return;
        }
        self.pace.note(window, self.is_watched());
        if self.pace.is_worth(window) {
            self.shared.start_watch();
        }
    }

    /// Looks for work, if the channel is worth it, or has interrupts tell of it. Returns whether it
    /// is worth another look. Only the watch.
    pub(crate) fn watch(&self, look: bool) -> bool {
        let worth = self.pace.is_worth(self.window());
        // With bottom halves enabled again, the poll has run.
        with_bh_disabled(|| {
            if worth && look {
                self.look();
            } else if self.watched.xchg(0, Full) != 0 {
                // Whatever was not asked for meanwhile is asked for now.
                self.look_at_space(self.napi.device());
                self.rearm();
            }
        });
        worth
    }

    /// Has the poll run if it would find something.
    fn look(&self) {
        let mut rx = self.rx.lock();
        if !self.is_watched() {
            self.watched.store(1, Release);
            rx.disarm();
        }
        // The poll finds a fault again and deals with it.
        let ready = rx.ready().unwrap_or(true);
        drop(rx);
        let dev: &Device = self.napi.device();
        if ready || self.has_space(dev) {
            self.schedule();
        }
    }
}
