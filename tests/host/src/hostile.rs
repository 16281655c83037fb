// SPDX-License-Identifier: GPL-2.0

//! A peer that writes what it likes between any two of our accesses.
//!
//! [`HostileMem`] takes its choices from a string of bytes, so that a fuzzer or proptest can search
//! for the worst one. [`consume`] and [`produce`] run one end of a ring against it and assert what
//! must hold whatever the peer does: no panic, no access outside the ring, bounded work, and
//! nothing published that is not ours to publish.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::convert::Infallible;
use std::ptr::NonNull;
use std::rc::Rc;

use xlnet_proto::fifo::{Consumer, Producer, PushError};
use xlnet_proto::frame::{MAX_FRAME_LEN, MIN_FRAME_LEN};
use xlnet_proto::layout::{record_size, RecordHeader, VirtioNetHdr, RECORD_ALIGN};
use xlnet_proto::mem::{Chunk, SharedMem, Word};
use xlnet_proto::sync::{LoadOrder, StoreOrder};

/// The choices of the peer, and of our own side's caller.
struct Choices<'a>(RefCell<&'a [u8]>);

impl Choices<'_> {
    fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    fn byte(&self) -> u8 {
        let mut rest = self.0.borrow_mut();
        match rest.split_first() {
            Some((first, tail)) => {
                *rest = tail;
                *first
            }
            None => 0,
        }
    }

    fn word(&self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }
}

/// What the test sees of the accesses of the end under test.
#[derive(Default)]
struct Observed {
    /// The word our side publishes, as last stored.
    published: Cell<u32>,
    /// The last value handed out for the count of the peer.
    peer_count: Cell<u32>,
    /// Loads of the count of the peer.
    count_loads: Cell<usize>,
}

/// Shared memory whose other side is hostile.
struct HostileMem<'a> {
    choices: &'a Choices<'a>,
    observed: Rc<Observed>,
    /// The count that our side publishes.
    ours: Word,
    bytes: Box<[UnsafeCell<u8>]>,
}

impl<'a> HostileMem<'a> {
    fn new(choices: &'a Choices<'a>, observed: Rc<Observed>, ours: Word, size: u32) -> Self {
        HostileMem {
            choices,
            observed,
            ours,
            bytes: (0..size).map(|_| UnsafeCell::new(0)).collect(),
        }
    }

    fn write(&self, pos: u32, bytes: &[u8]) {
        for (i, byte) in (0..).zip(bytes) {
            let at = pos.wrapping_add(i) as usize % self.bytes.len();
            // SAFETY: No reference to a byte exists, and this is the only thread.
            unsafe { *self.bytes[at].get() = *byte };
        }
    }
}

impl SharedMem for HostileMem<'_> {
    fn load(&self, word: Word, _: LoadOrder) -> u32 {
        let choice = self.choices.byte();
        let seen = &self.observed;
        let value = match choice % 8 {
            // Plausible counts are what gets a peer further than the first check.
            0 | 1 => seen.published.get(),
            2 => seen.peer_count.get(),
            3..=5 => {
                let records = u32::from(self.choices.byte());
                let base = seen.peer_count.get();
                base.wrapping_add(records * RECORD_ALIGN)
            }
            6 => {
                let size = self.size();
                seen.published.get().wrapping_add(size)
            }
            _ => self.choices.word(),
        };
        if matches!(
            (word, self.ours),
            (Word::Prod, Word::Cons) | (Word::Cons, Word::Prod)
        ) {
            seen.peer_count.set(value);
            seen.count_loads.set(seen.count_loads.get() + 1);
        }
        value
    }

    fn store(&self, word: Word, value: u32, order: StoreOrder) {
        if word == self.ours {
            assert_eq!(
                order,
                StoreOrder::Release,
                "a count is published by a release"
            );
            assert_eq!(value % RECORD_ALIGN, 0, "only whole records are published");
            let step = value.wrapping_sub(self.observed.published.get());
            assert!(
                step <= self.size(),
                "more than a ring was published at once"
            );
            self.observed.published.set(value);
        } else {
            let ours = matches!(
                (word, self.ours),
                (Word::ConsEvent, Word::Prod) | (Word::ProdEvent, Word::Cons)
            );
            assert!(ours, "{word:?} belongs to the peer");
        }
    }

    fn barrier(&self) {}

    fn size(&self) -> u32 {
        self.bytes.len() as u32
    }

    fn chunks<E>(
        &self,
        pos: u32,
        len: u32,
        mut f: impl FnMut(Chunk<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        assert!(
            len <= self.size(),
            "{len} bytes of a ring of {}",
            self.size()
        );
        // The peer rewrites what we are about to read: a plausible header or noise.
        match self.choices.byte() % 4 {
            0 => {}
            1 => self.write(pos, &self.choices.word().to_le_bytes()),
            _ => {
                let len = u32::from(self.choices.byte()) << (self.choices.byte() % 9);
                self.write(pos, &len.to_le_bytes());
                self.write(pos.wrapping_add(4), &[0; 4]);
            }
        }
        let mut pos = pos;
        let mut left = len;
        while left > 0 {
            let at = pos % self.size();
            let piece = left.min(self.size() - at).min(4096 - at % 4096);
            let start = NonNull::new(self.bytes[at as usize].get()).expect("not null");
            // SAFETY: The piece is within `bytes`, to no byte of which a reference exists.
            f(unsafe { Chunk::new(start, piece as usize) })?;
            pos = pos.wrapping_add(piece);
            left -= piece;
        }
        Ok(())
    }
}

