// SPDX-License-Identifier: GPL-3.0-only

//! What must be the same on two hosts of which one lacks something.

use std::collections::BTreeMap;

use xlnet_proto::frame::Prefix;
use xlnet_proto::schema::{
    Claims, GuestSelf, HelperSelf, InHome, List, Node, PeerEntry, PeerRequest, MAX_ADDRS,
};

use super::host::Host;
use super::toolstack::{home, Domid};
use super::Helper;

impl Host {
    /// What all guests find.
    fn all_told(&self) -> BTreeMap<Domid, BTreeMap<String, String>> {
        let state = self.0.borrow();
        let told = |domid: &Domid| (*domid, state.told(*domid));
        state.domains.keys().map(told).collect()
    }

    /// The same host as if no helper had been there yet, and guests had only written such nodes as
    /// `keep` says.
    fn with_only(&self, keep: impl Fn(Domid, Node, &[u8]) -> bool) -> Self {
        let state = self.0.borrow();
        let mut tree = state.tree.clone();
        for &domid in state.domains.keys() {
            let guest = format!("{}/data", home(domid));
            tree.remove(&guest);
            tree.remove(&format!("{}/xlnet", home(domid)));
            for (path, value) in state.tree.below(&guest) {
                let at = InHome::parse(path);
                if at.is_some_and(|at| keep(domid, at.node, value)) {
                    tree.write(path, value);
                }
            }
        }
        let host = Self::of(tree, state.rules, state.domains.clone());
        host.0.borrow_mut().said.clone_from(&state.said);
        host
    }
}

/// A helper that starts on a host at rest finds all as it would have made it.
pub async fn a_new_helper_leaves_all_as_it_is(host: &Host) {
    let before = host.0.borrow().steps;
    drop(Helper::start(host, None).await);
    assert_eq!(host.0.borrow().steps, before, "a new helper knows better");
}

fn is_valid(node: Node, value: &[u8]) -> bool {
    match node {
        Node::GuestSelf => GuestSelf::parse(value).is_ok(),
        Node::GuestAddr => Claims::parse(value).is_ok(),
        Node::GuestPeer(_) => PeerRequest::parse(value).is_ok(),
        _ => false,
    }
}

/// Without all that breaks a rule, guests are told the same.
pub async fn garbage_is_as_good_as_nothing(host: &Host) {
    let clean = host.with_only(|_, node, value| is_valid(node, value));
    drop(Helper::start(&clean, None).await);
    assert_eq!(host.all_told(), clean.all_told());
}

/// What one guest says adds nothing to what others are told about each other; it takes from it only
/// the addresses that the guest itself may have.
pub async fn nobody_else_gains_by_what_one_says(host: &Host, one: Domid) {
    let quiet = host.with_only(|domid, _, _| domid != one);
    drop(Helper::start(&quiet, None).await);
    let (loud, quiet) = (host.all_told(), quiet.all_told());
    let state = host.0.borrow();
    for (reader, loud) in loud.iter().filter(|(reader, _)| **reader != one) {
        let about_one = format!("peer/{one}");
        let mut loud = loud.clone();
        loud.remove(&about_one);
        let quiet = &quiet[reader];
        assert!(loud.keys().all(|node| quiet.contains_key(node)));
        let taken = |text: &str, about: &str| {
            let (prefixes, strict) = match HelperSelf::parse(text.as_bytes()) {
                Ok(own) => (own.prefixes, own.strict),
                Err(_) => {
                    let entry = PeerEntry::parse(text.as_bytes()).expect(about);
                    (entry.prefixes, entry.strict)
                }
            };
            let all = prefixes
                .iter()
                .all(|prefix| state.may_have(one, prefix.addr()));
            assert!(strict && all, "{about} is left out");
        };
        // Who loses all addresses that it is held to takes no part.
        if loud.is_empty() {
            if let Some(own) = quiet.get("self") {
                taken(own, &reader.to_string());
            }
            continue;
        }
        for (node, text) in quiet.iter().filter(|(node, _)| !loud.contains_key(*node)) {
            taken(text, &format!("{reader} {node}"));
        }
        for (node, text) in &loud {
            let about = format!("{reader} {node}");
            let texts = [text, &quiet[node]].map(|text| text.as_bytes());
            let (loud, quiet) = if node == "self" {
                let [loud, quiet] = texts.map(|text| HelperSelf::parse(text).expect(&about));
                let others = HelperSelf {
                    prefixes: quiet.prefixes,
                    strict: quiet.strict,
                    ..loud
                };
                assert_eq!(others, quiet, "{about}");
                (loud.prefixes, quiet.prefixes)
            } else {
                let [loud, quiet] = texts.map(|text| PeerEntry::parse(text).expect(&about));
                let others = PeerEntry {
                    prefixes: quiet.prefixes,
                    strict: quiet.strict,
                    ..loud
                };
                assert_eq!(others, quiet, "{about}");
                (loud.prefixes, quiet.prefixes)
            };
            let has = |list: &List<Prefix>, prefix| list.iter().any(|other| other == prefix);
            let full = quiet.len() == MAX_ADDRS;
            let gained = loud.iter().find(|prefix| !has(&quiet, *prefix));
            assert!(full || gained.is_none(), "{about} gains {gained:?}");
            for lost in quiet.iter().filter(|prefix| !has(&loud, *prefix)) {
                assert!(state.may_have(one, lost.addr()), "{about} loses {lost}");
            }
        }
    }
}
