// SPDX-License-Identifier: GPL-2.0

//! A ring on real pages against a queue of frames: same frames, same space, same kicks.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use xlnet_host_tests::memory::{Channel, RingPages};
use xlnet_proto::fifo::{Consumer, Producer, PushError};
use xlnet_proto::frame::{MAX_FRAME_LEN, MIN_FRAME_LEN};
use xlnet_proto::layout::{record_size, RecordHeader, VirtioNetHdr};
use xlnet_proto::mem::PagedRing;

#[derive(Clone, Debug)]
enum Op {
    Push { len: u32, virtio: u64 },
    FailingPush { len: u32 },
    ProducerKick,
    ArmSpace { need: u32 },
    Pop { release: bool },
    Publish,
    ConsumerKick,
    Arm,
    Disarm,
    Look,
    Recall,
}

fn op() -> impl Strategy<Value = Op> {
    let len = prop_oneof![
        4 => MIN_FRAME_LEN..200,
        3 => 1400u32..1600,
        2 => 2000u32..5000,
        2 => 30_000..=MAX_FRAME_LEN,
        1 => prop_oneof![Just(0), Just(13), Just(MAX_FRAME_LEN + 1), Just(u32::MAX)],
    ];
    prop_oneof![
        6 => (len.clone(), any::<u64>()).prop_map(|(len, virtio)| Op::Push { len, virtio }),
        1 => len.prop_map(|len| Op::FailingPush { len }),
        2 => Just(Op::ProducerKick),
        1 => (0u32..200_000).prop_map(|need| Op::ArmSpace { need }),
        6 => prop::bool::weighted(0.9).prop_map(|release| Op::Pop { release }),
        3 => Just(Op::Publish),
        2 => Just(Op::ConsumerKick),
        2 => Just(Op::Arm),
        1 => Just(Op::Disarm),
        1 => Just(Op::Look),
        1 => Just(Op::Recall),
    ]
}

/// What a ring must be equal to. Counts do not wrap here.
struct Model {
    size: u64,
    frames: VecDeque<(RecordHeader, Vec<u8>)>,
    prod: u64,
    cons: u64,
    published: u64,
    prod_event: u64,
    cons_event: u64,
    prod_notified: u64,
    cons_notified: u64,
    serial: u8,
}

struct Ring {
    producer: Producer<PagedRing<RingPages>>,
    consumer: Consumer<PagedRing<RingPages>>,
}

fn header(len: u32, virtio: u64) -> RecordHeader {
    let [flags, gso_type, rest @ ..] = virtio.to_le_bytes();
    let word = |i: usize| u16::from_le_bytes([rest[i], rest[i + 1]]);
    RecordHeader {
        len,
        unhurried: virtio & 1 << 63 != 0,
        virtio: VirtioNetHdr {
            flags,
            gso_type,
            hdr_len: word(0),
            gso_size: word(1),
            csum_start: word(3),
            csum_offset: word(4),
        },
    }
}

impl Model {
    /// Starts at `count` with everything consumed and nothing armed.
    fn starting_at(count: u64, size: u32) -> Self {
        Model {
            size: size.into(),
            frames: VecDeque::new(),
            prod: count,
            cons: count,
            published: count,
            prod_event: count,
            cons_event: count,
            prod_notified: count,
            cons_notified: count,
            serial: 0,
        }
    }

    fn free(&self) -> u64 {
        self.size - (self.prod - self.published)
    }

    fn push(&mut self, ring: &mut Ring, header: RecordHeader) {
        self.serial = self.serial.wrapping_add(1);
        let serial = self.serial;
        let frame: Vec<u8> = (0..header.len.min(MAX_FRAME_LEN + 1))
            .map(|i| (i as u8).wrapping_mul(31).wrapping_add(serial))
            .collect();
        let pushed = ring.producer.push(&header, |offset, chunk| {
            chunk.copy_from(&frame[offset as usize..]);
            Ok::<(), Infallible>(())
        });
        let expected = self.verdict(header.len);
        assert_eq!(pushed, expected);
        if pushed.is_ok() {
            self.prod += u64::from(record_size(header.len));
            self.frames.push_back((header, frame));
        }
    }

    fn verdict<E>(&self, len: u32) -> Result<(), PushError<E>> {
        let size = u64::from(record_size(len));
        if len < MIN_FRAME_LEN {
            Err(PushError::TooShort)
        } else if len > MAX_FRAME_LEN || size > self.size {
            Err(PushError::TooLong)
        } else if size > self.free() {
            Err(PushError::Full)
        } else {
            Ok(())
        }
    }

