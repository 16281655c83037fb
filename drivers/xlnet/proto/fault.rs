// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Values no conforming peer produces.

use core::fmt;

/// Something the peer wrote into shared memory that no conforming peer writes.
///
/// The reaction is always the same: close the channel, count the fault, and stay closed towards
/// that peer. The variants exist so that the log says what happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerFault {
    /// A count ran ahead of what the ring can hold, or of what was produced.
    IndexJump,
    /// A count went back behind a value it had already had.
    IndexBackwards,
    /// A count is not a multiple of the record alignment.
    Misaligned,
    /// A record's length is outside the limits of a frame.
    BadLength,
    /// A record has flags set that were never agreed on.
    BadFlags,
    /// A record refers to receive buffers, which were never agreed on.
    BadBuffers,
    /// A record extends past the published end of the ring's contents.
    Truncated,
    /// A state word holds none of the defined values, or one that comes before what it held.
    BadState,
    /// The control page does not start with the protocol's magic number.
    BadMagic,
    /// The control page is laid out by another protocol version.
    BadVersion,
    /// The control page announces a ring size outside the limits.
    BadRingSize,
    /// The control page belongs to another channel or to other epochs than the offer did.
    WrongChannel,
    /// The control page uses features that were not offered to the listener.
    BadFeatures,
}

impl PeerFault {
    /// Every variant, in the order of [`PeerFault::index`].
    pub const ALL: [PeerFault; 13] = [
        PeerFault::IndexJump,
        PeerFault::IndexBackwards,
        PeerFault::Misaligned,
        PeerFault::BadLength,
        PeerFault::BadFlags,
        PeerFault::BadBuffers,
        PeerFault::Truncated,
        PeerFault::BadState,
        PeerFault::BadMagic,
        PeerFault::BadVersion,
        PeerFault::BadRingSize,
        PeerFault::WrongChannel,
        PeerFault::BadFeatures,
    ];

    /// Returns the position of the fault in [`PeerFault::ALL`], to keep it in a word.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Returns the name of the fault for logs.
    pub const fn name(self) -> &'static str {
        match self {
            PeerFault::IndexJump => "index-jump",
            PeerFault::IndexBackwards => "index-backwards",
            PeerFault::Misaligned => "misaligned",
            PeerFault::BadLength => "bad-length",
            PeerFault::BadFlags => "bad-flags",
            PeerFault::BadBuffers => "bad-buffers",
            PeerFault::Truncated => "truncated",
            PeerFault::BadState => "bad-state",
            PeerFault::BadMagic => "bad-magic",
            PeerFault::BadVersion => "bad-version",
            PeerFault::BadRingSize => "bad-ring-size",
            PeerFault::WrongChannel => "wrong-channel",
            PeerFault::BadFeatures => "bad-features",
        }
    }
}

impl fmt::Display for PeerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
