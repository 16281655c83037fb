// SPDX-License-Identifier: GPL-2.0

//! A channel under the [watch](crate::watch): neither side needs interrupts then.

use super::{
    moderation::Arrivals,
    Channel, //
};
use crate::{
    net::napi::with_bh_disabled,
    rx::Rx, //
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

/// The most that watches in vain make of it.
const WORTH_MAX: u32 = 4096;

/// Bytes, both ways together, from one poll to the next that are no exchange of questions and
/// answers. Nobody waits for each frame of a stream, so there the events are cheaper.
const BULK: u64 = 8 << 10;

/// How close, in what events cost. Sparing one gains one to three times as much, as far as that was
/// measured (docs/experiments.md): of a longer gap, that is no more than a hundredth.
const WATCH_EVENTS: u64 = 200;

/// How many times the usual gap between polls the watch lasts: an answer that takes longer is late
/// anyhow.
const GAPS: u64 = 4;

/// How a channel's polls follow each other. Times are in microseconds.
pub(super) struct Pace {
    made: Instant<Monotonic>,
    /// The last poll that found something.
    last: Atomic<u64>,
    /// The usual gap between two such polls.
    gap: Atomic<u64>,
    /// Polls in a row that came close to the one before and found the CPU waiting for them.
    close: Atomic<u32>,
    /// How many of them are worth a watch. Watches in vain double it: the peer may be waiting for
    /// this very CPU.
    worth: Atomic<u32>,
    /// Bytes that had passed both ways at the last poll.
    bytes: Atomic<u64>,
    /// The last interrupt found the CPU asleep.
    slept: Atomic<u32>,
}

impl Pace {
    /// Makes one that has seen no poll.
    pub(super) fn new() -> Self {
        Self {
            made: Instant::now(),
            last: Atomic::new(0),
            gap: Atomic::new(0),
            close: Atomic::new(0),
            worth: Atomic::new(WORTH),
            bytes: Atomic::new(0),
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

    /// Notes a poll that found something when so many `bytes` had passed, and returns the time since
    /// the one before. `watched` says that it was not due to an interrupt, `unhurried` that nobody
    /// waits for what it found. Only the poll.
    fn note(&self, window: u64, watched: bool, bytes: u64, unhurried: bool) -> u64 {
        let now = self.now();
        let gap = now.saturating_sub(self.last.load(Relaxed));
        self.last.store(now, Relaxed);
        let bulk = bytes.wrapping_sub(self.bytes.load(Relaxed)) >= BULK;
        self.bytes.store(bytes, Relaxed);
        let waited = self.slept.xchg(0, Relaxed) != 0 || watched;
        if gap >= window || bulk || !waited || unhurried {
            self.close.store(0, Relaxed);
            return gap;
        }
        let close = self.close.load(Relaxed);
        let usual = if close == 0 {
            gap
        } else {
            self.gap.load(Relaxed).saturating_mul(3).saturating_add(gap) / 4
        };
        self.gap.store(usual, Relaxed);
        self.close.store(close.saturating_add(1), Relaxed);
        if watched {
            let worth = self.worth.load(Relaxed) / 2;
            self.worth.store(worth.max(WORTH), Relaxed);
        }
        gap
    }

    /// Notes that a watch ended without the frame it was for. Only the watch.
    fn missed(&self) {
        let worth = self.worth.load(Relaxed).saturating_mul(2);
        self.worth.store(worth.min(WORTH_MAX), Relaxed);
        self.close.store(0, Relaxed);
    }

    /// Whether the next frame is to be expected within the window.
    fn is_worth(&self, window: u64) -> bool {
        let patience = self.gap.load(Relaxed).saturating_mul(GAPS).min(window);
        self.close.load(Relaxed) >= self.worth.load(Relaxed)
            && self.now().saturating_sub(self.last.load(Relaxed)) < patience
    }
}

impl Channel {
    fn window(&self) -> u64 {
        let limit = self.shared.poll_usecs.load(Relaxed);
        self.shared.event_cost.of(WATCH_EVENTS, limit)
    }

    /// Whether the watch looks, so that no interrupt is needed. Any context.
    pub(super) fn is_watched(&self) -> bool {
        self.watched.load(Acquire) != 0
    }

    /// Has interrupts tell of work from now on, for good. Process context.
    pub(crate) fn end_watch(&self) {
        with_bh_disabled(|| {
            let rx = self.rx.lock();
            self.watchable.store(0, Relaxed);
            self.watched.store(0, Release);
            drop(rx);
            // Asks for what was not asked for meanwhile.
            self.schedule();
        });
    }

    /// Has the peer send no events, as we look. False if that must not be. With the lock held.
    fn begin_watch(&self, rx: &mut Rx) -> bool {
        if self.watchable.load(Relaxed) == 0 {
            return false;
        }
        if !self.is_watched() {
            self.watched.store(1, Release);
            rx.fifo.disarm();
        }
        true
    }

    /// Stops the watch, and asks for the space that was not asked for meanwhile, but not for frames;
    /// true if it was on. Bottom halves disabled.
    pub(super) fn stop_watch(&self) -> bool {
        let stopped = self.watched.xchg(0, Full) != 0;
        if stopped {
            self.look_at_space();
        }
        stopped
    }

    /// Notes that a poll found something, and starts the watch if that pays. Returns the microseconds
    /// since the last such poll. Only the poll.
    pub(super) fn note_work(&self, found: &Arrivals) -> u64 {
        let window = self.window();
        let stats = &self.peer.stats;
        let bytes = stats.rx_bytes.get().wrapping_add(stats.tx_bytes.get());
        let gap = self
            .pace
            .note(window, self.is_watched(), bytes, found.unhurried());
        if self.pace.is_worth(window) {
            self.shared.start_watch();
        }
        gap
    }

    /// Looks for work where it is to be expected, if `patient`; else has interrupts tell of it.
    /// Returns whether it is worth another look. Only the watch.
    pub(crate) fn watch(&self, patient: bool) -> bool {
        let expected = self.watchable.load(Relaxed) != 0 && self.pace.is_worth(self.window());
        let worth = patient && expected;
        // With bottom halves enabled again, the poll has run.
        with_bh_disabled(|| {
            if worth {
                self.look();
            } else if self.stop_watch() {
                if !expected {
                    self.pace.missed();
                }
                self.rearm();
            }
        });
        worth
    }

    /// Has the poll run if it would find something.
    fn look(&self) {
        let mut rx = self.rx.lock();
        if !self.begin_watch(&mut rx) {
            return;
        }
        // The poll finds a fault again and deals with it.
        let ready = rx.fifo.ready().unwrap_or(true);
        drop(rx);
        if ready || self.has_space() {
            self.schedule();
        }
    }
}
