// SPDX-License-Identifier: GPL-3.0-only

//! What a guest wrote below `data/xlnet/0`: hostile until parsed, and read within bounds.

use std::collections::{BTreeMap, BTreeSet};

use xlnet_proto::frame::Ip;
use xlnet_proto::schema::{Claims, GuestSelf, GuestState, InHome, Node, PeerRequest, SchemaError};

use crate::error::StoreError;
use crate::inventory::Domid;
use crate::store::Store;

/// More children than this of the directory of peers are called garbage; they are never read one by
/// one.
const MAX_CHILDREN: usize = 1024;

/// How a guest's driver introduces itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Driver {
    /// Not at all: it is not loaded.
    #[default]
    Absent,
    /// In a way that counts as absent.
    Invalid,
    /// Properly; it may be leaving.
    Valid(GuestSelf),
}

/// What a guest says, as far as it is valid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Itself.
    pub driver: Driver,
    /// The addresses it says it has; empty while it takes no part.
    pub claims: Vec<Ip>,
    /// What it says to those peers it may talk to; empty while it takes no part.
    pub requests: BTreeMap<Domid, PeerRequest>,
}

impl Report {
    /// The driver, if the guest takes part.
    pub fn ready(&self) -> Option<&GuestSelf> {
        match &self.driver {
            Driver::Valid(own) if own.state == GuestState::Ready => Some(own),
            _ => None,
        }
    }
}

/// Invalid nodes met while reading.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// How many.
    pub count: u64,
    /// The first of them, and what is wrong with it.
    pub example: Option<String>,
}

impl Garbage {
    fn add(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        self.example.get_or_insert_with(what);
    }
}

/// A reader of one guest's nodes. It counts its requests, so that they can be charged to that
/// guest.
pub struct Reader<'a, S> {
    store: &'a S,
    domid: Domid,
    /// What was invalid.
    pub garbage: Garbage,
    /// Requests made.
    pub requests: u32,
}

impl<'a, S: Store> Reader<'a, S> {
    /// A reader of the nodes of `domid`.
    pub fn new(store: &'a S, domid: Domid) -> Self {
        Self {
            store,
            domid,
            garbage: Garbage::default(),
            requests: 0,
        }
    }

    fn path(&self, node: Node) -> String {
        InHome {
            domid: self.domid,
            node,
        }
        .to_string()
    }

    /// One value; `Err` inside is a node that counts as absent and has been counted as garbage.
    async fn value<T>(
        &mut self,
        node: Node,
        parse: impl FnOnce(&[u8]) -> Result<T, SchemaError>,
    ) -> Result<Result<Option<T>, ()>, StoreError> {
        self.requests += 1;
        let reason = match self.store.read(&self.path(node)).await {
            Ok(None) => return Ok(Ok(None)),
            Ok(Some(value)) => match parse(value.as_bytes()) {
                Ok(value) => return Ok(Ok(Some(value))),
                Err(error) => error.to_string(),
            },
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => error.to_string(),
        };
        self.garbage.add(|| format!("{node}: {reason}"));
        Ok(Err(()))
    }

    /// Everything a guest says. Of its nodes about peers, those about `peers` are read.
    ///
    /// # Errors
    /// Those of the store that are fatal; what a guest can cause is garbage, never an error.
    pub async fn report(&mut self, peers: &BTreeSet<Domid>) -> Result<Report, StoreError> {
        let driver = match self.value(Node::GuestSelf, GuestSelf::parse).await? {
            Ok(Some(own)) => Driver::Valid(own),
            Ok(None) => Driver::Absent,
            Err(()) => Driver::Invalid,
        };
        let mut report = Report {
            driver,
            ..Report::default()
        };
        if report.ready().is_none() {
            return Ok(report);
        }
        if let Ok(Some(claims)) = self.value(Node::GuestAddr, Claims::parse).await? {
            report.claims = claims.0.iter().collect();
        }
        let present = self.present(peers).await?;
        for peer in present {
            report
                .requests
                .extend(self.request(peer).await?.map(|request| (peer, request)));
        }
        Ok(report)
    }

    /// What it says to one peer.
    ///
    /// # Errors
    /// As [`Self::report`].
    pub async fn request(&mut self, peer: Domid) -> Result<Option<PeerRequest>, StoreError> {
        Ok(self
            .value(Node::GuestPeer(peer), PeerRequest::parse)
            .await?
            .unwrap_or(None))
    }

    /// Those of `peers` that it may have written about.
    async fn present(&mut self, peers: &BTreeSet<Domid>) -> Result<BTreeSet<Domid>, StoreError> {
        self.requests += 1;
        let names = match self.store.list(&self.path(Node::GuestPeers)).await {
            Ok(names) => names.unwrap_or_default(),
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => {
                // A directory too full to be listed says nothing about the nodes that matter.
                self.garbage.add(|| error.to_string());
                return Ok(peers.clone());
            }
        };
        if names.len() > MAX_CHILDREN {
            self.garbage
                .add(|| format!("{}: {} children", Node::GuestPeers, names.len()));
        }
        let domids: BTreeSet<_> = names
            .iter()
            .filter_map(|name| Node::parse_domid(name))
            .collect();
        if let Some(name) = names.iter().find(|name| Node::parse_domid(name).is_none()) {
            self.garbage
                .add(|| format!("{}: '{name}' is no domid", Node::GuestPeers));
        }
        Ok(domids.intersection(peers).copied().collect())
    }
}
