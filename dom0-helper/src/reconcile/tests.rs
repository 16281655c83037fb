// SPDX-License-Identifier: GPL-3.0-only

use proptest::prelude::*;
use xlnet_proto::frame::Mac;
use xlnet_proto::schema::{List, Offer};

use super::*;

fn own(epoch: u64) -> HelperSelf {
    HelperSelf {
        epoch,
        mac: Mac([2, 0, 0, 0, 0, 1]),
        uplink_mac: Mac([0, 0, 0, 0, 0, 1]),
        group: "g".parse().unwrap(),
        prefixes: List::new(),
        strict: false,
    }
}

fn entry(epoch: u64, want: u32, offer: Option<u32>) -> PeerEntry {
    PeerEntry {
        epoch,
        mac: Mac([2, 0, 0, 0, 0, 2]),
        uplink_mac: Mac([0, 0, 0, 0, 0, 2]),
        features: 0,
        want,
        offer: offer.map(|number| Offer {
            number,
            gref: 8,
            evtchn: 9,
        }),
        prefixes: List::new(),
        strict: false,
    }
}

/// What a store in which `told` has been written holds.
fn as_found(told: &BTreeMap<Domid, Told>) -> BTreeMap<Domid, Found> {
    let found = |told: &Told| Found {
        own: told.own.map(|own| own.to_string()),
        peers: told
            .peers
            .iter()
            .map(|(peer, entry)| (*peer, entry.to_string()))
            .collect(),
    };
    told.iter()
        .map(|(domid, told)| (*domid, found(told)))
        .collect()
}

fn told(epoch: u64, peers: &[(Domid, PeerEntry)]) -> BTreeMap<Domid, Told> {
    [(
        1,
        Told {
            own: Some(own(epoch)),
            peers: peers.iter().copied().collect(),
        },
    )]
    .into()
}

#[test]
fn a_change_of_what_a_peer_says_is_one_write() {
    let (before, after) = (
        told(1, &[(2, entry(5, 0, None))]),
        told(1, &[(2, entry(5, 1, Some(1)))]),
    );
    let at = InHome {
        domid: 1,
        node: Node::HelperPeer(2),
    };
    assert_eq!(
        reconcile(&after, &as_found(&before)),
        [Action::Write(at, entry(5, 1, Some(1)).to_string())]
    );
}

#[test]
fn what_a_peer_says_is_no_news_but_who_it_is() {
    let before = as_found(&told(1, &[(2, entry(5, 0, None))]));
    let is_news = |peer| {
        let actions = reconcile(&told(1, &[(2, peer)]), &before);
        assert!(!actions.is_empty());
        actions.iter().any(|action| action.is_news(&before))
    };
    assert!(!is_news(entry(5, 1, Some(1))));
    assert!(is_news(entry(6, 0, None)));
    let mut elsewhere = entry(5, 0, None);
    assert!(elsewhere.prefixes.push("10.0.0.7/32".parse().unwrap()));
    assert!(is_news(elsewhere));
    assert!(reconcile(&told(1, &[]), &before)[0].is_news(&before));
}

#[test]
fn another_instance_of_a_peer_is_removed_before_it_is_written() {
    let (before, after) = (
        told(1, &[(2, entry(5, 0, None))]),
        told(1, &[(2, entry(6, 0, None))]),
    );
    let at = InHome {
        domid: 1,
        node: Node::HelperPeer(2),
    };
    assert_eq!(
        reconcile(&after, &as_found(&before)),
        [
            Action::Remove(at),
            Action::Write(at, entry(6, 0, None).to_string())
        ]
    );
}

#[test]
fn a_new_instance_never_finds_what_was_meant_for_the_last() {
    let (before, after) = (
        told(1, &[(2, entry(5, 0, Some(1)))]),
        told(2, &[(2, entry(5, 0, None))]),
    );
    let at = |node| InHome { domid: 1, node };
    assert_eq!(
        reconcile(&after, &as_found(&before)),
        [
            Action::Remove(at(Node::HelperPeers)),
            Action::Write(at(Node::HelperSelf), own(2).to_string()),
            Action::Write(at(Node::HelperPeer(2)), entry(5, 0, None).to_string()),
        ]
    );
}

