// SPDX-License-Identifier: GPL-3.0-only

//! All that the helper knows of the host. Every part of it can be read again at any time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use xlnet_proto::schema::{InHome, Node};

use crate::addresses::{self, Addresses, Warning};
use crate::config::Config;
use crate::error::StoreError;
use crate::hints::GuestHint;
use crate::inventory::{self, Domid, Guest};
use crate::policy::{self, Membership};
use crate::reconcile::{reconcile, Action, Found};
use crate::report::{Garbage, Reader, Report};
use crate::store::Store;
use crate::told::{Known, Told};

/// The host, as last read.
pub struct Model {
    /// The rules.
    pub config: Config,
    /// Dom0's own addresses.
    pub dom0: BTreeSet<IpAddr>,
    /// The domains, Dom0 excepted.
    pub guests: BTreeMap<Domid, Guest>,
    /// Where each belongs; follows from the guests.
    pub places: BTreeMap<Domid, Membership>,
    /// Whom each may talk to; follows from the places.
    pub peers: BTreeMap<Domid, BTreeSet<Domid>>,
    /// What each says.
    pub reports: BTreeMap<Domid, Report>,
    /// What each has been told.
    pub found: BTreeMap<Domid, Found>,
}

/// What is to be done, and what to tell the administrator.
pub struct Plan {
    /// The steps.
    pub actions: Vec<Action>,
    /// What each guest is to be told.
    pub told: BTreeMap<Domid, Told>,
    /// Which addresses each guest has.
    pub addresses: BTreeMap<Domid, Addresses>,
    /// What is wrong.
    pub warnings: BTreeSet<Warning>,
}

/// Peers that have become permitted, by guest.
pub type Widened = BTreeMap<Domid, BTreeSet<Domid>>;

/// What a look at one guest has brought.
#[derive(Debug, Default)]
pub struct Looked {
    /// Whether anything is different.
    pub changed: bool,
    /// Whether the guest says something else of itself: whether it takes part, as which instance, and
    /// under which addresses.
    pub renewed: bool,
    /// Guests that may now talk to more peers than before, and to which: what they say to those is
    /// not known yet.
    pub widened: Widened,
    /// What was invalid.
    pub garbage: Garbage,
    /// Requests made to the store.
    pub requests: u32,
}

