// SPDX-License-Identifier: GPL-3.0-only

use xlnet_proto::schema::{GuestSelf, GuestState};

use super::*;
use crate::policy::places;
use crate::report::Driver;

/// A guest for the tests: its vif's `ip=`, that of a second vif with the same Ethernet address, what
/// it claims, and whether it has a driver.
struct Case {
    domid: Domid,
    uuid: &'static str,
    bridge: &'static str,
    ip: &'static str,
    second: &'static str,
    claims: &'static str,
    ready: bool,
}

const PLAIN: Case = Case {
    domid: 0,
    uuid: "",
    bridge: "br0",
    ip: "",
    second: "",
    claims: "",
    ready: true,
};

fn list(text: &str) -> Vec<IpAddr> {
    text.split_whitespace()
        .map(|ip| ip.parse().unwrap())
        .collect()
}

/// What each guest that takes part is given, and the warnings.
fn given(config: &str, dom0: &str, cases: &[Case]) -> (BTreeMap<Domid, String>, Vec<String>) {
    let config: Config = config.parse().unwrap();
    let (mut guests, mut reports) = (BTreeMap::new(), BTreeMap::new());
    for case in cases {
        let uuid = if case.uuid.is_empty() {
            case.domid.to_string()
        } else {
            case.uuid.into()
        };
        let vif = Vif {
            index: 0,
            mac: xlnet_proto::frame::Mac([0, 0x16, 0x3e, 0, 0, case.domid as u8]),
            segment: Segment {
                backend: 0,
                bridge: Some(case.bridge.into()),
                vlan: None,
            },
            routed: false,
            addresses: list(case.ip),
        };
        let second = Vif {
            index: 1,
            addresses: list(case.second),
            ..vif.clone()
        };
        let name = format!("g{}", case.domid);
        guests.insert(
            case.domid,
            Guest {
                domid: case.domid,
                name,
                uuid,
                vifs: vec![vif, second],
            },
        );
        let own = GuestSelf {
            epoch: 1,
            features: 0,
            state: GuestState::Ready,
        };
        let driver = if case.ready {
            Driver::Valid(own)
        } else {
            Driver::Absent
        };
        reports.insert(
            case.domid,
            Report {
                driver,
                claims: list(case.claims),
                ..Report::default()
            },
        );
    }
    let dom0 = list(dom0).into_iter().collect();
    let (assigned, warnings) = assign(&config, &guests, &places(&config, &guests), &reports, &dom0);
    let text = |of: &Addresses| {
        let prefixes: Vec<_> = of.prefixes.iter().map(ToString::to_string).collect();
        prefixes.join(" ")
            + match (of.strict(), of.are_unusable()) {
                (true, _) => " strict",
                (_, true) => "barred",
                _ => "",
            }
    };
    let assigned = assigned
        .iter()
        .map(|(domid, of)| (*domid, text(of)))
        .collect();
    (
        assigned,
        warnings.into_iter().map(|warning| warning.text).collect(),
    )
}

const LEARN: &str = "learn = true";

#[test]
fn the_first_source_that_knows_any_wins() {
    let case = Case {
        domid: 1,
        ip: "10.0.0.1",
        claims: "10.0.0.9",
        ..PLAIN
    };
    let config = "learn = true\n[[guest]]\nname = 'g1'\naddresses = ['10.1.1.1']";
    assert_eq!(given(config, "", &[case]).0[&1], "10.1.1.1 strict");
    let case = Case {
        domid: 1,
        ip: "10.0.0.1",
        claims: "10.0.0.9",
        ..PLAIN
    };
    assert_eq!(given(LEARN, "", &[case]).0[&1], "10.0.0.1 strict");
    let case = Case {
        domid: 1,
        claims: "10.0.0.9 10.0.0.9",
        ..PLAIN
    };
    assert_eq!(given(LEARN, "", &[case]).0[&1], "10.0.0.9");
    let case = Case {
        domid: 1,
        claims: "10.0.0.9",
        ..PLAIN
    };
    assert_eq!(given("", "", &[case]).0[&1], "");
}

