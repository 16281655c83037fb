// SPDX-License-Identifier: GPL-2.0
//! Where an attack takes place: the attacker, its victim, and a bystander to whom the victim talks meanwhile.

use std::time::Duration;

use anyhow::{ensure, Context, Result};
use xlnet_lab::guest::{Guest, Kind};

use super::campaign::{Campaign, Window, LEAST};
use crate::{
    bed::eventually,
    death::by_domid,
    figures::Figures,
    flow::{Flow, Report},
    journey::uptime,
    policy::all_joined,
    quantile::median,
    view::{await_peers, join},
    Bed,
};

/// The lab's attacker.
const PROGRAM: &str = "/lab/bin/xlnet-attacker";

/// How long an act may take beside what it lasts: a victim grants an attacker no more until it has its pages back.
const PATIENCE: Duration = Duration::from_secs(240);

/// Datagrams a second of each flow.
pub(super) const RATE: u32 = 20;

/// Seconds before the first act and after the last one, to compare with.
const QUIET: f64 = 10.0;

/// The name of the time after the last act.
const AFTER: &str = "(after)";

/// Seconds from an act's begin that are its own at the least: what it does to others may show when it is over.
const SHORTEST: f64 = 4.0;

/// What of the bystander's channel an attack by somebody else must not change: it is not closed, nor made anew.
const UNCHANGED: [&str; 4] = ["channels", "setup_failed", "stalls", "faults"];

/// How many acts may be tried again, as less arrived meanwhile: a busy emulator's processors stand still now and then.
const AGAIN: usize = 2;

/// How many grants that a peer had still mapped the kernel tries to end each second.
const RECLAIMED: &str = "/sys/module/grant_table/parameters/free_per_iteration";

/// Which end of its channel the attacker is.
#[derive(Clone, Copy)]
pub(super) enum Attacker {
    /// The lower domid, whose pages they are.
    Listener,
    /// The other.
    Connector,
}

/// What the attacker's program said of one act.
pub(super) struct Said {
    /// All of it.
    pub(super) text: String,
    /// How it ended.
    pub(super) ending: String,
}

/// Has the attacker's program take the driver's place in a guest.
pub(super) fn disguise(guest: &Guest) -> Result<()> {
    guest
        .sh("rmmod xlnet && modprobe -a xen-gntalloc xen-gntdev xen-evtchn")
        .map(drop)
}

/// Has a guest be one like others again.
pub(super) fn undisguise(guest: &Guest) -> Result<()> {
    guest.sh("modprobe xlnet").map(drop)
}

/// Has a disguised guest try one act on another.
pub(super) fn attempt(attacker: &Guest, victim: &Guest, act: &str, seconds: u32) -> Result<Said> {
    let command = format!(
        "exec {PROGRAM} {} {} {} {act} {seconds}",
        victim.domid()?,
        attacker.config.ip(),
        victim.config.ip(),
    );
    let limit = PATIENCE + Duration::from_secs(seconds.into());
    let text = attacker.sh_within(&command, limit)?;
    let ending = text.lines().find_map(|line| line.strip_prefix("ended="));
    let ending = ending.with_context(|| format!("{act}: {text}"))?.to_owned();
    Ok(Said { text, ending })
}

/// Who is the attacker, the bystander and the victim. A PVH guest among PV guests is the victim: its kernel may be the
/// one that checks itself.
pub(super) fn cast(bed: &mut Bed, part: Attacker) -> Result<[Guest; 3]> {
    let mut guests = by_domid(bed)?;
    if let (Attacker::Connector, [first, .., last]) = (part, guests.as_slice()) {
        if (first.config.kind, last.config.kind) == (Kind::Pv, Kind::Pvh) {
            // What is made anew has the highest domid.
            let number = first.config.number;
            first.destroy()?;
            bed.add_guest(number)?;
            all_joined(bed)?;
            guests = by_domid(bed)?;
        }
    }
    if matches!(part, Attacker::Connector) {
        guests.reverse();
    }
    let guests: Option<[Guest; 3]> = guests.try_into().ok();
    let [attacker, middle, end] = guests.context("wants three guests")?;
    if middle.config.kind == attacker.config.kind {
        return Ok([attacker, middle, end]);
    }
    Ok([attacker, end, middle])
}

