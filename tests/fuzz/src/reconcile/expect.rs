// SPDX-License-Identifier: GPL-3.0-only

//! What guests are to find when the helper is at rest, from `docs/protocol.md` and the words of the
//! configuration file rather than from the helper's code.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use xlnet_proto::frame::{Mac, Prefix};
use xlnet_proto::schema::{
    Claims, GuestSelf, GuestState, HelperSelf, InHome, Node, PeerEntry, PeerRequest, MAX_ADDRS,
};

use super::host::State;
use super::rules::Place;
use super::toolstack::{home, Domain, Domid, Vif, DOM0};

/// A domain and what counts of what it says.
struct Guest<'a> {
    domain: &'a Domain,
    place: Option<Place<'a>>,
    /// Its driver, if that is ready.
    own: Option<GuestSelf>,
    claims: Vec<IpAddr>,
}

impl<'a> Guest<'a> {
    fn new(state: &'a State, domain: &'a Domain) -> Self {
        let own = state.node(domain.domid, Node::GuestSelf);
        let own = own.and_then(|own| GuestSelf::parse(own).ok());
        let claims = state.node(domain.domid, Node::GuestAddr);
        let claims = claims.and_then(|claims| Claims::parse(claims).ok());
        Guest {
            domain,
            place: state.rules.place(domain),
            own: own.filter(|own| own.state == GuestState::Ready),
            claims: claims.iter().flat_map(|claims| claims.0.iter()).collect(),
        }
    }

    /// Takes part: it has a driver that is ready, and a place.
    fn part(&self) -> Option<(&GuestSelf, &Place<'a>)> {
        Some((self.own.as_ref()?, self.place.as_ref()?))
    }

    /// What Dom0 knows of the addresses of a device that is its uplink, or could be.
    fn given(&self, state: &State, uplink: &Vif) -> Vec<IpAddr> {
        let configured = state.rules.addresses(self.domain);
        match configured.is_empty() {
            true => uplink.addresses(),
            false => configured,
        }
    }

    /// The addresses that may be routed to it, and whether it is only the guest that says so.
    fn sources(&self, state: &State) -> (Vec<IpAddr>, bool) {
        let Some((_, place)) = self.part() else {
            return (Vec::new(), false);
        };
        let given = self.given(state, place.uplink);
        match given.is_empty() && place.learn {
            true => (self.claims.clone(), true),
            false => (given, false),
        }
    }

    /// Whether Dom0 knows that an address on a segment is this guest's, or behind it. What the
    /// configuration says of a guest in no group holds on every segment that it is on.
    fn is_known_to_have(&self, state: &State, address: IpAddr, beside: &Place<'_>) -> bool {
        let networks = state.rules.networks(self.domain);
        let behind = networks.iter().any(|network| network.contains(address));
        let mut devices = self.domain.devices();
        devices.any(|(index, vif)| {
            let could_be_uplink = self.place.as_ref().is_none_or(|place| place.index == index);
            let known = match could_be_uplink {
                true => behind || self.given(state, vif).contains(&address),
                false => vif.addresses().contains(&address),
            };
            vif.segment == beside.uplink.segment && known
        })
    }

    /// Whether anything at all connects this guest with an address.
    fn may_have(&self, state: &State, address: IpAddr) -> bool {
        let mut networks = state.rules.networks(self.domain).into_iter();
        let vifs = self.domain.devices().flat_map(|(_, vif)| vif.addresses());
        let configured = state.rules.addresses(self.domain);
        networks.any(|network| network.contains(address))
            || vifs
                .chain(configured)
                .chain(self.claims.iter().copied())
                .any(|other| other == address)
    }
}

impl State {
    /// One node in a guest's home.
    pub fn node(&self, domid: Domid, node: Node) -> Option<&[u8]> {
        self.tree.read(&InHome { domid, node }.to_string())
    }

