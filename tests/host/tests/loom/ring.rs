// SPDX-License-Identifier: GPL-2.0

//! A ring whose accesses loom orders and checks.

use std::cell::Cell;
use std::ptr::NonNull;
use std::rc::Rc;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{fence, AtomicU32, Ordering};
use loom::sync::{Arc, Notify};
use xlnet_proto::layout::{record_size, RecordHeader, VirtioNetHdr, RECORD_ALIGN};
use xlnet_proto::mem::{Chunk, SharedMem, Word};
use xlnet_proto::sync::{LoadOrder, StoreOrder};

const BLOCK: u32 = RECORD_ALIGN;
/// A frame whose record takes two blocks, the least there is.
pub const LEN: u32 = 20;

/// What to leave out, to see that it is missed.
#[derive(Clone, Copy, PartialEq)]
pub enum Flaw {
    None,
    Barrier,
    Release,
    Acquire,
}

/// A ring, and the event channel of each end.
pub struct Ring {
    words: [AtomicU32; 4],
    /// Checked by loom: a read beside a write, or two writes, fail the test.
    blocks: Vec<UnsafeCell<[u8; BLOCK as usize]>>,
    /// The producer's state word, not zero once it has recalled.
    pub recalled: AtomicU32,
    pub to_consumer: Notify,
    pub to_producer: Notify,
    flaw: Flaw,
}

impl Ring {
    /// A ring that holds so many records of the frames of this test.
    pub fn of_records(records: u32, flaw: Flaw) -> Arc<Self> {
        let blocks = records * record_size(LEN) / BLOCK;
        Arc::new(Ring {
            words: std::array::from_fn(|_| AtomicU32::new(0)),
            recalled: AtomicU32::new(0),
            blocks: (0..blocks).map(|_| UnsafeCell::new([0; 32])).collect(),
            to_consumer: Notify::new(),
            to_producer: Notify::new(),
            flaw,
        })
    }
}

/// The ring as one end sees it.
pub struct Handle {
    ring: Arc<Ring>,
    /// Whether this end writes to the blocks now, or reads.
    pub writes: Rc<Cell<bool>>,
}

fn index(word: Word) -> usize {
    match word {
        Word::Prod => 0,
        Word::ConsEvent => 1,
        Word::Cons => 2,
        Word::ProdEvent => 3,
    }
}

impl Handle {
    /// As the producer sees it.
    pub fn producer(ring: &Arc<Ring>) -> Self {
        Handle {
            ring: ring.clone(),
            writes: Rc::new(Cell::new(true)),
        }
    }

    /// As the consumer sees it.
    pub fn consumer(ring: &Arc<Ring>) -> Self {
        Handle {
            ring: ring.clone(),
            writes: Rc::new(Cell::new(false)),
        }
    }
}

impl SharedMem for Handle {
    fn load(&self, word: Word, order: LoadOrder) -> u32 {
        let order = match self.ring.flaw {
            Flaw::Acquire => Ordering::Relaxed,
            _ => order.into(),
        };
        self.ring.words[index(word)].load(order)
    }

    fn store(&self, word: Word, value: u32, order: StoreOrder) {
        let order = match self.ring.flaw {
            Flaw::Release => Ordering::Relaxed,
            _ => order.into(),
        };
        self.ring.words[index(word)].store(value, order);
    }

    fn barrier(&self) {
        if self.ring.flaw != Flaw::Barrier {
            fence(Ordering::SeqCst);
        }
    }

    fn size(&self) -> u32 {
        self.ring.blocks.len() as u32 * BLOCK
    }

    fn chunks<E>(
        &self,
        pos: u32,
        len: u32,
        mut f: impl FnMut(Chunk<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut pos = pos;
        let mut left = len;
        while left > 0 {
            let at = pos % self.size();
            let in_block = at % BLOCK;
            let piece = left.min(BLOCK - in_block);
            let block = &self.ring.blocks[(at / BLOCK) as usize];
            let mut call = |block: *mut [u8; BLOCK as usize]| {
                let start = block.cast::<u8>().wrapping_add(in_block as usize);
                let start = NonNull::new(start).expect("not null");
                // SAFETY: The piece is within the block, which loom has found to be ours now. Who
                // does not write only reads through the chunk.
                f(unsafe { Chunk::new(start, piece as usize) })
            };
            if self.writes.get() {
                block.with_mut(call)?;
            } else {
                block.with(|block| call(block.cast_mut()))?;
            }
            pos = pos.wrapping_add(piece);
            left -= piece;
        }
        Ok(())
    }
}

/// The bytes of the frame with this number.
pub fn frame(serial: u8) -> [u8; LEN as usize] {
    [serial; LEN as usize]
}

/// The header of its record.
pub fn header(serial: u8) -> RecordHeader {
    RecordHeader {
        len: LEN,
        unhurried: false,
        virtio: VirtioNetHdr {
            hdr_len: serial.into(),
            ..VirtioNetHdr::default()
        },
    }
}
