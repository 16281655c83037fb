// SPDX-License-Identifier: GPL-3.0-only

//! Which addresses belong to which guest: pure.
//!
//! The first source that knows any wins: the configuration, the toolstack's `ip=` of the uplink,
//! and what the guest claims, if its group learns. The first two are authoritative.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use xlnet_proto::frame::Prefix;
use xlnet_proto::schema::MAX_ADDRS;

use crate::config::Config;
use crate::inventory::{Domid, Guest, Segment, Vif};
use crate::policy::{Membership, Origin};
use crate::report::Report;

/// Who says that an address belongs to a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The configuration file.
    Config,
    /// The vif's `ip=`.
    Toolstack,
    /// The guest.
    Claim,
}

/// The addresses of one guest that its peers may route to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Addresses and the networks behind them, at most [`MAX_ADDRS`].
    pub prefixes: Vec<Prefix>,
    /// Where the addresses come from, if there are any.
    pub source: Option<Source>,
}

impl Addresses {
    /// Whether peers may drop what comes from other addresses.
    pub fn strict(&self) -> bool {
        self.are_authoritative() && !self.prefixes.is_empty()
    }

    /// Whether none is left of those that the guest is to be held to. It takes no part then: without
    /// any, its peers would let everything through.
    pub fn are_unusable(&self) -> bool {
        self.are_authoritative() && self.prefixes.is_empty()
    }

    fn are_authoritative(&self) -> bool {
        matches!(self.source, Some(Source::Config | Source::Toolstack))
    }
}

/// Something that an administrator should look at. No part of the helper depends on it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// The guest it is about, the lowest if several.
    pub domid: Domid,
    /// What is wrong, as one line.
    pub text: String,
}

/// Why an address can be no guest's, whoever says it is.
pub fn unusable(address: IpAddr) -> Option<&'static str> {
    let link_local = match address {
        IpAddr::V4(v4) if v4.is_broadcast() => return Some("the broadcast address"),
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => return Some("an IPv4-mapped address"),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    if address.is_unspecified() || matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 0) {
        Some("the unspecified address")
    } else if address.is_loopback() {
        Some("a loopback address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if link_local {
        // It means something else on every link, so that a route to it on this one would be wrong.
        Some("a link-local address")
    } else {
        None
    }
}

/// What the configuration says of a guest: its addresses, and the networks behind it.
fn configured(config: &Config, guest: &Guest) -> (Vec<IpAddr>, Vec<Prefix>) {
    let (mut addresses, mut networks) = (Vec::new(), Vec::new());
    for of in &config.guests {
        if of.is_about(&guest.name, &guest.uuid) {
            addresses.extend(&of.addresses);
            networks.extend(&of.prefixes);
        }
    }
    (addresses, networks)
}

/// What is known of one vif's addresses before it is compared with others.
struct Candidate<'a> {
    guest: &'a Guest,
    segment: &'a Segment,
    /// The group, if it is the uplink of a member that takes part.
    group: Option<Origin>,
    addresses: Vec<IpAddr>,
    source: Option<Source>,
    networks: Vec<Prefix>,
}

impl<'a> Candidate<'a> {
    fn uplink(
        config: &Config,
        guest: &'a Guest,
        place: &'a Membership,
        report: Option<&Report>,
    ) -> Self {
        let (configured, networks) = configured(config, guest);
        let vif = guest.vifs.iter().find(|vif| vif.index == place.vif);
        let given = vif.map(|vif| vif.addresses.clone()).unwrap_or_default();
        let report = report.filter(|report| report.ready().is_some());
        let claims = report
            .filter(|_| place.learn)
            .map(|report| report.claims.clone());
        let sources = [
            (configured, Source::Config),
            (given, Source::Toolstack),
            (claims.unwrap_or_default(), Source::Claim),
        ];
        let (addresses, source) = match sources
            .into_iter()
            .find(|(addresses, _)| !addresses.is_empty())
        {
            Some((addresses, source)) => (addresses, Some(source)),
            None => (Vec::new(), None),
        };
        Self {
            guest,
            segment: &place.segment,
            group: report.map(|_| place.origin),
            addresses,
            source,
            networks,
        }
    }

    /// A vif that xlnet does not use. Its addresses are nobody else's all the same.
    fn other(guest: &'a Guest, vif: &'a Vif) -> Self {
        Self {
            guest,
            segment: &vif.segment,
            group: None,
            addresses: vif.addresses.clone(),
            source: Some(Source::Toolstack),
            networks: Vec::new(),
        }
    }

    /// A vif of a guest in no group: any of them may be the one that the configuration is about.
    fn of_nobody(config: &Config, guest: &'a Guest, vif: &'a Vif) -> Self {
        let (configured, networks) = configured(config, guest);
        let mut candidate = Self {
            networks,
            ..Self::other(guest, vif)
        };
        if !configured.is_empty() {
            candidate.addresses = configured;
            candidate.source = Some(Source::Config);
        }
        candidate
    }

