// SPDX-License-Identifier: GPL-3.0-only

//! The steps from what guests find below `xlnet/0` to what they are to find: pure.

use std::collections::BTreeMap;

use xlnet_proto::schema::{HelperSelf, InHome, Node, PeerEntry};

use crate::inventory::Domid;
use crate::told::Told;

/// What is below `xlnet/0` of one guest, as text, since another version may have written it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// `self`.
    pub own: Option<String>,
    /// `peer/<domid>`.
    pub peers: BTreeMap<Domid, String>,
}

/// One request to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Removes a node and all below it.
    Remove(InHome),
    /// Writes a node.
    Write(InHome, String),
}

/// Whether the instance of the driver that `found` answers is the one of `told`.
fn answers_same_instance(found: &str, told: &HelperSelf) -> bool {
    HelperSelf::parse(found.as_bytes()).is_ok_and(|found| found.epoch == told.epoch)
}

/// Whether `found` and `told` are about one instance of one guest.
fn is_same_peer(found: &str, told: &PeerEntry) -> bool {
    PeerEntry::parse(found.as_bytes())
        .is_ok_and(|found| (found.epoch, found.mac) == (told.epoch, told.mac))
}

/// The steps, in the order in which they are to be taken.
///
/// All removals come first. What becomes another identity is removed before it is written: a guest
/// never finds an offer made to its earlier instance beside the `self` that answers its new one.
pub fn reconcile(told: &BTreeMap<Domid, Told>, found: &BTreeMap<Domid, Found>) -> Vec<Action> {
    let (mut removals, mut selves, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    let nothing = Found::default();
    for (&domid, told) in told {
        let at = |node| InHome { domid, node };
        let found = found.get(&domid).unwrap_or(&nothing);
        let Some(own) = &told.own else {
            if *found != nothing {
                removals.push(Action::Remove(at(Node::HelperDir)));
            }
            continue;
        };
        let same_instance = found
            .own
            .as_deref()
            .is_some_and(|found| answers_same_instance(found, own));
        if !same_instance && !found.peers.is_empty() {
            removals.push(Action::Remove(at(Node::HelperPeers)));
        }
        let text = own.to_string();
        if found.own.as_deref() != Some(&text) {
            selves.push(Action::Write(at(Node::HelperSelf), text));
        }
        let kept = |peer: &Domid| found.peers.get(peer).filter(|_| same_instance);
        for (&peer, entry) in &told.peers {
            let text = entry.to_string();
            match kept(&peer) {
                Some(found) if *found == text => continue,
                Some(found) if !is_same_peer(found, entry) => {
                    removals.push(Action::Remove(at(Node::HelperPeer(peer))));
                }
                _ => {}
            }
            entries.push(Action::Write(at(Node::HelperPeer(peer)), text));
        }
        let gone = found
            .peers
            .keys()
            .filter(|peer| !told.peers.contains_key(peer) && same_instance);
        removals.extend(gone.map(|peer| Action::Remove(at(Node::HelperPeer(*peer)))));
    }
    removals.into_iter().chain(selves).chain(entries).collect()
}

impl Found {
    /// Takes note of an action on this guest's nodes that has succeeded.
    pub fn note(&mut self, action: &Action) {
        match action {
            Action::Remove(at) => match at.node {
                Node::HelperDir => *self = Self::default(),
                Node::HelperPeers => self.peers.clear(),
                Node::HelperSelf => self.own = None,
                Node::HelperPeer(peer) => _ = self.peers.remove(&peer),
                _ => {}
            },
            Action::Write(at, value) => match at.node {
                Node::HelperSelf => self.own = Some(value.clone()),
                Node::HelperPeer(peer) => _ = self.peers.insert(peer, value.clone()),
                _ => {}
            },
        }
    }
}

impl Action {
    /// The node it is about.
    pub fn at(&self) -> InHome {
        match self {
            Self::Remove(at) | Self::Write(at, _) => *at,
        }
    }

    /// Whether a guest's list of peers changes by it, which has the guest look at all its routes. What
    /// a peer wants or offers does not change it.
    pub fn is_news(&self, found: &BTreeMap<Domid, Found>) -> bool {
        let (Self::Write(at, text), Node::HelperPeer(peer)) = (self, self.at().node) else {
            return true;
        };
        let listed = |text: &String| {
            let entry = PeerEntry::parse(text.as_bytes()).ok()?;
            Some(PeerEntry {
                want: 0,
                offer: None,
                ..entry
            })
        };
        let before = found
            .get(&at.domid)
            .and_then(|found| found.peers.get(&peer));
        before.and_then(listed) != listed(text)
    }

    /// Whether it tells a guest something, or others about it.
    pub fn concerns(&self, domid: Domid) -> bool {
        let at = self.at();
        at.domid == domid || at.node == Node::HelperPeer(domid)
    }
}

#[cfg(test)]
mod tests;
