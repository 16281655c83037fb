// SPDX-License-Identifier: GPL-3.0-only

//! What the helper asks of Dom0 itself.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use crate::error::Error;
use crate::store::Store;

/// The addresses of Dom0's own interfaces, which can be no guest's. Empty if they cannot be had.
pub fn addresses() -> BTreeSet<IpAddr> {
    let interfaces = nix::ifaddrs::getifaddrs().into_iter().flatten();
    interfaces
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
            v4.or(address.as_sockaddr_in6().map(|v6| IpAddr::from(v6.ip())))
        })
        .collect()
}

/// Fails in a guest. The relative path is that of the domain which asks.
///
/// # Errors
/// [`Error::NotDom0`], and those of the store. A store that does not know its own domain passes:
/// some toolstacks start xlnetd before they say.
pub async fn require(store: &impl Store) -> Result<(), Error> {
    match store.read("domid").await? {
        Some(domid) if domid != "0" => Err(Error::NotDom0 { domid }),
        _ => Ok(()),
    }
}

/// Whether Dom0 has a network device for this bridge, which it does for a Linux bridge and for that of
/// Open vSwitch, behind whose name VLANs may stand (`ovsbr0.10`).
pub fn has_bridge(name: &str) -> bool {
    let switch = name.split(['.', ':']).next().unwrap_or_default();
    let has = |device: &str| {
        let is_name = !device.is_empty() && !device.contains('/');
        is_name && Path::new("/sys/class/net").join(device).exists()
    };
    has(name) || has(switch)
}
