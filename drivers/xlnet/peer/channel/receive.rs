// SPDX-License-Identifier: GPL-2.0

//! The receive side of a channel: frames out of the FIFO.

use super::{
    moderation::Arrivals,
    Channel, //
};
use crate::{
    net::napi::Turn,
    proto::{
        frame::is_bare_ack,
        layout::{
            record_size,
            ChannelState, //
        },
    },
    rx, //
};
use kernel::sync::atomic::Relaxed;

/// Bytes consumed after which the poll looks whether the peer waits for space, beside at its end.
const FREED_LOOK: u32 = 32 << 10;

impl Channel {
    /// Whether the peer sends by another way what it has left in the FIFO.
    pub(super) fn is_recalled(&self) -> bool {
        matches!(self.peer_state(), Ok(ChannelState::Recalled))
    }

    /// Whether all that the peer has produced is consumed, or not to be. Bottom halves disabled.
    pub(crate) fn rx_empty(&self) -> bool {
        self.is_recalled() || self.rx_consumed()
    }

    fn rx_consumed(&self) -> bool {
        match self.rx.lock().fifo.next() {
            Ok(record) => record.is_none(),
            Err(fault) => {
                self.set_fault(fault);
                true
            }
        }
    }

    /// Takes as many frames as this poll may out of the FIFO and gives them to the stack.
    pub(super) fn receive(&self, turn: &Turn<'_, Self>) -> Arrivals {
        let mut found = Arrivals::none();
        let mut freed = 0u32;
        while found.frames < turn.budget() && !self.is_recalled() {
            let mut rx = self.rx.lock();
            let record = match rx.fifo.next() {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(fault) => {
                    self.set_fault(fault);
                    break;
                }
            };
            let frame = rx::take(turn, &self.dev, &self.peer, &mut rx, &record);
            freed = freed.saturating_add(record_size(record.header().len));
            found.add(record.header());
            rx.fifo.release(record);
            rx.fifo.publish();
            // A peer that waits for space should work while the stack does.
            let kick = freed >= FREED_LOOK && rx.fifo.should_kick();
            drop(rx);
            if freed >= FREED_LOOK {
                freed = 0;
            }
            if kick {
                self.kick_counted();
            }
            if let Some(skb) = frame {
                if !is_bare_ack(skb.head()) {
                    self.answered.store(1, Relaxed);
                }
                rx::deliver(turn, &self.dev, &self.peer, self.queue, skb);
            }
        }
        if found.frames != 0 && self.rx.lock().fifo.should_kick() {
            self.kick_counted();
        }
        found
    }
}
