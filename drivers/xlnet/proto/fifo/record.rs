// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A record in a ring, as either end reads it.

use super::super::fault::PeerFault;
use super::super::index::Count;
use super::super::layout::{record_size, RecordHeader, RECORD_HEADER_LEN};
use super::super::mem::{Chunk, SharedMem};

/// A record in a ring: a private, checked copy of its header, and where its frame is.
#[derive(Debug)]
pub struct Record {
    header: RecordHeader,
    /// Count at which the record starts.
    pub(super) start: Count,
}

impl Record {
    /// Reads the header of the record at `start`, which ends at or before `end`.
    ///
    /// # Errors
    ///
    /// The record is impossible.
    pub(super) fn read<M: SharedMem>(mem: &M, start: Count, end: Count) -> Result<Self, PeerFault> {
        let mut bytes = [0; RECORD_HEADER_LEN as usize];
        let mut rest = bytes.as_mut_slice();
        let read = mem.chunks(start.0, RECORD_HEADER_LEN, |chunk| {
            let copied = chunk.copy_to(rest);
            rest = core::mem::take(&mut rest)
                .get_mut(copied..)
                .unwrap_or_default();
            Ok::<(), core::convert::Infallible>(())
        });
        let Ok(()) = read;
        let header = RecordHeader::from_bytes(&bytes)?;
        // Each published count stands at the end of a record.
        if record_size(header.len) > end.since(start) {
            return Err(PeerFault::Truncated);
        }
        Ok(Self { header, start })
    }

    /// Returns the header. Its `len` is within the limits of a frame, the rest as the peer wrote it.
    pub fn header(&self) -> &RecordHeader {
        &self.header
    }

    /// Returns the count at which the next record starts.
    pub(super) fn end(&self) -> Count {
        self.start.advanced(record_size(self.header.len))
    }

    /// Calls `f` for each contiguous piece of `len` bytes of the frame from `offset` on, which lies in
    /// the ring `mem`.
    ///
    /// `f` gets the piece with its offset in the frame. A range that leaves the frame is cut to it.
    ///
    /// # Errors
    ///
    /// The first error of `f`.
    pub fn payload<M: SharedMem, E>(
        &self,
        mem: &M,
        offset: u32,
        len: u32,
        mut f: impl FnMut(u32, Chunk<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut at = offset.min(self.header.len);
        let len = len.min(self.header.len - at);
        let start = self.start.advanced(RECORD_HEADER_LEN).advanced(at);
        mem.chunks(start.0, len, |chunk| {
            let offset = at;
            at += chunk.len() as u32;
            f(offset, chunk)
        })
    }
}
