// SPDX-License-Identifier: GPL-2.0
//! What the checking kernel can show beyond the reports in its log: memory to which nobody has a pointer, and what
//! follows when there is none.

use std::{thread, time::Duration};

use anyhow::{ensure, Context, Result};
use xlnet_lab::guest::{Guest, Kind};

use crate::{pair::Pair, policy::all_joined, view::join, Bed, Scenario, Spec};

pub(crate) const SCENARIOS: &[Scenario] =
    &[Scenario::new("checking::allocations-fail", Spec::pvh(2), allocations_fail).checking()];

/// How much of what the module allocates fails, in per cent.
const FAILING: u32 = 20;

/// How often the channel is closed and asked for meanwhile.
const ROUNDS: u32 = 10;

/// How long looking at all of a guest's memory may take.
const SCAN: Duration = Duration::from_secs(120);

const MOUNT: &str = "mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug";

/// The allocator refuses the module memory while channels are made and closed under traffic. When it does so no more,
/// there is a channel again.
fn allocations_fail(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let Pair([a, b]) = Pair::of(bed)?;
    join(&a, &b)?;
    for guest in [&a, &b] {
        refuse(guest)?;
    }
    for _ in 0..ROUNDS {
        // Whether anything arrives is not the question yet.
        a.try_sh(&format!(
            "ping -q -c 20 -i 0.1 -W 1 -s 8000 {}",
            b.config.ip()
        ))?;
        b.try_sh("ip link set xlnet0 down; ip link set xlnet0 up")?;
    }
    for guest in [&a, &b] {
        let refused = grant(guest)?;
        ensure!(refused > 0, "{}: no allocation failed", guest.name());
    }
    all_joined(bed)?;
    join(&a, &b)
}

/// Has allocations fail that are made on behalf of the module: those with a function of it among their callers.
fn refuse(guest: &Guest) -> Result<()> {
    let text = guest.sh("cat /sys/module/xlnet/sections/.text /sys/module/xlnet/coresize")?;
    let mut words = text.split_whitespace();
    let start = words
        .next()
        .and_then(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok())
        .context("where the module's code is")?;
    let size: u64 = words
        .next()
        .and_then(|word| word.parse().ok())
        .context("how large the module is")?;
    let end = start.saturating_add(size);
    guest
        .sh(&format!(
            "set -e; {MOUNT}; dmesg -C; cd /sys/kernel/debug/failslab
            echo {start:#x} > require-start; echo {end:#x} > require-end; echo 32 > stacktrace-depth
            echo N > ignore-gfp-wait; echo -1 > times; echo 1 > verbose; echo {FAILING} > probability"
        ))
        .map(drop)
}

/// Ends that, and returns how many were reported to have failed, of which the log has no more than some a second.
fn grant(guest: &Guest) -> Result<u64> {
    let text = guest.sh(
        "echo 0 > /sys/kernel/debug/failslab/probability; dmesg | grep -c 'FAULT_INJECTION: forcing a failure' || true",
    )?;
    text.trim()
        .parse()
        .with_context(|| format!("a number: {text:?}"))
}

/// Fails if a guest of `bed` has memory to which nobody has a pointer.
///
/// # Errors
/// What kmemleak says of it.
pub(crate) fn no_leaks(bed: &Bed) -> Result<()> {
    // It believes only what it finds twice, and not of what is younger than five seconds.
    let script = format!(
        "{MOUNT}; set -e; cd /sys/kernel/debug; sleep 6; echo scan > kmemleak; echo scan > kmemleak; cat kmemleak; echo clear > kmemleak"
    );
    let scan = |guest: &Guest| -> Result<()> {
        // Scenarios may end guests, and PV guests have another kernel.
        if guest.config.kind == Kind::Pv || guest.domid().is_err() {
            return Ok(());
        }
        let found = guest.sh_within(&script, SCAN)?;
        ensure!(found.trim().is_empty(), "{} leaks:\n{found}", guest.name());
        Ok(())
    };
    thread::scope(|scope| {
        let scans: Vec<_> = bed
            .guests()
            .iter()
            .map(|guest| scope.spawn(move || scan(guest)))
            .collect();
        scans.into_iter().try_for_each(|scan| {
            scan.join()
                .unwrap_or_else(|_| anyhow::bail!("a scan panicked"))
        })
    })
}