fn ring_size(choices: &Choices<'_>) -> u32 {
    // From one smallest record to the smallest ring that takes every frame.
    1 << (6 + choices.byte() % 12)
}

/// Runs a consumer against a hostile producer until the choices are used up or a fault is found.
pub fn consume(input: &[u8]) {
    let choices = Choices(RefCell::new(input));
    let observed = Rc::new(Observed::default());
    let size = ring_size(&choices);
    let mem = HostileMem::new(&choices, observed.clone(), Word::Cons, size);
    let mut consumer = Consumer::new(mem);
    let mut since_load = 0;
    while !choices.is_empty() {
        let loads = observed.count_loads.get();
        match consumer.next() {
            Err(_) => return,
            Ok(None) => {
                let looked = if choices.byte() % 2 == 0 {
                    consumer.arm()
                } else {
                    consumer.disarm();
                    consumer.ready()
                };
                match looked {
                    Err(_) => return,
                    Ok(_) => since_load = 0,
                }
            }
            Ok(Some(record)) => {
                let len = record.header().len;
                assert!((MIN_FRAME_LEN..=MAX_FRAME_LEN).contains(&len));
                assert!(record_size(len) <= size);
                if observed.count_loads.get() != loads {
                    since_load = 0;
                    let ahead = observed
                        .peer_count
                        .get()
                        .wrapping_sub(observed.published.get());
                    assert!(
                        ahead <= size,
                        "a count was accepted that laps the published one"
                    );
                }
                since_load += record_size(len);
                assert!(since_load <= size, "more was consumed than the ring holds");

                let from = u32::from(choices.byte());
                let wanted = if choices.byte() % 2 == 0 {
                    len
                } else {
                    choices.word()
                };
                let mut expected = from.min(len);
                let got = consumer.payload(&record, from, wanted, |offset, chunk| {
                    assert_eq!(offset, expected, "pieces follow each other");
                    expected += chunk.copy_to(&mut [0; 4096]) as u32;
                    Ok::<(), Infallible>(())
                });
                let Ok(()) = got;
                assert_eq!(expected, from.min(len) + wanted.min(len - from.min(len)));

                consumer.release(record);
                if choices.byte() % 2 == 0 {
                    consumer.publish();
                    consumer.should_kick();
                    assert_eq!(consumer.consumed(), observed.published.get());
                }
            }
        }
    }
}

/// Runs a producer against a hostile consumer until the choices are used up or a fault is found.
pub fn produce(input: &[u8]) {
    let choices = Choices(RefCell::new(input));
    let observed = Rc::new(Observed::default());
    let size = ring_size(&choices);
    let mem = HostileMem::new(&choices, observed.clone(), Word::Prod, size);
    let mut producer = Producer::new(mem);
    while !choices.is_empty() {
        let before = producer.produced();
        let header = RecordHeader {
            len: u32::from(choices.byte()) << (choices.byte() % 10),
            unhurried: false,
            virtio: VirtioNetHdr::default(),
        };
        let failing = choices.byte() % 8 == 0;
        let mut expected = 0;
        let pushed = producer.push(&header, |offset, chunk| {
            assert_eq!(offset, expected, "pieces follow each other");
            expected += chunk.copy_from(&[0xa5; 4096]) as u32;
            if failing {
                Err(())
            } else {
                Ok(())
            }
        });
        match pushed {
            Ok(()) => {
                assert_eq!(expected, header.len);
                assert_eq!(
                    producer.produced(),
                    before.wrapping_add(record_size(header.len))
                );
            }
            Err(PushError::Fault(_)) => return,
            Err(_) => assert_eq!(
                producer.produced(),
                before,
                "a failed push publishes nothing"
            ),
        }
        assert_eq!(producer.produced(), observed.published.get());
        match choices.byte() % 5 {
            0 => {
                producer.should_kick();
                assert!(!producer.should_kick(), "decided once for what was pushed");
            }
            1 if producer.arm_space(choices.word()).is_err() => return,
            2 => match (producer.free(), producer.pending()) {
                (Ok(free), Ok(pending)) => assert!(free <= size && pending <= size),
                _ => return,
            },
            3 => recall(&mut producer, size),
            _ => {}
        }
    }
}

/// What is taken back are frames, and not more than the ring holds.
fn recall(producer: &mut Producer<HostileMem<'_>>, size: u32) {
    let mut bytes = 0;
    // A fault ends it like anything else.
    let _ = producer.recall(|mem, record| {
        let len = record.header().len;
        assert!((MIN_FRAME_LEN..=MAX_FRAME_LEN).contains(&len));
        bytes += record_size(len);
        assert!(bytes <= size, "more was taken back than the ring holds");
        let mut copied = 0;
        let read = record.payload(mem, 0, len, |_, chunk| {
            copied += chunk.copy_to(&mut [0; 4096]) as u32;
            Ok::<(), Infallible>(())
        });
        let Ok(()) = read;
        assert_eq!(copied, len);
    });
}