    /// What is to be routed to it, and whether it is only the guest that says so.
    fn wanted(&self) -> impl Iterator<Item = (Prefix, bool)> + '_ {
        let claimed = self.source == Some(Source::Claim);
        let addresses = self.addresses.iter().map(|address| Prefix::from(*address));
        let networks = self.networks.iter().copied();
        addresses
            .map(move |prefix| (prefix, claimed))
            .chain(networks.map(|prefix| (prefix, false)))
    }

    /// Whether `prefix`, which `other` wants, must not be routed to `other` because of this one.
    fn contests(&self, (prefix, claimed): (Prefix, bool), other: &Self) -> bool {
        let mut same = self.wanted().filter(|(wanted, _)| *wanted == prefix);
        let equals = self.group.is_some() && self.group == other.group;
        if self.segment != other.segment || self.guest.domid == other.guest.domid {
            false
        } else if self.guest.uuid == other.guest.uuid {
            // One guest that is moving within the host: the newer domain is the one that will stay.
            same.next().is_some() && equals && self.guest.domid > other.guest.domid
        } else if claimed {
            // A claim is lost to whatever is known of any guest on the segment, with a driver or
            // without.
            let behind = |network: &Prefix| network.contains(prefix.addr());
            self.networks.iter().any(behind) || same.any(|(_, claim)| !claim || equals)
        } else {
            equals && same.any(|(_, claim)| !claim)
        }
    }
}

/// Who has which address: what [`assign`] found.
pub type Assigned = (BTreeMap<Domid, Addresses>, BTreeSet<Warning>);

/// The addresses of every guest that takes part, and what is wrong with the others. `dom0` holds
/// Dom0's own.
pub fn assign(
    config: &Config,
    guests: &BTreeMap<Domid, Guest>,
    places: &BTreeMap<Domid, Membership>,
    reports: &BTreeMap<Domid, Report>,
    dom0: &BTreeSet<IpAddr>,
) -> Assigned {
    let mut warnings = BTreeSet::new();
    let mut candidates = Vec::new();
    for (domid, guest) in guests {
        let vifs = guest.vifs.iter();
        let Some(place) = places.get(domid) else {
            candidates.extend(vifs.map(|vif| Candidate::of_nobody(config, guest, vif)));
            continue;
        };
        let report = reports.get(domid);
        candidates.push(Candidate::uplink(config, guest, place, report));
        let unused = vifs.filter(|vif| vif.index != place.vif);
        candidates.extend(unused.map(|vif| Candidate::other(guest, vif)));
    }
    for candidate in &mut candidates {
        let Guest { domid, name, .. } = candidate.guest;
        candidate.addresses.retain(|address| {
            let reason =
                unusable(*address).or(dom0.contains(address).then_some("Dom0's own address"));
            if let Some(reason) = reason {
                let text = format!("{address} of {name} (domain {domid}) is {reason}; not routed");
                warnings.insert(Warning {
                    domid: *domid,
                    text,
                });
            }
            reason.is_none()
        });
        candidate.addresses.sort_unstable();
        candidate.addresses.dedup();
    }
    let takes_part = candidates
        .iter()
        .filter(|candidate| candidate.group.is_some());
    let assigned = takes_part
        .map(|candidate| {
            (
                candidate.guest.domid,
                settle(candidate, &candidates, &mut warnings),
            )
        })
        .collect();
    (assigned, warnings)
}

/// The addresses of one candidate that no other contests.
fn settle(
    candidate: &Candidate<'_>,
    all: &[Candidate<'_>],
    warnings: &mut BTreeSet<Warning>,
) -> Addresses {
    let Guest { domid, name, .. } = candidate.guest;
    let mut warn = |text: String| {
        _ = warnings.insert(Warning {
            domid: *domid,
            text,
        })
    };
    let mut prefixes: Vec<Prefix> = Vec::new();
    let mut moved = false;
    for wanted in candidate.wanted() {
        let (prefix, _) = wanted;
        match all.iter().find(|other| other.contests(wanted, candidate)) {
            Some(other) if other.guest.uuid == candidate.guest.uuid => moved = true,
            Some(other) => warn(format!(
                "{prefix} of {name} (domain {domid}) is also {}'s (domain {}); not routed to {name}",
                other.guest.name, other.guest.domid
            )),
            None if !prefixes.contains(&prefix) => prefixes.push(prefix),
            None => {}
        }
    }
    if prefixes.len() > MAX_ADDRS {
        warn(format!("{name} (domain {domid}) has more than {MAX_ADDRS} addresses; the others are not routed"));
        prefixes.truncate(MAX_ADDRS);
    }
    let addresses = Addresses {
        prefixes,
        source: candidate.source,
    };
    if addresses.are_unusable() && !moved {
        warn(format!(
            "{name} (domain {domid}) takes no part: none of the addresses that it is to be held to is its own"
        ));
    }
    addresses
}

#[cfg(test)]
mod tests;