#[test]
fn networks_come_in_addition_and_alone_are_not_strict() {
    let config = "[[guest]]\nname = 'g1'\nprefixes = ['10.20.0.0/16']";
    let case = Case {
        domid: 1,
        ip: "10.0.0.1",
        ..PLAIN
    };
    assert_eq!(
        given(config, "", &[case]).0[&1],
        "10.0.0.1 10.20.0.0/16 strict"
    );
    assert_eq!(
        given(config, "", &[Case { domid: 1, ..PLAIN }]).0[&1],
        "10.20.0.0/16"
    );
}

#[test]
fn addresses_that_can_be_no_guests_are_refused_from_every_source() {
    let bad = "0.0.0.0 0.1.2.3 127.0.0.1 224.0.0.1 255.255.255.255 169.254.1.1 :: ::1 ff02::1 fe80::1 ::ffff:10.0.0.7";
    for config in ["", LEARN] {
        let case = match config {
            "" => Case {
                domid: 1,
                ip: bad,
                ..PLAIN
            },
            _ => Case {
                domid: 1,
                claims: bad,
                ..PLAIN
            },
        };
        let (given, warnings) = given(config, "", &[case]);
        // Without an address it would be held to none.
        let barred = config.is_empty();
        assert_eq!(given[&1], if barred { "barred" } else { "" });
        assert_eq!(
            warnings.len(),
            bad.split_whitespace().count() + usize::from(barred),
            "{warnings:?}"
        );
    }
    let case = Case {
        domid: 1,
        ip: "10.0.0.254 10.0.0.1",
        ..PLAIN
    };
    let (given, warnings) = given("", "10.0.0.254", &[case]);
    assert_eq!(given[&1], "10.0.0.1 strict");
    assert_eq!(
        warnings,
        ["10.0.0.254 of g1 (domain 1) is Dom0's own address; not routed"]
    );
}

#[test]
fn two_equal_owners_both_lose_it() {
    for (config, left, one, two) in [
        (
            LEARN,
            "",
            Case {
                claims: "10.0.0.1",
                ..PLAIN
            },
            Case {
                claims: "10.0.0.1 10.0.0.2",
                ..PLAIN
            },
        ),
        (
            "",
            "barred",
            Case {
                ip: "10.0.0.1",
                ..PLAIN
            },
            Case {
                ip: "10.0.0.1 10.0.0.2",
                ..PLAIN
            },
        ),
    ] {
        let cases = [Case { domid: 1, ..one }, Case { domid: 2, ..two }];
        let (given, warnings) = given(config, "", &cases);
        assert_eq!(given[&1], left);
        assert!(given[&2].starts_with("10.0.0.2"));
        assert_eq!(warnings.len(), 2 + usize::from(!left.is_empty()));
    }
}

#[test]
fn a_claim_loses_to_what_is_known_of_anybody_on_the_segment() {
    let thief = || Case {
        domid: 2,
        claims: "10.0.0.1 10.20.3.4 10.0.0.2",
        ..PLAIN
    };
    let victim = Case {
        domid: 1,
        ip: "10.0.0.1",
        ready: false,
        ..PLAIN
    };
    let router = "learn = true\n[[guest]]\nname = 'g1'\nprefixes = ['10.20.0.0/16']";
    assert_eq!(given(router, "", &[victim, thief()]).0[&2], "10.0.0.2");
    // Also if the victim is in another group, or in none.
    let config = "default = 'deny'\n[[group]]\nname = 'x'\nmembers = ['g2']\nlearn = true";
    let victim = Case {
        domid: 1,
        ip: "10.0.0.1",
        ..PLAIN
    };
    assert_eq!(
        given(config, "", &[victim, thief()]).0[&2],
        "10.0.0.2 10.20.3.4"
    );
    // On another bridge the same address is another matter.
    let other = Case {
        domid: 1,
        ip: "10.0.0.1",
        bridge: "br1",
        ..PLAIN
    };
    assert_eq!(
        given(LEARN, "", &[other, thief()]).0[&2],
        "10.0.0.1 10.0.0.2 10.20.3.4"
    );
}

#[test]
fn a_claim_loses_to_a_second_device_with_the_address_of_the_first() {
    let victim = Case {
        domid: 1,
        ip: "10.0.0.1",
        second: "10.0.0.3",
        ..PLAIN
    };
    let thief = Case {
        domid: 2,
        claims: "10.0.0.2 10.0.0.3",
        ..PLAIN
    };
    let (given, _) = given(LEARN, "", &[victim, thief]);
    assert_eq!(
        (given[&1].as_str(), given[&2].as_str()),
        ("10.0.0.1 strict", "10.0.0.2")
    );
}

