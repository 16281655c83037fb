// SPDX-License-Identifier: GPL-2.0

//! Every interleaving of a producer and a consumer under the C11 memory model: no wake-up is lost
//! in either direction, and no record is read before it is written or overwritten before it is
//! read.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p xlnet-host-tests --release --test loom`.

#![cfg(loom)]

mod recall;
mod ring;

use std::convert::Infallible;
use std::env;
use std::process::Command;

use loom::sync::{Arc, Notify};
use loom::thread;
use xlnet_proto::fifo::{Consumer, Producer, PushError};
use xlnet_proto::layout::record_size;

use ring::{frame, header, Flaw, Handle, Ring, LEN};

/// A ring, and the event channel of each end.
struct Link {
    ring: Arc<Ring>,
    to_consumer: Notify,
    to_producer: Notify,
}

fn send(link: &Link, frames: u8) {
    let mut producer = Producer::new(Handle::producer(&link.ring));
    for serial in 1..=frames {
        loop {
            let pushed = producer.push(&header(serial), |offset, chunk| {
                chunk.copy_from(&frame(serial)[offset as usize..]);
                Ok::<(), Infallible>(())
            });
            match pushed {
                Ok(()) => break,
                Err(PushError::Full) => {}
                Err(error) => panic!("{error:?}"),
            }
            if !producer
                .arm_space(record_size(LEN))
                .expect("an honest peer")
            {
                link.to_producer.wait();
            }
        }
        if producer.should_kick() {
            link.to_consumer.notify();
        }
    }
}

/// How a consumer waits for the next record.
#[derive(Clone, Copy, PartialEq)]
enum Wait {
    /// It arms and sleeps.
    Sleep,
    /// It disarms and looks once, then arms and sleeps.
    Watch,
}

/// Receives `frames` frames, and publishes after every `batch`.
fn receive(link: &Link, frames: u8, batch: u8, wait: Wait) {
    let mut consumer = Consumer::new(Handle::consumer(&link.ring));
    let mut received = 0;
    while received < frames {
        let record = consumer.next().expect("an honest peer");
        let empty = record.is_none();
        if let Some(record) = record {
            received += 1;
            assert_eq!(record.header().virtio.hdr_len, received.into());
            let mut copy = [0; LEN as usize];
            let copied = consumer.payload(&record, 0, LEN, |offset, chunk| {
                chunk.copy_to(&mut copy[offset as usize..]);
                Ok::<(), Infallible>(())
            });
            let Ok(()) = copied;
            assert_eq!(copy, frame(received), "a torn record");
            consumer.release(record);
        }
        if empty || received % batch == 0 {
            consumer.publish();
            if consumer.should_kick() {
                link.to_producer.notify();
            }
        }
        if !empty {
            continue;
        }
        if wait == Wait::Watch {
            consumer.disarm();
            if consumer.ready().expect("an honest peer") {
                continue;
            }
        }
        if !consumer.arm().expect("an honest peer") {
            link.to_consumer.wait();
        }
    }
}

/// Runs `frames` frames through a ring that holds `records` of them. A lost wake-up is a deadlock,
/// which loom reports.
fn run(records: u32, frames: u8, batch: u8, preemptions: Option<usize>, flaw: Flaw) {
    run_waiting(Wait::Sleep, records, frames, batch, preemptions, flaw);
}

fn run_waiting(
    wait: Wait,
    records: u32,
    frames: u8,
    batch: u8,
    preemptions: Option<usize>,
    flaw: Flaw,
) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.check(move || {
        let link = Arc::new(Link {
            ring: Ring::of_records(records, flaw),
            to_consumer: Notify::new(),
            to_producer: Notify::new(),
        });
        let producer = link.clone();
        let sender = thread::spawn(move || send(&producer, frames));
        receive(&link, frames, batch, wait);
        sender.join().expect("the producer ends");
    });
}

#[test]
fn a_ring_of_one_record_passes_two() {
    run(1, 2, 1, Some(5), Flaw::None);
}

#[test]
fn a_ring_of_one_record_passes_four() {
    run(1, 4, 1, Some(3), Flaw::None);
}

#[test]
fn a_ring_of_two_records_passes_three() {
    run(2, 3, 1, Some(3), Flaw::None);
}

#[test]
fn records_released_together_pass() {
    run(2, 4, 2, Some(3), Flaw::None);
}

#[test]
fn a_consumer_that_watches_before_it_sleeps_is_woken() {
    run_waiting(Wait::Watch, 2, 3, 1, Some(3), Flaw::None);
}

#[test]
fn without_barriers_a_wake_up_is_lost() {
    // loom ends the process where it finds a deadlock.
    let output = Command::new(env::current_exe().expect("this program"))
        .args(["--ignored", "--exact", "--nocapture", "flaw_barrier"])
        .output()
        .expect("starting this program once more");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && stderr.contains("deadlock"),
        "{stderr}"
    );
}

#[test]
#[ignore = "fails, as another test expects"]
fn flaw_barrier() {
    run(1, 2, 1, None, Flaw::Barrier);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn without_release_a_record_is_torn() {
    run(1, 1, 1, None, Flaw::Release);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn without_acquire_a_record_is_torn() {
    run(1, 1, 1, None, Flaw::Acquire);
}