    fn pop(&mut self, ring: &mut Ring, release: bool) {
        let record = ring.consumer.next().expect("an honest peer");
        let Some(record) = record else {
            assert!(self.frames.is_empty(), "a frame was not seen");
            return;
        };
        let (header, frame) = self.frames.front().expect("a frame nobody sent");
        assert_eq!(record.header(), header);
        let mut received = vec![0; frame.len()];
        let copied = ring
            .consumer
            .payload(&record, 0, header.len, |offset, chunk| {
                chunk.copy_to(&mut received[offset as usize..]);
                Ok::<(), Infallible>(())
            });
        let Ok(()) = copied;
        assert!(received == *frame, "the frame changed on its way");
        if release {
            self.cons += u64::from(record_size(header.len));
            self.frames.pop_front();
            ring.consumer.release(record);
        }
    }

    /// The producer finds what it has not been told of as consumed; of that it changes nothing.
    fn recall(&mut self, ring: &mut Ring) {
        let mut recalled = VecDeque::new();
        let done = ring.producer.recall(|mem, record| {
            let mut frame = vec![0; record.header().len as usize];
            let copied = record.payload(mem, 0, record.header().len, |offset, chunk| {
                chunk.copy_to(&mut frame[offset as usize..]);
                Ok::<(), Infallible>(())
            });
            let Ok(()) = copied;
            recalled.push_back((*record.header(), frame));
        });
        assert_eq!(done, Ok(()));
        let bytes: u64 = recalled
            .iter()
            .map(|(header, _)| u64::from(record_size(header.len)))
            .sum();
        assert_eq!(bytes, self.prod - self.published);
        let told = recalled.split_off(recalled.len() - self.frames.len());
        assert!(told == self.frames, "not what was sent was taken back");
    }

    fn apply(&mut self, ring: &mut Ring, op: Op) {
        match op {
            Op::Push { len, virtio } => self.push(ring, header(len, virtio)),
            Op::FailingPush { len } => {
                let pushed = ring.producer.push(&header(len, 0), |_, _| Err("fill"));
                let fits = self.verdict::<()>(len).is_ok();
                assert_eq!(pushed == Err(PushError::Fill("fill")), fits);
            }
            Op::ProducerKick => {
                let crossed = self.prod_notified < self.prod_event && self.prod_event <= self.prod;
                assert_eq!(ring.producer.should_kick(), crossed);
                self.prod_notified = self.prod;
            }
            Op::ArmSpace { need } => {
                let need = u64::from(need).min(self.size);
                let free = ring
                    .producer
                    .arm_space(need as u32)
                    .expect("an honest peer");
                assert_eq!(free, self.free() >= need);
                self.cons_event = (self.prod + need).saturating_sub(self.size);
            }
            Op::Pop { release } => self.pop(ring, release),
            Op::Publish => {
                ring.consumer.publish();
                self.published = self.cons;
            }
            Op::ConsumerKick => {
                let crossed =
                    self.cons_notified < self.cons_event && self.cons_event <= self.published;
                assert_eq!(ring.consumer.should_kick(), crossed);
                self.cons_notified = self.published;
            }
            Op::Arm => {
                let more = ring.consumer.arm().expect("an honest peer");
                assert_eq!(more, !self.frames.is_empty());
                self.prod_event = self.cons + 1;
            }
            Op::Disarm => {
                ring.consumer.disarm();
                self.prod_event = self.cons + (1 << 31);
            }
            Op::Look => {
                let ready = ring.consumer.ready().expect("an honest peer");
                assert_eq!(ready, !self.frames.is_empty());
            }
            Op::Recall => self.recall(ring),
        }
        assert_eq!(ring.producer.produced(), self.prod as u32);
        assert_eq!(ring.consumer.consumed(), self.cons as u32);
        assert_eq!(ring.producer.free(), Ok(self.free() as u32));
        assert_eq!(
            ring.producer.pending(),
            Ok((self.size - self.free()) as u32)
        );
    }
}

fn ring(size: u32, number: usize) -> Ring {
    let (producer, consumer) = Channel::new(size).ends(number);
    Ring { producer, consumer }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_ring_is_a_queue(
        shift in prop_oneof![Just(12u32), Just(13), Just(17), Just(18)],
        number in 0usize..2,
        ops in vec(op(), 1..200),
    ) {
        let mut ring = ring(1 << shift, number);
        let mut model = Model::starting_at(0, 1 << shift);
        for op in ops {
            model.apply(&mut ring, op);
        }
    }
}

