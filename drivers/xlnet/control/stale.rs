// SPDX-License-Identifier: GPL-2.0

//! What the helper may have changed since it was last read.
//!
//! A peer can have the helper write its entry anew as often as its budget allows: that costs this guest one
//! entry to read, however many peers it has.

use crate::{
    proto::schema::{
        List,
        Node, //
    },
    xen::DomId, //
};

/// What is to be read again.
pub(super) struct Stale {
    /// Everything.
    all: bool,
    /// The entries of these peers.
    peers: List<u16>,
}

impl Stale {
    /// Nothing is to be read.
    const NOTHING: Self = Self {
        all: false,
        peers: List::new(),
    };

    /// Everything is.
    pub(super) const ALL: Self = Self {
        all: true,
        peers: List::new(),
    };

    /// Adds the node `path`, relative to our home. More peers than the list has room for are all.
    pub(super) fn add(&mut self, path: &[u8]) {
        let node = core::str::from_utf8(path).ok().and_then(Node::parse);
        let Some(Node::HelperPeer(peer)) = node else {
            self.all = true;
            return;
        };
        if !self.peers.iter().any(|other| other == peer) && !self.peers.push(peer) {
            self.all = true;
        }
    }

    /// What is to be read, which the caller does.
    pub(super) fn take(&mut self) -> Self {
        core::mem::replace(self, Self::NOTHING)
    }

    /// Whether nothing is to be read.
    pub(super) fn is_empty(&self) -> bool {
        !self.all && self.peers.is_empty()
    }

    /// Whether the entry of `peer` is to be read.
    pub(super) fn has(&self, peer: DomId) -> bool {
        self.all || self.peers.iter().any(|other| other == peer.0)
    }
}
