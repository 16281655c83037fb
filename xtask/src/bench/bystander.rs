// SPDX-License-Identifier: GPL-2.0
//! What xlnet costs traffic that it does not carry: from a guest to Dom0, with the module and without.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use xlnet_lab::{
    guest::Guest,
    netperf::{self, Test, Unit},
};
use xlnet_vm_tests::{
    quantile::{median, spread},
    Bed,
};

use crate::path::Pair;

const TESTS: [Test; 2] = [Test::TcpStream { size: 65536 }, Test::TcpRr { size: 1 }];

/// Dom0's end of the bridge the uplinks are on.
const DOM0: &str = "10.77.0.1";

/// Loads the module, and waits for its first peer.
const LOAD: &str = "modprobe xlnet
    for i in $(seq 100); do
        grep -q '^peer ' /sys/class/net/xlnet0/xlnet/peers && exit 0; sleep 0.2
    done; exit 1";

/// Waits until nothing that followed from that takes the processor: udev, routes, addresses.
const SETTLE: &str =
    "udevadm settle; [ ! -e /sys/class/net/xlnet0 ] || xlnet-route status >/dev/null
    sleep 5; udevadm settle";

/// Waits for that.
///
/// # Errors
/// If the guest does not answer.
pub fn settle(guest: &Guest) -> Result<()> {
    guest.sh(SETTLE).map(drop)
}

/// One test, with the module loaded in the guest and without it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bystander {
    /// The test.
    #[serde(flatten)]
    pub test: Test,
    /// Of all figures.
    pub unit: Unit,
    /// One figure for each round.
    pub loaded: Vec<f64>,
    /// One figure for each round.
    pub unloaded: Vec<f64>,
}

impl Bystander {
    /// Figures with the module, as a multiple of those without.
    pub fn ratio(&self) -> f64 {
        median(&self.loaded) / median(&self.unloaded)
    }

    /// How far apart the figures lie: loaded, unloaded.
    pub fn spreads(&self) -> (f64, f64) {
        (spread(&self.loaded), spread(&self.unloaded))
    }
}

/// Measures from the pair's first guest to Dom0. The module is loaded again afterwards.
///
/// # Errors
/// If netperf fails, or the module does not go or come.
pub fn measure(bed: &Bed, pair: &Pair, seconds: u32, rounds: u32) -> Result<Vec<Bystander>> {
    netperf::serve(bed)?;
    let mut all: Vec<Bystander> = TESTS
        .into_iter()
        .map(|test| Bystander {
            test,
            unit: test.unit(),
            loaded: Vec::new(),
            unloaded: Vec::new(),
        })
        .collect();
    let guest = &pair.from;
    let mut loaded = true;
    settle(guest)?;
    for _ in 0..rounds {
        // With, without; without, with: what drifts meanwhile touches both alike.
        for turn in 0..2 {
            if turn == 1 {
                guest.sh(if loaded { "rmmod xlnet" } else { LOAD })?;
                loaded = !loaded;
                settle(guest)?;
            }
            for entry in &mut all {
                let figures = netperf::measure(guest, entry.test, DOM0, seconds)?;
                if loaded {
                    entry.loaded.extend(figures);
                } else {
                    entry.unloaded.extend(figures);
                }
            }
        }
    }
    if !loaded {
        guest.sh(LOAD)?;
        settle(guest)?;
    }
    Ok(all)
}
