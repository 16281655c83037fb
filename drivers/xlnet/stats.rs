// SPDX-License-Identifier: GPL-2.0

//! Counters: what one peer did and what was done for it.
//!
//! Most counters have one writer at a time (the transmit lock, the poll, or the control task), so that
//! adding needs no locked instruction; readers see a value that was true a moment ago. Where a peer
//! begins anew while its last channel is being closed there are two, and one of what both add at the
//! same moment may be lost.

use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// A number that only grows.
pub(crate) struct Counter(Atomic<u64>);

impl Counter {
    /// Makes a zero.
    pub(crate) const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Adds to it. One writer at a time; any context.
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Adds to it where several contexts may. Any context.
    pub(crate) fn add_shared(&self, n: u64) {
        self.0.add(n, Relaxed);
    }

    /// Reads it. Any context.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counters of one peer, in the order of `ethtool -S`.
        pub(crate) struct Counters {
            $($(#[$doc])* pub(crate) $name: Counter,)*
        }

        impl Counters {
            /// Makes a set of zeroes.
            pub(crate) const fn new() -> Self {
                Self { $($name: Counter::new(),)* }
            }

            /// Calls `f` with the name and value of each.
            pub(crate) fn each(&self, mut f: impl FnMut(&'static str, u64)) {
                $(f(stringify!($name), self.$name.get());)*
            }

            /// Adds the values of `other`.
            pub(crate) fn absorb(&self, other: &Self) {
                $(self.$name.add(other.$name.get());)*
            }
        }
    };
}

counters! {
    /// Frames put into the FIFO.
    tx_frames,
    /// Bytes of those frames.
    tx_bytes,
    /// Frames taken from the FIFO and given to the stack.
    rx_frames,
    /// Bytes of those frames.
    rx_bytes,
    /// Events sent.
    kicks,
    /// Events received.
    irqs,
    /// Polls that found nothing to do.
    irqs_spurious,
    /// Times the FIFO was too full for one more frame, so that the queue stopped.
    tx_full,
    /// Frames sent by the uplink: no channel was up, or the peer would not have taken them.
    tx_uplink,
    /// Frames that the peer had left in the FIFO when it was given up, sent by the uplink.
    tx_recalled,
    /// Frames held until the channel was up.
    tx_held,
    /// Frames for which there was no way.
    tx_dropped,
    /// Received frames with a source MAC or IP address that is not the peer's.
    rx_spoofed,
    /// Received frames to an address that no bridge forwards.
    rx_reserved,
    /// Received frames whose checksum or segmentation fields do not fit them.
    rx_bad_offload,
    /// Received frames for which there was no memory.
    rx_no_memory,
    /// Channels made.
    channels,
    /// Attempts to make a channel that failed or were not answered.
    setup_failed,
    /// Channels closed because the peer took nothing of what lay there for it.
    stalls,
    /// Breaches of the protocol by the peer.
    faults,
}
