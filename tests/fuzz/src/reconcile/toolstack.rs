// SPDX-License-Identifier: GPL-3.0-only

//! Domains as a toolstack describes them: what is true of them, and the nodes that say so.

use std::collections::BTreeMap;
use std::net::IpAddr;

use xlnet_proto::frame::Mac;

use super::host::State;
use super::tree::Tree;

/// A domain's number.
pub type Domid = u16;

/// The addresses of this host: such as guests may have, one of Dom0's, and such as nobody can have.
pub const ADDRESSES: [&str; 16] = [
    "198.51.100.1",
    "198.51.100.2",
    "198.51.100.3",
    "198.51.100.4",
    "198.51.100.130",
    "198.51.100.131",
    "2001:db8::1",
    "2001:db8:1::1",
    DOM0,
    "fe80::1",
    "169.254.1.1",
    "127.0.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::ffff:198.51.100.1",
    "0.1.2.3",
];

/// Dom0's own address.
pub const DOM0: &str = "198.51.100.254";

/// A network device.
#[derive(Clone, Debug)]
pub struct Vif {
    /// As the toolstack has written it, if it has yet.
    pub mac: Option<String>,
    /// The backend's domain and the bridge there.
    pub segment: (Domid, Option<&'static str>),
    /// Its `ip=`.
    pub ip: String,
}

impl Vif {
    /// One about which nothing is odd.
    pub fn plain(domid: Domid) -> Self {
        Self {
            mac: Some(format!("00:16:3e:00:00:{:02x}", 0xa0 + domid)),
            segment: (0, Some("br0")),
            ip: String::new(),
        }
    }

    /// Its Ethernet address, if that is a station's.
    pub fn mac(&self) -> Option<Mac> {
        let mac: Mac = self.mac.as_ref()?.to_lowercase().parse().ok()?;
        mac.is_valid_unicast().then_some(mac)
    }

    /// The addresses of its `ip=`, without the lengths of their networks.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let words = self.ip.split([' ', ',']);
        words
            .filter_map(|word| word.trim_end_matches("/24").parse().ok())
            .collect()
    }
}

/// A domain.
#[derive(Clone)]
pub struct Domain {
    /// Its number.
    pub domid: Domid,
    /// Its name, with what a toolstack appends while it moves.
    pub name: &'static str,
    /// Its UUID, which two domains share while one moves.
    pub uuid: String,
    /// Whether its toolstack is XAPI rather than libxl.
    pub xapi: bool,
    /// Its devices, by number.
    pub vifs: BTreeMap<u32, Vif>,
}

impl Domain {
    /// Its home.
    pub fn home(&self) -> String {
        home(self.domid)
    }

    /// The name that it has when it has moved.
    pub fn settled_name(&self) -> &str {
        self.name.split("--").next().unwrap_or_default()
    }

    /// The devices that have been written whole.
    pub fn devices(&self) -> impl Iterator<Item = (u32, &Vif)> {
        let written = |(index, vif): (&u32, _)| (*index, vif);
        let devices = self.vifs.iter().map(written);
        devices.filter(|(_, vif): &(u32, &Vif)| vif.mac().is_some())
    }

    /// Where its toolstack describes a device.
    pub fn device(&self, index: u32) -> String {
        let domid = self.domid;
        match self.xapi {
            true => format!("/local/domain/0/backend/vif/{domid}/{index}"),
            false => format!("/libxl/{domid}/device/vif/{index}"),
        }
    }

    /// Where XAPI names the bridge of a device.
    pub fn xapi_device(&self, index: u32) -> String {
        format!("/xapi/{}/private/vif/{index}", self.domid)
    }

    /// Makes the home, as it is before there is a device.
    pub fn write(&self, tree: &mut Tree) {
        let (home, domid) = (self.home(), self.domid);
        tree.remove(&home);
        tree.write(
            &format!("{home}/vm"),
            format!("/vm/{}", self.uuid).as_bytes(),
        );
        tree.write(&format!("{home}/name"), self.name.as_bytes());
        tree.write(&format!("{home}/domid"), domid.to_string().as_bytes());
        // The guest's own, and a trap: the helper must not believe what is here.
        tree.write(&format!("{home}/device/vif/0/mac"), b"00:16:3e:00:00:a1");
        tree.write(&format!("{home}/data"), b"");
    }

    /// Writes the nodes of a device.
    pub fn write_device(&self, index: u32, tree: &mut Tree) {
        let (vif, at, domid) = (&self.vifs[&index], self.device(index), self.domid);
        let (backend, bridge) = vif.segment;
        tree.write(&format!("{at}/handle"), index.to_string().as_bytes());
        if let Some(mac) = &vif.mac {
            tree.write(&format!("{at}/mac"), mac.as_bytes());
        }
        let beside = match self.xapi {
            true => self.xapi_device(index),
            false => at.clone(),
        };
        if !self.xapi {
            let backend = format!("/local/domain/{backend}/backend/vif/{domid}/{index}");
            tree.write(&format!("{at}/backend"), backend.as_bytes());
        }
        if let Some(bridge) = bridge {
            tree.write(&format!("{beside}/bridge"), bridge.as_bytes());
        }
        if !vif.ip.is_empty() {
            tree.write(&format!("{at}/ip"), vif.ip.as_bytes());
        }
    }

    /// Removes the nodes of a device.
    pub fn unwrite_device(&self, index: u32, host: &mut State) {
        host.remove(&self.xapi_device(index));
        host.remove(&self.device(index));
    }

    /// Every directory that is the toolstack's or the guest's, the home first.
    pub fn directories(&self) -> [String; 4] {
        let domid = self.domid;
        [
            self.home(),
            format!("/libxl/{domid}"),
            format!("/local/domain/0/backend/vif/{domid}"),
            format!("/xapi/{domid}"),
        ]
    }
}

/// The home of a domain.
pub fn home(domid: Domid) -> String {
    format!("/local/domain/{domid}")
}
