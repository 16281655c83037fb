// SPDX-License-Identifier: GPL-3.0-only

//! Whatever one guest writes, against all that the helper makes of it.

use proptest::prelude::*;
use xlnet_proto::schema::{InHome, Node, PeerEntry};

use super::*;
use crate::apply::apply;
use crate::store::memory::Memory;

/// The guest that writes anything.
const HOSTILE: Domid = 3;

const CONFIGS: [&str; 5] = [
    "",
    "deny = [['g3', 'g1']]",
    "default = 'deny'\n[[group]]\nname = 'q'\nmembers = ['*']\nallow = [['g1', 'g2'], ['g2', 'g3']]",
    "[[group]]\nname = 'a'\nmembers = ['g1', 'g2', 'g5']\n[[group]]\nname = 'b'\nmembers = ['g3', 'g4']",
    "learn = true\n[[guest]]\nname = 'g2'\nprefixes = ['10.0.0.128/25']",
];

pub(crate) fn home(domid: Domid, node: Node) -> String {
    InHome { domid, node }.to_string()
}

/// Five guests on one bridge that behave; `words` is what guest 3 writes instead.
pub(crate) fn host(words: &[(Node, Vec<u8>)]) -> Memory {
    guests(5, words)
}

/// The same of `count` guests.
pub(crate) fn guests(count: Domid, words: &[(Node, Vec<u8>)]) -> Memory {
    let store = Memory::default();
    for domid in 1..=count {
        let root = format!("/libxl/{domid}/device/vif/0");
        store.put(
            &format!("/local/domain/{domid}/vm"),
            format!("/vm/u{domid}"),
        );
        store.put(&format!("/local/domain/{domid}/name"), format!("g{domid}"));
        store.put(
            &format!("{root}/backend"),
            format!("/local/domain/0/backend/vif/{domid}/0"),
        );
        store.put(
            &format!("{root}/mac"),
            format!("00:16:3e:00:00:{domid:02x}"),
        );
        store.put(&format!("{root}/bridge"), "br0");
        if domid == HOSTILE {
            continue;
        }
        if domid % 2 == 0 {
            store.put(&format!("{root}/ip"), format!("10.0.0.{domid}"));
        }
        store.put(&home(domid, Node::GuestAddr), format!("10.0.0.{domid}"));
        let own = format!("version=1 epoch={domid:016x} features=00000001 state=ready");
        store.put(&home(domid, Node::GuestSelf), own);
        for peer in 1..=count {
            let request = format!(
                "from={domid:016x} to={peer:016x} want={domid} offer={peer} gref=8 evtchn=9"
            );
            store.put(&home(domid, Node::GuestPeer(peer)), request);
        }
    }
    for (node, value) in words {
        store.put(&home(HOSTILE, *node), value);
    }
    store
}

fn scan(config: &str, store: &Memory) -> Model {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let mut model = runtime
        .block_on(Model::scan(config.parse().unwrap(), store))
        .unwrap();
    model.dom0.clear();
    model
}

fn any_words() -> impl Strategy<Value = Vec<(Node, Vec<u8>)>> {
    let node = prop_oneof![
        3 => Just(Node::GuestSelf),
        2 => Just(Node::GuestAddr),
        3 => (0..7_u16).prop_map(Node::GuestPeer),
    ];
    let own = (0..4_u64, "(ready|leaving|x)").prop_map(|(epoch, state)| {
        format!("version=1 epoch={epoch:016x} features=ffffffff state={state}")
    });
    let addr = proptest::collection::vec(0..255_u8, 0..20).prop_map(|last| {
        last.iter()
            .map(|last| format!("10.0.0.{last}"))
            .collect::<Vec<_>>()
            .join(" ")
    });
    let request = (0..7_u64, 0..7_u64, any::<u32>(), any::<u32>()).prop_map(|(from, to, want, offer)| {
        format!("from={from:016x} to={to:016x} want={want} offer={offer} gref={want} evtchn={offer}")
    });
    let value = prop_oneof![
        4 => own.prop_map(String::into_bytes),
        3 => addr.prop_map(String::into_bytes),
        4 => request.prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..3000),
        1 => "[ -~]{0,80}".prop_map(String::into_bytes),
    ];
    proptest::collection::vec((node, value), 0..12)
}

