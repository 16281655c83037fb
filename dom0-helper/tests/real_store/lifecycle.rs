// SPDX-License-Identifier: GPL-3.0-only

//! Domains that come and go, and a helper and a store that do.

use super::with_both_stores;

with_both_stores! {
    fn a_domain_that_is_destroyed_is_withdrawn_and_leaves_nothing(host) {
        for domid in 1..=3 {
            host.create(domid, &format!("g{domid}"), None);
            host.ready(domid, u64::from(domid) + 0xa0);
        }
        let _helper = host.run();
        host.until_peers(1, &[2, 3]);
        host.destroy(2);
        host.until_peers(1, &[3]);
        host.until_peers(3, &[1]);
        host.until("the home is gone", |host| host.wire.read("/local/domain/2").is_none());
    }

    fn a_domain_that_is_created_later_is_taken_up(host) {
        host.create(1, "g1", None);
        host.ready(1, 0xa1);
        let _helper = host.run();
        host.until_peers(1, &[]);
        host.create(2, "g2", None);
        host.ready(2, 0xa2);
        host.until_peers(1, &[2]);
        host.until_peers(2, &[1]);
    }

    fn a_domid_that_is_used_again_is_another_guest(host) {
        host.create(1, "g1", None);
        host.create(2, "g2", None);
        host.ready(1, 0xa1);
        host.ready(2, 0xa2);
        let _helper = host.run();
        host.until_peers(1, &[2]);
        host.destroy(2);
        host.create_on(2, "new", "00:16:3e:00:00:77", "xenbr0", None);
        host.ready(2, 0xb2);
        host.until("the new guest", |host| {
            host.entry(1, 2).is_some_and(|entry| {
                entry.starts_with("epoch=00000000000000b2 mac=42:16:3e:00:00:77 uplink-mac=00:16:3e:00:00:77 ")
            })
        });
        host.until_peers(2, &[1]);
    }

    fn a_helper_that_was_killed_rebuilds_the_same(host) {
        for domid in 1..=3 {
            host.create(domid, &format!("g{domid}"), Some(&format!("10.0.0.{domid}")));
            host.ready(domid, u64::from(domid) + 0xa0);
        }
        let helper = host.run();
        host.until_peers(1, &[2, 3]);
        host.guest_writes(1, "peer/2", "from=00000000000000a1 to=00000000000000a2 want=0 offer=1 gref=8 evtchn=9");
        host.until("the offer", |host| host.entry(2, 1).unwrap().contains("offer=1"));
        let told = host.everything_told();
        let before = helper.log().len();
        helper.kill();
        assert_eq!(host.everything_told(), told);
        // A helper that finds all as it should be writes nothing, not even the same again.
        let helper = host.run();
        assert_eq!(host.everything_told(), told);
        assert!(!helper.log()[before..].contains("brought up to date"), "{}", helper.log());
        // And it serves.
        host.guest_writes(1, "peer/2", "from=00000000000000a1 to=00000000000000a2 want=0");
        host.until("the offer withdrawn", |host| !host.entry(2, 1).unwrap().contains("offer"));
    }

    fn what_happened_while_no_helper_ran_is_made_up_for(host) {
        for domid in 1..=4 {
            host.create(domid, &format!("g{domid}"), None);
            host.ready(domid, u64::from(domid) + 0xa0);
        }
        let helper = host.run();
        host.until_peers(1, &[2, 3, 4]);
        helper.kill();
        host.destroy(2);
        host.guest_writes(3, "self", "version=1 epoch=00000000000000a3 features=00000003 state=leaving");
        host.ready(4, 0xb4);
        host.create(5, "g5", None);
        host.ready(5, 0xa5);
        // What a helper wrote just as its domain ended, and what an older one may have left.
        host.wire.write("/local/domain/9/xlnet/0/self", "version=1");
        host.wire.write("/local/domain/1/xlnet/0/peer/77", "epoch=0");
        host.wire.write("/local/domain/1/xlnet/0/peer/5", "an older version's words");
        let _helper = host.run();
        host.until_peers(1, &[4, 5]);
        host.until_peers(4, &[1, 5]);
        host.until_peers(3, &[]);
        assert!(host.entry(1, 4).unwrap().starts_with("epoch=00000000000000b4 "));
        assert!(host.entry(1, 5).unwrap().starts_with("epoch=00000000000000a5 "));
        assert_eq!(host.wire.read("/local/domain/9"), None);
    }

    fn a_helper_that_is_told_to_stop_leaves_all_as_it_is(host) {
        host.create(1, "g1", None);
        host.create(2, "g2", None);
        host.ready(1, 0xa1);
        host.ready(2, 0xa2);
        let helper = host.run();
        host.until_peers(1, &[2]);
        let told = host.everything_told();
        assert_eq!(helper.terminate(), Some(0));
        assert_eq!(host.everything_told(), told);
    }

    fn a_helper_that_is_told_to_reload_does(host) {
        for domid in 1..=3 {
            host.create(domid, &format!("g{domid}"), None);
            host.ready(domid, u64::from(domid) + 0xa0);
        }
        let helper = host.run();
        host.until_peers(1, &[2, 3]);
        host.config("deny = [['g1', 'g2']]");
        helper.reload();
        host.until_peers(1, &[3]);
        // A wrong one changes nothing.
        host.config("deny = [['g1', 'g3']]\nnonsense = 1");
        helper.reload();
        host.until("it says so", |_| helper.log().contains("unknown field `nonsense`"));
        host.config("");
        helper.reload();
        host.until_peers(1, &[2, 3]);
    }

    fn a_second_helper_says_so_and_stops(host) {
        host.create(1, "g1", None);
        let mut helper = host.run();
        let second = host.command(&["run"]);
        assert_eq!(second.code, Some(5), "{second:?}");
        assert!(second.stderr.contains("another xlnetd (pid "), "{second:?}");
        assert!(helper.is_running());
        helper.kill();
        // The lock goes with the process, not with the file.
        host.run();
    }

    fn a_store_that_dies_ends_the_helper(host) {
        host.create(1, "g1", None);
        host.ready(1, 0xa1);
        let helper = host.run();
        host.daemon.kill();
        assert_eq!(helper.wait(), Some(4));
    }

    fn a_store_that_hangs_ends_the_helper(host) {
        host.create(1, "g1", None);
        let helper = host.run();
        host.daemon.stop();
        assert_eq!(helper.wait(), Some(4));
    }

    fn a_helper_without_a_store_does_not_start(host) {
        host.daemon.kill();
        let outcome = host.command(&["run"]);
        assert_eq!(outcome.code, Some(4), "{outcome:?}");
        assert!(outcome.stderr.contains("cannot connect to xenstore"), "{outcome:?}");
    }
}