#[test]
fn a_guest_that_moves_within_the_host_keeps_its_addresses() {
    let cases = |ready| {
        [
            Case {
                domid: 5,
                uuid: "u",
                ip: "10.0.0.1",
                ..PLAIN
            },
            Case {
                domid: 9,
                uuid: "u",
                ip: "10.0.0.1",
                ready,
                ..PLAIN
            },
        ]
    };
    let (before, warnings) = given("", "", &cases(false));
    assert_eq!(
        (before[&5].as_str(), warnings.len()),
        ("10.0.0.1 strict", 0)
    );
    let (after, warnings) = given("", "", &cases(true));
    assert_eq!(
        (after[&5].as_str(), after[&9].as_str(), warnings.len()),
        ("barred", "10.0.0.1 strict", 0)
    );
}

#[test]
fn a_network_of_one_address_is_contested_like_an_address() {
    let config = "learn = true\n[[guest]]\nname = 'g1'\nprefixes = ['10.0.0.9/32']";
    let owner = || Case {
        domid: 1,
        ip: "10.0.0.1",
        ..PLAIN
    };
    let other = Case {
        domid: 2,
        ip: "10.0.0.2 10.0.0.9",
        ..PLAIN
    };
    let (both, warnings) = given(config, "", &[owner(), other]);
    assert_eq!(
        (both[&1].as_str(), both[&2].as_str()),
        ("10.0.0.1 strict", "10.0.0.2 strict")
    );
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    let thief = Case {
        domid: 2,
        claims: "10.0.0.2 10.0.0.9",
        ..PLAIN
    };
    let (both, _) = given(config, "", &[owner(), thief]);
    assert_eq!(
        (both[&1].as_str(), both[&2].as_str()),
        ("10.0.0.1 10.0.0.9 strict", "10.0.0.2")
    );
}

#[test]
fn networks_go_with_a_guest_that_moves_within_the_host() {
    let uuid = "5ad2b6a0-0000-4000-8000-00000000000a";
    let config = format!("[[guest]]\nuuid = '{uuid}'\nprefixes = ['10.20.0.0/16']");
    let cases = [5, 9].map(|domid| Case {
        domid,
        uuid,
        ..PLAIN
    });
    let (given, _) = given(&config, "", &cases);
    assert_eq!(
        (given[&5].as_str(), given[&9].as_str()),
        ("", "10.20.0.0/16")
    );
}

#[test]
fn a_claim_loses_to_what_is_configured_for_a_guest_in_no_group() {
    let config = "default = 'deny'\n[[group]]\nname = 'x'\nmembers = ['g2']\nlearn = true\n\
                  [[guest]]\nname = 'g1'\naddresses = ['10.0.0.1']\nprefixes = ['10.20.0.0/16']";
    let thief = || Case {
        domid: 2,
        claims: "10.0.0.1 10.0.0.2 10.20.3.4",
        ..PLAIN
    };
    let victim = |bridge| Case {
        domid: 1,
        bridge,
        ..PLAIN
    };
    assert_eq!(
        given(config, "", &[victim("br0"), thief()]).0[&2],
        "10.0.0.2"
    );
    let all = "10.0.0.1 10.0.0.2 10.20.3.4";
    assert_eq!(given(config, "", &[victim("br1"), thief()]).0[&2], all);
}

#[test]
fn no_guest_is_given_more_than_an_entry_holds() {
    let config = "learn = true\n[[guest]]\nname = 'g1'\nprefixes = ['10.20.0.0/16']";
    let case = Case {
        domid: 1,
        claims: "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6 10.0.0.7 10.0.0.8 10.0.0.9 10.0.0.10 \
                 10.0.0.11 10.0.0.12 10.0.0.13 10.0.0.14 10.0.0.15 10.0.0.16",
        ..PLAIN
    };
    let (given, warnings) = given(config, "", &[case]);
    assert_eq!(given[&1].split_whitespace().count(), MAX_ADDRS);
    assert!(
        warnings[0].contains("more than 16 addresses"),
        "{warnings:?}"
    );
}