/// What goes on between the bystander and the victim: from it through the channel, the same by the uplink, and back.
struct Flows([Flow; 3]);

impl Flows {
    fn start(bystander: &Guest, victim: &Guest) -> Result<Self> {
        let flows = Self([
            Flow::start(bystander, victim, 7600, RATE)?,
            Flow::start_by_uplink(bystander, victim, 7602, RATE)?,
            Flow::start(victim, bystander, 7601, RATE)?,
        ]);
        flows.await_more()?;
        Ok(flows)
    }

    fn await_more(&self) -> Result<()> {
        let mut flows = self.0.iter();
        flows.try_for_each(|flow| flow.await_more(u64::from(RATE)))
    }

    /// Ends them. What goes through the channel has lost nothing; what the uplink loses, it loses without xlnet too.
    fn stop(self) -> Result<[Report; 3]> {
        self.await_more()?;
        let [to, by_uplink, back] = self.0;
        let reports = [to.stop()?, by_uplink.stop()?, back.stop()?];
        let [to, by_uplink, back] = &reports;
        to.is_lossless()?;
        back.is_lossless()?;
        by_uplink.is_sound()?;
        eprintln!(
            "by the uplink {} of {} were lost",
            by_uplink.lost(),
            by_uplink.sent
        );
        Ok(reports)
    }
}

/// Three guests, one of which is hostile, and what goes on between the two others.
pub(super) struct Arena {
    pub(super) attacker: Guest,
    pub(super) victim: Guest,
    bystander: Guest,
    flows: Option<Flows>,
    campaign: Campaign,
}

impl Arena {
    /// Has one guest be an attacker, another its victim, and the third talk with the victim.
    pub(super) fn enter(bed: &mut Bed, part: Attacker) -> Result<Self> {
        all_joined(bed)?;
        let [attacker, bystander, victim] = cast(bed, part)?;
        disguise(&attacker)?;
        await_peers(&victim, &[bystander.domid()?])?;
        join(&victim, &bystander)?;
        let flows = Flows::start(&bystander, &victim)?;
        let mut arena = Self {
            attacker,
            victim,
            bystander,
            flows: Some(flows),
            campaign: Campaign::default(),
        };
        arena.be_quiet("(before)")?;
        Ok(arena)
    }

    /// Tries one act, and returns how it ended.
    pub(super) fn attack(&mut self, act: &str, seconds: u32) -> Result<String> {
        let before = Figures::read_quickly(&self.victim)?;
        let begun = self.uptimes()?;
        let ending = attempt(&self.attacker, &self.victim, act, seconds)?.ending;
        let spans = self.spans(begun, SHORTEST)?;
        let after = Figures::read_quickly(&self.victim)?;
        self.has_stood(&before, &after)
            .with_context(|| format!("{act}: the bystander's channel"))?;
        self.campaign.note(Window {
            act: act.to_owned(),
            seconds,
            ending: ending.clone(),
            counted: after.added_to(&before),
            spans,
        });
        Ok(ending)
    }

    /// Fails unless the channel with the bystander is the one it was, and has carried something.
    fn has_stood(&self, before: &Figures, after: &Figures) -> Result<()> {
        let peer = format!("peer{}", self.bystander.domid()?);
        for counter in UNCHANGED {
            let name = format!("{peer}_{counter}");
            let (before, after) = (before.get(&name)?, after.get(&name)?);
            ensure!(before == after, "{name} went from {before} to {after}");
        }
        let sent = format!("{peer}_tx_frames");
        ensure!(
            after.get(&sent)? > before.get(&sent)?,
            "nothing was sent through it"
        );
        Ok(())
    }

    /// Lets some time pass, as `name`.
    fn be_quiet(&mut self, name: &str) -> Result<()> {
        let begun = self.uptimes()?;
        self.campaign.note(Window {
            act: name.to_owned(),
            seconds: 0,
            ending: String::new(),
            counted: Vec::new(),
            spans: self.spans(begun, QUIET)?,
        });
        Ok(())
    }

