// SPDX-License-Identifier: GPL-2.0
//! Guests that answer each other need no interrupts, as they look for the frames, and lose nothing.

use anyhow::{ensure, Result};
use xlnet_lab::{
    guest::Guest,
    netperf::{self, Test},
};

use crate::{figures::Figures, flow::Flow, policy::all_joined, view::join, Bed, Scenario, Spec};

pub(crate) const SCENARIOS: &[Scenario] = &[Scenario::new(
    "watch::pvh-without-interrupts",
    Spec::pvh(2),
    without_interrupts,
)
.long()];

/// What is set if nobody has said otherwise.
const DEFAULT_USECS: &str = "2000";

/// How long frames may lie then.
const DEFAULT_DELAY: &str = "1000";

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
    set_usecs(bed, DEFAULT_USECS, "5000")?;
    let before = Figures::read(&a)?;
    for size in [1, 1024] {
        for test in [Test::TcpRr { size }, Test::UdpRr { size }] {
            netperf::measure(&a, test, &b.config.ip(), 2)?;
        }
    }
    let during = Figures::read(&a)?.since(&before)?;
    let (frames, interrupts) = (during.sum("_rx_frames"), during.sum("_irqs"));
    eprintln!("{frames} frames, {interrupts} interrupts");
    netperf::measure(&a, Test::TcpStream { size: 65536 }, &b.config.ip(), 2)?;
    set_usecs(bed, "5000", DEFAULT_USECS)?;
    ensure!(
        2 * interrupts < frames,
        "{interrupts} interrupts for {frames} frames"
    );
    ensure!(
        !a.try_sh("ethtool -C xlnet0 rx-usecs 5 rx-usecs-irq 10001")?
            .success(),
        "10001 us were taken"
    );
    is_set(&a, "rx-usecs", DEFAULT_DELAY)?;
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
