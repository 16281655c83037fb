// SPDX-License-Identifier: GPL-3.0-only

//! Configurations, and what follows from them: said once more, and without the helper's code, so
//! that the one can be held against the other.

use std::fmt::Write;
use std::net::IpAddr;

use xlnet_proto::frame::Prefix;

use super::toolstack::{Domain, Vif};

/// Two guests that talk, or do not.
type Pair = (&'static str, &'static str);

/// A configuration. Guests are picked by name, by UUID, or all of them with `*`.
pub struct Rules {
    bridges: bool,
    learn: bool,
    deny: &'static [Pair],
    groups: &'static [Group],
    owners: &'static [Owner],
}

struct Group {
    name: &'static str,
    members: &'static [&'static str],
    bridge: Option<&'static str>,
    learn: Option<bool>,
    allow: Option<&'static [Pair]>,
}

struct Owner {
    who: &'static str,
    addresses: &'static [&'static str],
    networks: &'static [&'static str],
}

/// Where a domain belongs.
pub struct Place<'a> {
    /// The group of the configuration; none for that of a bridge.
    named: Option<usize>,
    /// The group's name.
    pub group: &'a str,
    /// Whether claims count.
    pub learn: bool,
    /// The number of the uplink within the domain.
    pub index: u32,
    /// The uplink.
    pub uplink: &'a Vif,
}

const UUID_1: &str = "00000000-0000-4000-8000-000000000001";
const UUID_2: &str = "00000000-0000-4000-8000-000000000002";

/// All that is tried: each setting of the file at least once.
pub const RULES: [Rules; 5] = [
    Rules {
        bridges: true,
        learn: false,
        deny: &[],
        groups: &[],
        owners: &[],
    },
    Rules {
        bridges: true,
        learn: true,
        deny: &[("a", "b")],
        groups: &[],
        owners: &[Owner {
            who: "c",
            addresses: &[],
            networks: &["198.51.100.128/25"],
        }],
    },
    Rules {
        bridges: false,
        learn: false,
        deny: &[],
        groups: &[Group {
            name: "pairs",
            members: &["*"],
            bridge: None,
            learn: None,
            allow: Some(&[("a", "b"), ("b", "c"), ("d", "*")]),
        }],
        owners: &[Owner {
            who: "a",
            addresses: &["198.51.100.1", "2001:db8::1"],
            networks: &[],
        }],
    },
    Rules {
        bridges: false,
        learn: false,
        deny: &[],
        groups: &[
            Group {
                name: "one",
                members: &["a", "b", "c"],
                bridge: Some("br1"),
                learn: Some(true),
                allow: None,
            },
            Group {
                name: "two",
                members: &["a", "b", "c"],
                bridge: None,
                learn: Some(true),
                allow: None,
            },
        ],
        owners: &[
            Owner {
                who: "b",
                addresses: &[],
                networks: &["198.51.100.3/32"],
            },
            Owner {
                who: "d",
                addresses: &["198.51.100.4"],
                networks: &["2001:db8::/64"],
            },
        ],
    },
    Rules {
        bridges: true,
        learn: true,
        deny: &[(UUID_1, "d")],
        groups: &[Group {
            name: "by-uuid",
            members: &[UUID_1, UUID_2, "d"],
            bridge: None,
            learn: Some(false),
            allow: None,
        }],
        owners: &[Owner {
            who: UUID_2,
            addresses: &["198.51.100.2"],
            networks: &["198.51.100.128/25"],
        }],
    },
];

fn picks(pattern: &str, domain: &Domain) -> bool {
    pattern == "*" || pattern == domain.settled_name() || pattern == domain.uuid
}

fn any_pair(pairs: &[Pair], a: &Domain, b: &Domain) -> bool {
    let fits = |x, y| move |(one, other): &Pair| picks(one, x) && picks(other, y);
    pairs.iter().any(fits(a, b)) || pairs.iter().any(fits(b, a))
}

