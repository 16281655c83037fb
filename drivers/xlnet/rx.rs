// SPDX-License-Identifier: GPL-2.0

//! Receive: from a record in the FIFO to a frame in the stack.
//!
//! The whole frame is copied before anything of it is looked at, so that the peer cannot change what
//! was checked.

use crate::{
    net::{
        device::Device,
        may_log,
        napi::Turn,
        page_pool::PagePool,
        skb::SkBuff, //
    },
    peer::{
        channel::Channel,
        Peer, //
    },
    proto::{
        fifo::{
            Consumer,
            Record, //
        },
        frame::{
            source_ip,
            EthernetHeader, //
        },
    },
    stats::Counter,
    xen::memory::Ring,
};
use kernel::prelude::*;

/// The receive side of a channel.
pub(crate) struct Rx {
    pub(crate) fifo: Consumer<Ring>,
    pages: PagePool,
}

impl Rx {
    /// Makes that of a fresh ring. Process context.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(dev: &Device, ring: Ring) -> Result<Self> {
        Ok(Self {
            fifo: Consumer::new(ring),
            pages: PagePool::new(dev)?,
        })
    }
}

/// Copies a record into a new socket buffer; `None` if the frame had to be thrown away, which is
/// counted.
pub(crate) fn take(
    turn: &Turn<'_, Channel>,
    dev: &Device,
    peer: &Peer,
    rx: &mut Rx,
    record: &Record,
) -> Option<SkBuff> {
    let len = record.header().len;
    let Ok(mut skb) = SkBuff::alloc_rx(turn, dev, &mut rx.pages, len) else {
        peer.stats.rx_no_memory.add(1);
        dev.count_rx_dropped();
        return None;
    };
    let copied = rx.fifo.payload(record, 0, len, |offset, chunk| {
        skb.copy_from(offset, &chunk)
    });
    if copied.is_err() {
        // The buffer has exactly the frame's length, so this does not happen.
        dev.count_rx_dropped();
        return None;
    }
    let header =
        EthernetHeader::parse(skb.head()).filter(|header| is_from(peer, header, skb.head()));
    let Some(header) = header else {
        refuse(
            dev,
            peer,
            &peer.stats.rx_spoofed,
            "whose source is not its own",
        );
        return None;
    };
    // A peer is another tenant, and not the switch at the other end of a cable.
    if header.dst.is_reserved() {
        refuse(
            dev,
            peer,
            &peer.stats.rx_reserved,
            "that only a switch sends",
        );
        return None;
    }
    // Of a frame to be segmented, the kernel looks at the headers.
    skb.set_network_header(header.ethertype);
    if skb.apply(&record.header().virtio).is_err() {
        refuse(
            dev,
            peer,
            &peer.stats.rx_bad_offload,
            "whose offloads do not fit",
        );
        return None;
    }
    Some(skb)
}

/// Counts a frame that is thrown away for what it says, and has the log name its sender: of the first,
/// the second, the fourth, and so on.
fn refuse(dev: &Device, peer: &Peer, counter: &Counter, what: &str) {
    counter.add(1);
    dev.count_rx_dropped();
    let count = counter.get();
    if count.is_power_of_two() && may_log() {
        pr_warn!(
            "domain {}: frames {what} are thrown away, {count} so far\n",
            peer.domid
        );
    }
}

/// Whether the frame's source addresses are the peer's.
fn is_from(peer: &Peer, header: &EthernetHeader, head: &[u8]) -> bool {
    header.src == peer.mac && source_ip(head).is_none_or(|source| peer.owns(&source))
}

/// Gives a frame to the stack.
pub(crate) fn deliver(
    turn: &Turn<'_, Channel>,
    dev: &Device,
    peer: &Peer,
    queue: u16,
    skb: SkBuff,
) {
    if !dev.is_running() {
        dev.count_rx_dropped();
        return;
    }
    let len = skb.len();
    peer.stats.rx_frames.add(1);
    peer.stats.rx_bytes.add(len.into());
    dev.count_rx(len);
    skb.receive(turn, dev, queue);
}
