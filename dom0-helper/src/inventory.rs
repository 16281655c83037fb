// SPDX-License-Identifier: GPL-3.0-only

//! The guests of this host and their network devices, from nodes that only Dom0 (or a driver
//! domain) can write.
//!
//! Under libxl that is `/libxl/<domid>/device/vif/<n>`, its private copy of what it wrote for the
//! backend (XSA-178); under XAPI the backend's own directory in Dom0, with the bridge in
//! `/xapi/<uuid>/private/vif/<n>`, or by domid as older ones had it. The frontend's directory says
//! the same, but under XAPI the guest can rewrite it, so it is never read.

use std::net::IpAddr;

use xlnet_proto::frame::Mac;
use xlnet_proto::schema::{Node, MAX_ADDRS};

use crate::error::StoreError;
use crate::store::Store;

/// Where Dom0's network backends are.
pub const BACKENDS: &str = "/local/domain/0/backend/vif";

/// Where libxl keeps what it knows of a guest's network devices.
pub fn devices(domid: Domid) -> String {
    format!("/libxl/{domid}/device/vif")
}

/// What is read of a device, in whichever directory.
pub const DEVICE_NODES: [&str; 6] = ["mac", "backend", "bridge", "vlan", "script", "ip"];

/// Xen's own scripts that have the backend's domain route for a vif; `vif-route-qubes` and the like
/// do, too. libxl names a bridge for such a vif all the same.
const ROUTING_SCRIPTS: [&str; 2] = ["vif-route", "vif-nat"];

/// A domain's number.
pub type Domid = u16;

/// More network devices than this are not looked at.
const MAX_VIFS: usize = 16;

/// What two uplinks must have in common to reach each other without a router.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    /// The domain whose backend serves the vif: 0, or a driver domain.
    pub backend: Domid,
    /// The bridge there, if the toolstack names one.
    pub bridge: Option<String>,
    /// The VLANs of the port there, as the toolstack writes them.
    pub vlan: Option<String>,
}

/// One network device of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vif {
    /// Its number within the guest.
    pub index: u32,
    /// Its Ethernet address.
    pub mac: Mac,
    /// What it is plugged into.
    pub segment: Segment,
    /// It is not: the backend's domain routes for it.
    pub routed: bool,
    /// The addresses of its `ip=` parameter.
    pub addresses: Vec<IpAddr>,
}

impl Vif {
    /// Whether frames from it reach others on its segment. Of one in Dom0 whose bridge is unknown
    /// nobody can say what it is plugged into.
    pub fn is_bridged(&self) -> bool {
        !self.routed && (self.segment.backend != 0 || self.segment.bridge.is_some())
    }
}

/// Whether the script at `path` has the backend's domain route.
fn is_routing(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    ROUTING_SCRIPTS.iter().any(|script| {
        let rest = name.strip_prefix(script);
        rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()))
    })
}

/// One guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Its domain id.
    pub domid: Domid,
    /// Its name, without what `xl migrate` appends while it moves.
    pub name: String,
    /// Its UUID, in lower case.
    pub uuid: String,
    /// Its network devices, by number.
    pub vifs: Vec<Vif>,
}

/// A decimal number as xenstore has it in paths: no sign, no leading zero.
pub fn number<T: std::str::FromStr + ToString>(text: &str) -> Option<T> {
    text.parse::<T>()
        .ok()
        .filter(|number| number.to_string() == text)
}

/// The domains that have a home in xenstore, Dom0 excepted. Some of them may be leftovers.
///
/// # Errors
/// Those of the store.
pub async fn homes(store: &impl Store) -> Result<Vec<Domid>, StoreError> {
    let names = store.list("/local/domain").await?.unwrap_or_default();
    let mut homes: Vec<_> = names
        .iter()
        .filter_map(|name| Node::parse_domid(name))
        .filter(|domid| *domid != 0)
        .collect();
    homes.sort_unstable();
    Ok(homes)
}

/// The UUID of a domain, or `None` if there is no such domain (any more).
///
/// # Errors
/// Those of the store.
pub async fn uuid(store: &impl Store, domid: Domid) -> Result<Option<String>, StoreError> {
    let vm = store.read(&format!("/local/domain/{domid}/vm")).await?;
    Ok(vm.map(|vm| vm.trim_start_matches("/vm/").to_ascii_lowercase()))
}