impl Rules {
    /// The file.
    pub fn text(&self) -> String {
        let default = if self.bridges { "bridge" } else { "deny" };
        let mut text = format!("default = '{default}'\nlearn = {}\n", self.learn);
        let pairs = |pairs: &[Pair]| {
            let pairs: Vec<_> = pairs.iter().map(|(a, b)| [a, b]).collect();
            format!("{pairs:?}")
        };
        _ = writeln!(text, "deny = {}", pairs(self.deny));
        for group in self.groups {
            _ = writeln!(text, "[[group]]\nname = '{}'", group.name);
            _ = writeln!(text, "members = {:?}", group.members);
            if let Some(bridge) = group.bridge {
                _ = writeln!(text, "bridge = '{bridge}'");
            }
            if let Some(learn) = group.learn {
                _ = writeln!(text, "learn = {learn}");
            }
            if let Some(allow) = group.allow {
                _ = writeln!(text, "allow = {}", pairs(allow));
            }
        }
        for owner in self.owners {
            let by = if owner.who.len() == 36 {
                "uuid"
            } else {
                "name"
            };
            _ = writeln!(text, "[[guest]]\n{by} = '{}'", owner.who);
            _ = writeln!(text, "addresses = {:?}", owner.addresses);
            _ = writeln!(text, "prefixes = {:?}", owner.networks);
        }
        text
    }

    /// Where a domain belongs, if anywhere: in the first group that it fits, else in its bridge's.
    pub fn place<'a>(&'a self, domain: &'a Domain) -> Option<Place<'a>> {
        for (at, group) in self.groups.iter().enumerate() {
            // Of a device of Dom0 somebody has to say where it is plugged in.
            let bridge = |vif: &Vif| match group.bridge {
                None => vif.segment != (0, None),
                bridge => vif.segment.1 == bridge,
            };
            let uplink = domain.devices().find(|(_, vif)| bridge(vif));
            let member = group.members.iter().any(|member| picks(member, domain));
            if let (true, Some((index, uplink))) = (member, uplink) {
                return Some(Place {
                    named: Some(at),
                    group: group.name,
                    learn: group.learn.unwrap_or(self.learn),
                    index,
                    uplink,
                });
            }
        }
        let mut devices = domain.devices().filter(|_| self.bridges);
        devices.find_map(|(index, uplink)| {
            Some(Place {
                named: None,
                group: uplink.segment.1.filter(|bridge| bridge.len() <= 32)?,
                learn: self.learn,
                index,
                uplink,
            })
        })
    }

    /// Whether two domains may have a channel.
    pub fn permits(&self, a: &Domain, b: &Domain) -> bool {
        let (Some(at), Some(bt)) = (self.place(a), self.place(b)) else {
            return false;
        };
        let allow = at.named.and_then(|at| self.groups[at].allow);
        a.domid != b.domid
            && at.named == bt.named
            && at.uplink.segment == bt.uplink.segment
            && allow.is_none_or(|pairs| any_pair(pairs, a, b))
            && !any_pair(self.deny, a, b)
    }

    fn owned<'a>(&'a self, domain: &'a Domain) -> impl Iterator<Item = &'a Owner> {
        let owners = self.owners.iter();
        owners.filter(|owner| owner.who != "*" && picks(owner.who, domain))
    }

    /// The addresses that the file says are a domain's.
    pub fn addresses(&self, domain: &Domain) -> Vec<IpAddr> {
        let texts = self.owned(domain).flat_map(|owner| owner.addresses);
        texts
            .map(|text| text.parse().expect("an address"))
            .collect()
    }

    /// The networks that the file says are behind a domain.
    pub fn networks(&self, domain: &Domain) -> Vec<Prefix> {
        let texts = self.owned(domain).flat_map(|owner| owner.networks);
        texts.map(|text| text.parse().expect("a network")).collect()
    }
}
