// SPDX-License-Identifier: GPL-2.0

//! A permitted peer: what the helper says about it, and what the data path needs of it.

pub(crate) mod channel;
pub(crate) mod hold;
pub(crate) mod list;
pub(crate) mod table;

use crate::{
    net::{
        ops::UPLINK_QUEUE,
        rcu::RcuArc, //
    },
    peer::{
        channel::Channel,
        hold::Hold, //
    },
    proto::{
        frame::{
            Ip,
            Mac, //
        },
        peer_state::Path,
        schema::PeerEntry, //
    },
    stats::Counters,
    xen::DomId, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        new_spinlock,
        Arc,
        SpinLock, //
    },
};

/// A peer of one (domid, epoch).
#[pin_data]
pub(crate) struct Peer {
    /// Its domain.
    pub(crate) domid: DomId,
    /// The instance of its driver.
    pub(crate) epoch: u64,
    /// Its station address on the segment.
    pub(crate) mac: Mac,
    /// The address of its uplink.
    pub(crate) uplink_mac: Mac,
    /// What the helper says about it; replaced when only the addresses change.
    pub(crate) entry: RcuArc<PeerEntry>,
    /// The channel that carries its frames.
    pub(crate) channel: RcuArc<Channel>,
    /// Frames that wait for the channel. Taken with bottom halves disabled.
    #[pin]
    pub(crate) hold: SpinLock<Hold>,
    /// What it did, and what earlier instances of it in the same domain did: a peer that begins anew
    /// does not wipe out what it has done.
    pub(crate) stats: Arc<Counters>,
    path: Atomic<u32>,
    queue: Atomic<u32>,
    wanted: Atomic<u32>,
    departed: Atomic<u32>,
}

impl Peer {
    /// Makes a peer that has no channel; `earlier` is another instance of it, if there was one. Process
    /// context.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(
        domid: DomId,
        entry: PeerEntry,
        earlier: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>> {
        let (epoch, mac, uplink_mac) = (entry.epoch, entry.mac, entry.uplink_mac);
        let stats = match earlier {
            Some(earlier) => earlier.stats.clone(),
            None => Arc::new(Counters::new(), GFP_KERNEL)?,
        };
        let entry = Arc::new(entry, GFP_KERNEL)?;
        let hold = Hold::new()?;
        Arc::pin_init(
            pin_init!(Self {
                domid,
                epoch,
                mac,
                uplink_mac,
                entry: RcuArc::new(Some(entry)),
                channel: RcuArc::new(None),
                hold <- new_spinlock!(hold, "xlnet_hold"),
                stats,
                path: Atomic::new(Path::Idle as u32),
                queue: Atomic::new(UPLINK_QUEUE.into()),
                wanted: Atomic::new(0),
                departed: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// Whether both are instances of one peer, whose counters they share.
    pub(crate) fn shares_stats(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.stats, &other.stats)
    }

    /// What is between us and the peer.
    pub(crate) fn path(&self) -> Path {
        Path::from_raw(self.path.load(Relaxed))
    }

    /// Changes it; returns whether it was another. Only the control task.
    pub(crate) fn set_path(&self, path: Path) -> bool {
        self.path.xchg(path as u32, kernel::sync::atomic::Full) != path as u32
    }

    /// The transmit queue of its channel; [`UPLINK_QUEUE`] if it has none.
    pub(crate) fn queue(&self) -> u16 {
        u16::try_from(self.queue.load(Relaxed)).unwrap_or(UPLINK_QUEUE)
    }

    /// Gives it a transmit queue. Only the control task.
    pub(crate) fn set_queue(&self, queue: u16) {
        self.queue.store(queue.into(), Relaxed);
    }

    /// Whether the helper no longer permits it: it is reached by the uplink only, and not listed.
    pub(crate) fn is_departed(&self) -> bool {
        self.departed.load(Relaxed) != 0
    }

    /// Says so. Only the control task.
    pub(crate) fn set_departed(&self, departed: bool) {
        self.departed.store(departed.into(), Relaxed);
    }

    /// Notes that there is a frame for the peer; returns true if that is news.
    pub(crate) fn want(&self) -> bool {
        self.wanted.load(Relaxed) == 0 && self.wanted.xchg(1, kernel::sync::atomic::Full) == 0
    }

    /// Whether there was a frame for it since the last call.
    pub(crate) fn take_wanted(&self) -> bool {
        self.wanted.xchg(0, kernel::sync::atomic::Full) != 0
    }

    /// Whether `source` is one of the addresses the peer may send from: those the helper says, and
    /// the link-local one that nobody else on the segment can have.
    pub(crate) fn owns(&self, source: &Ip) -> bool {
        let guard = kernel::sync::rcu::read_lock();
        self.entry
            .load(&guard)
            .is_some_and(|entry| entry.owns(*source))
    }
}
