// SPDX-License-Identifier: GPL-2.0

//! One channel: both rings, the event channel and the poll of a standing connection to a peer.
//!
//! The transmit side is entered from any transmit queue, so it has a lock; frames of the peer's own
//! queue find it free, but broadcasts come from others. The receive side is only entered by the
//! poll and, to see whether it is empty, by the control task.

mod moderation;
mod recall;
mod receive;
mod send;
mod watch;

pub(crate) use send::Sent;

use crate::{
    net::{
        device::Device,
        napi::{
            Completed,
            Napi,
            Poll,
            Turn, //
        },
        ops::TX_QUEUES,
        work, //
    },
    peer::Peer,
    proto::{
        fault::PeerFault,
        layout::{
            ChannelState,
            Role, //
        },
    },
    rx::Rx,
    shared::Shared,
    xen::{
        evtchn::{
            Handler,
            Line, //
        },
        memory::Memory,
    },
};
use moderation::DELAY_EVENTS;
use send::Tx;
use watch::Pace;

use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        new_spinlock,
        Arc,
        SpinLock, //
    },
};

/// The queue that channels share when there are more of them than queues.
pub(crate) const SHARED_QUEUE: u16 = TX_QUEUES - 1;

/// A channel to a peer.
#[pin_data]
pub(crate) struct Channel {
    #[pin]
    napi: Napi<Self>,
    #[pin]
    tx: SpinLock<Tx>,
    #[pin]
    rx: SpinLock<Rx>,
    line: Line,
    memory: Arc<Memory>,
    /// Our role.
    pub(crate) role: Role,
    /// Its transmit and receive queue.
    pub(crate) queue: u16,
    /// Whose it is.
    pub(crate) peer: Arc<Peer>,
    shared: Arc<Shared>,
    dev: ARef<Device>,
    /// The state word of the peer as the poll last saw it.
    seen: Atomic<u32>,
    /// 1 + index of the fault that was found; 0 if none.
    fault: Atomic<u32>,
    /// The peer has sent something that may be an answer to our last frame.
    answered: Atomic<u32>,
    /// Frames passed since the control task looked.
    active: Atomic<u32>,
    /// The watch looks for work.
    watched: Atomic<u32>,
    /// The watch may look.
    watchable: Atomic<u32>,
    /// An interrupt has come whose end was not said yet.
    owed: Atomic<u32>,
    /// The poll has found something since an interrupt was ended.
    worked: Atomic<u32>,
    pace: Pace,
}

