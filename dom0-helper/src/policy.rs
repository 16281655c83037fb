// SPDX-License-Identifier: GPL-3.0-only

//! Who may talk to whom: pure, from the configuration and the inventory alone. Nothing a guest
//! writes is asked.

use std::collections::{BTreeMap, BTreeSet};

use xlnet_proto::frame::Mac;
use xlnet_proto::schema::Group as GroupName;

use crate::config::{Config, DefaultPolicy, Pair, Selector};
use crate::inventory::{Domid, Guest, Segment, Vif};

/// Which rule made a group. Two groups of one name but of different origin are different groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The n-th group of the configuration.
    Named(usize),
    /// The bridge that its members share.
    Bridge,
}

/// A guest's place in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Which rule made the group.
    pub origin: Origin,
    /// The group's name.
    pub group: GroupName,
    /// Members on different segments do not see each other: their uplinks could not stand in for a
    /// channel.
    pub segment: Segment,
    /// The number of the uplink, the first vif that fits the group.
    pub vif: u32,
    /// The Ethernet address of the uplink.
    pub uplink: Mac,
    /// The Ethernet address of the guest's xlnet device.
    pub mac: Mac,
    /// Whether claimed addresses are used.
    pub learn: bool,
}

/// The address of the xlnet device of a guest whose uplink has address `uplink`.
///
/// It is locally administered, differs from the address of every vif that the toolstack numbers
/// (those of Xen's own range as well as the locally administered ones XAPI makes), and stays the
/// same when the guest moves.
pub fn derived_mac(uplink: Mac) -> Mac {
    let mut bytes = uplink.0;
    bytes[0] = (bytes[0] | 0x02) ^ 0x40;
    Mac(bytes)
}

/// The group of a guest: the first of the configuration that it fits, else that of its bridge, else
/// none.
pub fn membership(config: &Config, guest: &Guest) -> Option<Membership> {
    let place = |origin, group, vif: &Vif, learn: Option<bool>| Membership {
        origin,
        group,
        segment: vif.segment.clone(),
        vif: vif.index,
        uplink: vif.mac,
        mac: derived_mac(vif.mac),
        learn: learn.unwrap_or(config.learn),
    };
    // Where Dom0 routes, no frame goes from one uplink to another.
    let bridged = || guest.vifs.iter().filter(|vif| vif.is_bridged());
    for (at, group) in config.groups.iter().enumerate() {
        let named = |selector: &Selector| selector.matches(&guest.name, &guest.uuid);
        if !group.members.is_empty() && !group.members.iter().any(named) {
            continue;
        }
        let fits = |vif: &&Vif| group.bridge.is_none() || vif.segment.bridge == group.bridge;
        if let Some(vif) = bridged().find(fits) {
            return Some(place(Origin::Named(at), group.name, vif, group.learn));
        }
    }
    if config.default == DefaultPolicy::Deny {
        return None;
    }
    // A bridge whose name cannot be a group's needs a named group.
    bridged().find_map(|vif| {
        let group = vif.segment.bridge.as_deref()?.parse().ok()?;
        Some(place(Origin::Bridge, group, vif, None))
    })
}

/// The place of every guest that has one.
pub fn places(config: &Config, guests: &BTreeMap<Domid, Guest>) -> BTreeMap<Domid, Membership> {
    guests
        .iter()
        .filter_map(|(domid, guest)| Some((*domid, membership(config, guest)?)))
        .collect()
}

/// Whether two members may have a channel.
pub fn permitted(config: &Config, a: (&Guest, &Membership), b: (&Guest, &Membership)) -> bool {
    let is_pair = |(one, other): &Pair| {
        let fits =
            |x: &Guest, y: &Guest| one.matches(&x.name, &x.uuid) && other.matches(&y.name, &y.uuid);
        fits(a.0, b.0) || fits(b.0, a.0)
    };
    let allowed = match a.1.origin {
        Origin::Named(at) => match config.groups.get(at).and_then(|group| group.allow.as_ref()) {
            Some(pairs) => pairs.iter().any(is_pair),
            None => true,
        },
        Origin::Bridge => true,
    };
    a.0.domid != b.0.domid
        && a.1.origin == b.1.origin
        && a.1.segment == b.1.segment
        && allowed
        && !config.deny.iter().any(is_pair)
}

