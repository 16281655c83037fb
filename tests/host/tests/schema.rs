// SPDX-License-Identifier: GPL-2.0

//! The xenstore nodes: what is written is read back, and nothing else is accepted.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use xlnet_proto::frame::{Ip, Mac, Prefix};
use xlnet_proto::schema::{
    Claims, GuestSelf, GuestState, HelperSelf, InHome, List, Node, Offer, PeerEntry, PeerRequest,
    SchemaError, MAX_ADDRS, MAX_VALUE_LEN,
};

fn mac() -> impl Strategy<Value = Mac> {
    any::<[u8; 6]>().prop_map(|bytes| {
        Mac([
            bytes[0] & !1 | 2,
            bytes[1],
            bytes[2],
            bytes[3],
            bytes[4],
            bytes[5],
        ])
    })
}

fn ip() -> impl Strategy<Value = Ip> {
    prop_oneof![
        any::<u32>().prop_map(|bits| Ip::V4(Ipv4Addr::from(bits))),
        any::<u128>().prop_map(|bits| Ip::V6(Ipv6Addr::from(bits))),
    ]
}

fn prefix() -> impl Strategy<Value = Prefix> {
    (ip(), 0u8..=128).prop_map(|(ip, len)| Prefix::new(ip, len).unwrap_or(ip.into()))
}

fn list<T: Copy>(values: &[T]) -> List<T> {
    let mut list = List::new();
    assert!(values.iter().all(|value| list.push(*value)));
    list
}

fn offer() -> impl Strategy<Value = Offer> {
    let word = 1..=u32::MAX;
    (word.clone(), word.clone(), word).prop_map(|(number, gref, evtchn)| Offer {
        number,
        gref,
        evtchn,
    })
}

fn epoch() -> impl Strategy<Value = u64> {
    1..=u64::MAX
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn guest_self_round_trips(epoch in epoch(), features: u32, ready: bool) {
        let state = if ready { GuestState::Ready } else { GuestState::Leaving };
        let node = GuestSelf { epoch, features, state };
        prop_assert_eq!(GuestSelf::parse(node.to_string().as_bytes()), Ok(node));
    }

    #[test]
    fn peer_request_round_trips(
        from in epoch(), to in epoch(), want: u32, offer in option::of(offer()),
    ) {
        let node = PeerRequest { from, to, want, offer };
        prop_assert_eq!(PeerRequest::parse(node.to_string().as_bytes()), Ok(node));
    }

    #[test]
    fn claims_round_trip(ips in vec(ip(), 0..=MAX_ADDRS)) {
        let node = Claims(list(&ips));
        prop_assert_eq!(Claims::parse(node.to_string().as_bytes()), Ok(node));
    }

    #[test]
    fn helper_self_round_trips(
        epoch in epoch(), mac in mac(), uplink_mac in mac(), name in "[!-~]{1,32}",
        prefixes in vec(prefix(), 0..=MAX_ADDRS), strict: bool,
    ) {
        let group = name.parse().expect("a group's name");
        let strict = strict && !prefixes.is_empty();
        let prefixes = list(&prefixes);
        let node = HelperSelf { epoch, mac, uplink_mac, group, prefixes, strict };
        prop_assert_eq!(HelperSelf::parse(node.to_string().as_bytes()), Ok(node));
        prop_assert_eq!(group.as_str(), name);
    }

    #[test]
    fn peer_entry_round_trips(
        epoch in epoch(), mac in mac(), uplink_mac in mac(), features: u32, want: u32,
        offer in option::of(offer()), prefixes in vec(prefix(), 0..=MAX_ADDRS), strict: bool,
    ) {
        let strict = strict && !prefixes.is_empty();
        let prefixes = list(&prefixes);
        let node = PeerEntry { epoch, mac, uplink_mac, features, want, offer, prefixes, strict };
        let text = node.to_string();
        prop_assert!(text.len() <= MAX_VALUE_LEN);
        prop_assert_eq!(PeerEntry::parse(text.as_bytes()), Ok(node));
    }

    #[test]
    fn paths_round_trip(domid in 0u16..0x7ff0, peer in 0u16..0x7ff0) {
        for node in [
            Node::GuestDir, Node::GuestSelf, Node::GuestAddr, Node::GuestPeers,
            Node::GuestPeer(peer), Node::HelperDir, Node::HelperSelf, Node::HelperPeers,
            Node::HelperPeer(peer),
        ] {
            let path = InHome { domid, node };
            prop_assert_eq!(InHome::parse(&path.to_string()), Some(path));
        }
    }
}

