// SPDX-License-Identifier: GPL-2.0

//! The transmit side of a channel: frames into the FIFO, and a queue that waits for space in it.
//!
//! A frame is complete when it is copied. Completing it when the peer has consumed it was tried, so
//! that TCP would gather more of what it sends: the events that tell cost more than that saved.

use super::{
    moderation::Sender,
    Channel,
    SHARED_QUEUE, //
};
use crate::{
    net::{
        napi::with_bh_disabled,
        ops::UPLINK_QUEUE,
        skb::SkBuff, //
    },
    proto::{
        fault::PeerFault,
        fifo::{
            Producer,
            PushError, //
        },
        frame::MAX_FRAME_LEN,
        layout::{
            record_size,
            ChannelState,
            RecordHeader, //
        },
    },
    xen::memory::Ring,
};
use kernel::sync::{
    atomic::Relaxed,
    Arc, //
};

/// Space a queue keeps in hand before it stops: the largest frame always fits a running queue.
const HEADROOM: u32 = record_size(MAX_FRAME_LEN);

/// The transmit side.
pub(super) struct Tx {
    pub(super) producer: Producer<Ring>,
    /// Frames may be put in.
    open: bool,
    sender: Sender,
    /// The peer may take its time with the last frame.
    unhurried: bool,
}

impl Tx {
    /// Makes one that takes no frames yet.
    pub(super) fn new(ring: Ring) -> Self {
        Self {
            producer: Producer::new(ring),
            open: false,
            sender: Sender::new(),
            unhurried: false,
        }
    }

    /// Space for which a stopped queue waits. Were it woken as soon as the next frame fits, each frame
    /// would take an event there and one back.
    fn enough(&self) -> u32 {
        HEADROOM.max(self.producer.size() / 2)
    }
}

/// What became of a frame.
pub(crate) enum Sent {
    /// It is in the FIFO.
    Queued,
    /// It is handed back: the channel takes no frames, or has no room for this one.
    Refused(SkBuff),
}

impl Channel {
    /// Says that we are ready, and has the peer's frames go this way. Those that waited for it are the
    /// caller's to put in. Only the control task; process context, sleeps.
    pub(crate) fn start_sending(this: &Arc<Self>) {
        this.say(ChannelState::Ready);
        with_bh_disabled(|| this.tx.lock().open = true);
        drop(this.peer.channel.replace(Some(this.clone())));
        this.peer.set_queue(this.queue);
    }

    /// Has new frames go elsewhere; those that the stack has queued are woken to find that out. Only the
    /// control task; process context.
    pub(crate) fn stop_sending(&self) {
        // First, so that a frame which finds the channel closed may wait for the next.
        with_bh_disabled(|| self.peer.hold.lock().set_open(true));
        with_bh_disabled(|| self.tx.lock().open = false);
        self.end_watch();
        self.peer.set_queue(UPLINK_QUEUE);
        self.dev.wake_queue(self.queue);
    }

    /// Whether the peer has consumed all that we have produced. Bottom halves disabled.
    pub(crate) fn tx_empty(&self) -> bool {
        match self.tx.lock().producer.pending() {
            Ok(pending) => pending == 0,
            Err(fault) => {
                self.set_fault(fault);
                true
            }
        }
    }

    /// How many bytes the peer has consumed, modulo 2^32, and whether there are more for it. Bottom
    /// halves disabled.
    pub(crate) fn progress(&self) -> (u32, bool) {
        let mut tx = self.tx.lock();
        // A fault is found again by whoever sends or polls.
        let more = tx.producer.pending().is_ok_and(|pending| pending != 0);
        (tx.producer.consumed(), more)
    }

