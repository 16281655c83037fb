// SPDX-License-Identifier: GPL-2.0

//! What the data path and the control task share.

use crate::net::device::Device;
use crate::net::rcu::RcuArc;
use crate::net::skb::{serial_of, SkBuff};
use crate::net::work::Work;
use crate::peer::{Peer, Table};
use crate::stats::Counter;
use crate::sync::atomic::Atomic;

/// Frames with this number, or more, are forwarded for others, in whose name the guest may not send.
pub(crate) const FOREIGN: u8 = 200;

pub(crate) struct Shared {
    pub(crate) control: Work,
    pub(crate) poll_usecs: Atomic<u32>,
    pub(crate) delay_usecs: Atomic<u32>,
    pub(crate) event_cost: EventCost,
    pub(crate) table: RcuArc<Table>,
    pub(crate) recalled: Atomic<u32>,
    pub(crate) tx_no_peer: Counter,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self {
            control: Work::new(),
            poll_usecs: Atomic::new(0),
            delay_usecs: Atomic::new(0),
            event_cost: EventCost,
            table: RcuArc::none(),
            recalled: Atomic::new(0),
            tx_no_peer: Counter::default(),
        }
    }

    pub(crate) fn may_send(&self, head: &[u8]) -> bool {
        serial_of(head) < FOREIGN
    }

    pub(crate) fn by_uplink(&self, dev: &Device, _peer: &Peer, skb: SkBuff) -> Result<(), SkBuff> {
        dev.by_uplink(skb.serial());
        Ok(())
    }

    pub(crate) fn start_watch(&self) {}
}

/// Events cost nothing, so that there is no watch and no delay.
pub(crate) struct EventCost;

impl EventCost {
    pub(crate) fn measure(&self, send: impl FnOnce()) {
        send();
    }

    pub(crate) fn of(&self, _count: u64, _limit: u32) -> u64 {
        0
    }
}