    /// What a guest finds below its `xlnet/0`. What is no node of the protocol is nobody's business.
    pub fn told(&self, domid: Domid) -> BTreeMap<String, String> {
        let root = format!("{}/xlnet/0", home(domid));
        let text = |value| String::from_utf8_lossy(value).into_owned();
        let nodes = self.tree.below(&root).filter(|(path, _)| {
            let node = InHome::parse(path).map(|at| at.node);
            matches!(node, Some(Node::HelperSelf | Node::HelperPeer(_)))
        });
        nodes
            .map(|(path, value)| (path[root.len() + 1..].to_owned(), text(value)))
            .collect()
    }

    /// Whether anything at all connects a guest with an address.
    pub fn may_have(&self, domid: Domid, address: IpAddr) -> bool {
        let guest = self.domains.get(&domid);
        guest.is_some_and(|domain| Guest::new(self, domain).may_have(self, address))
    }

    /// Asserts that all guests find what they are to find, and nothing else.
    pub fn is_as_expected(&self) {
        let names = self.tree.list("/local/domain").unwrap_or_default();
        let homes: BTreeSet<Domid> = names
            .iter()
            .map(|name| name.parse().expect("a domid"))
            .collect();
        assert!(
            homes
                .iter()
                .all(|domid| *domid == 0 || self.domains.contains_key(domid)),
            "something is left of a domain"
        );
        let guests: Vec<_> = self
            .domains
            .values()
            .map(|domain| Guest::new(self, domain))
            .collect();
        for reader in &guests {
            let domid = reader.domain.domid;
            let told = self.told(domid);
            let Some((own, place)) = reader.part() else {
                assert_eq!(told, BTreeMap::new(), "{domid} takes no part");
                continue;
            };
            if told.is_empty() {
                self.is_rightly_left_out(reader, &guests);
                continue;
            }
            let uplink_mac = place.uplink.mac().expect("of a device that counts");
            let text = told.get("self").expect("of one that takes part");
            let told_own = HelperSelf::parse(text.as_bytes()).expect("what a guest can read");
            let expected = HelperSelf {
                epoch: own.epoch,
                mac: device_mac(uplink_mac),
                uplink_mac,
                group: place.group.parse().expect("a group's name"),
                ..told_own
            };
            assert_eq!(told_own, expected, "{domid}");
            // Whatever guests write, there is one node for each permitted peer that takes part.
            let peers: Vec<_> = guests
                .iter()
                .filter(|peer| {
                    self.takes_part(peer) && self.rules.permits(reader.domain, peer.domain)
                })
                .collect();
            assert_eq!(told.len(), 1 + peers.len(), "{domid} is told {told:?}");
            let mut routed = Vec::new();
            for peer in peers {
                let text = &told[&format!("peer/{}", peer.domain.domid)];
                let entry = PeerEntry::parse(text.as_bytes()).expect("what a guest can read");
                let expected = self.entry(reader, peer, &entry);
                assert_eq!(entry, expected, "{domid} about {}", peer.domain.domid);
                self.are_its_addresses(peer, &guests, &entry);
                self.knows_what_it_is_held_to(peer.domain.domid, &entry);
                routed.extend(entry.prefixes.iter());
            }
            for (at, prefix) in routed.iter().enumerate() {
                assert!(
                    !routed[..at].contains(prefix),
                    "{domid} is told twice of {prefix}"
                );
            }
        }
    }

    /// Whether a guest that could take part does.
    fn takes_part(&self, guest: &Guest<'_>) -> bool {
        guest.part().is_some() && !self.told(guest.domain.domid).is_empty()
    }

