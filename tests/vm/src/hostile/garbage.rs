// SPDX-License-Identifier: GPL-2.0
//! A guest that fills xenstore with what is nothing, and never stops changing it: others do not wait for it, and `xlnetd`
//! does not grow by it.

use std::{fmt, thread};

use anyhow::{ensure, Context, Result};
use xlnet_lab::{agent::Agent, guest::Guest};

use super::arena::{attempt, cast, disguise, undisguise, Attacker};
use crate::{
    bed::eventually,
    helper,
    pair::Pair,
    policy::all_joined,
    quantile::{median, quantile},
    view::{await_peers, join},
    Bed,
};

/// How long the guest writes, in seconds: longer than [`CHANNELS`] take to be made.
const SECONDS: u32 = 200;

/// How many channels are made between two other guests, before and meanwhile.
const CHANNELS: u32 = 5;

/// What `xlnetd` may have more, in KiB: less than what was written, and more than an allocator's whims.
const GROWTH: u64 = 2048;

/// What it was like for the others.
struct Sample {
    /// Seconds of a guest from its first frame to the channel.
    seconds: Vec<f64>,
    /// `xlnetd`'s resident memory, in KiB.
    memory: u64,
    /// Its processor time until then, in clock ticks.
    ticks: u64,
}

impl Sample {
    fn take(dom0: &Agent, pair: &Pair) -> Result<Self> {
        let seconds = (0..CHANNELS)
            .map(|_| {
                pair.part()?;
                let [listener, connector] = &pair.0;
                time_to_channel(connector, listener)
            })
            .collect::<Result<_>>()?;
        let pid = helper::pid(dom0)?;
        let text = dom0.sh(&format!(
            "sed -n 's/^VmRSS:[^0-9]*\\([0-9]*\\) kB/\\1/p' /proc/{pid}/status
            sed 's/.*) //' /proc/{pid}/stat | awk '{{ print $12 + $13 }}'"
        ))?;
        let numbers: Vec<u64> = text.lines().filter_map(|line| line.parse().ok()).collect();
        let [memory, ticks] = numbers[..] else {
            anyhow::bail!("xlnetd's memory and time: {text:?}");
        };
        Ok(Self {
            seconds,
            memory,
            ticks,
        })
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a channel takes {:.2} s (to {:.2}), xlnetd has {} KiB and has used {} ticks",
            median(&self.seconds),
            quantile(&self.seconds, 1.0),
            self.memory,
            self.ticks
        )
    }
}

/// Sends a frame and waits for the channel to which that leads, in one command of the guest.
fn time_to_channel(from: &Guest, to: &Guest) -> Result<f64> {
    let (domid, ip) = (to.domid()?, to.config.ip());
    let text = from.sh(&format!(
        "read from _ < /proc/uptime
        ping -q -c 1 -W 5 {ip} > /dev/null
        until grep -q '^peer domid={domid} .* state=up ' /sys/class/net/xlnet0/xlnet/peers; do sleep 0.02; done
        read to _ < /proc/uptime
        echo $from $to"
    ))?;
    let (begun, ended) = text.trim().split_once(' ').context("two times")?;
    let (begun, ended): (f64, f64) = (begun.parse()?, ended.parse()?);
    Ok(ended - begun)
}

pub(super) fn all(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let [attacker, other, victim] = cast(bed, Attacker::Listener)?;
    let pair = Pair::between(victim.clone(), other.clone())?;
    let helper = helper::pid(bed)?;
    disguise(&attacker)?;
    await_peers(&victim, &[other.domid()?])?;
    let before = pair.in_silence(|| Sample::take(bed, &pair))?;
    eprintln!("before: {before}");
    let written = format!("/local/domain/{}/data/xlnet/0", attacker.domid()?);
    let (said, meanwhile) = thread::scope(|scope| {
        let attack = scope.spawn(|| attempt(&attacker, &victim, "garbage", SECONDS));
        eventually("xenstore is full of garbage", || {
            let nodes = bed.sh(&format!("xenstore-ls {written} 2>/dev/null | wc -l"))?;
            Ok(nodes.trim().parse::<u32>()? > 500)
        })?;
        let meanwhile = pair.in_silence(|| Sample::take(bed, &pair))?;
        ensure!(!attack.is_finished(), "the guest has stopped too early");
        let said = attack.join();
        let said = said.map_err(|_| anyhow::anyhow!("the attack panicked"))??;
        anyhow::Ok((said, meanwhile))
    })?;
    eprintln!("meanwhile: {meanwhile}\n{}", said.text);
    ensure!(said.ending == "open", "it ends {}", said.ending);
    ensure!(helper::pid(bed)? == helper, "xlnetd is another one by now");
    ensure!(
        meanwhile.memory <= before.memory + GROWTH,
        "xlnetd has grown from {} to {} KiB",
        before.memory,
        meanwhile.memory
    );
    undisguise(&attacker)?;
    all_joined(bed)?;
    join(&victim, &other)
}
