// SPDX-License-Identifier: GPL-2.0

//! Socket buffers: a vector each.

use super::device::Device;
use crate::prelude::Result;
use crate::proto::frame::Mac;
use crate::proto::layout::VirtioNetHdr;
use crate::proto::mem::Chunk;

/// Where the number of a frame lies: behind its Ethernet header.
const SERIAL: usize = 14;

/// The number of the frame whose bytes these are.
pub(crate) fn serial_of(bytes: &[u8]) -> u8 {
    bytes[SERIAL]
}

pub(crate) struct SkBuff(Vec<u8>);

impl SkBuff {
    pub(crate) fn empty(len: u32) -> Self {
        Self(vec![0; len as usize])
    }

    /// A frame of so many bytes, of which only the Ethernet header says anything.
    pub(crate) fn frame(dst: &Mac, ethertype: u16, serial: u8, len: u32) -> Self {
        let mut bytes = vec![serial; len as usize];
        bytes[..6].copy_from_slice(&dst.0);
        bytes[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
        bytes[12..14].copy_from_slice(&ethertype.to_be_bytes());
        Self(bytes)
    }

    /// The number of the frame, all of whose bytes must be there.
    pub(crate) fn serial(&self) -> u8 {
        let serial = serial_of(&self.0);
        let torn = self.0[SERIAL..].iter().any(|byte| *byte != serial);
        assert!(!torn, "a torn frame");
        serial
    }

    pub(crate) fn alloc_tx(_dev: &Device, len: u32) -> Result<Self> {
        Ok(Self::empty(len))
    }

    pub(crate) fn len(&self) -> u32 {
        self.0.len() as u32
    }

    pub(crate) fn head(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn virtio_header(&self) -> Result<VirtioNetHdr> {
        Ok(VirtioNetHdr::default())
    }

    pub(crate) fn apply(&mut self, _hdr: &VirtioNetHdr) -> Result {
        Ok(())
    }

    pub(crate) fn set_network_header(&mut self, _ethertype: u16) {}

    pub(crate) fn copy_to(&self, offset: u32, chunk: &Chunk<'_>) -> Result {
        chunk.copy_from(&self.0[offset as usize..]);
        Ok(())
    }

    pub(crate) fn copy_from(&mut self, offset: u32, chunk: &Chunk<'_>) -> Result {
        chunk.copy_to(&mut self.0[offset as usize..]);
        Ok(())
    }

    pub(crate) fn try_clone(&self) -> Option<Self> {
        Some(Self(self.0.clone()))
    }

    pub(crate) fn tx_timestamp(&self) {}

    pub(crate) fn consume(self) {}
}
