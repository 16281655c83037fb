// SPDX-License-Identifier: GPL-2.0

//! The peer: another guest, which keeps to the protocol.

use loom::thread::{self, JoinHandle};

use crate::bed::{Bed, LEN};
use crate::net::skb::SkBuff;
use crate::proto::fifo::{Consumer, Producer};
use crate::proto::frame::Mac;
use crate::proto::layout::{ChannelState, RecordHeader, Role, VirtioNetHdr};
use crate::xen::evtchn;
use crate::xen::memory::{Memory, Ring};

/// What the peer does when it has sent its frames.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Then {
    /// It takes what comes, until it knows that there is no more.
    Take,
    /// It takes back of its own what we have not taken.
    Recall,
    /// Nothing.
    Rest,
}

/// What became of frames: the numbers of ours that arrived, and of the peer's that it has taken back.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) arrived: Vec<u8>,
    pub(crate) recalled: Vec<u8>,
}

/// Runs the peer in a thread.
pub(crate) fn start(bed: &Bed, role: Role, frames: &'static [u8], then: Then) -> JoinHandle<Seen> {
    let memory = bed.memory();
    thread::spawn(move || run(&memory, role, frames, then))
}

/// Runs the peer, which sends the frames with these numbers.
pub(crate) fn run(memory: &Memory, role: Role, frames: &[u8], then: Then) -> Seen {
    let (tx, rx) = memory.rings_of(role);
    let mut producer = Producer::new(tx);
    for serial in frames {
        send(&mut producer, *serial);
    }
    let say = |state| {
        memory.control().set_state(role, state);
        evtchn::raise();
    };
    let mut seen = Seen::default();
    match then {
        Then::Take => {
            say(ChannelState::Closing);
            seen.arrived = take_all(memory, role, rx);
            if role == Role::Connector {
                say(ChannelState::Gone);
            }
            memory.unmap(role);
        }
        Then::Recall => {
            say(ChannelState::Recalled);
            seen.recalled = take_back(&mut producer);
            memory.unmap(role);
        }
        Then::Rest => {}
    }
    seen
}

fn send(producer: &mut Producer<Ring>, serial: u8) {
    let frame = SkBuff::frame(&Mac([0; 6]), 0, serial, LEN);
    let header = RecordHeader {
        len: LEN,
        unhurried: false,
        virtio: VirtioNetHdr::default(),
    };
    let pushed = producer.push(&header, |offset, chunk| frame.copy_to(offset, &chunk));
    assert!(pushed.is_ok(), "the ring holds them all");
    if producer.should_kick() {
        evtchn::raise();
    }
}

fn take_back(producer: &mut Producer<Ring>) -> Vec<u8> {
    let mut frames = Vec::new();
    let recalled = producer.recall(|ring, record| {
        let mut skb = SkBuff::empty(record.header().len);
        let copied = record.payload(ring, 0, skb.len(), |offset, chunk| {
            skb.copy_from(offset, &chunk)
        });
        assert!(copied.is_ok());
        frames.push(skb.serial());
    });
    assert_eq!(recalled, Ok(()));
    frames
}

/// Takes frames until there are no more to come, which a connector knows when we close, and a listener
/// when we are gone.
fn take_all(memory: &Memory, role: Role, ring: Ring) -> Vec<u8> {
    let last = match role {
        Role::Connector => ChannelState::Closing,
        Role::Listener => ChannelState::Gone,
    };
    let mut consumer = Consumer::new(ring);
    let mut arrived = Vec::new();
    loop {
        let state = memory.control().peer_state(role).expect("a known state");
        if state == ChannelState::Recalled {
            return arrived;
        }
        let Some(record) = consumer.next().expect("an honest peer") else {
            if state == last {
                return arrived;
            }
            if !consumer.arm().expect("an honest peer") {
                evtchn::await_event();
            }
            continue;
        };
        let mut skb = SkBuff::empty(record.header().len);
        let copied = consumer.payload(&record, 0, skb.len(), |offset, chunk| {
            skb.copy_from(offset, &chunk)
        });
        assert!(copied.is_ok());
        arrived.push(skb.serial());
        consumer.release(record);
        consumer.publish();
        if consumer.should_kick() {
            evtchn::raise();
        }
    }
}
