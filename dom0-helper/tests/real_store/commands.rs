// SPDX-License-Identifier: GPL-3.0-only

//! The commands that look, with and without a daemon.

use serde_json::Value;

use super::host::Host;
use super::with_both_stores;

fn json(host: &Host, command: &str, code: i32) -> Value {
    let outcome = host.command(&[command, "--json"]);
    assert_eq!(outcome.code, Some(code), "{outcome:?}");
    serde_json::from_str(&outcome.stdout).unwrap()
}

with_both_stores! {
    fn peers_and_status_show_what_is(host) {
        for domid in 1..=2 {
            host.create(domid, &format!("g{domid}"), Some(&format!("10.0.0.{domid}")));
            host.ready(domid, u64::from(domid) + 0xa0);
        }
        host.create(3, "g3", None);
        let helper = host.run();
        host.until_peers(1, &[2]);
        host.guest_writes(2, "peer/1", "from=00000000000000a2 to=00000000000000a1 want=4");
        host.until("the want", |host| host.entry(1, 2).unwrap().contains(" want=4"));

        let peers = json(&host, "peers", 0);
        assert_eq!(peers["daemon"]["running"], true);
        assert_eq!(peers["peers"].as_array().unwrap().len(), 2);
        let first = &peers["peers"][0];
        assert_eq!((&first["guest"], &first["peer"]), (&1.into(), &2.into()));
        assert_eq!(first["mac"], "42:16:3e:00:00:02");
        assert_eq!(first["addresses"], serde_json::json!(["10.0.0.2"]));
        assert_eq!((&first["want"], &first["offer"]), (&4.into(), &Value::Null));
        assert_eq!(first["current"], true);
        let table = host.command(&["peers"]).stdout;
        assert!(table.lines().any(|line| line.contains("1 (g1)") && line.contains("2 (g2)") && line.contains("10.0.0.2")), "{table}");

        let status = json(&host, "status", 0);
        assert_eq!(status["outdated_nodes"], 0);
        let drivers: Vec<_> = status["guests"].as_array().unwrap().iter().map(|guest| guest["driver"].clone()).collect();
        assert_eq!(drivers, ["ready", "ready", "none"]);
        assert_eq!(status["guests"][0]["address_source"], "toolstack");

        helper.kill();
        host.ready(3, 0xa3);
        let status = json(&host, "status", 8);
        assert_eq!(status["daemon"]["running"], false);
        assert_eq!(status["outdated_nodes"], 5);
        let outcome = host.command(&["status"]);
        assert!(outcome.stderr.contains("xlnetd is not running"), "{outcome:?}");
    }

    fn check_says_what_is_missing(host) {
        host.create(1, "g1", None);
        host.create(2, "g2", None);
        host.ready(2, 0xa2);
        let outcome = host.command(&["check"]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        for text in ["does not run yet; systemctl enable --now xlnetd", "g1 (domain 1) has no driver", "no address of it is known"] {
            assert!(outcome.stdout.contains(text), "{outcome:?}");
        }
        let _helper = host.run();
        let outcome = host.command(&["check", "--json"]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let findings: Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert!(findings.as_array().unwrap().iter().any(|finding| finding["check"] == "xenstore" && finding["verdict"] == "ok"));

        host.config("[[group]]\nname = 'x'\nbridge = 'nosuchbr0'");
        let outcome = host.command(&["check"]);
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert!(outcome.stdout.contains("nosuchbr0, named in the configuration, does not exist"), "{outcome:?}");
    }

    fn a_wrong_configuration_is_refused_with_its_place(host) {
        for (text, code, expected) in [
            ("defualt = 'deny'", 3, "unknown field `defualt`"),
            ("\n[[group]]\nname = 'a b'\nmembers = ['*']", 3, "line 3"),
            ("[[guest]]\nname = 'g'\naddresses = ['127.0.0.1']", 3, "127.0.0.1 is a loopback address"),
        ] {
            host.config(text);
            let outcome = host.command(&["run"]);
            assert_eq!(outcome.code, Some(code), "{outcome:?}");
            assert!(outcome.stderr.contains(expected) && outcome.stderr.contains("xlnetd.toml"), "{outcome:?}");
        }
    }

    fn in_a_guest_it_refuses(host) {
        host.wire.write("/local/domain/0/domid", "7");
        let outcome = host.command(&["run"]);
        assert_eq!(outcome.code, Some(6), "{outcome:?}");
        assert!(outcome.stderr.contains("this is domain 7, not Dom0"), "{outcome:?}");
    }

    fn clean_removes_everything_but_not_under_a_daemon(host) {
        for domid in 1..=2 {
            host.create(domid, &format!("g{domid}"), None);
            host.ready(domid, u64::from(domid) + 0xa0);
        }
        let helper = host.run();
        host.until_peers(1, &[2]);
        assert_eq!(host.command(&["clean"]).code, Some(5));
        assert_eq!(helper.terminate(), Some(0));
        let outcome = host.command(&["clean"]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert_eq!(host.everything_told(), []);
        assert!(host.wire.read("/local/domain/1/data/xlnet/0/self").is_some());
    }
}

#[test]
fn completions_are_written_for_every_shell() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let outcome =
            super::helper::Helper::command(dir.path(), dir.path(), &["completions", shell]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert!(
            outcome.stdout.contains("lock-file"),
            "{shell}: {}",
            outcome.stdout
        );
    }
}