/// The peers each member may have a channel with, whether they have a driver or not.
pub fn peers(
    config: &Config,
    guests: &BTreeMap<Domid, Guest>,
    places: &BTreeMap<Domid, Membership>,
) -> BTreeMap<Domid, BTreeSet<Domid>> {
    let members: Vec<_> = places
        .iter()
        .filter_map(|(domid, place)| Some((guests.get(domid)?, place)))
        .collect();
    let of = |a: (&Guest, &Membership)| {
        members
            .iter()
            .filter(|b| permitted(config, a, **b))
            .map(|b| b.0.domid)
            .collect()
    };
    members
        .iter()
        .map(|member| (member.0.domid, of(*member)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(domid: Domid, name: &str, bridge: &str) -> Guest {
        Guest {
            domid,
            name: name.into(),
            uuid: format!("00000000-0000-0000-0000-{domid:012}"),
            vifs: vec![Vif {
                index: 0,
                mac: Mac([0, 0x16, 0x3e, 0, 0, domid as u8]),
                segment: Segment {
                    backend: 0,
                    bridge: (!bridge.is_empty()).then(|| bridge.to_owned()),
                    vlan: None,
                },
                routed: false,
                addresses: Vec::new(),
            }],
        }
    }

    fn pairs(config: &str, guests: Vec<Guest>) -> Vec<(Domid, Domid)> {
        let config: Config = config.parse().unwrap();
        let guests = guests
            .into_iter()
            .map(|guest| (guest.domid, guest))
            .collect();
        let peers = peers(&config, &guests, &places(&config, &guests));
        peers
            .iter()
            .flat_map(|(a, peers)| peers.iter().map(move |b| (*a, *b)))
            .filter(|(a, b)| a < b)
            .collect()
    }

    #[test]
    fn by_default_a_bridge_is_a_group() {
        let guests = vec![
            guest(1, "a", "x"),
            guest(2, "b", "x"),
            guest(3, "c", "y"),
            guest(4, "d", ""),
        ];
        assert_eq!(pairs("", guests), [(1, 2)]);
    }

    #[test]
    fn nothing_is_permitted_where_all_is_denied() {
        assert_eq!(
            pairs(
                "default = 'deny'",
                vec![guest(1, "a", "x"), guest(2, "b", "x")]
            ),
            []
        );
    }

    #[test]
    fn a_named_group_takes_its_members_out_of_the_bridge() {
        let config =
            "[[group]]\nname = 'web'\nmembers = ['web-*', '00000000-0000-0000-0000-000000000004']";
        let guests = vec![
            guest(1, "web-1", "x"),
            guest(2, "web-2", "x"),
            guest(3, "db", "x"),
            guest(4, "c", "x"),
        ];
        assert_eq!(pairs(config, guests), [(1, 2), (1, 4), (2, 4)]);
    }

    #[test]
    fn a_group_can_name_the_pairs_that_talk() {
        let config = "default = 'deny'\n[[group]]\nname = 'q'\nmembers = ['*']\nallow = [['a', 'b'], ['c', 'b']]";
        let guests = vec![guest(1, "a", "x"), guest(2, "b", "x"), guest(3, "c", "x")];
        assert_eq!(pairs(config, guests), [(1, 2), (2, 3)]);
    }

    #[test]
    fn deny_wins() {
        let guests = vec![guest(1, "a", "x"), guest(2, "b", "x"), guest(3, "c", "x")];
        assert_eq!(pairs("deny = [['b', '[ac]']]", guests), [(1, 3)]);
    }

    #[test]
    fn members_of_a_named_group_on_two_bridges_do_not_meet() {
        let config = "[[group]]\nname = 'all'\nmembers = ['*']";
        assert_eq!(
            pairs(config, vec![guest(1, "a", "x"), guest(2, "b", "y")]),
            []
        );
    }

    #[test]
    fn the_uplink_is_the_first_vif_on_the_bridge_of_the_group() {
        let mut two = guest(1, "a", "x");
        two.vifs.push(Vif {
            index: 1,
            ..guest(9, "a", "y").vifs.remove(0)
        });
        let config: Config = "[[group]]\nname = 'g'\nbridge = 'y'".parse().unwrap();
        assert_eq!(membership(&config, &two).unwrap().uplink, two.vifs[1].mac);
        assert_eq!(
            membership(&Config::default(), &two).unwrap().uplink,
            two.vifs[0].mac
        );
    }

    #[test]
    fn a_vif_that_dom0_routes_is_nobody_s_uplink() {
        let guests = |routed| {
            ["a", "b"].map(|name| {
                let mut guest = guest(name.as_bytes()[0].into(), name, "x");
                guest.vifs[0].routed = routed;
                guest
            })
        };
        for config in ["", "[[group]]\nname = 'all'\nmembers = ['*']"] {
            assert_eq!(pairs(config, guests(false).into()), [(97, 98)]);
            assert_eq!(pairs(config, guests(true).into()), []);
        }
    }

    #[test]
    fn nor_is_one_of_which_nobody_says_where_it_is_plugged_in() {
        let config = "[[group]]\nname = 'all'\nmembers = ['*']";
        let guests = |backend| {
            ["a", "b"].map(|name| {
                let mut guest = guest(name.as_bytes()[0].into(), name, "");
                guest.vifs[0].segment.backend = backend;
                guest
            })
        };
        assert_eq!(pairs(config, guests(0).into()), []);
        // A driver domain's guests are all behind that.
        assert_eq!(pairs(config, guests(7).into()), [(97, 98)]);
    }

    #[test]
    fn the_derived_address_is_local_unicast_and_new() {
        for first in (0..=255u8).filter(|first| first & 1 == 0) {
            let derived = derived_mac(Mac([first, 1, 2, 3, 4, 5]));
            assert_eq!(derived.0[0] & 3, 2);
            assert_ne!(derived.0[0], first);
        }
    }
}
