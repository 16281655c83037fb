// SPDX-License-Identifier: GPL-2.0

//! A channel with all that serves it, who uses it, and who ends it.

use loom::thread::{self, JoinHandle};

use crate::net::device::Device;
use crate::net::napi::{with_bh_disabled, Registration};
use crate::net::skb::SkBuff;
use crate::peer::channel::Channel;
use crate::peer::{Peer, Table};
use crate::prelude::GFP_KERNEL;
use crate::proto::frame::Mac;
use crate::proto::layout::{ChannelState, Role, RECORD_HEADER_LEN};
use crate::shared::Shared;
use crate::sync::Arc;
use crate::tx;
use crate::xen::evtchn::BoundChannel;
use crate::xen::memory::{Memory, BLOCK};

/// The transmit queue of the channel.
pub(crate) const QUEUE: u16 = 1;

/// That of another, which sends what is for everybody.
pub(crate) const OTHER_QUEUE: u16 = 2;

const PEER: Mac = Mac([2, 0, 0, 0, 0, 2]);

/// Bytes of a frame whose record is a quarter of the ring: two leave no room for the largest.
pub(crate) const LEN: u32 = BLOCK - RECORD_HEADER_LEN;

/// What keeps a channel alive, in the order in which the driver's `Link` drops it.
pub(crate) struct Link {
    _napi: Registration<Channel>,
    _events: BoundChannel<Channel>,
}

/// What the stack sends.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// What the uplink takes when the channel does not.
    Ip = 0x0800,
    /// What waits for a channel: an EtherType for experiments.
    Other = 0x88b5,
}

/// A channel, and all that touches it.
#[derive(Clone)]
pub(crate) struct Bed {
    role: Role,
    shared: Arc<Shared>,
    dev: Device,
    peer: Arc<Peer>,
    memory: Arc<Memory>,
    channel: Arc<Channel>,
}

fn arc<T>(value: T) -> Arc<T> {
    Arc::new(value, GFP_KERNEL).expect("memory")
}

impl Bed {
    /// A channel that takes no frames yet and that nothing serves. We are its `role`, and the peer is
    /// ready.
    pub(crate) fn new(role: Role) -> Self {
        let dev = Device::new();
        let shared = arc(Shared::new());
        let peer = arc(Peer::new(PEER));
        let memory = arc(Memory::new());
        let control = memory.control();
        control.set_state(role.other(), ChannelState::Ready);
        shared.table.replace(Some(arc(Table(peer.clone()))));
        let channel = Channel::new(
            shared.clone(),
            &dev,
            peer.clone(),
            memory.clone(),
            role,
            QUEUE,
        );
        Self {
            role,
            shared,
            dev,
            peer,
            memory,
            channel: channel.expect("memory"),
        }
    }

    /// Has poll and interrupt serve the channel, in the order in which the driver's `Link` does.
    pub(crate) fn link(&self) -> Link {
        let channel = &self.channel;
        let napi = Registration::new(channel);
        let events = BoundChannel::new(channel);
        with_bh_disabled(|| channel.schedule());
        Link {
            _napi: napi,
            _events: events,
        }
    }

    /// Lets frames in, as the control task does.
    pub(crate) fn open(&self) {
        Channel::start_sending(&self.channel);
        tx::flush_hold(&self.dev, &self.peer);
    }

    /// One that is served and takes frames.
    pub(crate) fn opened(role: Role) -> (Self, Link) {
        let bed = Self::new(role);
        let link = bed.link();
        bed.open();
        (bed, link)
    }

    /// Lets no more frames in, and says so, as the control task does for a while before it ends a channel.
    pub(crate) fn begin_drain(&self) {
        self.channel.stop_sending();
        self.channel.say(ChannelState::Closing);
    }

    /// Ends a channel that drains when the peer is done, as the control task does: a connector goes first,
    /// and a listener takes back what that has left.
    pub(crate) fn end_drain(&self, link: Link) {
        let over = match self.role {
            Role::Connector => ChannelState::Closing,
            Role::Listener => ChannelState::Gone,
        };
        while self.channel.peer_state() != Ok(over) {
            self.shared.control.wait();
        }
        // Nothing tells of this, so that the driver looks now and then.
        while !with_bh_disabled(|| self.channel.rx_empty()) {
            thread::yield_now();
        }
        match self.role {
            Role::Connector => self.release(link),
            Role::Listener => self.recall(link),
        }
    }

