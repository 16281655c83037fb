// SPDX-License-Identifier: GPL-3.0-only

//! Which addresses guests are told.

use super::host::Host;
use super::with_both_stores;

fn addresses(host: &mut Host, domid: u16, peer: u16) -> Option<String> {
    let entry = host.entry(domid, peer)?;
    Some(
        entry
            .split_once(" addr=")
            .map_or_else(String::new, |(_, addresses)| addresses.to_owned()),
    )
}

with_both_stores! {
    fn the_configuration_comes_before_the_toolstack_and_that_before_claims(host) {
        host.config(
            "learn = true\n[[guest]]\nname = 'g1'\naddresses = ['10.9.0.1', '2001:db8::1']\nprefixes = ['10.20.0.0/16']",
        );
        host.create(1, "g1", Some("10.0.0.1"));
        host.create(2, "g2", Some("10.0.0.2/24 2001:db8::2"));
        host.create(3, "g3", None);
        for domid in 1..=3 {
            host.guest_writes(domid, "addr", format!("10.1.1.{domid} fe80::1 127.0.0.1 224.0.0.1"));
            host.ready(domid, u64::from(domid) + 0xa0);
        }
        let _helper = host.run();
        assert_eq!(addresses(&mut host, 2, 1).unwrap(), "10.9.0.1,2001:db8::1,10.20.0.0/16 strict=1");
        assert_eq!(addresses(&mut host, 1, 2).unwrap(), "10.0.0.2,2001:db8::2 strict=1");
        assert_eq!(addresses(&mut host, 1, 3).unwrap(), "10.1.1.3 strict=0");
        // Who is held to its addresses knows them.
        let held = " addr=10.9.0.1,2001:db8::1,10.20.0.0/16 strict=1";
        assert!(host.told(1, "self").unwrap().ends_with(held));
        assert!(host.told(3, "self").unwrap().ends_with(" group=xenbr0"));
        host.guest_writes(3, "addr", "10.1.1.7");
        host.until("the new claim", |host| addresses(host, 1, 3).unwrap() == "10.1.1.7 strict=0");
        host.guest_writes(3, "addr", "");
        host.until("no claim", |host| addresses(host, 1, 3).unwrap().is_empty());
    }

    fn claims_count_only_where_the_group_learns(host) {
        host.config("[[group]]\nname = 'open'\nmembers = ['o*']\nlearn = true");
        for (domid, name) in [(1, "o1"), (2, "o2"), (3, "g3"), (4, "g4")] {
            host.create(domid, name, None);
            host.guest_writes(domid, "addr", format!("10.1.1.{domid}"));
            host.ready(domid, u64::from(domid) + 0xa0);
        }
        let _helper = host.run();
        assert_eq!(addresses(&mut host, 1, 2).unwrap(), "10.1.1.2 strict=0");
        assert_eq!(addresses(&mut host, 3, 4).unwrap(), "");
    }

    fn an_address_of_two_guests_is_routed_to_neither(host) {
        host.config("learn = true");
        for domid in 1..=3 {
            host.create(domid, &format!("g{domid}"), None);
            host.guest_writes(domid, "addr", format!("10.1.1.{domid}"));
            host.ready(domid, u64::from(domid) + 0xa0);
        }
        let helper = host.run();
        assert_eq!(addresses(&mut host, 3, 1).unwrap(), "10.1.1.1 strict=0");
        host.guest_writes(2, "addr", "10.1.1.1 10.1.1.2");
        host.until("the conflict", |host| {
            addresses(host, 3, 1).unwrap().is_empty() && addresses(host, 3, 2).unwrap() == "10.1.1.2 strict=0"
        });
        host.until("the warning", |_| helper.log().contains("10.1.1.1 of g1 (domain 1) is also g2's (domain 2)"));
        host.guest_writes(2, "addr", "10.1.1.2");
        host.until("the conflict's end", |host| addresses(host, 3, 1).unwrap() == "10.1.1.1 strict=0");
    }

    fn two_guests_that_are_to_be_held_to_one_address_take_no_part(host) {
        for (domid, ip) in [(1, "10.0.0.1"), (2, "10.0.0.1"), (3, "10.0.0.3")] {
            host.create(domid, &format!("g{domid}"), Some(ip));
        }
        host.ready(1, 0xa1);
        host.ready(3, 0xa3);
        let helper = host.run();
        host.until_peers(3, &[1]);
        host.ready(2, 0xa2);
        host.until_peers(3, &[]);
        host.until("they are told nothing", |host| (host.told(1, "self"), host.told(2, "self")) == (None, None));
        host.until("the warning", |_| helper.log().contains("g1 (domain 1) takes no part"));
        host.destroy(2);
        host.until_peers(3, &[1]);
        assert_eq!(addresses(&mut host, 3, 1).unwrap(), "10.0.0.1 strict=1");
    }

    fn a_claim_cannot_take_what_the_toolstack_gave(host) {
        host.config("learn = true");
        host.create(1, "victim", Some("10.1.1.1"));
        host.create(2, "thief", None);
        host.create(3, "client", None);
        // The victim has no driver; its address is not to be had all the same.
        host.guest_writes(2, "addr", "10.1.1.1 10.1.1.2");
        host.ready(2, 0xa2);
        host.ready(3, 0xa3);
        let _helper = host.run();
        assert_eq!(addresses(&mut host, 3, 2).unwrap(), "10.1.1.2 strict=0");
        host.ready(1, 0xa1);
        host.until("the victim", |host| addresses(host, 3, 1).is_some());
        assert_eq!(addresses(&mut host, 3, 1).unwrap(), "10.1.1.1 strict=1");
        assert_eq!(addresses(&mut host, 3, 2).unwrap(), "10.1.1.2 strict=0");
    }
}
