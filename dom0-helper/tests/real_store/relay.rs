// SPDX-License-Identifier: GPL-3.0-only

//! What guests say to each other through the helper.

use super::with_both_stores;

const A: &str = "00000000000000a1";
const B: &str = "00000000000000b2";

with_both_stores! {
    fn wants_and_offers_reach_the_peer_they_are_for(host) {
        host.create(1, "g1", None);
        host.create(2, "g2", None);
        let _helper = host.run();
        host.ready(1, 0xa1);
        host.ready(2, 0xb2);
        host.until_peers(1, &[2]);
        host.until_peers(2, &[1]);
        // The connector, the higher domid, wants a channel; the listener makes an offer.
        host.guest_writes(2, "peer/1", format!("from={B} to={A} want=1"));
        host.until("the want", |host| host.entry(1, 2).unwrap().contains(" want=1"));
        host.guest_writes(1, "peer/2", format!("from={A} to={B} want=0 offer=1 gref=77 evtchn=12"));
        host.until("the offer", |host| host.entry(2, 1).unwrap().contains(" want=0 offer=1 gref=77 evtchn=12"));
        host.guest_writes(1, "peer/2", format!("from={A} to={B} want=0"));
        host.until("the offer withdrawn", |host| !host.entry(2, 1).unwrap().contains("offer"));
        host.wire.rm("/local/domain/2/data/xlnet/0/peer/1");
        host.until("the want withdrawn", |host| host.entry(1, 2).unwrap().contains(" want=0"));
    }

    fn a_connector_cannot_offer(host) {
        host.create(1, "g1", None);
        host.create(2, "g2", None);
        let _helper = host.run();
        host.ready(1, 0xa1);
        host.ready(2, 0xb2);
        host.until_peers(1, &[2]);
        host.guest_writes(2, "peer/1", format!("from={B} to={A} want=5 offer=5 gref=77 evtchn=12"));
        host.until("the want", |host| host.entry(1, 2).unwrap().contains(" want=5"));
        assert!(!host.entry(1, 2).unwrap().contains("offer"));
    }

    fn only_current_epochs_are_relayed(host) {
        host.create(1, "g1", None);
        host.create(2, "g2", None);
        let _helper = host.run();
        host.ready(1, 0xa1);
        host.ready(2, 0xb2);
        host.until_peers(2, &[1]);
        host.guest_writes(1, "peer/2", format!("from={A} to={B} want=0 offer=1 gref=77 evtchn=12"));
        host.until("the offer", |host| host.entry(2, 1).unwrap().contains("offer=1"));

        // The listener's driver is loaded anew: what its last instance offered is nobody's any more.
        host.ready(1, 0xa5);
        host.until("the new epoch", |host| {
            host.entry(2, 1).is_some_and(|entry| entry.starts_with("epoch=00000000000000a5 "))
        });
        assert!(!host.entry(2, 1).unwrap().contains("offer"));
        assert!(host.told(1, "self").unwrap().contains("epoch=00000000000000a5 "));

        // The connector's too: an offer to its last instance does not reach the new one.
        host.guest_writes(1, "peer/2", format!("from=00000000000000a5 to={B} want=0 offer=1 gref=78 evtchn=13"));
        host.until("the second offer", |host| host.entry(2, 1).unwrap().contains("offer=1 gref=78"));
        host.ready(2, 0xb9);
        host.until("the answer to the new epoch", |host| {
            host.told(2, "self").is_some_and(|own| own.contains("epoch=00000000000000b9 "))
                && host.entry(2, 1).is_some()
        });
        assert!(!host.entry(2, 1).unwrap().contains("offer"));
        host.guest_writes(1, "peer/2", "from=00000000000000a5 to=00000000000000b9 want=0 offer=2 gref=79 evtchn=14");
        host.until("the third offer", |host| host.entry(2, 1).unwrap().contains("offer=2 gref=79"));
    }

    fn a_guest_that_leaves_is_withdrawn_everywhere(host) {
        for domid in 1..=3 {
            host.create(domid, &format!("g{domid}"), None);
            host.ready(domid, u64::from(domid) + 0xa0);
        }
        let _helper = host.run();
        host.until_peers(1, &[2, 3]);
        host.guest_writes(2, "self", "version=1 epoch=00000000000000a2 features=00000003 state=leaving");
        host.until_peers(1, &[3]);
        host.until_peers(3, &[1]);
        host.until("nothing is left of guest 2", |host| host.wire.list("/local/domain/2/xlnet/0").is_empty());
        // Module loaded again.
        host.ready(2, 0xb2);
        host.until_peers(1, &[2, 3]);
        host.until_peers(2, &[1, 3]);
        // Module unloaded: it removes its nodes.
        host.wire.rm("/local/domain/2/data/xlnet");
        host.until_peers(1, &[3]);
    }
}
