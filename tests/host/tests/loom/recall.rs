// SPDX-License-Identifier: GPL-2.0

//! A producer takes back what a consumer has left, which may be just about to take it.

use std::convert::Infallible;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::Arc;
use loom::thread;
use xlnet_proto::fifo::{Consumer, Producer};

use super::ring::{frame, header, Flaw, Handle, Ring, LEN};

/// Sends `frames` frames, and takes them back. Returns the numbers of those that were there.
fn send_and_recall(ring: &Arc<Ring>, recalled: &AtomicBool, frames: u8) -> Vec<u8> {
    let mut producer = Producer::new(Handle::producer(ring));
    for serial in 1..=frames {
        let pushed = producer.push(&header(serial), |offset, chunk| {
            chunk.copy_from(&frame(serial)[offset as usize..]);
            Ok::<(), Infallible>(())
        });
        assert_eq!(pushed, Ok(()), "the ring holds them all");
    }
    recalled.store(true, Ordering::Release);
    ring.recall();
    let mut recalled = Vec::new();
    let done = producer.recall(|mem, record| {
        let mut copy = [0; LEN as usize];
        let copied = record.payload(mem, 0, LEN, |offset, chunk| {
            chunk.copy_to(&mut copy[offset as usize..]);
            Ok::<(), Infallible>(())
        });
        let Ok(()) = copied;
        assert_eq!(copy, frame(copy[0]), "a torn record");
        recalled.push(copy[0]);
    });
    assert_eq!(done, Ok(()));
    recalled
}

/// Takes frames until the ring is empty or the sender has recalled, and passes a barrier after each. Returns their numbers.
fn receive(ring: &Arc<Ring>, recalled: &AtomicBool) -> Vec<u8> {
    let mut consumer = Consumer::new(Handle::consumer(ring));
    let mut received = Vec::new();
    while !recalled.load(Ordering::Acquire) {
        let Some(record) = consumer.next().expect("an honest peer") else {
            break;
        };
        let serial = u8::try_from(record.header().virtio.hdr_len).expect("a number");
        received.push(serial);
        consumer.release(record);
        consumer.publish();
        consumer.should_kick();
    }
    received
}

fn run(frames: u8) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let ring = Ring::of_records(frames.into(), Flaw::None);
        // The producer's state word.
        let state = Arc::new(AtomicBool::new(false));
        let (rings, states) = (ring.clone(), state.clone());
        let sender = thread::spawn(move || send_and_recall(&rings, &states, frames));
        let received = receive(&ring, &state);
        let recalled = sender.join().expect("the producer ends");
        for serial in 1..=frames {
            assert!(
                received.contains(&serial) || recalled.contains(&serial),
                "{serial} is lost"
            );
        }
        let twice = received.iter().filter(|serial| recalled.contains(serial));
        assert!(twice.count() <= 1, "{received:?} and {recalled:?}");
    });
}

#[test]
fn no_frame_is_lost_and_one_at_most_comes_twice() {
    for frames in 1..=3 {
        run(frames);
    }
}
