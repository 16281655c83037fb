// SPDX-License-Identifier: GPL-2.0

//! The permitted peers, found by MAC address.
//!
//! A table never changes: the control task makes a new one and puts it in place of the old one under
//! RCU, so that the data path takes no lock to find a peer.

use crate::{
    peer::Peer,
    proto::frame::Mac,
    stats::Counters, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Most peers of one guest.
pub(crate) const MAX_PEERS: usize = 256;

/// The peers, and what is left of those that were.
pub(crate) struct Table {
    /// Sorted by MAC address, of which each has one.
    peers: KVVec<Arc<Peer>>,
    /// Those that have gone and whose address another has: their channels may not be closed yet.
    superseded: KVVec<Arc<Peer>>,
    /// What peers did that are no more.
    forgotten: Counters,
}

impl Table {
    /// Makes a table of `peers`, the newer behind the older. `forgotten` is what others did before.
    /// Process context.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new<'a>(
        peers: impl Iterator<Item = &'a Arc<Peer>>,
        forgotten: &Counters,
    ) -> Result<Arc<Self>> {
        let mut table = Self {
            peers: KVVec::new(),
            superseded: KVVec::new(),
            forgotten: Counters::new(),
        };
        table.forgotten.absorb(forgotten);
        for peer in peers {
            table.add(peer.clone())?;
        }
        Ok(Arc::new(table, GFP_KERNEL)?)
    }

    fn add(&mut self, mut peer: Arc<Peer>) -> Result {
        let at = self.peers.partition_point(|other| other.mac < peer.mac);
        match self.peers.get_mut(at) {
            Some(other) if other.mac == peer.mac => {
                if other.is_departed() {
                    core::mem::swap(other, &mut peer);
                }
                self.superseded.push(peer, GFP_KERNEL)?;
            }
            _ => {
                self.peers.reserve(1, GFP_KERNEL)?;
                // There is capacity, and `at` is at most the length.
                let _ = self.peers.insert_within_capacity(at, peer);
            }
        }
        Ok(())
    }

    /// The peer with the station address `mac`.
    #[inline]
    pub(crate) fn find(&self, mac: &Mac) -> Option<&Arc<Peer>> {
        let at = self.peers.binary_search_by(|peer| peer.mac.cmp(mac)).ok()?;
        self.peers.get(at)
    }

    /// All that have an address.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.peers.iter()
    }

    /// All that may have a channel or a transmit queue, but one of those that share their counters: the
    /// one that has the address.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Peer>> {
        // `Init` of the prelude has a `chain` too.
        Iterator::chain(self.peers.iter(), self.succeeded_by_none())
    }

    /// Those that have no address any more, and counters of their own.
    fn succeeded_by_none(&self) -> impl Iterator<Item = &Arc<Peer>> {
        let superseded = self.superseded.iter().enumerate();
        superseded.filter_map(|(at, peer)| {
            let mut others = Iterator::chain(self.peers.iter(), self.superseded.iter().take(at));
            (!others.any(|other| other.shares_stats(peer))).then_some(peer)
        })
    }

    /// What those did that are no more.
    pub(crate) fn forgotten(&self) -> &Counters {
        &self.forgotten
    }

    /// What those did that are no more, or have no address any more. Process context.
    pub(crate) fn departed(&self) -> Counters {
        let sum = Counters::new();
        sum.absorb(&self.forgotten);
        for peer in self.succeeded_by_none() {
            sum.absorb(&peer.stats);
        }
        sum
    }
}