const REQUEST: &str = "from=0000000000000001 to=00000000000000ff want=3";

fn request(text: &str) -> Result<PeerRequest, SchemaError> {
    PeerRequest::parse(text.as_bytes())
}

#[test]
fn the_text_is_that_of_the_protocol() {
    let offer = Offer {
        number: 4,
        gref: 9,
        evtchn: 12,
    };
    let node = PeerRequest {
        from: 1,
        to: 255,
        want: 3,
        offer: Some(offer),
    };
    assert_eq!(
        node.to_string(),
        format!("{REQUEST} offer=4 gref=9 evtchn=12")
    );
    let entry = "epoch=0123456789abcdef mac=00:16:3e:00:00:01 uplink-mac=00:16:3e:00:00:02 \
                 features=0000000f want=0 addr=10.0.0.1,fd00::/64 strict=1";
    let parsed = PeerEntry::parse(entry.as_bytes()).expect("as in the protocol");
    assert_eq!(parsed.to_string(), entry);
}

#[test]
fn who_is_held_to_its_addresses_sends_from_them_and_its_link_local_one() {
    let parse = |addresses: &str| {
        let head = "version=1 epoch=0000000000000001 mac=00:16:3e:00:00:01";
        let node = format!("{head} uplink-mac=00:16:3e:00:00:02 group=g{addresses}");
        HelperSelf::parse(node.as_bytes()).expect("as in the protocol")
    };
    let (free, held) = (parse(""), parse(" addr=10.0.0.1,fd00::/64 strict=1"));
    for (source, owned) in [
        ("10.0.0.1", true),
        ("fd00::7", true),
        ("fe80::216:3eff:fe00:1", true),
        ("10.0.0.2", false),
        ("fe80::216:3eff:fe00:2", false),
        ("0.0.0.0", false),
    ] {
        let source = source.parse().expect("an address");
        assert_eq!(held.owns(source), owned, "{source}");
        assert!(free.owns(source), "{source}");
    }
}

#[test]
fn unknown_keys_are_skipped() {
    let plain = request(REQUEST).expect("valid");
    let with = format!("colour=blue {REQUEST} wanted=7 x=");
    assert_eq!(request(&with), Ok(plain));
}

#[test]
fn whole_nodes_are_refused() {
    use SchemaError::{Invalid, Malformed, Missing, NotPrintable, Repeated, TooLong};
    for (text, error) in [
        ("", Malformed),
        ("from", Malformed),
        (" from=0000000000000001", Malformed),
        (
            "from=0000000000000001  to=00000000000000ff want=3",
            Malformed,
        ),
        (
            "from=0000000000000001 to=00000000000000ff want=3 ",
            Malformed,
        ),
        ("=1", Malformed),
        (
            "from=0000000000000001 to=00000000000000ff want=3\n",
            NotPrintable,
        ),
        (
            "from=0000000000000001\tto=00000000000000ff want=3",
            NotPrintable,
        ),
        (
            "from=0000000000000001 to=00000000000000ff want=é",
            NotPrintable,
        ),
        (
            "from=0000000000000001 to=00000000000000ff want=3 want=3",
            Repeated,
        ),
        (
            "a=1 from=0000000000000001 to=00000000000000ff a=1 want=3",
            Repeated,
        ),
        ("from=0000000000000001 to=00000000000000ff", Missing("want")),
        (
            "from=0000000000000000 to=00000000000000ff want=3",
            Invalid("from"),
        ),
        ("from=1 to=00000000000000ff want=3", Invalid("from")),
        (
            "from=0000000000000001 to=00000000000000FF want=3",
            Invalid("to"),
        ),
        (
            "from=0000000000000001 to=+0000000000000ff want=3",
            Invalid("to"),
        ),
        (
            "from=0000000000000001 to=00000000000000ff want=",
            Invalid("want"),
        ),
        (
            "from=0000000000000001 to=00000000000000ff want=03",
            Invalid("want"),
        ),
        (
            "from=0000000000000001 to=00000000000000ff want=+3",
            Invalid("want"),
        ),
        (
            "from=0000000000000001 to=00000000000000ff want=-3",
            Invalid("want"),
        ),
        (
            "from=0000000000000001 to=00000000000000ff want=4294967296",
            Invalid("want"),
        ),
        (
            "from=0000000000000001 to=00000000000000ff want=3 offer=1 gref=2",
            Missing("evtchn"),
        ),
        (
            "from=0000000000000001 to=00000000000000ff want=3 gref=2 evtchn=2",
            Missing("offer"),
        ),
        (
            "from=0000000000000001 to=00000000000000ff want=3 offer=0 gref=2 evtchn=2",
            Invalid("offer"),
        ),
    ] {
        assert_eq!(request(text), Err(error), "{text:?}");
    }
    let filler = "x".repeat(MAX_VALUE_LEN);
    assert_eq!(request(&format!("{REQUEST} x={filler}")), Err(TooLong));
    let fits = &filler[..MAX_VALUE_LEN - REQUEST.len() - " x=".len()];
    assert!(request(&format!("{REQUEST} x={fits}")).is_ok());
}

