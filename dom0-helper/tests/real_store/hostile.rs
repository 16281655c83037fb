// SPDX-License-Identifier: GPL-3.0-only

//! Guests that write whatever they like.

use serde_json::Value;

use super::host::Host;
use super::with_both_stores;

/// Three guests, of which 1 is hostile and already known, and 2 and 3 are told about each other.
fn three(host: &mut Host) {
    for domid in 1..=3 {
        host.create(
            domid,
            &format!("g{domid}"),
            Some(&format!("10.0.0.{domid}")),
        );
        host.ready(domid, u64::from(domid) + 0xa0);
    }
}

with_both_stores! {
    fn garbage_of_every_kind_counts_as_absent(host) {
        three(&mut host);
        let mut helper = host.run();
        host.until_peers(2, &[1, 3]);
        let between = (host.entry(2, 3), host.entry(3, 2));
        let garbage: Vec<Vec<u8>> = vec![
            b"".to_vec(),
            b" ".to_vec(),
            b"\xff\xfe\x00\x01".to_vec(),
            b"version=1 epoch=00000000000000a1 features=00000003 state=ready\n".to_vec(),
            b"version=1 epoch=00000000000000A1 features=00000003 state=ready".to_vec(),
            b"version=1 epoch=0000000000000000 features=00000003 state=ready".to_vec(),
            b"version=2 epoch=00000000000000a1 features=00000003 state=ready".to_vec(),
            b"version=1 version=1 epoch=00000000000000a1 features=00000003 state=ready".to_vec(),
            b"version=1 epoch=00000000000000a1 features=00000003".to_vec(),
            b"version=1  epoch=00000000000000a1 features=00000003 state=ready".to_vec(),
            format!("version=1 epoch=00000000000000a1 features=00000003 state=ready x={}", "y".repeat(2000)).into(),
            vec![b'='; 2000],
            vec![0; 100],
        ];
        for value in &garbage {
            let path = "/local/domain/1/data/xlnet/0/self";
            if host.wire.try_write(path, value) == Err("E2BIG".to_owned()) {
                // This store keeps such a value from the helper even when Dom0 writes it.
                continue;
            }
            host.until_peers(2, &[3]);
            host.until_peers(3, &[2]);
            assert_eq!((host.entry(2, 3), host.entry(3, 2)), between, "after {value:?}");
            host.ready(1, 0xa1);
            host.until_peers(2, &[1, 3]);
        }
        assert!(helper.is_running());
        assert!(helper.log().contains("invalid node, taken as absent: data/xlnet/0/self"), "{}", helper.log());
        host.until("the culprit to be shown", |host| {
            let shown = |command| -> Value { serde_json::from_str(&host.command(&[command, "--json"]).stdout).unwrap() };
            let guests = &shown("status")["guests"];
            let invalid = |guest: usize| guests[guest]["counts"]["invalid"].as_u64();
            let peers = shown("peers");
            let of_1 = peers["peers"].as_array().unwrap().iter().find(|row| row["peer"] == 1).unwrap();
            invalid(0) > Some(5) && invalid(1) == Some(0) && of_1["counts"]["invalid"].as_u64() == invalid(0)
        });
    }

    fn garbage_about_a_peer_is_no_request(host) {
        three(&mut host);
        let mut helper = host.run();
        host.until_peers(2, &[1, 3]);
        let between = (host.entry(2, 3), host.entry(3, 2));
        let from_to = "from=00000000000000a1 to=00000000000000a2";
        let good = format!("{from_to} want=0 offer=1 gref=8 evtchn=9");
        let garbage = [
            String::new(),
            "\u{fffd}".into(),
            from_to.into(),
            format!("{from_to} want=-1"),
            format!("{from_to} want=+1"),
            format!("{from_to} want=01"),
            format!("{from_to} want=0x1"),
            format!("{from_to} want=4294967296"),
            format!("{from_to} want=0 offer=1"),
            format!("{from_to} want=0 offer=1 gref=8 evtchn=99999999999"),
            format!("{from_to} want=0 offer=0 gref=0 evtchn=0"),
            "from=00000000000000a3 to=00000000000000a2 want=7 offer=1 gref=8 evtchn=9".into(),
            "from=00000000000000a1 to=00000000000000a3 want=7 offer=1 gref=8 evtchn=9".into(),
        ];
        for value in &garbage {
            host.guest_writes(1, "peer/2", &good);
            host.until("the good offer", |host| host.entry(2, 1).unwrap().contains("offer=1 gref=8 evtchn=9"));
            host.guest_writes(1, "peer/2", value);
            host.until(&format!("no offer after {value:?}"), |host| {
                let entry = host.entry(2, 1).unwrap();
                entry.contains(" want=0") && !entry.contains("offer")
            });
            assert_eq!((host.entry(2, 3), host.entry(3, 2)), between, "after {value:?}");
        }
        assert!(helper.is_running());
    }

    fn a_full_directory_and_deep_trees_do_not_hide_what_is_valid(host) {
        three(&mut host);
        let mut helper = host.run();
        host.until_peers(2, &[1, 3]);
        let between = (host.entry(2, 3), host.entry(3, 2));
        for n in 0..900 {
            host.guest_writes(1, &format!("peer/{}", 1000 + n), "x");
        }
        for name in ["-1", "02", "99999999999999999999", "x", "2_", "2@", "0x2"] {
            host.guest_writes(1, &format!("peer/{name}"), "from=00000000000000a1 to=00000000000000a2 want=9");
        }
        let deep = (0..60).map(|n| n.to_string()).collect::<Vec<_>>().join("/");
        host.guest_writes(1, &format!("self/{deep}"), "x");
        host.guest_writes(1, "peer/2/3", "x");
        host.guest_writes(1, "peer/2", "from=00000000000000a1 to=00000000000000a2 want=0 offer=3 gref=8 evtchn=9");
        host.until("the offer among the rubbish", |host| host.entry(2, 1).unwrap().contains("offer=3"));
        // Looked at as a whole, as after a restart, it is the same.
        helper.kill();
        let told = host.everything_told();
        host.guest_writes(3, "peer/2", "from=00000000000000a3 to=00000000000000a2 want=4");
        helper = host.run();
        host.until("the want", |host| host.entry(2, 3).unwrap().contains(" want=4"));
        assert_eq!(host.entry(3, 2), between.1);
        let unchanged = |told: Vec<(String, String)>| {
            told.into_iter().filter(|(path, _)| path != "/local/domain/2/xlnet/0/peer/3").collect::<Vec<_>>()
        };
        assert_eq!(unchanged(host.everything_told()), unchanged(told));
        assert!(helper.is_running());
    }

    fn a_guest_that_writes_without_pause_does_not_keep_others_waiting(host) {
        three(&mut host);
        let _helper = host.run();
        host.until_peers(2, &[1, 3]);
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = stop.clone();
        let mut wire = crate::wire::Wire::connect(&host.daemon.socket).unwrap();
        let hammer = std::thread::spawn(move || {
            let mut writes = 0_u64;
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                writes += 1;
                wire.write("/local/domain/1/data/xlnet/0/addr", writes.to_string());
                wire.write(
                    "/local/domain/1/data/xlnet/0/peer/2",
                    format!("from=00000000000000a1 to=00000000000000a2 want={}", writes % 1_000_000),
                );
            }
            writes
        });
        // Each of these needs the helper several times over while the other guest never stops.
        for number in 1..=50 {
            host.guest_writes(2, "peer/3", format!("from=00000000000000a2 to=00000000000000a3 want=0 offer={number} gref=8 evtchn=9"));
            host.until("an offer beside the noise", |host| {
                host.entry(3, 2).unwrap().contains(&format!(" offer={number} "))
            });
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(hammer.join().unwrap() > 0);
        // And what the noisy guest said last arrives as well.
        host.guest_writes(1, "peer/2", "from=00000000000000a1 to=00000000000000a2 want=0 offer=6 gref=8 evtchn=9");
        host.until("the last word of the noisy guest", |host| host.entry(2, 1).unwrap().contains(" offer=6 "));
    }
}
