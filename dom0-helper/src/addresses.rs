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
        matches!(self.source, Some(Source::Config | Source::Toolstack)) && !self.prefixes.is_empty()
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
        let about: Vec<_> = config
            .guests
            .iter()
            .filter(|of| of.is_about(&guest.name, &guest.uuid))
            .collect();
        let configured: Vec<_> = about
            .iter()
            .flat_map(|of| of.addresses.iter().copied())
            .collect();
        let vif = guest
            .vifs
            .iter()
            .find(|vif| vif.mac == place.uplink && vif.segment == place.segment);
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
            networks: about
                .iter()
                .flat_map(|of| of.prefixes.iter().copied())
                .collect(),
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

    fn is_claim(&self) -> bool {
        self.source == Some(Source::Claim)
    }

    /// Whether `address`, which `other` has too, must not be routed to `other` because of this one.
    fn contests(&self, address: IpAddr, other: &Self) -> bool {
        let has = self.addresses.contains(&address);
        let equals = self.group.is_some() && self.group == other.group;
        if self.segment != other.segment || self.guest.domid == other.guest.domid {
            false
        } else if self.guest.uuid == other.guest.uuid {
            // One guest that is moving within the host: the newer domain is the one that will stay.
            has && equals && self.guest.domid > other.guest.domid
        } else if other.is_claim() {
            // A claim is lost to whatever is known of any guest on the segment, with a driver or
            // without.
            let behind = self
                .networks
                .iter()
                .any(|network| network.contains(address));
            behind || (has && (!self.is_claim() || equals))
        } else {
            has && equals && !self.is_claim()
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
        let place = places.get(domid);
        candidates
            .extend(place.map(|place| Candidate::uplink(config, guest, place, reports.get(domid))));
        let unused = guest
            .vifs
            .iter()
            .filter(|vif| place.is_none_or(|place| vif.mac != place.uplink));
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
    for address in &candidate.addresses {
        match all.iter().find(|other| other.contests(*address, candidate)) {
            Some(other) => warn(format!(
                "{address} of {name} (domain {domid}) is also {}'s (domain {}); not routed to {name}",
                other.guest.name, other.guest.domid
            )),
            None => prefixes.push((*address).into()),
        }
    }
    for network in &candidate.networks {
        let has_too = |other: &&Candidate<'_>| {
            other.group == candidate.group
                && other.segment == candidate.segment
                && other.guest.uuid != candidate.guest.uuid
                && other.networks.contains(network)
        };
        match all.iter().find(has_too) {
            Some(other) => warn(format!(
                "{network} is configured for {name} (domain {domid}) and {} (domain {}); not routed to {name}",
                other.guest.name, other.guest.domid
            )),
            None if !prefixes.contains(network) => prefixes.push(*network),
            None => {}
        }
    }
    if prefixes.len() > MAX_ADDRS {
        warn(format!("{name} (domain {domid}) has more than {MAX_ADDRS} addresses; the others are not routed"));
        prefixes.truncate(MAX_ADDRS);
    }
    Addresses {
        prefixes,
        source: candidate.source,
    }
}

#[cfg(test)]
mod tests;