#[test]
fn values_are_judged() {
    use SchemaError::{Invalid, Missing, Version};
    let guest = |rest: &str| {
        GuestSelf::parse(format!("{rest} epoch=0000000000000001 features=00000000").as_bytes())
    };
    assert!(guest("version=1 state=ready").is_ok());
    assert_eq!(guest("version=2 state=ready"), Err(Version(2)));
    assert_eq!(guest("version=1 state=Ready"), Err(Invalid("state")));
    assert_eq!(guest("state=ready"), Err(Missing("version")));

    let entry = |rest: &str| {
        let head = "epoch=0000000000000001 uplink-mac=00:16:3e:00:00:02 features=00000000 want=0";
        PeerEntry::parse(format!("{head} {rest}").as_bytes())
    };
    let mac = "mac=00:16:3e:00:00:01";
    assert!(entry(mac).is_ok());
    assert_eq!(entry("mac=01:16:3e:00:00:01"), Err(Invalid("mac")));
    assert_eq!(entry("mac=00:00:00:00:00:00"), Err(Invalid("mac")));
    assert_eq!(entry(&format!("{mac} strict=1")), Err(Missing("addr")));
    assert_eq!(
        entry(&format!("{mac} addr=10.0.0.1")),
        Err(Missing("strict"))
    );
    assert_eq!(
        entry(&format!("{mac} addr=10.0.0.1 strict=2")),
        Err(Invalid("strict"))
    );
    assert_eq!(
        entry(&format!("{mac} addr= strict=0")),
        Err(Invalid("addr"))
    );
    assert_eq!(
        entry(&format!("{mac} addr=10.0.0.1, strict=0")),
        Err(Invalid("addr"))
    );
    let many = ["10.0.0.1"; MAX_ADDRS + 1].join(",");
    assert_eq!(
        entry(&format!("{mac} addr={many} strict=0")),
        Err(Invalid("addr"))
    );

    let helper = |group: &str| {
        let head = "version=1 epoch=0000000000000001 mac=00:16:3e:00:00:01";
        HelperSelf::parse(format!("{head} uplink-mac=00:16:3e:00:00:02 group={group}").as_bytes())
    };
    assert!(helper(&"g".repeat(32)).is_ok());
    assert_eq!(helper(&"g".repeat(33)), Err(Invalid("group")));
    assert_eq!(helper(""), Err(Invalid("group")));

    assert_eq!(Claims::parse(b"10.0.0.1/32"), Err(Invalid("addr")));
    assert_eq!(Claims::parse(b"10.0.0.1 "), Err(Invalid("addr")));
}

#[test]
fn foreign_paths_are_refused() {
    for path in [
        "/local/domain/1",
        "/local/domain/1/data",
        "/local/domain/01/xlnet/0/self",
        "/local/domain/32752/xlnet/0/self",
        "/local/domain/1/xlnet/0/peer/",
        "/local/domain/1/xlnet/0/peer/-1",
        "/local/domain/1/xlnet/0/peer/65536",
        "/local/domain/1/xlnet/0/peer/2/self",
        "/local/domain/1/xlnet/1/self",
        "/local/domain/1//xlnet/0/self",
        "local/domain/1/xlnet/0/self",
    ] {
        assert_eq!(InHome::parse(path), None, "{path:?}");
    }
}
