// SPDX-License-Identifier: GPL-2.0
//! With `ethtool -C rx-usecs`, guests that answer each other need no interrupts, and lose nothing.

use anyhow::{ensure, Result};
use xlnet_lab::netperf::{self, Test};

use crate::{figures::Figures, flow::Flow, policy::all_joined, view::join, Bed, Scenario, Spec};

pub(crate) const SCENARIOS: &[Scenario] = &[Scenario::new(
    "watch::pvh-without-interrupts",
    Spec::pvh(2),
    without_interrupts,
)
.long()];

/// Datagrams a second of each flow beside.
const RATE: u32 = 20;

fn without_interrupts(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let (a, b) = (bed.g(1)?, bed.g(2)?);
    join(&a, &b)?;
    netperf::serve(&b)?;
    let flows = [
        Flow::start(&a, &b, 7600, RATE)?,
        Flow::start(&b, &a, 7601, RATE)?,
    ];
    // What an emulated guest takes for an answer is far from a real one's.
    set_usecs(bed, "5000")?;
    let before = Figures::read(&a)?;
    for size in [1, 16384] {
        for test in [Test::TcpRr { size }, Test::UdpRr { size }] {
            netperf::measure(&a, test, &b.config.ip(), 2)?;
        }
    }
    let during = Figures::read(&a)?.since(&before)?;
    let (frames, interrupts) = (during.sum("_rx_frames"), during.sum("_irqs"));
    eprintln!("{frames} frames, {interrupts} interrupts");
    netperf::measure(&a, Test::TcpStream { size: 65536 }, &b.config.ip(), 2)?;
    set_usecs(bed, "0")?;
    ensure!(
        2 * interrupts < frames,
        "{interrupts} interrupts for {frames} frames"
    );
    ensure!(
        !a.try_sh("ethtool -C xlnet0 rx-usecs 10001")?.success(),
        "10001 us were taken"
    );
    for flow in flows {
        flow.await_more(u64::from(RATE))?;
        flow.stop()?.is_lossless()?;
    }
    Ok(())
}

fn set_usecs(bed: &Bed, usecs: &str) -> Result<()> {
    for number in 1..=bed.spec.guests {
        let guest = bed.g(number)?;
        guest.sh(&format!("ethtool -C xlnet0 rx-usecs {usecs}"))?;
        let set = guest.sh("ethtool -c xlnet0")?;
        ensure!(
            set.lines().any(|line| {
                line.split_once("rx-usecs:")
                    .is_some_and(|(_, value)| value.trim() == usecs)
            }),
            "{set}"
        );
    }
    Ok(())
}
