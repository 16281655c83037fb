// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The consuming end of a ring.

use super::super::fault::PeerFault;
use super::super::index::Count;
use super::super::mem::{Chunk, SharedMem, Word};
use super::super::sync::{LoadOrder, StoreOrder};
use super::record::Record;

/// The consuming end of a ring.
///
/// # Invariants
///
/// `published` lies at or before `cons`, and that at or before `prod`; from `published` to `prod`
/// it is at most `size` bytes.
pub struct Consumer<M: SharedMem> {
    mem: M,
    size: u32,
    /// Bytes released.
    cons: Count,
    /// Bytes produced, as last accepted from the peer.
    prod: Count,
    /// Bytes released and published.
    published: Count,
    /// `published` when [`Consumer::should_kick`] last decided.
    notified: Count,
}

impl<M: SharedMem> Consumer<M> {
    /// Makes the consumer of a fresh ring, whose words are zero. It is not armed.
    pub fn new(mem: M) -> Self {
        let size = mem.size();
        Self {
            mem,
            size,
            cons: Count::default(),
            prod: Count::default(),
            published: Count::default(),
            notified: Count::default(),
        }
    }

    /// Returns the bytes consumed so far, modulo 2^32, record headers and padding included.
    pub fn consumed(&self) -> u32 {
        self.cons.0
    }

    /// Reads and checks the peer's count. C1 and C6 of the module's table.
    fn refresh(&mut self) -> Result<(), PeerFault> {
        let raw = self.mem.load(Word::Prod, LoadOrder::Acquire);
        // The producer knows of no more space than was published.
        let limit = self.published.advanced(self.size);
        self.prod = Count::accept(raw, self.prod, limit)?;
        Ok(())
    }

    /// Returns the record at the head of the ring, or `None` if there is none.
    ///
    /// It stays there until it is released; until then each call reads its header anew.
    ///
    /// # Errors
    ///
    /// The peer's count or the record is impossible.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator could not report a fault and go on"
    )]
    pub fn next(&mut self) -> Result<Option<Record>, PeerFault> {
        if self.prod == self.cons {
            self.refresh()?;
            if self.prod == self.cons {
                return Ok(None);
            }
        }
        // C2, as is `payload`.
        Record::read(&self.mem, self.cons, self.prod).map(Some)
    }

    /// Calls `f` for each contiguous piece of `len` bytes of the record's frame from `offset` on.
    ///
    /// `f` gets the piece with its offset in the frame. A range that leaves the frame is cut to it.
    ///
    /// # Errors
    ///
    /// The first error of `f`.
    pub fn payload<E>(
        &self,
        record: &Record,
        offset: u32,
        len: u32,
        f: impl FnMut(u32, Chunk<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        record.payload(&self.mem, offset, len, f)
    }

    /// Gives the record's place back, privately: the peer sees it at the next [`Consumer::publish`].
    ///
    /// A record that is not at the head any more is left alone.
    pub fn release(&mut self, record: Record) {
        if record.start == self.cons {
            self.cons = record.end();
        }
    }

    /// Tells the peer of all that was released.
    pub fn publish(&mut self) {
        if self.published != self.cons {
            // C3.
            self.mem.store(Word::Cons, self.cons.0, StoreOrder::Release);
            self.published = self.cons;
        }
    }

    /// Returns whether the peer asked to be told of what was published since the last call.
    ///
    /// Whoever published must call this before it stops consuming, and kick if it returns true.
    pub fn should_kick(&mut self) -> bool {
        if self.notified == self.published {
            return false;
        }
        self.mem.barrier();
        // C4.
        let event = Count(self.mem.load(Word::ConsEvent, LoadOrder::Relaxed));
        let kick = Count::crossed(event, self.notified, self.published);
        self.notified = self.published;
        kick
    }

    /// Returns whether there is a record, without reading it.
    ///
    /// # Errors
    ///
    /// The peer's count was impossible.
    pub fn ready(&mut self) -> Result<bool, PeerFault> {
        self.refresh()?;
        Ok(self.prod != self.cons)
    }

    /// Asks the peer not to kick: the caller looks for records by itself until it arms again.
    ///
    /// A kick that the peer had decided on before may come all the same, as may one after 2 GiB.
    pub fn disarm(&mut self) {
        // C5, with the count that is farthest from all that the peer may be about to compare.
        let event = self.cons.0.wrapping_add(1 << 31);
        self.mem.store(Word::ProdEvent, event, StoreOrder::Relaxed);
    }

    /// Asks the peer to kick when it produces the next record.
    ///
    /// Returns true if there is a record already: then the caller goes on consuming, and a kick may
    /// come all the same. What was released must have been published before.
    ///
    /// # Errors
    ///
    /// The peer's count was impossible.
    pub fn arm(&mut self) -> Result<bool, PeerFault> {
        // C5.
        self.mem.store(
            Word::ProdEvent,
            self.cons.0.wrapping_add(1),
            StoreOrder::Relaxed,
        );
        self.mem.barrier();
        // C6.
        self.refresh()?;
        Ok(self.prod != self.cons)
    }
}
