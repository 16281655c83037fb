// SPDX-License-Identifier: GPL-2.0

//! The watch: a thread that looks for frames while its CPU has nothing else to do.
//!
//! Between two guests that answer each other, waiting for an interrupt costs more than all the rest
//! of the way: the peer's hypercall, Xen's interrupt to this CPU, and getting it out of its sleep.
//! So while a channel is busy, a CPU that would sleep looks at the ring instead and schedules the
//! poll itself. It lasts for four times the usual gap between frames, at most two hundred times what
//! an event costs ([`crate::event_cost`]) and `ethtool -C rx-usecs-irq` after the last, and only if
//! frames have come closer together than that to a CPU that waited for them, and no stream. It gives
//! way to whatever else the CPU has to run. Where it looks in vain, as when the peer waits for the
//! same physical CPU, it looks ever more seldom. With several CPUs it is off unless an operator wants
//! it (`Shared::poll_usecs`).

use crate::{
    net::work::{
        self,
        Task,
        Work, //
    },
    shared::Shared, //
};
use kernel::sync::{
    atomic::{
        Full,
        Relaxed, //
    },
    rcu, //
};

/// How often in a row the watch gives way before it takes the CPU for busy and leaves the channels to
/// their interrupts. Who waits for an answer needs the CPU once.
const PATIENCE: u32 = 2;

impl Shared {
    /// Starts the watch unless it runs. Any context.
    pub(crate) fn start_watch(&self) {
        if self.watching.load(Relaxed) == 0 && self.watching.xchg(1, Full) == 0 {
            self.watch.trigger_long();
        }
    }

    /// Looks at every channel once, if `patient`, or leaves all to their interrupts; returns whether
    /// there is one worth another look.
    fn look_round(&self, patient: bool) -> bool {
        let guard = rcu::read_lock();
        let Some(table) = self.table.load(&guard) else {
            return false;
        };
        let mut any = false;
        for peer in table.iter() {
            if let Some(channel) = peer.channel.load(&guard) {
                any |= channel.watch(patient);
            }
        }
        any
    }
}

impl Task for Shared {
    fn work(&self) -> &Work {
        &self.watch
    }

    fn run(&self) {
        let mut given_way = 0u32;
        while self.look_round(given_way <= PATIENCE) {
            // A thread that sleeps may stay on the run queue for a while, so that only trying tells
            // whether there is another to run.
            if !work::is_alone() && work::give_way() {
                given_way = given_way.saturating_add(1);
            } else {
                given_way = 0;
                work::relax();
            }
        }
        self.watching.store(0, Relaxed);
    }
}
