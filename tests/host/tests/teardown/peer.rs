// SPDX-License-Identifier: GPL-2.0

//! A peer, and a table of one.

#[allow(dead_code, reason = "the tests use a part of it")]
pub(crate) mod channel;
pub(crate) mod hold;

use channel::Channel;
use hold::Hold;

use crate::net::ops::UPLINK_QUEUE;
use crate::net::rcu::RcuArc;
use crate::proto::frame::Mac;
use crate::proto::peer_state::Path;
use crate::stats::Counters;
use crate::sync::atomic::{Atomic, Full, Relaxed};
use crate::sync::{Arc, SpinLock};

pub(crate) struct Peer {
    pub(crate) mac: Mac,
    pub(crate) channel: RcuArc<Channel>,
    pub(crate) hold: SpinLock<Hold>,
    pub(crate) stats: Counters,
    queue: Atomic<u32>,
    wanted: Atomic<u32>,
}

impl Peer {
    pub(crate) fn new(mac: Mac) -> Self {
        Self {
            mac,
            channel: RcuArc::none(),
            hold: SpinLock::new(Hold::new().expect("memory")),
            stats: Counters::default(),
            queue: Atomic::new(UPLINK_QUEUE.into()),
            wanted: Atomic::new(0),
        }
    }

    pub(crate) fn path(&self) -> Path {
        Path::Idle
    }

    pub(crate) fn queue(&self) -> u16 {
        self.queue.load(Relaxed) as u16
    }

    pub(crate) fn set_queue(&self, queue: u16) {
        self.queue.store(queue.into(), Relaxed);
    }

    pub(crate) fn want(&self) -> bool {
        self.wanted.load(Relaxed) == 0 && self.wanted.xchg(1, Full) == 0
    }
}

pub(crate) struct Table(pub(crate) Arc<Peer>);

impl Table {
    pub(crate) fn find(&self, mac: &Mac) -> Option<&Arc<Peer>> {
        (self.0.mac == *mac).then_some(&self.0)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Peer>> {
        std::iter::once(&self.0)
    }
}