    fn release(&self, link: Link) {
        self.channel.stop_sending();
        self.channel.say(ChannelState::Gone);
        self.let_go(link);
    }

    /// Ends a channel at once, and takes back what the peer has left in it, as the control task does.
    pub(crate) fn recall(&self, link: Link) {
        self.channel.stop_sending();
        self.recall_at_once(link);
    }

    /// The same, but for that frames are still let in.
    pub(crate) fn recall_at_once(&self, link: Link) {
        self.channel.say(ChannelState::Recalled);
        with_bh_disabled(|| self.channel.recall());
        self.let_go(link);
    }

    fn let_go(&self, link: Link) {
        self.peer.channel.replace(None);
        self.unmap(link);
    }

    /// Unmaps the memory with which poll and interrupt are done.
    pub(crate) fn unmap(&self, link: Link) {
        drop(link);
        self.memory.unmap(self.role);
    }

    /// Sends the frames with these numbers, as the stack does, by a queue of its own or by that of the peer.
    pub(crate) fn send(&self, serials: &[u8], kind: Kind, queue: Option<u16>) {
        for serial in serials {
            let queue = queue.unwrap_or_else(|| self.peer.queue());
            self.dev.wait_for_queue(queue);
            let skb = SkBuff::frame(&PEER, kind as u16, *serial, LEN);
            tx::transmit(&self.shared, &self.dev, skb, queue, false);
        }
    }

    /// Sends IP frames, each but the last with the promise of the next.
    pub(crate) fn send_at_once(&self, serials: &[u8]) {
        for (index, serial) in serials.iter().enumerate() {
            let skb = SkBuff::frame(&PEER, Kind::Ip as u16, *serial, LEN);
            let more = index + 1 < serials.len();
            tx::transmit(&self.shared, &self.dev, skb, self.peer.queue(), more);
        }
    }

    /// Waits until the peer has taken what was sent.
    pub(crate) fn await_taken(&self) {
        while !with_bh_disabled(|| self.channel.tx_empty()) {
            thread::yield_now();
        }
    }

    /// Has a thread send them.
    pub(crate) fn start_stack(
        &self,
        serials: &'static [u8],
        kind: Kind,
        queue: Option<u16>,
    ) -> JoinHandle<()> {
        let bed = self.clone();
        thread::spawn(move || bed.send(serials, kind, queue))
    }

    /// The peer's view of the channel.
    pub(crate) fn memory(&self) -> Arc<Memory> {
        self.memory.clone()
    }

    /// Which frames the stack was given.
    pub(crate) fn delivered(&self) -> Vec<u8> {
        self.dev.gone().1
    }

    /// Waits until it was given one.
    pub(crate) fn await_delivery(&self) {
        self.dev.await_delivery();
    }

    /// Which frames wait for a channel.
    pub(crate) fn held(&self) -> Vec<u8> {
        let mut held = Vec::new();
        self.peer.hold.lock().drain(|skb| held.push(skb.serial()));
        held
    }

    /// Compares the numbers of what was `sent` with what has `arrived` somewhere or gone by the uplink. One
    /// may be there `twice`.
    pub(crate) fn judge(self, sent: &[u8], arrived: &[u8], twice: bool) {
        let (uplink, _, lost) = self.dev.gone();
        let mut seen = [arrived, &uplink].concat();
        seen.sort_unstable();
        let all = seen.len();
        seen.dedup();
        assert_eq!(seen, sent, "frames are lost");
        let most = seen.len() + usize::from(twice);
        assert!(all <= most, "twice: {arrived:?}, {uplink:?}");
        assert_eq!(lost, 0);
        assert!(!self.dev.queue_stopped(QUEUE), "a queue stays stopped");
        assert_eq!(self.channel.fault(), None);
        assert_eq!(self.channel.count(), 1, "somebody keeps the channel");
    }
}
