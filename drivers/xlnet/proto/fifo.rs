// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A ring of records between two guests: one [`Producer`], one [`Consumer`].
//!
//! Each side keeps its own counts in private memory; the shared copies are written for the other
//! side and never read back. What the other side publishes is read once, checked, and remembered
//! only if it is possible; otherwise it is a [`PeerFault`], after which the caller closes the channel.
//!
//! # Memory ordering
//!
//! | producer | consumer |
//! |---|---|
//! | (P1) write the record's bytes | (C1) load-acquire `prod` |
//! | (P2) store-release `prod` | (C2) copy the record's bytes |
//! | full barrier | (C3) store-release `cons` |
//! | (P3) load `prod_event`, kick if crossed | full barrier |
//! | (P4) load-acquire `cons` | (C4) load `cons_event`, kick if crossed |
//! | to wait: (P5) store `cons_event` | to sleep: (C5) store `prod_event` |
//! | full barrier | full barrier |
//! | (P6) load-acquire `cons` again | (C6) load-acquire `prod` again |
//!
//! - P2 pairs with C1 and C6: who sees the count sees the bytes.
//! - C3 pairs with P4 and P6: bytes are overwritten only after they were copied.
//! - P2-barrier-P3 against C5-barrier-C6 is a store buffering pattern: of two sides that each
//!   store and then load, at least one sees the other's store. So either the producer sees the
//!   event index and kicks, or the consumer sees the new count and stays awake. The same holds for
//!   C3-barrier-C4 against P5-barrier-P6.
//!
//! An event index takes effect once: when it is crossed the count stands behind it, so a side that
//! is awake is not told again before it arms again. A consumer that looks by itself takes back what it
//! asked for with [`Consumer::disarm`] and looks with [`Consumer::ready`]; before it stops looking it
//! arms, as ever.
//!
//! # Order of calls
//!
//! A producer pushes, then asks [`Producer::should_kick`] once for all it pushed. A consumer takes
//! records with [`Consumer::next`] and [`Consumer::release`], then calls [`Consumer::publish`],
//! [`Consumer::should_kick`], and, when it found the ring empty, [`Consumer::arm`]. A fresh ring is
//! not armed in either direction.
//!
//! A producer whose peer does not consume any more may take its frames back: it has told the peer to
//! leave them, and calls [`Producer::recall`], which passes a full barrier first. The consumer looks for
//! that before it takes each record, so that only what it takes meanwhile, at most what it has taken
//! since it last called [`Consumer::should_kick`] and one more, can come twice.

mod consumer;
mod producer;
mod record;

pub use consumer::Consumer;
pub use producer::{Producer, PushError};
pub use record::Record;

#[cfg(doc)]
use super::fault::PeerFault;