    /// Seconds since the victim's boot, and since the bystander's.
    fn uptimes(&self) -> Result<[f64; 2]> {
        Ok([uptime(&self.victim)?, uptime(&self.bystander)?])
    }

    /// What has passed since then by each clock, once so many seconds have by the victim's.
    fn spans(&self, begun: [f64; 2], least: f64) -> Result<[(f64, f64); 2]> {
        eventually("some time has passed", || {
            Ok(uptime(&self.victim)? > begun[0] + least)
        })?;
        let ended = self.uptimes()?;
        Ok([(begun[0], ended[0]), (begun[1], ended[1])])
    }

    /// The sum of a counter of the victim over all peers, those that have gone included.
    pub(super) fn count(&self, counter: &str) -> Result<u64> {
        Ok(Figures::read_quickly(&self.victim)?.sum(&format!("_{counter}")))
    }

    /// How often the victim's kernel has said of the attacker what ends with these words.
    pub(super) fn said(&self, words: &str) -> Result<u64> {
        let domid = self.attacker.domid()?;
        let count = self.victim.sh(&format!(
            "dmesg | grep -c 'xlnet: domain {domid}:\\? {words}' || true"
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

    /// Waits until no more pages than that do: until then the victim grants the attacker no more. The kernel tries ten a second
    /// again, for which a test would wait most of its time, so that it tries more meanwhile.
    pub(super) fn await_unpinned(&self, pinned: u64) -> Result<()> {
        let usual = self
            .victim
            .sh(&format!("cat {RECLAIMED} && echo 1000 > {RECLAIMED}"))?;
        eventually("no page is pinned that was not", || {
            let now = self.pinned()?;
            ensure!(now <= pinned, "{now} pages are pinned, {pinned} before");
            Ok(true)
        })?;
        self.victim
            .sh(&format!("echo {} > {RECLAIMED}", usual.trim()))
            .map(drop)
    }

    /// Ends the flows; of each window, the part of what arrived before that arrived in it.
    fn parts(&mut self) -> Result<Vec<f64>> {
        let flows = self.flows.take().context("no flow is under way")?;
        let reports = flows.stop()?;
        self.campaign
            .parts(reports.each_ref().map(|report| &report.arrivals))
    }

    /// Tries an act again, with a time of its own to compare with.
    fn again(&mut self, act: &str, seconds: u32) -> Result<f64> {
        self.campaign = Campaign::default();
        self.flows = Some(Flows::start(&self.bystander, &self.victim)?);
        self.be_quiet("(before)")?;
        if act == AFTER {
            self.be_quiet(AFTER)?;
        } else {
            self.attack(act, seconds)?;
        }
        self.parts()?.last().copied().context("no window")
    }

    /// Fails unless the two others have lost nothing and were as fast as before, during each act and afterwards, and has the
    /// attacker be a guest like others again. Of an act in which they were not, the median of three times counts.
    pub(super) fn leave(mut self, bed: &Bed) -> Result<()> {
        self.be_quiet(AFTER)?;
        let parts = self.parts()?;
        let less = self.campaign.less(&parts);
        ensure!(
            less.len() <= AGAIN,
            "less than {LEAST} of what arrived before, in: {less:?}"
        );
        for (act, seconds, part) in less {
            let mut parts = vec![part];
            for _ in 0..2 {
                parts.push(self.again(&act, seconds)?);
            }
            eprintln!("{act}, three times: {parts:.2?} of what arrived before");
            ensure!(
                median(&parts) >= LEAST,
                "{act}: less than {LEAST} of what arrived before"
            );
        }
        for guest in [&self.victim, &self.bystander] {
            guest.sh(&format!(
                "ip addr del {}/24 dev {}",
                guest.config.plain_ip(),
                guest.uplink()?
            ))?;
        }
        undisguise(&self.attacker)?;
        all_joined(bed)?;
        join(&self.attacker, &self.victim)
    }
}
