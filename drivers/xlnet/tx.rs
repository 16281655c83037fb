// SPDX-License-Identifier: GPL-2.0

//! Transmit: which way a frame goes.
//!
//! A unicast frame goes into the FIFO of the peer with its destination address. While that peer's
//! channel is not up, an IP frame goes out of the uplink if it fits there or can be segmented; other frames, which the
//! peer's uplink would not know what to do with, wait for the channel. A broadcast or multicast frame
//! goes to every peer of the group, unless no bridge would forward it. What comes from an address that
//! the peer would not take, as what the guest forwards, goes by the uplink or not at all.

use crate::{
    net::{
        device::Device,
        napi::with_bh_disabled,
        skb::SkBuff, //
    },
    peer::{
        channel::Sent,
        Peer, //
    },
    proto::{
        frame::EthernetHeader,
        peer_state::Path, //
    },
    shared::Shared,
};
use kernel::sync::rcu;

/// Sends a frame. Bottom halves disabled.
pub(crate) fn transmit(shared: &Shared, dev: &Device, skb: SkBuff, queue: u16, more: bool) {
    let Some(header) = EthernetHeader::parse(skb.head()) else {
        return to_nobody(shared, dev);
    };
    if header.dst.is_reserved() {
        return to_nobody(shared, dev);
    }
    let guard = rcu::read_lock();
    let Some(table) = shared.table.load(&guard) else {
        return to_nobody(shared, dev);
    };
    if !header.dst.is_multicast() {
        return match table.find(&header.dst) {
            Some(peer) => to_peer(shared, dev, peer, &header, skb, queue, more),
            None => to_nobody(shared, dev),
        };
    }
    let mut peers = table.iter();
    let Some(mut peer) = peers.next() else {
        return to_nobody(shared, dev);
    };
    for next in peers {
        match skb.try_clone() {
            Some(copy) => to_peer(shared, dev, peer, &header, copy, queue, false),
            None => lose(dev, peer),
        }
        peer = next;
    }
    to_peer(shared, dev, peer, &header, skb, queue, more);
}

/// Counts a frame that has no peer's address. Bottom halves disabled.
fn to_nobody(shared: &Shared, dev: &Device) {
    shared.tx_no_peer.add_shared(1);
    dev.count_tx_dropped();
}

/// Counts a frame to a peer for which there is no way. Bottom halves disabled.
fn lose(dev: &Device, peer: &Peer) {
    peer.stats.tx_dropped.add_shared(1);
    dev.count_tx_dropped();
}

/// Sends a frame to one peer by the best way there is now.
fn to_peer(
    shared: &Shared,
    dev: &Device,
    peer: &Peer,
    header: &EthernetHeader,
    skb: SkBuff,
    queue: u16,
    more: bool,
) {
    let len = skb.len();
    let ours = shared.may_send(skb.head());
    let sent = if ours {
        by_channel(peer, skb, queue, more)
    } else {
        // A frame before it may have left it to this one to tell the peer.
        kick(peer);
        Sent::Refused(skb)
    };
    let skb = match sent {
        Sent::Queued => {
            dev.count_tx(len);
            return;
        }
        Sent::Refused(skb) => skb,
    };
    if ours && peer.path() != Path::Fault && peer.want() {
        shared.control.trigger();
    }
    let skb = if header.is_unicast_ip() {
        match shared.by_uplink(dev, peer, skb) {
            Ok(()) => {
                peer.stats.tx_uplink.add_shared(1);
                dev.count_tx(len);
                return;
            }
            Err(skb) => skb,
        }
    } else {
        skb
    };
    if ours {
        hold(dev, peer, skb, queue);
    } else {
        drop(skb);
        lose(dev, peer);
    }
}

fn by_channel(peer: &Peer, skb: SkBuff, queue: u16, more: bool) -> Sent {
    let guard = rcu::read_lock();
    match peer.channel.load(&guard) {
        Some(channel) => channel.send(skb, queue, more),
        None => Sent::Refused(skb),
    }
}

/// Tells the peer of the frames in its channel, if it has not been and wants to know.
fn kick(peer: &Peer) {
    let guard = rcu::read_lock();
    if let Some(channel) = peer.channel.load(&guard) {
        channel.kick_if_asked();
    }
}

/// Has a frame wait for the channel, which may have come up in the meantime.
fn hold(dev: &Device, peer: &Peer, skb: SkBuff, queue: u16) {
    let len = skb.len();
    let held = peer.hold.lock().push(skb);
    let skb = match held {
        Ok(()) => {
            peer.stats.tx_held.add_shared(1);
            return;
        }
        Err(skb) => skb,
    };
    match by_channel(peer, skb, queue, false) {
        Sent::Queued => dev.count_tx(len),
        Sent::Refused(_) => lose(dev, peer),
    }
}

/// Puts the frames that waited into the channel, now that it is up. Process context.
pub(crate) fn flush_hold(dev: &Device, peer: &Peer) {
    drain_hold(peer, false, |skb| {
        let len = skb.len();
        match by_channel(peer, skb, 0, false) {
            Sent::Queued => dev.count_tx(len),
            Sent::Refused(_) => lose(dev, peer),
        }
    });
}

/// Throws away the frames that waited in vain; `open` says whether more may wait. Process context.
pub(crate) fn discard_hold(dev: &Device, peer: &Peer, open: bool) {
    drain_hold(peer, open, |skb| {
        drop(skb);
        lose(dev, peer);
    });
}

fn drain_hold(peer: &Peer, open: bool, f: impl FnMut(SkBuff)) {
    with_bh_disabled(|| {
        let mut hold = peer.hold.lock();
        hold.set_open(open);
        hold.drain(f);
    });
}