#[test]
fn a_ring_is_a_queue_where_the_counts_wrap() {
    // The smallest ring that takes the largest frame, driven close to 2^32 without copying.
    let size = 1 << 17;
    let mut ring = ring(size, 0);
    let largest = header(MAX_FRAME_LEN, 0);
    let step = u64::from(record_size(MAX_FRAME_LEN));
    let mut count = 0;
    while count + step < 1 << 32 {
        let pushed = ring
            .producer
            .push(&largest, |_, _| Ok::<(), Infallible>(()));
        assert_eq!(pushed, Ok(()));
        let record = ring
            .consumer
            .next()
            .expect("an honest peer")
            .expect("just pushed");
        ring.consumer.release(record);
        ring.consumer.publish();
        count += step;
    }
    ring.producer.should_kick();
    ring.consumer.should_kick();

    let mut model = Model::starting_at(count, size);
    for len in [60_000, 14, 1514, MAX_FRAME_LEN, 9000].repeat(8) {
        for op in [
            Op::Arm,
            Op::ArmSpace { need: size },
            Op::Push {
                len,
                virtio: 0x0123_4567_89ab_cdef,
            },
            Op::ProducerKick,
            Op::Pop { release: true },
            Op::Publish,
            Op::ConsumerKick,
        ] {
            model.apply(&mut ring, op);
        }
    }
    assert!(model.prod > 1 << 32, "the counts did wrap");
}

#[test]
fn a_record_is_released_once() {
    let mut ring = ring(4096, 0);
    let mut model = Model::starting_at(0, 4096);
    for _ in 0..2 {
        model.push(&mut ring, header(100, 0));
    }
    let first = ring.consumer.next().expect("honest").expect("pushed");
    let again = ring.consumer.next().expect("honest").expect("still there");
    ring.consumer.release(first);
    ring.consumer.release(again);
    assert_eq!(ring.consumer.consumed(), record_size(100));
}

#[test]
fn two_threads_pass_every_frame() {
    // A kick is a token in a channel of one, as an event channel is one pending bit.
    const FRAMES: u32 = 20_000;
    let patience = Duration::from_secs(60);
    let memory = Channel::new(1 << 17);
    let (mut producer, mut consumer) = memory.ends(1);
    let (kick_consumer, consumer_kicked) = sync_channel(1);
    let (kick_producer, producer_kicked) = sync_channel(1);
    let len = |serial: u32| 14 + serial.wrapping_mul(2_654_435_761) % 40_000;

    let sender = thread::spawn(move || {
        for serial in 0..FRAMES {
            let header = header(len(serial), serial.into());
            let bytes = [serial as u8; 4096];
            loop {
                let pushed = producer.push(&header, |_, chunk| {
                    chunk.copy_from(&bytes);
                    Ok::<(), Infallible>(())
                });
                match pushed {
                    Ok(()) => break,
                    Err(PushError::Full) => {}
                    Err(error) => panic!("{error:?}"),
                }
                let need = record_size(header.len);
                if !producer.arm_space(need).expect("an honest peer") {
                    producer_kicked
                        .recv_timeout(patience)
                        .expect("a lost wake-up");
                }
            }
            if producer.should_kick() {
                let _ = kick_consumer.try_send(());
            }
        }
        // Kicks of the consumer are still taken, until it ends.
        producer_kicked
    });
    let mut received = 0;
    while received < FRAMES {
        let empty = match consumer.next().expect("an honest peer") {
            None => true,
            Some(record) => {
                assert_eq!(*record.header(), header(len(received), received.into()));
                let copied = consumer.payload(&record, 0, record.header().len, |_, chunk| {
                    let mut copy = [0; 4096];
                    let n = chunk.copy_to(&mut copy);
                    assert!(copy[..n].iter().all(|byte| *byte == received as u8), "torn");
                    Ok::<(), Infallible>(())
                });
                let Ok(()) = copied;
                consumer.release(record);
                received += 1;
                false
            }
        };
        if empty || received % 8 == 0 {
            consumer.publish();
            if consumer.should_kick() {
                let _ = kick_producer.try_send(());
            }
        }
        if empty && !consumer.arm().expect("an honest peer") {
            consumer_kicked
                .recv_timeout(patience)
                .expect("a lost wake-up");
        }
    }
    sender.join().expect("the producer ends");
}
