// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Where things are in the shared memory of a channel, and their encoding.
//!
//! All integers are little-endian. The tables are in `docs/protocol.md`, section 2.

use super::fault::PeerFault;
use super::frame::{MAX_FRAME_LEN, MIN_FRAME_LEN};

/// Bytes of a page, on both sides and on every architecture Xen grants pages on.
pub const PAGE_SIZE: u32 = 4096;

/// First word of a control page: "XLN1".
pub const MAGIC: u32 = u32::from_le_bytes(*b"XLN1");

/// Version of this protocol, in the control page and in xenstore.
pub const VERSION: u16 = 1;

/// Smallest log2 of a ring's bytes: the next smaller ring does not hold the largest record.
pub const RING_SHIFT_MIN: u16 = 17;

/// Largest log2 of a ring's bytes: the directory of its pages fits the control page.
pub const RING_SHIFT_MAX: u16 = 20;

/// Entries of the largest directory: the pages of both rings.
pub const MAX_GREFS: usize = 2 << (RING_SHIFT_MAX - 12);

/// Records start at multiples of this many bytes.
pub const RECORD_ALIGN: u32 = 32;

/// Bytes of a record's header.
pub const RECORD_HEADER_LEN: u32 = 32;

/// Byte offsets in the control page.
pub(super) mod offset {
    /// The header of the page.
    pub(crate) const HEADER: usize = 0x000;
    /// State word of the listener.
    pub(crate) const LISTENER_STATE: usize = 0x040;
    /// State word of the connector.
    pub(crate) const CONNECTOR_STATE: usize = 0x080;
    /// Lines of ring 0; ring 1's follow at [`RING_STRIDE`].
    pub(crate) const RINGS: usize = 0x100;
    /// Bytes from one ring's lines to the next one's.
    pub(crate) const RING_STRIDE: usize = 0x080;
    /// Consumer line of a ring, from its producer line.
    pub(crate) const CONSUMER_LINE: usize = 0x040;
    /// Directory of grant references.
    pub(crate) const DIRECTORY: usize = 0x400;
}

const _: () = {
    assert!(offset::RINGS + 2 * offset::RING_STRIDE <= offset::DIRECTORY);
    assert!(offset::DIRECTORY + 4 * MAX_GREFS <= PAGE_SIZE as usize);
    assert!(record_size(MAX_FRAME_LEN) > 1 << (RING_SHIFT_MIN - 1));
    assert!(record_size(MAX_FRAME_LEN) <= 1 << RING_SHIFT_MIN);
    // A header never wraps and never straddles two pages.
    assert!(PAGE_SIZE % RECORD_ALIGN == 0 && RECORD_HEADER_LEN == RECORD_ALIGN);
};

/// Returns the bytes a frame of `len` bytes takes in a ring: header, frame and padding.
///
/// Saturates for lengths no frame has.
pub const fn record_size(len: u32) -> u32 {
    len.div_ceil(RECORD_ALIGN)
        .saturating_add(1)
        .saturating_mul(RECORD_ALIGN)
}

/// The two ends of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The guest with the lower domid: allocates, grants and offers.
    Listener,
    /// The guest with the higher domid: maps what is offered.
    Connector,
}

impl Role {
    /// Returns our role towards a peer, or `None` where both domids are one.
    pub const fn of(our_domid: u16, peer_domid: u16) -> Option<Role> {
        if our_domid < peer_domid {
            Some(Role::Listener)
        } else if our_domid > peer_domid {
            Some(Role::Connector)
        } else {
            None
        }
    }

    /// Returns the role of the other end.
    #[must_use]
    pub const fn other(self) -> Role {
        match self {
            Role::Listener => Role::Connector,
            Role::Connector => Role::Listener,
        }
    }

    /// Returns the number of the ring this end produces into.
    pub const fn tx_ring(self) -> usize {
        match self {
            Role::Listener => 0,
            Role::Connector => 1,
        }
    }