    /// Asserts of a guest that could take part and does not that Dom0 knows addresses of it, and that
    /// others may have each of those that can be a guest's.
    fn is_rightly_left_out(&self, guest: &Guest<'_>, guests: &[Guest<'_>]) {
        let about = guest.domain.domid;
        let (sources, claimed) = guest.sources(self);
        assert!(!claimed && !sources.is_empty(), "{about} is left out");
        let usable = sources.into_iter().filter(|address| !is_unusable(*address));
        for prefix in usable
            .map(Prefix::from)
            .chain(self.rules.networks(guest.domain))
        {
            let mut others = guests.iter().filter(|other| other.domain.domid != about);
            assert!(
                others.any(|other| other.may_have(self, prefix.addr())),
                "{about} is left out, and has {prefix}"
            );
        }
    }

    /// What a reader is to be told about a peer, with the addresses of `told`.
    fn entry(&self, reader: &Guest<'_>, peer: &Guest<'_>, told: &PeerEntry) -> PeerEntry {
        let (to, from) = (reader.domain.domid, peer.domain.domid);
        let (own, place) = peer.part().expect("a peer takes part");
        let current = (own.epoch, reader.part().expect("so does a reader").0.epoch);
        // A node that breaks a rule, or is between other instances, is as good as absent.
        let request = self.node(from, Node::GuestPeer(to));
        let request = request.and_then(|request| PeerRequest::parse(request).ok());
        let request = request.filter(|request| (request.from, request.to) == current);
        let uplink_mac = place.uplink.mac().expect("of a device that counts");
        PeerEntry {
            epoch: own.epoch,
            mac: device_mac(uplink_mac),
            uplink_mac,
            features: own.features,
            want: request.map_or(0, |request| request.want),
            // Only the lower domid listens.
            offer: request
                .and_then(|request| request.offer)
                .filter(|_| from < to),
            ..*told
        }
    }

    /// Asserts that a peer is told of its addresses what others are, if those hold it to them.
    fn knows_what_it_is_held_to(&self, peer: Domid, entry: &PeerEntry) {
        let own = &self.told(peer)["self"];
        let own = HelperSelf::parse(own.as_bytes()).expect("what a guest can read");
        assert_eq!(own.strict, entry.strict, "{peer}");
        if own.strict {
            assert_eq!(own.prefixes, entry.prefixes, "{peer}");
        } else {
            assert!(own.prefixes.is_empty(), "{peer}");
        }
    }

    /// Asserts that the addresses in an entry are the peer's, and that none is missing that nobody
    /// else may have.
    fn are_its_addresses(&self, peer: &Guest<'_>, guests: &[Guest<'_>], entry: &PeerEntry) {
        let (_, place) = peer.part().expect("a peer takes part");
        let about = peer.domain.domid;
        let ((sources, claimed), networks) = (peer.sources(self), self.rules.networks(peer.domain));
        let others = || guests.iter().filter(|other| other.domain.domid != about);
        let strict = !claimed && !sources.is_empty();
        assert_eq!(entry.strict, strict, "{about}");
        for prefix in entry
            .prefixes
            .iter()
            .filter(|prefix| !networks.contains(prefix))
        {
            let address = prefix.addr();
            assert!(
                prefix.is_host() && sources.contains(&address),
                "{prefix} is not of {about}"
            );
            assert!(!is_unusable(address), "{address} is nobody's");
            let stolen = |other: &Guest<'_>| {
                other.domain.uuid != peer.domain.uuid
                    && other.is_known_to_have(self, address, place)
            };
            assert!(
                !claimed || !others().any(stolen),
                "{about} claims {address}"
            );
        }
        if sources.len() + networks.len() > MAX_ADDRS {
            return;
        }
        let usable = sources.iter().filter(|address| !is_unusable(**address));
        for prefix in usable.copied().map(Prefix::from).chain(networks) {
            let told = entry.prefixes.iter().any(|other| other == prefix);
            let contested = others().any(|other| other.may_have(self, prefix.addr()));
            assert!(told || contested, "{prefix} of {about} is not told");
        }
    }
}

/// Addresses that are no guest's, whoever says so: by the operator's guide, and those that only look
/// like others.
fn is_unusable(address: IpAddr) -> bool {
    let zero = matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 0);
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some(),
    };
    zero || link_local
        || address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || ["255.255.255.255", DOM0]
            .iter()
            .any(|text| text.parse() == Ok(address))
}

/// The address of the xlnet device beside an uplink.
fn device_mac(Mac([first, rest @ ..]): Mac) -> Mac {
    let [b, c, d, e, f] = rest;
    Mac([(first | 0x02) ^ 0x40, b, c, d, e, f])
}
