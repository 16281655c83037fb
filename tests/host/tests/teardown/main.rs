// SPDX-License-Identifier: GPL-2.0

//! Interleavings of what makes and ends a channel with transmission, the interrupt, the poll and the
//! peer: no frame is lost, none comes twice but one that the peer was just taking, and nothing is
//! touched that was given up.
//!
//! What is under test is the driver's own: its files are linked into this folder. They find here, under
//! the names they know, the little of the kernel and of Xen that they use.
//!
//! Not here: the watch, and frames that may lie for a while, both of which hang on time.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p xlnet-host-tests --release --test teardown`.

#![cfg(loom)]
// For `pin_init!` of a structure with many fields.
#![recursion_limit = "512"]

extern crate self as kernel;

mod bed;
mod bindings;
mod guest;
mod linux;
mod net;
mod peer;
#[allow(dead_code, reason = "the tests use a part of it")]
#[path = "../loom/ring.rs"]
mod ring;
mod rx;
mod shared;
mod stats;
#[allow(dead_code, reason = "the tests use a part of it")]
mod tx;
mod xen;

use std::cell::Cell;

use linux::{ffi, prelude, sync, time};
use xlnet_proto as proto;

use bed::{Bed, Kind, Link, OTHER_QUEUE};
use guest::Then;
use loom::thread;
use prelude::GFP_KERNEL;
use proto::layout::Role;
use shared::FOREIGN;
use sync::Arc;
use xen::evtchn::{self, BoundChannel, Handler, Line};

/// The frame that the peer sends.
const ANSWER: &[u8] = &[100];

/// A handler that leaves the end of its interrupt to others.
struct Owing {
    line: Line,
    owes: Cell<bool>,
}

impl Default for Owing {
    fn default() -> Self {
        Self {
            line: Line::new(),
            owes: Cell::new(false),
        }
    }
}

impl Handler for Owing {
    fn line(&self) -> &Line {
        &self.line
    }

    fn handle(&self) {
        self.owes.set(true);
    }
}

/// Has every interleaving pass that has no more than so many preemptions: as many as there is time for.
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    // Some interleavings are longer than loom expects of any.
    builder.max_branches = 10_000;
    builder.check(model);
}

/// Has `end` end a channel while the stack sends, to a peer that takes nothing.
fn end_under_transmission(sent: &'static [u8], end: impl Fn(&Bed, Link) + Sync + Send + 'static) {
    check(3, move || {
        let (bed, link) = Bed::opened(Role::Listener);
        let stack = bed.start_stack(sent, Kind::Ip, None);
        end(&bed, link);
        stack.join().expect("the stack ends");
        bed.judge(sent, &[], false);
    });
}

#[test]
fn a_recall_takes_back_what_is_being_sent() {
    end_under_transmission(&[1, 2], Bed::recall);
}

#[test]
fn a_recall_wakes_a_queue_that_waits_for_space() {
    end_under_transmission(&[1, 2, 3], Bed::recall);
}

#[test]
#[should_panic(expected = "a frame is sent after the recall")]
fn frames_let_in_after_a_recall_would_be_lost() {
    end_under_transmission(&[1], Bed::recall_at_once);
}

#[test]
#[should_panic(expected = "memory is touched that was given up")]
fn memory_given_up_before_the_channel_would_be_touched() {
    end_under_transmission(&[1], Bed::unmap);
}

#[test]
fn a_recall_takes_back_what_another_queue_sends() {
    check(2, || {
        let (bed, link) = Bed::opened(Role::Listener);
        let stack = bed.start_stack(&[1, 2], Kind::Ip, None);
        let other = bed.start_stack(&[3], Kind::Ip, Some(OTHER_QUEUE));
        bed.recall(link);
        stack.join().expect("the stack ends");
        other.join().expect("the stack ends");
        bed.judge(&[1, 2, 3], &[], false);
    });
}

#[test]
fn a_frame_that_waits_for_the_channel_gets_into_it() {
    check(3, || {
        let bed = Bed::new(Role::Listener);
        let link = bed.link();
        let stack = bed.start_stack(&[1, 2], Kind::Other, None);
        bed.open();
        stack.join().expect("the stack ends");
        bed.begin_drain();
        let seen = guest::run(&bed.memory(), Role::Connector, ANSWER, Then::Take);
        bed.end_drain(link);
        bed.judge(&[1, 2], &seen.arrived, false);
    });
}

#[test]
fn a_frame_that_finds_the_channel_closed_waits_for_the_next() {
    check(3, || {
        let (bed, link) = Bed::opened(Role::Listener);
        let stack = bed.start_stack(&[1], Kind::Other, None);
        bed.begin_drain();
        stack.join().expect("the stack ends");
        let seen = guest::run(&bed.memory(), Role::Connector, ANSWER, Then::Take);
        bed.end_drain(link);
        let held = bed.held();
        bed.judge(&[1], &[seen.arrived, held].concat(), false);
    });
}

