// SPDX-License-Identifier: GPL-2.0

//! The permitted peers, found by MAC address.
//!
//! A table never changes: the control task makes a new one and puts it in place of the old one under
//! RCU, so that the data path takes no lock to find a peer.

use crate::{
    peer::Peer,
    proto::frame::Mac, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Most peers of one guest.
pub(crate) const MAX_PEERS: usize = 256;

/// The peers, sorted by MAC address.
pub(crate) struct Table(KVVec<Arc<Peer>>);

impl Table {
    /// Makes a table of `peers`. Process context.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new<'a>(peers: impl Iterator<Item = &'a Arc<Peer>>) -> Result<Arc<Self>> {
        let mut list: KVVec<Arc<Peer>> = KVVec::new();
        for peer in peers {
            let at = list.partition_point(|other| other.mac < peer.mac);
            list.reserve(1, GFP_KERNEL)?;
            // There is capacity, and `at` is at most the length.
            let _ = list.insert_within_capacity(at, peer.clone());
        }
        Ok(Arc::new(Self(list), GFP_KERNEL)?)
    }

    /// The peer with the station address `mac`.
    #[inline]
    pub(crate) fn find(&self, mac: &Mac) -> Option<&Arc<Peer>> {
        let at = self.0.binary_search_by(|peer| peer.mac.cmp(mac)).ok()?;
        self.0.get(at)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.0.iter()
    }
}
