// SPDX-License-Identifier: GPL-2.0

//! What keeps a channel alive: its poll, its interrupt and its memory.

use crate::{
    net::{
        device::Device,
        napi,
        ops::Driver, //
    },
    peer::{
        channel::Channel,
        Peer, //
    },
    proto::{
        layout::{
            Header,
            Role,
            MAGIC,
            PAGE_SIZE,
            VERSION, //
        },
        schema::Offer, //
    },
    shared::Shared,
    xen::{
        evtchn::{
            BoundChannel,
            EventChannel,
            Port, //
        },
        grant::Ref,
        memory::{
            MapError,
            Memory, //
        },
        store::StrBuf, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Features of a channel that this driver knows: none yet.
const FEATURES: u32 = 0;

/// A peer that pins more of our pages than this many channels have gets no more of them.
const MAX_PINNED: u32 = 2;

/// A channel with all that serves it. Dropping it leaves nothing behind.
///
/// The fields are dropped in this order: no poll, then no interrupt, then the memory. Process
/// context; the last reference to the channel goes here, as the data path has none.
pub(crate) struct Link {
    _napi: napi::Registration<Channel>,
    _events: BoundChannel<Channel>,
    pub(crate) channel: Arc<Channel>,
}

/// Where a link is made.
pub(crate) struct Place<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) dev: &'a Device,
    pub(crate) peer: &'a Arc<Peer>,
    pub(crate) role: Role,
    /// Our epoch.
    pub(crate) epoch: u64,
    /// The queue of the channel.
    pub(crate) queue: u16,
    /// The number of the channel.
    pub(crate) number: u32,
}

impl Link {
    /// Allocates and grants a channel. The listener's part.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the peer still maps too much of what was granted to it before, `ENOMEM`, `ENOSPC` for want of grant references or event channels, or what Xen says.
    pub(crate) fn offer(place: &Place<'_>) -> Result<(Self, Offer)> {
        let ring_bytes = place.shared.ring_bytes();
        let limit = ring_bytes.saturating_mul(2 * MAX_PINNED) / PAGE_SIZE;
        let pinned = place.shared.pinned.count(Some(place.peer.domid));
        if pinned > limit.try_into()? {
            return Err(EBUSY);
        }
        let header = Header {
            magic: MAGIC,
            version: VERSION,
            ring_shift: ring_bytes.trailing_zeros().try_into()?,
            features: FEATURES,
            channel: place.number,
            listener_epoch: place.epoch,
            connector_epoch: place.peer.epoch,
        };
        let memory = Memory::grant(place.peer.domid, &header, &place.shared.pinned)?;
        let gref = memory.control_ref().ok_or(EINVAL)?;
        let events = EventChannel::listen(place.peer.domid)?;
        let offer = Offer {
            number: place.number,
            gref: gref.0,
            evtchn: events.port().0,
        };
        Ok((Self::new(place, memory, events)?, offer))
    }

    /// Maps a channel that was offered. The connector's part.
    ///
    /// # Errors
    ///
    /// What the peer did wrong, or `ENOMEM`, or what Xen says.
    pub(crate) fn attach(place: &Place<'_>, offer: &Offer) -> core::result::Result<Self, MapError> {
        let memory = Memory::map(place.peer.domid, Ref(offer.gref), |header| {
            header.validate(place.number, place.peer.epoch, place.epoch, FEATURES)
        })?;
        let events = EventChannel::connect(place.peer.domid, Port(offer.evtchn))?;
        Ok(Self::new(place, memory, events)?)
    }

    fn new(place: &Place<'_>, memory: Memory, events: EventChannel) -> Result<Self> {
        let channel = Channel::new(
            place.shared.clone(),
            place.dev,
            place.peer.clone(),
            Arc::new(memory, GFP_KERNEL)?,
            place.role,
            place.queue,
        )?;
        // The poll must be enabled before an interrupt can schedule it, since the interrupt is
        // ended by it.
        let napi = napi::Registration::new(place.dev, channel.clone())?;
        let name = StrBuf::<32>::format(format_args!("xlnet-dom{}", place.peer.domid))?;
        let events = events.bind(name.as_cstr(), channel.clone())?;
        // The first poll asks the peer for events.
        napi::with_bh_disabled(|| channel.schedule());
        Ok(Self {
            _napi: napi,
            _events: events,
            channel,
        })
    }
}
