// SPDX-License-Identifier: GPL-2.0

//! Frames that wait until the peer's channel is up because the uplink cannot take them.

use crate::net::skb::SkBuff;
use kernel::prelude::*;

/// Most frames that wait for one peer.
const MAX_FRAMES: usize = 64;

/// Most bytes of frames that wait for one peer: a few of the largest.
const MAX_BYTES: u32 = 256 << 10;

/// The waiting frames of one peer, in their order.
pub(crate) struct Hold {
    frames: KVec<SkBuff>,
    bytes: u32,
    open: bool,
}

impl Hold {
    /// Makes one that takes frames.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            frames: KVec::with_capacity(MAX_FRAMES, GFP_KERNEL)?,
            bytes: 0,
            open: true,
        })
    }

    /// Keeps a frame, or hands it back if it may not wait or there is no room.
    pub(crate) fn push(&mut self, skb: SkBuff) -> core::result::Result<(), SkBuff> {
        let bytes = self.bytes.saturating_add(skb.len());
        if !self.open || bytes > MAX_BYTES || self.frames.len() >= MAX_FRAMES {
            return Err(skb);
        }
        self.bytes = bytes;
        // There is capacity for `MAX_FRAMES`, so this does not fail; if it did, the frame would be
        // dropped.
        let _ = self.frames.push_within_capacity(skb);
        Ok(())
    }

    /// Whether frames may wait from now on.
    pub(crate) fn set_open(&mut self, open: bool) {
        self.open = open;
    }

    /// Hands over the frames one by one.
    pub(crate) fn drain(&mut self, mut f: impl FnMut(SkBuff)) {
        self.bytes = 0;
        for skb in self.frames.drain_all() {
            f(skb);
        }
    }
}
