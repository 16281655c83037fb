// SPDX-License-Identifier: GPL-3.0-only

//! Who is told about whom.

use super::host::{mac, uuid};
use super::with_both_stores;

with_both_stores! {
    fn guests_on_one_bridge_become_peers(host) {
        for domid in 1..=3 {
            host.create(domid, &format!("g{domid}"), Some(&format!("10.0.0.{domid}")));
        }
        host.create_on(4, "g4", &mac(4), "otherbr", Some("10.0.0.4"));
        let _helper = host.run();
        assert_eq!(host.everything_told(), []);
        for domid in 1..=4 {
            host.ready(domid, u64::from(domid) + 0xa0);
        }
        for (domid, peers) in [(1, [2, 3]), (2, [1, 3]), (3, [1, 2])] {
            host.until_peers(domid, &peers);
        }
        host.until("guest 4 is answered", |host| host.told(4, "self").is_some());
        assert_eq!(
            host.told(1, "self").unwrap(),
            "version=1 epoch=00000000000000a1 mac=42:16:3e:00:00:01 uplink-mac=00:16:3e:00:00:01 group=xenbr0 \
             addr=10.0.0.1 strict=1"
        );
        assert_eq!(
            host.entry(1, 2).unwrap(),
            "epoch=00000000000000a2 mac=42:16:3e:00:00:02 uplink-mac=00:16:3e:00:00:02 features=00000003 want=0 \
             addr=10.0.0.2 strict=1"
        );
        host.until_peers(4, &[]);
        // Only Dom0 writes what the helper wrote, and of the guests only the one it is meant for reads it.
        for node in ["self", "peer/2"] {
            assert_eq!(host.wire.perms(&format!("/local/domain/1/xlnet/0/{node}")), ["n0", "r1"]);
        }
    }

    fn ports_of_one_bridge_in_two_vlans_do_not_meet(host) {
        for domid in 1..=4 {
            host.create(domid, &format!("g{domid}"), None);
            host.ready(domid, u64::from(domid) + 0xa0);
        }
        for domid in [2, 3] {
            host.wire.write(&format!("/libxl/{domid}/device/vif/0/vlan"), "10");
        }
        let _helper = host.run();
        host.until_peers(1, &[4]);
        host.until_peers(2, &[3]);
        host.wire.write("/libxl/3/device/vif/0/vlan", "20");
        host.until_peers(2, &[]);
        host.until_peers(3, &[]);
    }

    fn guests_that_dom0_routes_for_do_not_meet(host) {
        for domid in 1..=4 {
            host.create(domid, &format!("g{domid}"), None);
            host.ready(domid, u64::from(domid) + 0xa0);
        }
        for domid in [3, 4] {
            host.wire.write(&format!("/libxl/{domid}/device/vif/0/script"), "/etc/xen/scripts/vif-route");
        }
        let _helper = host.run();
        host.until_peers(1, &[2]);
        assert_eq!((host.told(3, "self"), host.told(4, "self")), (None, None));
    }

    fn sixty_four_guests_all_meet(host) {
        let domids: Vec<u16> = (1..=64).collect();
        for domid in &domids {
            host.create(*domid, &format!("g{domid}"), Some(&format!("10.0.0.{domid}")));
        }
        let _helper = host.run();
        for domid in &domids {
            host.ready(*domid, u64::from(*domid) + 0xa0);
        }
        for domid in &domids {
            let others: Vec<_> = domids.iter().copied().filter(|other| other != domid).collect();
            host.until_peers(*domid, &others);
        }
        // A handshake at that size.
        host.guest_writes(1, "peer/64", "from=00000000000000a1 to=00000000000000e0 want=0 offer=1 gref=8 evtchn=9");
        host.until("the offer", |host| host.entry(64, 1).unwrap().contains(" offer=1 "));
    }

    fn a_guest_without_a_driver_is_told_nothing(host) {
        host.create(1, "g1", None);
        host.create(2, "g2", None);
        let _helper = host.run();
        host.ready(1, 0xa1);
        host.until("guest 1 is answered", |host| host.told(1, "self").is_some());
        host.until_peers(1, &[]);
        assert_eq!(host.wire.list("/local/domain/2/xlnet"), [""; 0]);
    }

    fn deny_keeps_a_pair_apart(host) {
        host.config("deny = [['g1', 'g3']]");
        for domid in 1..=3 {
            host.create(domid, &format!("g{domid}"), None);
            host.ready(domid, u64::from(domid) + 0xa0);
        }
        let _helper = host.run();
        host.until_peers(1, &[2]);
        host.until_peers(2, &[1, 3]);
        host.until_peers(3, &[2]);
        // What the two say to each other is relayed to neither.
        host.guest_writes(1, "peer/3", "from=00000000000000a1 to=00000000000000a3 want=0 offer=1 gref=8 evtchn=9");
        host.guest_writes(1, "peer/2", "from=00000000000000a1 to=00000000000000a2 want=0 offer=1 gref=8 evtchn=9");
        host.until("the permitted offer", |host| host.entry(2, 1).unwrap().contains(" offer=1 "));
        host.until_peers(3, &[2]);
    }

    fn named_groups_and_deny_by_default(host) {
        host.config(&format!(
            "default = 'deny'\n\
             [[group]]\nname = 'web'\nmembers = ['web-*', '{}']\n\
             [[group]]\nname = 'pairs'\nmembers = ['a', 'b', 'c']\nallow = [['a', 'b']]\n",
            uuid(3)
        ));
        for (domid, name) in [(1, "web-1"), (2, "web-2"), (3, "db"), (4, "a"), (5, "b"), (6, "c"), (7, "z")] {
            host.create(domid, name, None);
            host.ready(domid, u64::from(domid) + 0xa0);
        }
        let _helper = host.run();
        host.until_peers(1, &[2, 3]);
        host.until_peers(2, &[1, 3]);
        host.until_peers(3, &[1, 2]);
        host.until_peers(4, &[5]);
        host.until_peers(5, &[4]);
        host.until_peers(6, &[]);
        assert!(host.told(6, "self").unwrap().ends_with(" group=pairs"));
        assert_eq!(host.told(7, "self"), None);
    }

    fn two_guests_with_one_ethernet_address_are_reported(host) {
        host.create(1, "g1", None);
        host.create_on(2, "g2", &mac(1), "xenbr0", None);
        host.ready(1, 0xa1);
        host.ready(2, 0xa2);
        let helper = host.run();
        assert!(helper.log().contains("domains 1 and 2 both have 42:16:3e:00:00:01"), "{}", helper.log());
    }

    fn a_vif_plugged_in_later_makes_a_peer(host) {
        host.create(1, "g1", None);
        host.create(2, "g2", None);
        for root in ["/libxl/2/device/vif/0", "/local/domain/0/backend/vif/2/0"] {
            host.wire.rm(root);
        }
        host.ready(1, 0xa1);
        host.ready(2, 0xa2);
        let _helper = host.run();
        host.until_peers(1, &[]);
        assert_eq!(host.told(2, "self"), None);
        for (node, value) in [("backend", "/local/domain/0/backend/vif/2/3"), ("mac", &mac(9)), ("bridge", "xenbr0")] {
            host.wire.write(&format!("/libxl/2/device/vif/3/{node}"), value);
        }
        host.until_peers(1, &[2]);
        assert!(host.entry(1, 2).unwrap().contains(" uplink-mac=00:16:3e:00:00:09 "));
        host.wire.rm("/libxl/2/device/vif/3");
        host.until_peers(1, &[]);
    }

    fn the_toolstack_of_xapi_is_understood(host) {
        for domid in 1..=2 {
            host.create(domid, &format!("g{domid}"), None);
            host.wire.rm(&format!("/libxl/{domid}"));
            host.wire.rm(&format!("/local/domain/0/backend/vif/{domid}/0/bridge"));
            host.wire.write(&format!("/xapi/{}/private/vif/0/bridge", uuid(domid)), "xenbr0");
            // Under XAPI the guest can write its frontend; none of that may be believed.
            host.wire.write(&format!("/local/domain/{domid}/device/vif/0/mac"), "00:16:3e:66:66:66");
            host.ready(domid, u64::from(domid) + 0xa0);
        }
        let _helper = host.run();
        host.until_peers(1, &[2]);
        assert!(host.entry(1, 2).unwrap().contains(" uplink-mac=00:16:3e:00:00:02 "));
    }
}
