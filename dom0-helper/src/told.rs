// SPDX-License-Identifier: GPL-3.0-only

//! What guests are to be told, from all that is known: pure.

use std::collections::{BTreeMap, BTreeSet};

use xlnet_proto::frame::Prefix;
use xlnet_proto::schema::{GuestSelf, HelperSelf, List, PeerEntry, PeerRequest};

use crate::addresses::{Addresses, Warning};
use crate::inventory::{Domid, Guest};
use crate::policy::Membership;
use crate::report::Report;

/// What one guest is to find below `xlnet/0`. A guest that takes no part is told nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Itself.
    pub own: Option<HelperSelf>,
    /// Its peers.
    pub peers: BTreeMap<Domid, PeerEntry>,
}

/// All that the decision needs.
pub struct Known<'a> {
    /// Where each guest belongs.
    pub places: &'a BTreeMap<Domid, Membership>,
    /// Whom it may talk to.
    pub peers: &'a BTreeMap<Domid, BTreeSet<Domid>>,
    /// What it says.
    pub reports: &'a BTreeMap<Domid, Report>,
    /// What addresses it has.
    pub addresses: &'a BTreeMap<Domid, Addresses>,
}

impl Known<'_> {
    /// A guest that takes part.
    fn ready(&self, domid: Domid) -> Option<(&GuestSelf, &Membership)> {
        if self
            .addresses
            .get(&domid)
            .is_some_and(Addresses::are_unusable)
        {
            return None;
        }
        Some((self.reports.get(&domid)?.ready()?, self.places.get(&domid)?))
    }

    /// What `speaker` says to `listener`, if both are who they think they are.
    fn request(&self, speaker: Domid, listener: Domid) -> Option<&PeerRequest> {
        let (from, to) = (self.ready(speaker)?.0.epoch, self.ready(listener)?.0.epoch);
        let request = self.reports.get(&speaker)?.requests.get(&listener)?;
        (request.from == from && request.to == to).then_some(request)
    }

    /// The addresses of a guest, and whether it is held to them.
    fn addresses(&self, domid: Domid) -> (List<Prefix>, bool) {
        let mut prefixes = List::new();
        let addresses = self.addresses.get(&domid);
        for prefix in addresses.iter().flat_map(|addresses| &addresses.prefixes) {
            // The list is as long as the longest that `assign` makes.
            let _ = prefixes.push(*prefix);
        }
        (prefixes, addresses.is_some_and(Addresses::strict))
    }

    /// What a guest is told about itself, if it takes part.
    fn own(&self, domid: Domid) -> Option<HelperSelf> {
        let (own, place) = self.ready(domid)?;
        // Without being held to them it need not know them, and would be told anew of each change.
        let (prefixes, strict) = match self.addresses(domid) {
            (prefixes, true) => (prefixes, true),
            _ => (List::new(), false),
        };
        Some(HelperSelf {
            epoch: own.epoch,
            mac: place.mac,
            uplink_mac: place.uplink,
            group: place.group,
            prefixes,
            strict,
        })
    }

    /// What `reader` is told about `peer`, if that takes part.
    fn entry(&self, reader: Domid, peer: Domid) -> Option<PeerEntry> {
        let (own, place) = self.ready(peer)?;
        let request = self.request(peer, reader);
        let (prefixes, strict) = self.addresses(peer);
        Some(PeerEntry {
            epoch: own.epoch,
            mac: place.mac,
            uplink_mac: place.uplink,
            features: own.features,
            want: request.map_or(0, |request| request.want),
            // Only the lower domid listens; an offer from the higher would be for nobody.
            offer: request
                .and_then(|request| request.offer)
                .filter(|_| peer < reader),
            prefixes,
            strict,
        })
    }

    /// What every guest is to be told. Guests that take no part are in the map, with nothing.
    pub fn told(&self) -> BTreeMap<Domid, Told> {
        let told = |domid: Domid| {
            let Some(own) = self.own(domid) else {
                return Told::default();
            };
            let peers = self.peers.get(&domid).into_iter().flatten();
            Told {
                own: Some(own),
                peers: peers
                    .filter_map(|peer| Some((*peer, self.entry(domid, *peer)?)))
                    .collect(),
            }
        };
        self.reports
            .keys()
            .map(|domid| (*domid, told(*domid)))
            .collect()
    }

    /// Ethernet addresses that two guests which see each other share.
    pub fn mac_conflicts(&self, guests: &BTreeMap<Domid, Guest>) -> BTreeSet<Warning> {
        let mut warnings = BTreeSet::new();
        for (low, peers) in self.peers {
            for high in peers.range(low + 1..) {
                let (Some((_, a)), Some((_, b))) = (self.ready(*low), self.ready(*high)) else {
                    continue;
                };
                let same_guest = guests.get(low).map(|guest| &guest.uuid)
                    == guests.get(high).map(|guest| &guest.uuid);
                let shared = [a.mac, a.uplink]
                    .into_iter()
                    .find(|mac| [b.mac, b.uplink].contains(mac));
                if let Some(mac) = shared.filter(|_| !same_guest) {
                    let text = format!(
                        "domains {low} and {high} both have {mac}, on vif or xlnet device; give one vif another mac="
                    );
                    warnings.insert(Warning { domid: *low, text });
                }
            }
        }
        warnings
    }
}
