// SPDX-License-Identifier: GPL-2.0
//! Where an attack takes place: the attacker, its victim, and a bystander to whom the victim talks meanwhile.

use anyhow::{ensure, Context, Result};
use xlnet_lab::guest::Guest;

use crate::{
    bed::eventually,
    death::by_domid,
    flow::{Arrivals, Flow},
    journey::uptime,
    policy::all_joined,
    view::{await_peers, join},
    Bed,
};

/// The lab's attacker.
const PROGRAM: &str = "/lab/bin/xlnet-attacker";

/// Datagrams a second from the bystander to the victim and back.
const RATE: u32 = 20;

/// Which end of its channel the attacker is.
#[derive(Clone, Copy)]
pub(super) enum Attacker {
    /// The lower domid, whose pages they are.
    Listener,
    /// The other.
    Connector,
}

/// Three guests, one of which is hostile, and what goes on between the two others.
pub(super) struct Arena {
    pub(super) attacker: Guest,
    pub(super) victim: Guest,
    /// From the bystander to the victim, and back.
    flows: [Flow; 2],
}

impl Arena {
    /// Has one guest be an attacker, and the other two talk.
    pub(super) fn enter(bed: &Bed, part: Attacker) -> Result<Self> {
        all_joined(bed)?;
        let mut guests = by_domid(bed)?;
        if matches!(part, Attacker::Connector) {
            guests.reverse();
        }
        let guests: Option<[Guest; 3]> = guests.try_into().ok();
        let [attacker, victim, bystander] = guests.context("wants three guests")?;
        attacker.sh("rmmod xlnet && modprobe -a xen-gntalloc xen-gntdev xen-evtchn")?;
        await_peers(&victim, &[bystander.domid()?])?;
        join(&victim, &bystander)?;
        let flows = [
            Flow::start(&bystander, &victim, 7600, RATE)?,
            Flow::start(&victim, &bystander, 7601, RATE)?,
        ];
        for flow in &flows {
            flow.await_more(u64::from(RATE))?;
        }
        Ok(Self {
            attacker,
            victim,
            flows,
        })
    }

    /// Tries one act, and returns how it ended.
    pub(super) fn attack(&self, act: &str, seconds: u32) -> Result<String> {
        let said = self.attacker.sh(&format!(
            "exec {PROGRAM} {} {} {} {act} {seconds}",
            self.victim.domid()?,
            self.attacker.config.ip(),
            self.victim.config.ip(),
        ))?;
        let ending = said.lines().find_map(|line| line.strip_prefix("ended="));
        Ok(ending.with_context(|| format!("{act}: {said}"))?.to_owned())
    }

    /// The sum of a counter of the victim over all peers, those that have gone included.
    pub(super) fn count(&self, counter: &str) -> Result<u64> {
        let sum = self.victim.sh(&format!(
            "ethtool -S xlnet0 | awk '/_{counter}: /{{ sum += $2 }} END {{ print sum + 0 }}'"
        ))?;
        sum.trim().parse().context(counter.to_owned())
    }

    /// How often the victim's kernel has said of the attacker what ends with these words.
    pub(super) fn said(&self, words: &str) -> Result<u64> {
        let domid = self.attacker.domid()?;
        let count = self.victim.sh(&format!(
            "dmesg | grep -c 'xlnet: domain {domid} {words}' || true"
        ))?;
        count.trim().parse().context("dmesg")
    }

    /// How many of the victim's pages wait for a peer to unmap them.
    pub(super) fn pinned(&self) -> Result<u64> {
        let text = self
            .victim
            .sh("ethtool -S xlnet0 | sed -n 's/^ *pages_pinned: //p'")?;
        text.trim().parse().context("pages_pinned")
    }

    /// Waits until no more pages than that do. The kernel tries ten a second again, and until then the victim grants the
    /// attacker no more.
    pub(super) fn await_unpinned(&self, pinned: u64) -> Result<()> {
        eventually("no page is pinned that was not", || {
            let now = self.pinned()?;
            ensure!(now <= pinned, "{now} pages are pinned, {pinned} before");
            Ok(true)
        })
    }

    /// Seconds of the victim's time since its boot.
    pub(super) fn now(&self) -> Result<f64> {
        uptime(&self.victim)
    }

    /// Fails unless the two others have lost nothing, and has the attacker be a guest like others again.
    /// Returns when the datagrams to the victim came.
    pub(super) fn leave(self, bed: &Bed) -> Result<Arrivals> {
        for flow in &self.flows {
            flow.await_more(u64::from(RATE))?;
        }
        let [to, from] = self.flows;
        from.stop()?.is_lossless()?;
        let report = to.stop()?;
        report.is_lossless()?;
        self.attacker.sh("modprobe xlnet")?;
        all_joined(bed)?;
        join(&self.attacker, &self.victim)?;
        Ok(report.arrivals)
    }
}