    /// Returns the number of the ring this end consumes from.
    pub const fn rx_ring(self) -> usize {
        self.other().tx_ring()
    }
}

/// What an end says about itself in its state word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelState {
    /// Not ready yet; the value of a fresh page.
    SettingUp = 0,
    /// Ready to take and send frames.
    Ready = 1,
    /// Sends no more frames.
    Closing = 2,
    /// Does not touch the shared memory any more.
    Gone = 3,
    /// The same, and has taken back what the other end had not consumed, which must leave it.
    Recalled = 4,
}

impl ChannelState {
    /// Decodes a peer's state word.
    ///
    /// # Errors
    ///
    /// [`PeerFault::BadState`] for an undefined value.
    pub const fn from_raw(raw: u32) -> Result<ChannelState, PeerFault> {
        match raw {
            0 => Ok(ChannelState::SettingUp),
            1 => Ok(ChannelState::Ready),
            2 => Ok(ChannelState::Closing),
            3 => Ok(ChannelState::Gone),
            4 => Ok(ChannelState::Recalled),
            _ => Err(PeerFault::BadState),
        }
    }
}

/// The header of a control page, as copied out of or to be written into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: u32,
    /// [`VERSION`].
    pub version: u16,
    /// log2 of a ring's bytes, [`RING_SHIFT_MIN`] to [`RING_SHIFT_MAX`].
    pub ring_shift: u16,
    /// Features in use on this channel.
    pub features: u32,
    /// Number of the channel within the pair of epochs.
    pub channel: u32,
    /// Epoch of the guest that granted the memory.
    pub listener_epoch: u64,
    /// Epoch of the guest it was granted to.
    pub connector_epoch: u64,
}

impl Header {
    /// 32-bit words of the encoded header.
    pub const WORDS: usize = 8;

    /// Returns the words of the header in the order of the page.
    pub const fn to_words(&self) -> [u32; Self::WORDS] {
        [
            self.magic,
            self.version as u32 | ((self.ring_shift as u32) << 16),
            self.features,
            self.channel,
            self.listener_epoch as u32,
            (self.listener_epoch >> 32) as u32,
            self.connector_epoch as u32,
            (self.connector_epoch >> 32) as u32,
        ]
    }

    /// Decodes the words of a header, without judging them.
    pub const fn from_words(words: [u32; Self::WORDS]) -> Header {
        let [magic, version_shift, features, channel, l0, l1, c0, c1] = words;
        Header {
            magic,
            version: version_shift as u16,
            ring_shift: (version_shift >> 16) as u16,
            features,
            channel,
            listener_epoch: l0 as u64 | ((l1 as u64) << 32),
            connector_epoch: c0 as u64 | ((c1 as u64) << 32),
        }
    }

    /// Checks a header the peer wrote against what its offer said.
    ///
    /// `features` are those both ends have; the header may use any of them.
    /// Returns the bytes of each ring.
    ///
    /// An innocent peer can fail this: an offer that was relayed late may name a grant that is used
    /// for something else by now. So the caller gives up the set-up, and does not take the peer for
    /// hostile.
    ///
    /// # Errors
    ///
    /// The [`PeerFault`] that names the first wrong field.
    pub const fn validate(
        &self,
        channel: u32,
        listener_epoch: u64,
        connector_epoch: u64,
        features: u32,
    ) -> Result<u32, PeerFault> {
        if self.magic != MAGIC {
            Err(PeerFault::BadMagic)
        } else if self.version != VERSION {
            Err(PeerFault::BadVersion)
        } else if self.ring_shift < RING_SHIFT_MIN || self.ring_shift > RING_SHIFT_MAX {
            Err(PeerFault::BadRingSize)
        } else if self.channel != channel
            || self.listener_epoch != listener_epoch
            || self.connector_epoch != connector_epoch
        {
            Err(PeerFault::WrongChannel)
        } else if self.features & !features != 0 {
            Err(PeerFault::BadFeatures)
        } else {
            Ok(1 << self.ring_shift)
        }
    }
}

