// SPDX-License-Identifier: GPL-2.0
//! Where is measured, and what.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use xlnet_lab::netperf::Test;
use xlnet_vm_tests::Spec;

/// A host with guests. Each is one boot, in which all paths are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Setting {
    /// Two PV guests of one vCPU; all domains share two pCPUs
    Pv,
    /// Two PVH guests of one vCPU, each domain on its own pCPU of four
    Pvh,
    /// Two PV guests of two vCPUs; all domains share two pCPUs
    Pv2,
    /// Two PVH guests of two vCPUs, each on two pCPUs of its own
    Pvh2,
    /// Three pairs of PV guests at once; all domains share two pCPUs
    Pairs,
    /// Two PV guests of one vCPU; all domains share one pCPU, whose clock counts instructions. Slow
    Count,
}

const STREAM_SIZES: [u32; 7] = [64, 256, 1024, 1400, 4096, 16384, 65536];
const QUICK_SIZES: [u32; 3] = [64, 4096, 65536];
const RR_SIZES: [u32; 4] = [1, 128, 1024, 16384];

/// The largest datagram that is measured: one of 64 KiB does not exist.
const MAX_DATAGRAM: u32 = 60000;

impl Setting {
    /// What it is, for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Pv => "two PV guests of 1 vCPU, 2 shared pCPUs",
            Self::Pvh => "two PVH guests of 1 vCPU, each on its own pCPU",
            Self::Pv2 => "two PV guests of 2 vCPUs, 2 shared pCPUs",
            Self::Pvh2 => "two PVH guests of 2 vCPUs, each on its own pCPUs",
            Self::Pairs => "three pairs of PV guests at once, 2 shared pCPUs",
            Self::Count => "two PV guests of 1 vCPU, 1 shared pCPU, time counted in instructions",
        }
    }

    /// As on the command line, and in the names of files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pv => "pv",
            Self::Pvh => "pvh",
            Self::Pv2 => "pv2",
            Self::Pvh2 => "pvh2",
            Self::Pairs => "pairs",
            Self::Count => "count",
        }
    }

    /// What to boot.
    pub fn spec(self) -> Spec {
        match self {
            Self::Pv => Spec::pv(2).sharing(2),
            Self::Pvh => Spec::pvh(2),
            Self::Pv2 => Spec::pv(2).vcpus(2).sharing(2),
            Self::Pvh2 => Spec::pvh(2).vcpus(2),
            Self::Pairs => Spec::pv(6).sharing(2),
            Self::Count => Spec::pv(2).sharing(1).counted(),
        }
    }

    /// Whether nanoseconds are instructions.
    pub fn is_counted(self) -> bool {
        self == Self::Count
    }

    /// What to measure there; a few of it for a quick look.
    pub fn tests(self, quick: bool) -> Vec<Test> {
        if self == Self::Pairs {
            return vec![Test::TcpStream { size: 65536 }];
        }
        // Each takes a quarter of a minute where instructions are counted.
        let quick = quick || self.is_counted();
        let sizes: &[u32] = if quick { &QUICK_SIZES } else { &STREAM_SIZES };
        let datagram = |size: &u32| Test::UdpStream {
            size: MAX_DATAGRAM.min(*size),
        };
        let mut tests: Vec<Test> = sizes
            .iter()
            .map(|&size| Test::TcpStream { size })
            .chain(sizes.iter().map(datagram))
            .collect();
        let sizes = if quick { &RR_SIZES[..1] } else { &RR_SIZES };
        tests.extend(sizes.iter().map(|&size| Test::TcpRr { size }));
        tests.extend(sizes.iter().map(|&size| Test::UdpRr { size }));
        if !self.is_counted() {
            tests.push(Test::Ping);
        }
        if !quick {
            let size = 65536;
            tests.extend([
                Test::TcpBothWays { size },
                Test::TcpStreams { size, count: 4 },
            ]);
        }
        tests
    }
}
