// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The producing end of a ring.

use super::super::fault::PeerFault;
use super::super::frame::{MAX_FRAME_LEN, MIN_FRAME_LEN};
use super::super::index::Count;
use super::super::layout::{record_size, RecordHeader, RECORD_HEADER_LEN};
use super::super::mem::{Chunk, SharedMem, Word};
use super::super::sync::{LoadOrder, StoreOrder};
use super::record::Record;

/// Why a frame was not pushed. In each case nothing was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushError<E> {
    /// The ring has no space for it now.
    Full,
    /// It is longer than a frame may be, or than a ring of this size ever has space for.
    TooLong,
    /// It is shorter than an Ethernet header.
    TooShort,
    /// The peer published an impossible count.
    Fault(PeerFault),
    /// The caller's closure failed.
    Fill(E),
}

/// The producing end of a ring.
///
/// # Invariants
///
/// `cons` lies at or before `prod`, by at most `size` bytes.
pub struct Producer<M: SharedMem> {
    mem: M,
    size: u32,
    /// Bytes produced and published.
    prod: Count,
    /// Bytes consumed, as last accepted from the peer.
    cons: Count,
    /// `prod` when [`Producer::should_kick`] last decided.
    notified: Count,
}

impl<M: SharedMem> Producer<M> {
    /// Makes the producer of a fresh ring, whose words are zero.
    pub fn new(mem: M) -> Self {
        let size = mem.size();
        Self {
            mem,
            size,
            prod: Count::default(),
            cons: Count::default(),
            notified: Count::default(),
        }
    }

    /// Returns the bytes pushed so far, modulo 2^32, record headers and padding included.
    pub fn produced(&self) -> u32 {
        self.prod.0
    }

    /// Returns the bytes the peer is known to have consumed, modulo 2^32, without asking anew.
    pub fn consumed(&self) -> u32 {
        self.cons.0
    }

    /// Returns the bytes of the ring.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Reads and checks the peer's count. P4 and P6 of the module's table.
    fn refresh(&mut self) -> Result<(), PeerFault> {
        let raw = self.mem.load(Word::Cons, LoadOrder::Acquire);
        self.cons = Count::accept(raw, self.cons, self.prod)?;
        Ok(())
    }

    fn cached_pending(&self) -> u32 {
        self.prod.since(self.cons)
    }

    fn cached_free(&self) -> u32 {
        self.size.saturating_sub(self.cached_pending())
    }

    /// Returns the bytes the peer has not consumed yet.
    ///
    /// # Errors
    ///
    /// The peer's count was impossible.
    pub fn pending(&mut self) -> Result<u32, PeerFault> {
        self.refresh()?;
        Ok(self.cached_pending())
    }

    /// Returns the bytes that are free, to be compared with [`record_size`].
    ///
    /// # Errors
    ///
    /// The peer's count was impossible.
    pub fn free(&mut self) -> Result<u32, PeerFault> {
        self.refresh()?;
        Ok(self.cached_free())
    }

    /// Writes one record and publishes it.
    ///
    /// `fill` gets each contiguous piece of the frame's place with its offset in the frame, and must
    /// write all of it: what it leaves out the peer sees as it was.
    ///
    /// # Errors
    ///
    /// See [`PushError`].
    pub fn push<E>(
        &mut self,
        header: &RecordHeader,
        mut fill: impl FnMut(u32, Chunk<'_>) -> Result<(), E>,
    ) -> Result<(), PushError<E>> {
        let len = header.len;
        let size = record_size(len);
        if len < MIN_FRAME_LEN {
            return Err(PushError::TooShort);
        }
        if len > MAX_FRAME_LEN || size > self.size {
            return Err(PushError::TooLong);
        }
        if self.cached_free() < size {
            self.refresh().map_err(PushError::Fault)?;
            if self.cached_free() < size {
                return Err(PushError::Full);
            }
        }

        // P1.
        let bytes = header.to_bytes();
        let mut rest = bytes.as_slice();
        let written = self.mem.chunks(self.prod.0, RECORD_HEADER_LEN, |chunk| {
            rest = rest.get(chunk.copy_from(rest)..).unwrap_or_default();
            Ok::<(), E>(())
        });
        written.map_err(PushError::Fill)?;
        let mut offset = 0;
        let frame = self.prod.advanced(RECORD_HEADER_LEN);
        let filled = self.mem.chunks(frame.0, len, |chunk| {
            let at = offset;
            offset += chunk.len() as u32;
            fill(at, chunk)
        });
        filled.map_err(PushError::Fill)?;

        // P2.
        self.prod = self.prod.advanced(size);
        self.mem.store(Word::Prod, self.prod.0, StoreOrder::Release);
        Ok(())
    }

    /// Returns whether the peer asked to be told of what was pushed since the last call.
    ///
    /// Whoever pushed must call this before it stops pushing, and kick if it returns true.
    pub fn should_kick(&mut self) -> bool {
        if self.notified == self.prod {
            return false;
        }
        self.mem.barrier();
        // P3.
        let event = Count(self.mem.load(Word::ProdEvent, LoadOrder::Relaxed));
        let kick = Count::crossed(event, self.notified, self.prod);
        self.notified = self.prod;
        kick
    }

    /// Asks the peer to kick once `need` bytes are free, at most the ring's size.
    ///
    /// Returns true if so many are free already: then the caller goes on pushing, and a kick may
    /// come all the same. With `need` = [`Producer::size`] the kick comes when all is consumed.
    ///
    /// # Errors
    ///
    /// The peer's count was impossible.
    pub fn arm_space(&mut self, need: u32) -> Result<bool, PeerFault> {
        let need = need.min(self.size);
        // P5. `need` bytes are free as soon as at most `size - need` are pending.
        let event = self.prod.0.wrapping_sub(self.size - need);
        self.mem.store(Word::ConsEvent, event, StoreOrder::Relaxed);
        self.mem.barrier();
        // P6.
        self.refresh()?;
        Ok(self.cached_free() >= need)
    }

    /// Calls `f` with the ring and each record in it that the peer has not consumed, oldest first.
    ///
    /// For who has told the peer to consume no more, and pushes no more. The peer may have written to
    /// the records since: they are as little to be trusted as those it sends.
    ///
    /// # Errors
    ///
    /// The peer's count was impossible, or a record has become so; the records after it are lost.
    pub fn recall(&mut self, mut f: impl FnMut(&M, &Record)) -> Result<(), PeerFault> {
        self.mem.barrier();
        self.refresh()?;
        let mut at = self.cons;
        while at != self.prod {
            let record = Record::read(&self.mem, at, self.prod)?;
            at = record.end();
            f(&self.mem, &record);
        }
        Ok(())
    }
}
