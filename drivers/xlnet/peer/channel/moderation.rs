// SPDX-License-Identifier: GPL-2.0

//! Interrupt moderation: frames of a sender that goes on sending may lie for a while.
//!
//! Only the sender knows whether it is about to wait, so it marks its frames: those of a thread that
//! has not slept for a whole tick and that nobody has answered meanwhile. Such a thread gains if the
//! receiver takes its time, as TCP then gathers small writes, and an interrupt finds more frames;
//! and a stretch that has lasted this long will probably last, so that its end, which nobody can
//! foresee, is late by little in comparison.

use crate::{
    net::work::{
        self,
        Stretch, //
    },
    proto::layout::RecordHeader, //
};
use kernel::ffi;

/// Ticks, the first of them begun before, for which a thread has sent without sleeping.
const TICKS: ffi::c_ulong = 2;

/// How long frames may lie, in what events cost: an event takes a busy sender or receiver no more than
/// a hundredth of its time then.
pub(super) const DELAY_EVENTS: u64 = 100;

/// Bytes that one poll should find. Sockets hold twice as much by default, and rings five times.
const GATHER: u64 = 96 << 10;

/// Who sends, as far as the transmit side of a channel sees it.
pub(super) struct Sender {
    stretch: Stretch,
    /// The tick in which its first frame was sent.
    since: ffi::c_ulong,
    /// The tick in which its last frame was sent.
    last: ffi::c_ulong,
}

impl Sender {
    /// Makes one that has sent nothing.
    pub(super) const fn new() -> Self {
        Self {
            stretch: Stretch::none(),
            since: 0,
            last: 0,
        }
    }

    /// Notes that a frame is sent now, and returns whether the receiver may take its time with it.
    /// `answered`: the peer has sent something since the last one that may be an answer.
    pub(super) fn note(&mut self, answered: bool) -> bool {
        let stretch = Stretch::now();
        let tick = work::ticks();
        if answered {
            self.since = tick;
        }
        // What an acknowledgement lets go is sent by whatever thread that interrupted, or none. So
        // another thread says nothing about the first, unless that has not sent for long.
        let lately = tick.wrapping_sub(self.last) < TICKS;
        if stretch == Stretch::none() || (lately && !stretch.is_same_thread(&self.stretch)) {
            return false;
        }
        if stretch != self.stretch {
            self.stretch = stretch;
            self.since = tick;
        }
        self.last = tick;
        tick.wrapping_sub(self.since) >= TICKS
    }
}

/// What a poll has found.
pub(super) struct Arrivals {
    /// Frames.
    pub(super) frames: u32,
    /// Their bytes.
    pub(super) bytes: u32,
    /// The sender of each goes on sending.
    unhurried: bool,
}

impl Arrivals {
    /// Makes those of a poll that has found nothing yet.
    pub(super) const fn none() -> Self {
        Self {
            frames: 0,
            bytes: 0,
            unhurried: true,
        }
    }

    /// Adds a frame.
    pub(super) fn add(&mut self, header: &RecordHeader) {
        self.frames = self.frames.saturating_add(1);
        self.bytes = self.bytes.saturating_add(header.len);
        self.unhurried &= header.unhurried;
    }

    /// Whether nobody waits for what these frames bring.
    pub(super) fn unhurried(&self) -> bool {
        self.frames != 0 && self.unhurried
    }

    /// Returns after how many microseconds, at most `limit`, the next poll should come; 0 if an
    /// interrupt should tell of the next frame. It is `gap` microseconds since the last poll that
    /// found something.
    pub(super) fn delay(&self, gap: u64, limit: u64) -> u64 {
        if !self.unhurried() {
            return 0;
        }
        let expected = gap.saturating_mul(GATHER) / u64::from(self.bytes).max(1);
        expected.min(limit)
    }
}
