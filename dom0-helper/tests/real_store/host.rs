// SPDX-License-Identifier: GPL-3.0-only

//! A Dom0 as its toolstack leaves it: a store with domains in it, and xlnetd.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::daemon::{Daemon, Kind};
use super::helper::{Helper, Outcome};
use super::wire::Wire;

/// A host; dropping it ends everything it started.
pub struct Host {
    pub daemon: Daemon,
    pub wire: Wire,
    pub dir: TempDir,
}

impl Host {
    /// A host with a store and no guests.
    pub fn new(kind: Kind) -> Self {
        let dir = tempfile::Builder::new().prefix("xlnetd").tempdir().unwrap();
        let daemon = Daemon::start(kind, dir.path());
        let mut wire = Wire::connect(&daemon.socket).unwrap();
        wire.write("/local/domain/0/domid", "0");
        wire.write("/local/domain/0/name", "Domain-0");
        std::fs::write(dir.path().join("xlnetd.toml"), "").unwrap();
        Self { daemon, wire, dir }
    }

    /// Writes the configuration that helpers started from now on read.
    pub fn config(&self, text: &str) {
        std::fs::write(self.dir.path().join("xlnetd.toml"), text).unwrap();
    }

    /// A domain with one vif on bridge `xenbr0`, as `xl create` makes it.
    pub fn create(&mut self, domid: u16, name: &str, ip: Option<&str>) {
        self.create_on(domid, name, &mac(domid), "xenbr0", ip);
    }

    /// As [`Self::create`], with all that can differ.
    pub fn create_on(&mut self, domid: u16, name: &str, mac: &str, bridge: &str, ip: Option<&str>) {
        let (w, reader, owner) = (&mut self.wire, format!("r{domid}"), format!("n{domid}"));
        let home = format!("/local/domain/{domid}");
        w.write(&home, "");
        w.set_perms(&home, &["n0", &reader]);
        w.write(&format!("{home}/vm"), format!("/vm/{}", uuid(domid)));
        w.write(&format!("{home}/name"), name);
        w.write(&format!("{home}/domid"), domid.to_string());
        for directory in ["data", "attr", "error"] {
            w.write(&format!("{home}/{directory}"), "");
            w.set_perms(&format!("{home}/{directory}"), &[&owner]);
        }
        let backend = format!("/local/domain/0/backend/vif/{domid}/0");
        let private = format!("/libxl/{domid}/device/vif/0");
        w.write(
            &format!("{private}/frontend"),
            format!("{home}/device/vif/0"),
        );
        w.write(&format!("{private}/backend"), &backend);
        for root in [&backend, &private] {
            let mut node = |name: &str, value: &str| w.write(&format!("{root}/{name}"), value);
            node("frontend-id", &domid.to_string());
            node("online", "1");
            node("state", "1");
            node("mac", mac);
            node("handle", "0");
            node("bridge", bridge);
            if let Some(ip) = ip {
                node("ip", ip);
            }
        }
        w.set_perms(&backend, &["n0", &reader]);
        w.introduce(domid);
    }

    /// Removes a domain as `xl destroy` does.
    pub fn destroy(&mut self, domid: u16) {
        self.wire.rm(&format!("/local/domain/{domid}"));
        self.wire.rm(&format!("/libxl/{domid}"));
        self.wire
            .rm(&format!("/local/domain/0/backend/vif/{domid}"));
        self.wire.release(domid);
    }

    /// What a guest's driver does: writes below `data/xlnet/0` of its home.
    pub fn guest_writes(&mut self, domid: u16, node: &str, value: impl AsRef<[u8]>) {
        self.wire
            .write(&format!("/local/domain/{domid}/data/xlnet/0/{node}"), value);
    }

    /// The driver of a guest is loaded.
    pub fn ready(&mut self, domid: u16, epoch: u64) {
        self.guest_writes(
            domid,
            "self",
            format!("version=1 epoch={epoch:016x} features=00000003 state=ready"),
        );
    }

    /// What the helper wrote for a guest, below `xlnet/0` of its home.
    pub fn told(&mut self, domid: u16, node: &str) -> Option<String> {
        self.wire
            .read(&format!("/local/domain/{domid}/xlnet/0/{node}"))
    }

    /// What the helper wrote for guest `domid` about `peer`, without the fields that never change
    /// in these tests.
    pub fn entry(&mut self, domid: u16, peer: u16) -> Option<String> {
        self.told(domid, &format!("peer/{peer}"))
    }

    /// Everything the helper wrote, for all domains.
    pub fn everything_told(&mut self) -> Vec<(String, String)> {
        let domids = self.wire.list("/local/domain");
        domids
            .iter()
            .flat_map(|domid| self.wire.tree(&format!("/local/domain/{domid}/xlnet")))
            .collect()
    }

    /// Waits for a state that must come. The limit only ends a test that would hang.
    pub fn until(&mut self, what: &str, mut reached: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !reached(self) {
            assert!(
                Instant::now() < deadline,
                "never seen: {what}\ntold: {:#?}\nlog of xlnetd:\n{}",
                self.everything_told(),
                std::fs::read_to_string(self.dir.path().join("xlnetd.log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until guest `domid` has exactly these peers.
    pub fn until_peers(&mut self, domid: u16, peers: &[u16]) {
        let mut wanted: Vec<_> = peers.iter().map(u16::to_string).collect();
        wanted.sort();
        self.until(&format!("peers of {domid} are {peers:?}"), |host| {
            host.wire
                .list(&format!("/local/domain/{domid}/xlnet/0/peer"))
                == wanted
        });
    }

    /// Starts the daemon and waits until it says that it is ready.
    pub fn run(&self) -> Helper {
        Helper::run(self.dir.path(), &self.daemon.socket)
    }

    /// Runs another command to its end.
    pub fn command(&self, args: &[&str]) -> Outcome {
        Helper::command(self.dir.path(), &self.daemon.socket, args)
    }
}

/// The address of the vif of domain `domid`.
pub fn mac(domid: u16) -> String {
    format!("00:16:3e:00:00:{domid:02x}")
}

/// The UUID of domain `domid`.
pub fn uuid(domid: u16) -> String {
    format!("5ad2b6a0-0000-4000-8000-{domid:012x}")
}
