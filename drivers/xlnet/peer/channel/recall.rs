// SPDX-License-Identifier: GPL-2.0

//! What a peer has left in the FIFO goes by the uplink.

use super::Channel;
use crate::{
    net::{
        device::Device,
        skb::SkBuff, //
    },
    proto::{
        fifo::Record,
        frame::EthernetHeader, //
    },
    xen::memory::Ring, //
};
use kernel::sync::atomic::Relaxed;

impl Channel {
    /// Sends by the uplink what the peer has not consumed. It has been told to leave that, and nothing
    /// more is let in. What the uplink does not take is lost. Bottom halves disabled.
    pub(crate) fn recall(&self) {
        let (stats, dev) = (&self.peer.stats, &self.dev);
        let mut tx = self.tx.lock();
        let recalled = tx.producer.recall(|ring, record| {
            let sent = rebuild(dev, ring, record)
                .is_some_and(|skb| self.shared.by_uplink(dev, &self.peer, skb).is_ok());
            if sent {
                stats.tx_recalled.add(1);
                self.shared.recalled.store(1, Relaxed);
            } else {
                stats.tx_dropped.add_shared(1);
                dev.count_tx_dropped();
            }
        });
        drop(tx);
        if let Err(fault) = recalled {
            self.set_fault(fault);
        }
    }
}

/// The frame of a record, as it was before it was put into the FIFO; `None` if it cannot go by the
/// uplink, or there is no memory.
fn rebuild(dev: &Device, ring: &Ring, record: &Record) -> Option<SkBuff> {
    let len = record.header().len;
    let mut skb = SkBuff::alloc_tx(dev, len).ok()?;
    record
        .payload(ring, 0, len, |offset, chunk| skb.copy_from(offset, &chunk))
        .ok()?;
    let header = EthernetHeader::parse(skb.head())?;
    if !header.is_unicast_ip() {
        return None;
    }
    skb.set_network_header(header.ethertype);
    skb.apply(&record.header().virtio).ok()?;
    Some(skb)
}
