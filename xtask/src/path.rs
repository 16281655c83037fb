// SPDX-License-Identifier: GPL-2.0
//! The ways from one guest to another that are measured side by side.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use xlnet_lab::{guest::Guest, netperf};
use xlnet_vm_tests::bed::eventually;

/// A way from the first guest to the second, or to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Path {
    /// Through Dom0.
    Uplink,
    /// Through shared memory.
    Xlnet0,
    /// Inside one guest: what there is without any other guest.
    Loopback,
}

impl Path {
    /// In the order in which they are measured and shown.
    pub const ALL: [Self; 3] = [Self::Uplink, Self::Xlnet0, Self::Loopback];

    /// As shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uplink => "uplink",
            Self::Xlnet0 => "xlnet0",
            Self::Loopback => "loopback",
        }
    }
}

/// Two guests that are ready to be measured.
pub struct Pair {
    /// Where netperf runs.
    pub from: Guest,
    /// Where its server runs; one runs in the other guest too, for the loopback.
    pub to: Guest,
}

impl Pair {
    /// Starts the servers, opens the way over the uplink, and waits for the channel.
    pub fn prepare(from: Guest, to: Guest) -> Result<Self> {
        for guest in [&from, &to] {
            netperf::serve(guest)?;
            guest.add_plain_ip()?;
        }
        let pair = Self { from, to };
        pair.join()?;
        Ok(pair)
    }

    /// Waits for the channel.
    pub fn join(&self) -> Result<()> {
        let Self { from, to } = self;
        let what = format!("{} and {} are joined", from.name(), to.name());
        let entry = format!("peer domid={} ", to.domid()?);
        // The first packet asks for the channel; until it stands, packets take the uplink.
        eventually(&what, || {
            from.sh(&format!("ping -c 1 -W 2 {}", to.config.ip()))?;
            let peers = from.sh("cat /sys/class/net/xlnet0/xlnet/peers")?;
            Ok(peers
                .lines()
                .any(|line| line.starts_with(&entry) && line.contains(" state=up route=1 ")))
        })
    }

    /// Where to send so that it takes `path`.
    pub fn address(&self, path: Path) -> String {
        match path {
            Path::Uplink => self.to.config.plain_ip(),
            Path::Xlnet0 => self.to.config.ip(),
            Path::Loopback => "127.0.0.1".to_owned(),
        }
    }
}