impl Channel {
    /// Makes a channel of shared memory that no event channel announces yet. Process context.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or `EINVAL` if the memory does not make two rings.
    pub(crate) fn new(
        shared: Arc<Shared>,
        dev: &Device,
        peer: Arc<Peer>,
        memory: Arc<Memory>,
        role: Role,
        queue: u16,
    ) -> Result<Arc<Self>> {
        let (tx, rx) = Memory::rings(&memory, role)?;
        let tx = Tx::new(tx);
        let rx = Rx::new(dev, rx)?;
        Arc::pin_init(
            pin_init!(Self {
                napi <- Napi::new(),
                tx <- new_spinlock!(tx, "xlnet_tx"),
                rx <- new_spinlock!(rx, "xlnet_rx"),
                line: Line::new(),
                memory,
                role,
                queue,
                peer,
                shared,
                dev: dev.into(),
                seen: Atomic::new(ChannelState::SettingUp as u32),
                fault: Atomic::new(0),
                answered: Atomic::new(0),
                active: Atomic::new(1),
                watched: Atomic::new(0),
                watchable: Atomic::new(1),
                owed: Atomic::new(0),
                worked: Atomic::new(0),
                pace: Pace::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// Sends an event to the peer, whatever it asked for.
    pub(crate) fn kick(&self) {
        self.line.kick();
    }

    /// Sends an event that the peer asked for.
    fn kick_counted(&self) {
        self.peer.stats.kicks.add_shared(1);
        self.shared.event_cost.measure(|| self.kick());
    }

    /// Writes our state word and tells the peer.
    pub(crate) fn say(&self, state: ChannelState) {
        self.memory.control().set_state(self.role, state);
        self.kick();
    }

    /// The peer's state word.
    pub(crate) fn peer_state(&self) -> core::result::Result<ChannelState, PeerFault> {
        self.memory.control().peer_state(self.role)
    }

    /// Has the poll look for frames, state and space.
    pub(crate) fn schedule(&self) {
        self.napi.schedule();
    }

    /// Whether frames have passed since the last call. Only the control task.
    pub(crate) fn take_active(&self) -> bool {
        self.active.xchg(0, Full) != 0
    }

    /// The fault that was found in this channel.
    pub(crate) fn fault(&self) -> Option<PeerFault> {
        let index = self.fault.load(Relaxed).checked_sub(1)?;
        PeerFault::ALL.get(index as usize).copied()
    }

    /// Notes a fault: the control task will close the channel. Any context.
    pub(crate) fn set_fault(&self, fault: PeerFault) {
        let value = u32::try_from(fault.index()).map_or(1, |index| index.saturating_add(1));
        if self.fault.xchg(value, Full) == 0 {
            self.peer.stats.faults.add_shared(1);
            self.shared.control.trigger();
        }
    }

    /// Tells the control task if the peer's state word has changed; true if it has.
    fn look_at_state(&self) -> bool {
        let state = match self.peer_state() {
            Ok(state) => state as u32,
            Err(fault) => {
                self.set_fault(fault);
                return true;
            }
        };
        let seen = self.seen.xchg(state, Full);
        if state == seen {
            return false;
        }
        if state < seen {
            self.set_fault(PeerFault::BadState);
        }
        self.shared.control.trigger();
        true
    }

    /// Asks to be woken by the next frame, or polls on if there is one already. Not while the watch
    /// looks. Bottom halves disabled.
    fn rearm(&self) {
        if self.is_watched() {
            return;
        }
        // A record that is wrong lies there for ever, and the interrupt stays pending, so that a peer that
        // broke the protocol has us poll no more.
        if self.fault.load(Relaxed) != 0 {
            return;
        }
        if self.is_recalled() {
            return self.end_interrupt();
        }
        let armed = self.rx.lock().fifo.arm();
        match armed {
            Ok(true) => self.napi.schedule(),
            Ok(false) => self.end_interrupt(),
            Err(fault) => self.set_fault(fault),
        }
    }

    /// Polls after `delay` microseconds instead of asking to be woken by the next frame. Bottom
    /// halves disabled.
    fn leave(&self, completed: Completed<'_, Self>, delay: u64) {
        self.stop_watch();
        self.end_interrupt();
        completed.schedule_in(delay.saturating_mul(1000));
    }

    /// Lets the next interrupt come.
    fn end_interrupt(&self) {
        if self.owed.xchg(0, Relaxed) == 0 {
            return;
        }
        let spurious = self.worked.xchg(0, Relaxed) == 0;
        if spurious {
            self.peer.stats.irqs_spurious.add(1);
        }
        self.line.eoi(spurious);
    }
}

impl Poll for Channel {
    fn napi(&self) -> &Napi<Self> {
        &self.napi
    }

    fn poll(&self, turn: Turn<'_, Self>) -> u32 {
        let found = self.receive(&turn);
        let done = found.frames;
        if done != 0 {
            self.active.store(1, Relaxed);
        }
        let woken = self.look_at_space();
        let changed = self.look_at_state();
        let gap = if done != 0 || woken {
            self.note_work(&found)
        } else {
            0
        };
        if done != 0 || woken || changed {
            self.worked.store(1, Relaxed);
        }
        if done == turn.budget() {
            return done;
        }
        if let Some(completed) = turn.complete(done) {
            let limit = self.shared.delay_usecs.load(Relaxed);
            match found.delay(gap, self.shared.event_cost.of(DELAY_EVENTS, limit)) {
                0 => self.rearm(),
                delay => self.leave(completed, delay),
            }
        }
        done
    }
}

impl Handler for Channel {
    fn line(&self) -> &Line {
        &self.line
    }

    fn handle(&self) {
        self.peer.stats.irqs.add(1);
        self.owed.store(1, Relaxed);
        self.pace.woken(work::was_idle());
        self.napi.schedule();
    }
}
