// SPDX-License-Identifier: GPL-2.0

//! A ring whose accesses loom orders and checks.

use std::cell;
use std::ptr::NonNull;
use std::sync::atomic;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{fence, AtomicU32, Ordering};
use loom::sync::Arc;
use xlnet_proto::layout::{record_size, RecordHeader, VirtioNetHdr, RECORD_ALIGN};
use xlnet_proto::mem::{Chunk, SharedMem, Word};
use xlnet_proto::sync::{LoadOrder, StoreOrder};

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

/// A ring.
pub struct Ring {
    words: [AtomicU32; 4],
    bytes: Box<[cell::UnsafeCell<u8>]>,
    /// Stand for the bytes of a block each. Checked by loom: a read beside a write, or two writes, fail
    /// the test.
    blocks: Vec<UnsafeCell<()>>,
    block_size: u32,
    /// The producer has taken back what is there, and only reads. loom need not know.
    recalled: atomic::AtomicBool,
    flaw: Flaw,
}

impl Ring {
    /// A ring of `size` bytes, of which loom checks each `block_size` as one.
    pub fn new(size: u32, block_size: u32, flaw: Flaw) -> Arc<Self> {
        Arc::new(Ring {
            words: std::array::from_fn(|_| AtomicU32::new(0)),
            bytes: zeroes(size as usize),
            blocks: (0..size / block_size)
                .map(|_| UnsafeCell::new(()))
                .collect(),
            block_size,
            recalled: atomic::AtomicBool::new(false),
            flaw,
        })
    }

    /// A ring that holds so many records of the frames of these tests.
    pub fn of_records(records: u32, flaw: Flaw) -> Arc<Self> {
        Self::new(records * record_size(LEN), RECORD_ALIGN, flaw)
    }

    /// Notes that the producer writes no more.
    pub fn recall(&self) {
        self.recalled.store(true, atomic::Ordering::Relaxed);
    }

    fn is_recalled(&self) -> bool {
        self.recalled.load(atomic::Ordering::Relaxed)
    }
}

/// So many bytes that may be written while they are shared, as fast as the allocator gives them.
fn zeroes(size: usize) -> Box<[cell::UnsafeCell<u8>]> {
    let bytes = Box::into_raw(vec![0_u8; size].into_boxed_slice());
    // SAFETY: It comes from a box, and a cell of a byte is laid out as a byte.
    unsafe { Box::from_raw(bytes as *mut [cell::UnsafeCell<u8>]) }
}

/// The ring as one end sees it.
pub struct Handle {
    ring: Arc<Ring>,
    produces: bool,
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
            produces: true,
        }
    }

    /// As the consumer sees it.
    pub fn consumer(ring: &Arc<Ring>) -> Self {
        Handle {
            ring: ring.clone(),
            produces: false,
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
        assert!(
            word != Word::Prod || !self.ring.is_recalled(),
            "a frame is sent after the recall"
        );
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
        self.ring.bytes.len() as u32
    }

    fn chunks<E>(
        &self,
        pos: u32,
        len: u32,
        mut f: impl FnMut(Chunk<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let block_size = self.ring.block_size;
        let writes = self.produces && !self.ring.is_recalled();
        let mut pos = pos;
        let mut left = len;
        while left > 0 {
            let at = pos % self.size();
            let in_block = at % block_size;
            let piece = left.min(block_size - in_block);
            let block = &self.ring.blocks[(at / block_size) as usize];
            let bytes = &self.ring.bytes[at as usize..][..piece as usize];
            let mut call = || {
                // SAFETY: The chunk is these bytes, which are cells. loom has found that nobody writes them
                // now, nor reads them if we write, and who does not write only reads through a chunk.
                f(unsafe { Chunk::new(NonNull::from(bytes).cast(), bytes.len()) })
            };
            if writes {
                block.with_mut(|_| call())?;
            } else {
                block.with(|_| call())?;
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