/// Drains a channel while the peer does, which sends a frame and takes one.
fn drain_under_interrupts(role: Role) {
    check(2, move || {
        let (bed, link) = Bed::opened(role);
        bed.send(&[1], Kind::Ip, None);
        let peer = guest::start(&bed, role.other(), ANSWER, Then::Take);
        bed.begin_drain();
        bed.end_drain(link);
        let seen = peer.join().expect("the peer ends");
        assert_eq!(bed.delivered(), ANSWER);
        bed.judge(&[1], &seen.arrived, false);
    });
}

#[test]
fn a_listener_drains() {
    drain_under_interrupts(Role::Listener);
}

#[test]
fn a_connector_drains() {
    drain_under_interrupts(Role::Connector);
}

#[test]
fn a_recall_waits_for_interrupt_and_poll() {
    check(2, || {
        let (bed, link) = Bed::opened(Role::Listener);
        bed.send(&[1], Kind::Ip, None);
        let peer = guest::start(&bed, Role::Connector, ANSWER, Then::Take);
        bed.recall(link);
        let seen = peer.join().expect("the peer ends");
        bed.judge(&[1], &seen.arrived, true);
    });
}

#[test]
fn what_a_peer_takes_back_is_not_lost() {
    check(2, || {
        let (bed, link) = Bed::opened(Role::Listener);
        let peer = guest::start(&bed, Role::Connector, &[101, 102], Then::Recall);
        bed.recall(link);
        let seen = peer.join().expect("the peer ends");
        let mut answers = [seen.recalled, bed.delivered()].concat();
        answers.sort_unstable();
        // What was just being taken may come twice.
        let all = answers.len();
        answers.dedup();
        assert_eq!(answers, [101, 102]);
        assert!(all <= answers.len() + 1, "more than one comes twice");
        bed.judge(&[], &[], false);
    });
}

#[test]
fn a_frame_of_the_peer_is_delivered_while_we_sleep() {
    check(3, || {
        let (bed, link) = Bed::opened(Role::Listener);
        let peer = guest::start(&bed, Role::Connector, ANSWER, Then::Rest);
        bed.await_delivery();
        peer.join().expect("the peer ends");
        bed.recall(link);
        bed.judge(&[], &[], false);
    });
}

#[test]
fn an_event_that_comes_before_it_can_be_handled_is_not_lost() {
    check(2, || {
        let bed = Bed::new(Role::Listener);
        let peer = guest::start(&bed, Role::Connector, ANSWER, Then::Take);
        let link = bed.link();
        bed.open();
        bed.begin_drain();
        bed.end_drain(link);
        peer.join().expect("the peer ends");
        assert_eq!(bed.delivered(), ANSWER);
        bed.judge(&[], &[], false);
    });
}

#[test]
fn an_interrupt_that_is_given_up_is_not_ended() {
    check(4, || {
        let handler = Arc::new(Owing::default(), GFP_KERNEL).expect("memory");
        let bound = BoundChannel::new(&handler);
        let ends = thread::spawn(move || {
            evtchn::raise();
            if handler.owes.get() {
                handler.line.eoi(false);
            }
        });
        drop(bound);
        ends.join().expect("it is ended, or not");
    });
}

#[test]
fn what_the_peer_does_not_get_goes_by_the_uplink() {
    check(2, || {
        let (bed, link) = Bed::opened(Role::Listener);
        let stack = bed.start_stack(&[1, 2], Kind::Ip, None);
        let peer = guest::start(&bed, Role::Connector, ANSWER, Then::Take);
        bed.recall(link);
        stack.join().expect("the stack ends");
        let seen = peer.join().expect("the peer ends");
        bed.judge(&[1, 2], &seen.arrived, true);
    });
}

#[test]
fn a_frame_is_told_of_whose_successor_goes_another_way() {
    check(2, || {
        let (bed, link) = Bed::opened(Role::Listener);
        let peer = guest::start(&bed, Role::Connector, &[], Then::Take);
        bed.send_at_once(&[1, FOREIGN]);
        bed.await_taken();
        bed.begin_drain();
        bed.end_drain(link);
        let seen = peer.join().expect("the peer ends");
        assert_eq!(seen.arrived, [1]);
        bed.judge(&[1, FOREIGN], &seen.arrived, false);
    });
}

#[test]
fn a_queue_that_waits_for_space_is_woken_by_the_peer() {
    check(1, || {
        let (bed, link) = Bed::opened(Role::Listener);
        let stack = bed.start_stack(&[1, 2, 3], Kind::Ip, None);
        let peer = guest::start(&bed, Role::Connector, ANSWER, Then::Take);
        stack.join().expect("the stack ends");
        bed.begin_drain();
        bed.end_drain(link);
        let seen = peer.join().expect("the peer ends");
        assert_eq!(seen.arrived, [1, 2, 3]);
        bed.judge(&[1, 2, 3], &seen.arrived, false);
    });
}