/// One guest as the toolstack describes it, or `None` if there is no such domain (any more), or it
/// is the device model of another; and the requests made.
///
/// # Errors
/// Those of the store.
pub async fn guest(store: &impl Store, domid: Domid) -> Result<(Option<Guest>, u32), StoreError> {
    let mut reader = Reader { store, requests: 1 };
    let Some(uuid) = uuid(store, domid).await? else {
        return Ok((None, reader.requests));
    };
    // A stub domain has its guest's Ethernet and IP addresses, and is not the guest.
    let target = format!("/local/domain/{domid}/target");
    if reader.read(&target).await?.is_some() {
        return Ok((None, reader.requests));
    }
    let name = reader
        .read(&format!("/local/domain/{domid}/name"))
        .await?
        .unwrap_or_default();
    let settled = name
        .strip_suffix("--incoming")
        .or(name.strip_suffix("--migratedaway"));
    let name = settled.unwrap_or(&name).to_owned();
    let vifs = reader.vifs(domid, &uuid).await?;
    Ok((
        Some(Guest {
            domid,
            name,
            uuid,
            vifs,
        }),
        reader.requests,
    ))
}

/// Reads one guest's devices, and counts what that takes.
struct Reader<'a, S> {
    store: &'a S,
    requests: u32,
}

impl<S: Store> Reader<'_, S> {
    /// A node of the toolstack. One that is no text is as good as none.
    async fn read(&mut self, path: &str) -> Result<Option<String>, StoreError> {
        self.requests += 1;
        match self.store.read(path).await {
            Err(error) if !error.is_fatal() => Ok(None),
            other => other,
        }
    }

    async fn indices(&mut self, root: &str) -> Result<Vec<u32>, StoreError> {
        self.requests += 1;
        let names = self.store.list(root).await?.unwrap_or_default();
        let mut indices: Vec<u32> = names.iter().filter_map(|name| number(name)).collect();
        indices.sort_unstable();
        indices.truncate(MAX_VIFS);
        Ok(indices)
    }

    async fn vifs(&mut self, domid: Domid, uuid: &str) -> Result<Vec<Vif>, StoreError> {
        let mut root = devices(domid);
        let mut indices = self.indices(&root).await?;
        if indices.is_empty() {
            root = format!("{BACKENDS}/{domid}");
            indices = self.indices(&root).await?;
        }
        let mut vifs = Vec::new();
        for index in indices {
            let private = [uuid, &domid.to_string()]
                .map(|guest| format!("/xapi/{guest}/private/vif/{index}/bridge"));
            let root = format!("{root}/{index}");
            vifs.extend(self.vif(&root, &private, index).await?);
        }
        Ok(vifs)
    }

    /// One device, or `None` while the toolstack has not written it whole. `bridges` are the nodes in
    /// which XAPI may name its bridge.
    async fn vif(
        &mut self,
        root: &str,
        bridges: &[String],
        index: u32,
    ) -> Result<Option<Vif>, StoreError> {
        let mac = self.read(&format!("{root}/mac")).await?;
        let mac = mac.and_then(|mac| mac.trim().to_ascii_lowercase().parse().ok());
        let Some(mac) = mac.filter(|mac: &Mac| mac.is_valid_unicast()) else {
            return Ok(None);
        };
        let backend = match self.read(&format!("{root}/backend")).await? {
            Some(path) => match path.split('/').nth(3).and_then(Node::parse_domid) {
                Some(backend) => backend,
                None => return Ok(None),
            },
            None => 0,
        };
        let mut bridge = self.read(&format!("{root}/bridge")).await?;
        for node in bridges {
            if bridge.is_none() {
                bridge = self.read(node).await?;
            }
        }
        let vlan = self.read(&format!("{root}/vlan")).await?;
        let script = self.read(&format!("{root}/script")).await?;
        let ip = self.read(&format!("{root}/ip")).await?.unwrap_or_default();
        Ok(Some(Vif {
            index,
            mac,
            segment: Segment {
                backend,
                bridge: bridge.filter(|bridge| !bridge.is_empty()),
                vlan: vlan.filter(|vlan| !vlan.is_empty()),
            },
            routed: script.is_some_and(|script| is_routing(&script)),
            addresses: ip_parameter(&ip),
        }))
    }
}