/// The fields of `struct virtio_net_hdr` (`include/uapi/linux/virtio_net.h`): checksum and
/// segmentation offload of a frame. Claims of the sender, not checked here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VirtioNetHdr {
    /// `VIRTIO_NET_HDR_F_*`.
    pub flags: u8,
    /// `VIRTIO_NET_HDR_GSO_*`.
    pub gso_type: u8,
    /// Bytes of the headers in front of the segmented payload.
    pub hdr_len: u16,
    /// Bytes of payload in each segment.
    pub gso_size: u16,
    /// Where checksumming starts, in bytes from the start of the frame.
    pub csum_start: u16,
    /// Where the checksum goes, in bytes from `csum_start`.
    pub csum_offset: u16,
}

/// The header of a record in a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Bytes of the frame that follows, [`MIN_FRAME_LEN`] to [`MAX_FRAME_LEN`].
    pub len: u32,
    /// Who sends it goes on sending without waiting for anything, so that the receiver may take its
    /// time and find more frames at once.
    pub unhurried: bool,
    /// Offloads of the frame.
    pub virtio: VirtioNetHdr,
}

impl RecordHeader {
    /// Bits of `flags` that are in use.
    const UNHURRIED: u16 = 1 << 0;

    /// Returns the encoded header; `nr_bufs` and the reserved bytes are zero.
    pub fn to_bytes(&self) -> [u8; RECORD_HEADER_LEN as usize] {
        let mut bytes = [0; RECORD_HEADER_LEN as usize];
        bytes[0..4].copy_from_slice(&self.len.to_le_bytes());
        let flags = if self.unhurried { Self::UNHURRIED } else { 0 };
        bytes[4..6].copy_from_slice(&flags.to_le_bytes());
        bytes[8] = self.virtio.flags;
        bytes[9] = self.virtio.gso_type;
        bytes[10..12].copy_from_slice(&self.virtio.hdr_len.to_le_bytes());
        bytes[12..14].copy_from_slice(&self.virtio.gso_size.to_le_bytes());
        bytes[14..16].copy_from_slice(&self.virtio.csum_start.to_le_bytes());
        bytes[16..18].copy_from_slice(&self.virtio.csum_offset.to_le_bytes());
        bytes
    }

    /// Decodes and checks a header.
    ///
    /// # Errors
    ///
    /// [`PeerFault::BadFlags`], [`PeerFault::BadBuffers`] or [`PeerFault::BadLength`].
    pub const fn from_bytes(bytes: &[u8; RECORD_HEADER_LEN as usize]) -> Result<Self, PeerFault> {
        let [l0, l1, l2, l3, f0, f1, n0, n1, flags, gso_type, rest @ ..] = *bytes;
        let [h0, h1, g0, g1, s0, s1, o0, o1, ..] = rest;
        let len = u32::from_le_bytes([l0, l1, l2, l3]);
        let record_flags = u16::from_le_bytes([f0, f1]);
        if record_flags & !Self::UNHURRIED != 0 {
            Err(PeerFault::BadFlags)
        } else if u16::from_le_bytes([n0, n1]) != 0 {
            Err(PeerFault::BadBuffers)
        } else if len < MIN_FRAME_LEN || len > MAX_FRAME_LEN {
            Err(PeerFault::BadLength)
        } else {
            Ok(RecordHeader {
                len,
                unhurried: record_flags & Self::UNHURRIED != 0,
                virtio: VirtioNetHdr {
                    flags,
                    gso_type,
                    hdr_len: u16::from_le_bytes([h0, h1]),
                    gso_size: u16::from_le_bytes([g0, g1]),
                    csum_start: u16::from_le_bytes([s0, s1]),
                    csum_offset: u16::from_le_bytes([o0, o1]),
                },
            })
        }
    }
}