#[test]
fn a_guest_that_takes_no_part_is_left_with_nothing() {
    let before = as_found(&told(1, &[(2, entry(5, 0, None))]));
    let after = [(1, Told::default())].into();
    let at = InHome {
        domid: 1,
        node: Node::HelperDir,
    };
    assert_eq!(reconcile(&after, &before), [Action::Remove(at)]);
    assert_eq!(reconcile(&after, &BTreeMap::new()), []);
}

fn any_entry() -> impl Strategy<Value = PeerEntry> {
    (1..4_u64, 0..3_u32, proptest::option::of(1..3_u32))
        .prop_map(|(epoch, want, offer)| entry(epoch, want, offer))
}

fn any_told() -> impl Strategy<Value = BTreeMap<Domid, Told>> {
    let taking_part = (
        1..4_u64,
        proptest::collection::btree_map(1..6_u16, any_entry(), 0..5),
    )
        .prop_map(|(epoch, peers)| Told {
            own: Some(own(epoch)),
            peers,
        });
    let told = prop_oneof![1 => Just(Told::default()), 4 => taking_part];
    proptest::collection::btree_map(1..6_u16, told, 0..5)
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        (1..4_u64).prop_map(|epoch| own(epoch).to_string()),
        any_entry().prop_map(|entry| entry.to_string()),
        ".{0,20}",
    ]
}

fn any_found() -> impl Strategy<Value = BTreeMap<Domid, Found>> {
    let found = (
        proptest::option::of(any_text()),
        proptest::collection::btree_map(1..6_u16, any_text(), 0..5),
    )
        .prop_map(|(own, peers)| Found { own, peers });
    proptest::collection::btree_map(1..6_u16, found, 0..5)
}

/// The nodes as `actions` leave them, and after each step whether the guest could have been
/// misled.
fn take(actions: &[Action], found: &mut BTreeMap<Domid, Found>) {
    for action in actions {
        found.entry(action.at().domid).or_default().note(action);
    }
}

proptest! {
    #[test]
    fn the_steps_lead_to_what_is_to_be_told(told in any_told(), found in any_found()) {
        let mut after = found;
        take(&reconcile(&told, &after), &mut after);
        for (domid, wanted) in as_found(&told) {
            prop_assert_eq!(after.get(&domid).cloned().unwrap_or_default(), wanted);
        }
        prop_assert_eq!(reconcile(&told, &after), []);
    }

    #[test]
    fn stopping_anywhere_and_starting_again_leads_to_the_same(
        told in any_told(), found in any_found(), stop in any::<prop::sample::Index>()
    ) {
        let mut after = found;
        let actions = reconcile(&told, &after);
        take(&actions[..stop.index(actions.len() + 1)], &mut after);
        take(&reconcile(&told, &after), &mut after);
        prop_assert_eq!(reconcile(&told, &after), []);
    }

    #[test]
    fn no_step_shows_an_offer_of_another_time(before in any_told(), told in any_told()) {
        // At every moment each entry is one of before or one of now, and those of before are gone before `self`
        // answers a new instance.
        let mut now = as_found(&before);
        for action in reconcile(&told, &now) {
            now.entry(action.at().domid).or_default().note(&action);
            for (domid, found) in &now {
                let Some(wanted) = told.get(domid).and_then(|told| told.own) else { continue };
                let was = before.get(domid).and_then(|before| before.own).map(|own| own.epoch);
                if was == Some(wanted.epoch) || found.own != Some(wanted.to_string()) {
                    continue;
                }
                for (peer, text) in &found.peers {
                    let now = told[domid].peers.get(peer).map(ToString::to_string);
                    prop_assert_eq!(Some(text), now.as_ref());
                }
            }
        }
    }

    #[test]
    fn only_nodes_of_guests_that_are_told_something_new_are_touched(told in any_told(), found in any_found()) {
        let wanted = as_found(&told);
        for action in reconcile(&told, &found) {
            let domid = action.at().domid;
            prop_assert!(told.contains_key(&domid));
            prop_assert_ne!(found.get(&domid), wanted.get(&domid));
        }
    }
}
