// SPDX-License-Identifier: GPL-2.0
//! Guests that answer each other need no interrupts, as they look for the frames, and lose nothing.

use anyhow::{ensure, Result};
use xlnet_lab::{
    guest::Guest,
    netperf::{self, Test},
};

use crate::{
    bed::eventually, figures::Figures, flow::Flow, policy::all_joined, view::join, Bed, Scenario,
    Spec,
};

pub(crate) const SCENARIOS: &[Scenario] = &[Scenario::new(
    "watch::pvh-without-interrupts",
    Spec::pvh(2),
    without_interrupts,
)
.long()];

/// How long the watch looks at most if nobody has said otherwise.
const DEFAULT_USECS: &str = "100000";

/// How long frames may lie at most if nobody has said otherwise.
const DELAY_USECS: &str = "10000";

/// Datagrams a second of each flow beside.
const RATE: u32 = 20;

fn without_interrupts(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let (a, b) = (bed.g(1)?, bed.g(2)?);
    join(&a, &b)?;
    netperf::serve(&b)?;
    // A guest that has just booted has other things to do, which the watch gives way to.
    eventually("half of the frames come without an interrupt", || {
        let before = Figures::read(&a)?;
        for size in [1, 1024] {
            for test in [Test::TcpRr { size }, Test::UdpRr { size }] {
                netperf::measure(&a, test, &b.config.ip(), 2)?;
            }
        }
        let during = Figures::read(&a)?.since(&before)?;
        let (frames, interrupts) = (during.sum("_rx_frames"), during.sum("_irqs"));
        eprintln!("{frames} frames, {interrupts} interrupts");
        ensure!(
            2 * interrupts < frames,
            "{interrupts} interrupts for {frames} frames"
        );
        Ok(true)
    })?;
    let flows = [
        Flow::start(&a, &b, 7600, RATE)?,
        Flow::start(&b, &a, 7601, RATE)?,
    ];
    for test in [Test::TcpRr { size: 1 }, Test::TcpStream { size: 65536 }] {
        netperf::measure(&a, test, &b.config.ip(), 2)?;
    }
    set_usecs(bed, DEFAULT_USECS, "5000")?;
    ensure!(
        !a.try_sh("ethtool -C xlnet0 rx-usecs 5 rx-usecs-irq 100001")?
            .success(),
        "100001 us were taken"
    );
    is_set(&a, "rx-usecs", DELAY_USECS)?;
    set_usecs(bed, "5000", DEFAULT_USECS)?;
    for flow in flows {
        flow.await_more(u64::from(RATE))?;
        flow.stop()?.is_lossless()?;
    }
    Ok(())
}

/// Fails unless it is `before` in all guests, and sets it to `usecs`.
fn set_usecs(bed: &Bed, before: &str, usecs: &str) -> Result<()> {
    for number in 1..=bed.spec.guests {
        let guest = bed.g(number)?;
        is_set(&guest, "rx-usecs-irq", before)?;
        guest.sh(&format!("ethtool -C xlnet0 rx-usecs-irq {usecs}"))?;
        is_set(&guest, "rx-usecs-irq", usecs)?;
    }
    Ok(())
}

fn is_set(guest: &Guest, what: &str, usecs: &str) -> Result<()> {
    let set = guest.sh("ethtool -c xlnet0")?;
    ensure!(
        set.lines().any(|line| {
            line.split_once(':')
                .is_some_and(|(name, value)| name == what && value.trim() == usecs)
        }),
        "{what} is not {usecs}: {set}"
    );
    Ok(())
}