    /// Puts a frame into the FIFO. Bottom halves disabled.
    ///
    /// `queue` is the transmit queue that sends it, which is stopped when no further frame is sure
    /// to fit; `more` says that another frame follows at once, which will kick for this one too.
    pub(crate) fn send(&self, skb: SkBuff, queue: u16, more: bool) -> Sent {
        let mut tx = self.tx.lock();
        let pushed = self.push(&mut tx, &skb);
        let ours = queue == self.queue;
        // Also where another queue's frame has filled it: what this queue sends next has to fit.
        let stopped = pushed && self.stop_if_full(&mut tx);
        // The promise of another frame binds only this queue, which runs on; and only a frame that gets
        // in keeps the promise.
        let another = more && ours && queue != SHARED_QUEUE && pushed && !stopped;
        let asked = !another && tx.producer.should_kick();
        // Who let the peer take its time waits for it now.
        let kick = asked || (stopped && tx.unhurried);
        drop(tx);
        // Before the event, which takes a while.
        if pushed {
            skb.tx_timestamp();
        }
        if kick {
            self.kick_counted();
        }
        if !pushed {
            return Sent::Refused(skb);
        }
        skb.consume();
        Sent::Queued
    }

    /// Kicks for what was put in with the promise of another frame, as that goes another way. Bottom halves
    /// disabled.
    pub(crate) fn kick_if_asked(&self) {
        let asked = self.tx.lock().producer.should_kick();
        if asked {
            self.kick_counted();
        }
    }

    /// Copies a frame into the FIFO; false if it does not go in.
    fn push(&self, tx: &mut Tx, skb: &SkBuff) -> bool {
        let Ok(virtio) = skb.virtio_header() else {
            return false;
        };
        if !tx.open {
            return false;
        }
        let header = RecordHeader {
            len: skb.len(),
            unhurried: tx.sender.note(self.answered.load(Relaxed) != 0),
            virtio,
        };
        let pushed = tx
            .producer
            .push(&header, |offset, chunk| skb.copy_to(offset, &chunk));
        match pushed {
            Ok(()) => {
                self.peer.stats.tx_frames.add(1);
                self.peer.stats.tx_bytes.add(header.len.into());
                self.active.store(1, Relaxed);
                self.answered.store(0, Relaxed);
                tx.unhurried = header.unhurried;
                true
            }
            Err(PushError::Fault(fault)) => {
                self.fail(tx, fault);
                false
            }
            Err(_) => false,
        }
    }

    /// Stops the channel's queue if the largest frame would not fit; true if it is stopped.
    fn stop_if_full(&self, tx: &mut Tx) -> bool {
        if tx.producer.free().is_ok_and(|free| free >= HEADROOM) {
            return false;
        }
        self.dev.stop_queue(self.queue);
        self.peer.stats.tx_full.add(1);
        !self.wake_or_wait(tx)
    }

    /// Lets the stopped queue run again if there is enough space, or sees to it that the peer or the
    /// watch tells when there is; true if it runs.
    fn wake_or_wait(&self, tx: &mut Tx) -> bool {
        let need = tx.enough();
        let free = tx.producer.free();
        let space = match free {
            Ok(free) if free >= need => Ok(true),
            Ok(_) if self.is_watched() => Ok(false),
            Ok(_) => tx.producer.arm_space(need),
            Err(fault) => Err(fault),
        };
        match space {
            Ok(false) => return false,
            Ok(true) => {}
            Err(fault) => self.fail(tx, fault),
        }
        self.dev.wake_queue(self.queue);
        true
    }

    /// Lets no more frames in, because of `fault`.
    fn fail(&self, tx: &mut Tx, fault: PeerFault) {
        tx.open = false;
        self.set_fault(fault);
    }

    /// Lets a stopped queue run again if there is space; true if it did. Bottom halves disabled.
    pub(super) fn look_at_space(&self) -> bool {
        self.dev.queue_stopped(self.queue) && self.wake_or_wait(&mut self.tx.lock())
    }

    /// Whether there is space that a stopped queue waits for. Bottom halves disabled.
    pub(super) fn has_space(&self) -> bool {
        if !self.dev.queue_stopped(self.queue) {
            return false;
        }
        let mut tx = self.tx.lock();
        let need = tx.enough();
        // The poll finds a fault again and deals with it.
        tx.producer.free().map_or(true, |free| free >= need)
    }
}