/// The addresses of a vif's `ip=`: separated by spaces or commas, each perhaps with the length of
/// its network, which says nothing about the guest's own address.
fn ip_parameter(text: &str) -> Vec<IpAddr> {
    text.split([' ', ','])
        .filter_map(|word| word.split('/').next()?.parse().ok())
        .take(MAX_ADDRS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::Memory;

    /// A vif of which the toolstack writes these nodes, too.
    async fn vif(nodes: &[(&str, &str)]) -> Vif {
        let store = Memory::default();
        store.put("/local/domain/7/vm", "/vm/u7");
        let nodes = [("mac", "00:16:3e:00:00:07"), ("bridge", "xenbr0")]
            .iter()
            .chain(nodes);
        for (node, value) in nodes {
            store.put(&format!("/libxl/7/device/vif/0/{node}"), *value);
        }
        let (found, _) = guest(&store, 7).await.unwrap();
        found.unwrap().vifs.remove(0)
    }

    #[tokio::test]
    async fn ports_in_two_vlans_are_on_two_segments() {
        let plain = vif(&[("script", "/etc/xen/scripts/vif-bridge")]).await;
        assert!(plain.segment.bridge.as_deref() == Some("xenbr0") && !plain.routed);
        let (one, other) = (vif(&[("vlan", "10")]).await, vif(&[("vlan", "20")]).await);
        assert!(plain.segment != one.segment && one.segment != other.segment);
        assert_eq!(one, vif(&[("vlan", "10")]).await);
    }

    #[tokio::test]
    async fn scripts_of_xen_tell_what_is_routed() {
        for script in [
            "/etc/xen/scripts/vif-route",
            "vif-nat",
            "/etc/xen/scripts/vif-route-qubes",
        ] {
            assert!(vif(&[("script", script)]).await.routed, "{script}");
        }
        assert!(!vif(&[("script", "/etc/xen/vif-router")]).await.routed);
    }

    #[tokio::test]
    async fn the_device_model_of_a_guest_is_none() {
        let store = Memory::default();
        store.put("/local/domain/8/vm", "/vm/u8");
        assert!(guest(&store, 8).await.unwrap().0.is_some());
        store.put("/local/domain/8/target", "7");
        assert!(guest(&store, 8).await.unwrap().0.is_none());
    }

    #[tokio::test]
    async fn xapi_names_a_bridge_by_uuid_or_by_domid() {
        for owner in ["u7", "7"] {
            let store = Memory::default();
            store.put("/local/domain/7/vm", "/vm/u7");
            store.put(&format!("{BACKENDS}/7/0/mac"), "00:16:3e:00:00:07");
            let (found, _) = guest(&store, 7).await.unwrap();
            assert!(!found.unwrap().vifs.remove(0).is_bridged());
            store.put(&format!("/xapi/{owner}/private/vif/0/bridge"), "xenbr0");
            let (found, _) = guest(&store, 7).await.unwrap();
            let vif = found.unwrap().vifs.remove(0);
            assert_eq!(vif.segment.bridge.as_deref(), Some("xenbr0"));
            assert!(vif.is_bridged());
        }
    }

    #[test]
    fn numbers_are_written_in_one_way_only() {
        assert_eq!(number::<u32>("12"), Some(12));
        for text in ["", "+1", "01", "1 ", "-1", "4294967296", "x"] {
            assert_eq!(number::<u32>(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_addresses_of_a_vif_are_found_in_every_form_of_its_parameter() {
        let addresses = |text| {
            ip_parameter(text)
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(addresses("10.0.0.1"), ["10.0.0.1"]);
        assert_eq!(
            addresses("10.0.0.1/24 fd00::1/64,10.0.0.2"),
            ["10.0.0.1", "fd00::1", "10.0.0.2"]
        );
        assert_eq!(addresses(" x 10.0.0 "), [""; 0]);
    }
}