impl Model {
    /// A host of which nothing is known yet.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            dom0: BTreeSet::new(),
            guests: BTreeMap::new(),
            places: BTreeMap::new(),
            peers: BTreeMap::new(),
            reports: BTreeMap::new(),
            found: BTreeMap::new(),
        }
    }

    /// Reads everything. For commands that look once.
    ///
    /// # Errors
    /// Those of the store that are fatal.
    pub async fn scan(config: Config, store: &impl Store) -> Result<Self, StoreError> {
        let mut model = Self::new(config);
        model.dom0 = crate::dom0::addresses();
        let homes = inventory::homes(store).await?;
        model.look_at_all(store, homes).await?;
        Ok(model)
    }

    /// Reads all of these domains, of which nothing is known yet; returns each one's garbage.
    ///
    /// All devices come first, since they say which nodes count.
    ///
    /// # Errors
    /// Those of the store that are fatal.
    pub async fn look_at_all(
        &mut self,
        store: &impl Store,
        domids: impl IntoIterator<Item = Domid>,
    ) -> Result<Vec<(Domid, Garbage)>, StoreError> {
        for domid in domids {
            let (guest, _) = inventory::guest(store, domid).await?;
            self.guests.extend(guest.map(|guest| (domid, guest)));
        }
        self.place();
        let mut garbage = Vec::new();
        let hint = GuestHint {
            devices: false,
            ..GuestHint::all()
        };
        for domid in self.guests.keys().copied().collect::<Vec<_>>() {
            let looked = self.look(store, domid, &hint).await?;
            garbage.push((domid, looked.garbage));
        }
        Ok(garbage)
    }

    /// Takes up other rules. What guests say to peers that are new by them is not known yet.
    pub fn adopt(&mut self, config: Config) {
        self.config = config;
        self.place();
    }

    /// Follows the guests with all that depends on them alone.
    fn place(&mut self) -> Widened {
        self.places = policy::places(&self.config, &self.guests);
        let peers = policy::peers(&self.config, &self.guests, &self.places);
        let before = std::mem::replace(&mut self.peers, peers);
        let nobody = BTreeSet::new();
        let added = |(domid, peers): (&Domid, &BTreeSet<Domid>)| {
            let added: BTreeSet<_> = peers
                .difference(before.get(domid).unwrap_or(&nobody))
                .copied()
                .collect();
            (!added.is_empty()).then_some((*domid, added))
        };
        self.peers.iter().filter_map(added).collect()
    }

    /// Forgets a domain that is gone; its home went with it.
    pub fn forget(&mut self, domid: Domid) {
        self.guests.remove(&domid);
        self.reports.remove(&domid);
        self.found.remove(&domid);
        // Fewer guests never widen anything.
        self.place();
    }

    /// Reads again what `hint` says about a guest.
    ///
    /// # Errors
    /// Those of the store that are fatal.
    pub async fn look(
        &mut self,
        store: &impl Store,
        domid: Domid,
        hint: &GuestHint,
    ) -> Result<Looked, StoreError> {
        let mut looked = Looked::default();
        let mut hint = hint.clone();
        if hint.devices {
            let (guest, requests) = inventory::guest(store, domid).await?;
            looked.requests += requests;
            let Some(guest) = guest else {
                looked.changed = self.guests.contains_key(&domid);
                self.forget(domid);
                return Ok(looked);
            };
            let before = self.guests.insert(domid, guest.clone());
            if before.as_ref() != Some(&guest) {
                looked.changed = true;
                looked.widened = self.place();
                looked.widened.remove(&domid);
                hint.nodes = true;
                hint.told |= before.is_none_or(|before| before.uuid != guest.uuid);
            }
        }
        if !self.guests.contains_key(&domid) {
            return Ok(looked);
        }
        if hint.told {
            let found = found(store, domid, &mut looked.requests).await?;
            looked.changed |= self.found.insert(domid, found.clone()).as_ref() != Some(&found);
        }
        let permitted = self.peers.get(&domid).cloned().unwrap_or_default();
        let before = self.reports.get(&domid).cloned();
        let mut reader = Reader::new(store, domid);
        let report = match before.clone().filter(|_| !hint.nodes) {
            None => reader.report(&permitted).await?,
            // A guest that takes no part has nothing to say to anybody.
            Some(report) if report.ready().is_none() => report,
            Some(mut report) => {
                for peer in hint.peers.intersection(&permitted) {
                    match reader.request(*peer).await? {
                        Some(request) => _ = report.requests.insert(*peer, request),
                        None => _ = report.requests.remove(peer),
                    }
                }
                report
            }
        };
        looked.requests += reader.requests;
        looked.garbage = reader.garbage;
        looked.changed |= before.as_ref() != Some(&report);
        looked.renewed = before.as_ref().is_none_or(|before| {
            (&before.driver, &before.claims) != (&report.driver, &report.claims)
        });
        self.reports.insert(domid, report);
        Ok(looked)
    }

    /// What follows from all that is known.
    pub fn plan(&self) -> Plan {
        let (addresses, mut warnings) = addresses::assign(
            &self.config,
            &self.guests,
            &self.places,
            &self.reports,
            &self.dom0,
        );
        let known = Known {
            places: &self.places,
            peers: &self.peers,
            reports: &self.reports,
            addresses: &addresses,
        };
        let told = known.told();
        warnings.extend(known.mac_conflicts(&self.guests));
        Plan {
            actions: reconcile(&told, &self.found),
            told,
            addresses,
            warnings,
        }
    }
}

/// What is below `xlnet/0` of one guest.
async fn found(store: &impl Store, domid: Domid, requests: &mut u32) -> Result<Found, StoreError> {
    let path = |node| InHome { domid, node }.to_string();
    let own = text(store.read(&path(Node::HelperSelf)).await)?;
    let names = text(store.list(&path(Node::HelperPeers)).await)?.unwrap_or_default();
    *requests += 2;
    let mut peers = BTreeMap::new();
    for peer in names.iter().filter_map(|name| Node::parse_domid(name)) {
        *requests += 1;
        let value = text(store.read(&path(Node::HelperPeer(peer))).await)?;
        peers.extend(value.map(|value| (peer, value)));
    }
    Ok(Found { own, peers })
}

/// Dom0's own nodes are always text; whatever else is there is to be replaced, like one that is
/// missing.
fn text<T>(result: Result<Option<T>, StoreError>) -> Result<Option<T>, StoreError> {
    match result {
        Err(error) if !error.is_fatal() => Ok(None),
        other => other,
    }
}

#[cfg(test)]
pub(crate) mod tests;