/// An entry without its addresses.
fn without_addresses(entry: &PeerEntry) -> PeerEntry {
    PeerEntry {
        prefixes: Default::default(),
        strict: false,
        ..*entry
    }
}

proptest! {
    #[test]
    fn a_guest_touches_only_what_peers_are_told_about_itself(
        words in any_words(), config in proptest::sample::select(&CONFIGS[..])
    ) {
        let (quiet, loud) = (scan(config, &host(&[])), scan(config, &host(&words)));
        let permitted = &quiet.peers[&HOSTILE];
        let (quiet, loud) = (quiet.plan().told, loud.plan().told);
        for domid in (1..=5).filter(|domid| *domid != HOSTILE) {
            let (before, after) = (&quiet[&domid], &loud[&domid]);
            prop_assert_eq!(before.own, after.own);
            if !permitted.contains(&domid) {
                prop_assert!(!after.peers.contains_key(&HOSTILE));
            }
            for peer in (1..=5).filter(|peer| *peer != HOSTILE) {
                let (before, after) = (before.peers.get(&peer), after.peers.get(&peer));
                prop_assert_eq!(before.map(without_addresses), after.map(without_addresses));
                let (Some(before), Some(after)) = (before, after) else { continue };
                // Where claims count, one that contests another takes both off the routes, and adds to none.
                if !config.contains("learn") || before.strict {
                    prop_assert_eq!(before, after);
                }
                for prefix in after.prefixes.iter() {
                    prop_assert!(before.prefixes.iter().any(|known| known == prefix));
                }
            }
        }
    }

    #[test]
    fn what_a_peer_is_told_about_a_guest_is_that_guests_alone(
        words in any_words(), config in proptest::sample::select(&CONFIGS[..])
    ) {
        let told = scan(config, &host(&words)).plan().told;
        for (domid, told) in &told {
            let Some(entry) = told.peers.get(&HOSTILE) else { continue };
            prop_assert_eq!(entry.mac.to_string(), "42:16:3e:00:00:03");
            prop_assert_eq!(entry.uplink_mac.to_string(), "00:16:3e:00:00:03");
            prop_assert!(!entry.strict);
            prop_assert!(entry.offer.is_none() || *domid > HOSTILE);
            for prefix in entry.prefixes.iter() {
                prop_assert!(config.contains("learn") && prefix.is_host());
                let text = prefix.to_string();
                prop_assert!(!["10.0.0.2", "10.0.0.4"].contains(&text.as_str()), "{}", text);
                prop_assert!(!"10.0.0.128/25".parse::<xlnet_proto::frame::Prefix>().unwrap().contains(prefix.addr()));
            }
        }
    }

    #[test]
    fn what_is_applied_is_found_again(
        words in any_words(), config in proptest::sample::select(&CONFIGS[..])
    ) {
        let store = host(&words);
        let mut model = scan(config, &store);
        let actions = model.plan().actions;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(apply(&store, &actions, &mut model.found)).unwrap();
        prop_assert_eq!(model.plan().actions, []);
        let again = scan(config, &store);
        prop_assert_eq!(again.plan().actions, []);
        for told in again.plan().told.values() {
            prop_assert!(told.own.iter().all(|own| own.to_string().len() <= 2048));
            for entry in told.peers.values() {
                prop_assert_eq!(PeerEntry::parse(entry.to_string().as_bytes()), Ok(*entry));
            }
        }
    }
}

#[test]
fn a_hint_about_one_peer_brings_what_a_full_look_brings() {
    let store = host(&[]);
    let mut model = scan("", &store);
    store.put(
        &home(1, Node::GuestPeer(2)),
        "from=0000000000000001 to=0000000000000002 want=99",
    );
    store.put(&home(1, Node::GuestPeer(4)), "garbage");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let hint = GuestHint {
        peers: [2, 4, 77].into(),
        ..GuestHint::default()
    };
    let looked = runtime.block_on(model.look(&store, 1, &hint)).unwrap();
    assert!(looked.changed);
    assert_eq!((looked.requests, looked.garbage.count), (2, 1));
    assert_eq!(model.reports, scan("", &store).reports);
}
