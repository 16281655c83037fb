// SPDX-License-Identifier: GPL-2.0
//! A guest dies, the daemon dies: what has nothing to do with it goes on, and nothing of it is left.

use anyhow::{ensure, Context, Result};
use xlnet_lab::{
    agent::{Agent, Background},
    guest::Guest,
};

use crate::{
    bed::eventually,
    figures::{counter, frames},
    flow::Flow,
    helper,
    policy::all_joined,
    view::{await_peers, await_status, join},
    Bed, Scenario, Spec,
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("death::pv-of-a-listener", Spec::pv(3), of_lowest).long(),
    Scenario::new("death::pv-of-a-connector", Spec::pv(3), of_highest).long(),
    Scenario::new("death::pv-panic", Spec::pv(3), by_panic).long(),
    Scenario::new("death::of-xlnetd", Spec::mixed(), of_daemon),
    Scenario::new("death::pv-second-xlnetd", Spec::pv(3), second_daemon).long(),
    Scenario::new("death::pv-other-xlnetd", Spec::pv(3), other_version).long(),
    Scenario::new("death::pvh-of-xlnetd", Spec::pvh(2), of_daemon).long(),
];

/// Datagrams a second of each flow: together they leave an emulated processor time for what is tested.
const RATE: u32 = 20;

/// Seconds of a day: one of the clocks is told as a time of day.
const DAY: f64 = 86400.0;

/// The guests of a bed, the lowest domid first.
///
/// # Errors
/// If one is not there.
pub(crate) fn by_domid(bed: &Bed) -> Result<Vec<Guest>> {
    let mut guests = (1..=bed.spec.guests)
        .map(|number| {
            let guest = bed.g(number)?;
            Ok((guest.domid()?, guest))
        })
        .collect::<Result<Vec<_>>>()?;
    guests.sort_by_key(|(domid, _)| *domid);
    Ok(guests.into_iter().map(|(_, guest)| guest).collect())
}

/// The lower domid of a pair owns the shared pages: its survivors have them mapped when it dies.
fn of_lowest(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let mut guests = by_domid(bed)?;
    let victim = guests.remove(0);
    destroyed(bed, &victim, &guests, Guest::destroy)
}

fn of_highest(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let mut guests = by_domid(bed)?;
    let victim = guests.pop().context("no guest")?;
    destroyed(bed, &victim, &guests, Guest::destroy)
}

/// A kernel that panics lets go of nothing; the toolstack destroys its domain.
fn by_panic(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let mut guests = by_domid(bed)?;
    let victim = guests.remove(0);
    destroyed(bed, &victim, &guests, |guest| {
        // Once the agent has answered.
        let panic =
            "setsid -f sh -c 'sleep 1; echo c > /proc/sysrq-trigger' > /dev/null 2>&1 < /dev/null";
        guest.sh(panic).map(drop)
    })
}

fn destroyed(
    bed: &mut Bed,
    victim: &Guest,
    survivors: &[Guest],
    end: fn(&Guest) -> Result<()>,
) -> Result<()> {
    let [a, b] = survivors else {
        anyhow::bail!("wants two survivors");
    };
    let (domid_a, domid_b, domid) = (a.domid()?, b.domid()?, victim.domid()?);
    let mut doomed = Vec::new();
    for (port, guest) in (7400..).zip(survivors) {
        doomed.push(Flow::start(guest, victim, port, RATE)?);
        doomed.push(Flow::start(victim, guest, port, RATE)?);
        join(guest, victim)?;
    }
    join(a, b)?;
    let kept = [
        Flow::start(a, b, 7410, RATE)?,
        Flow::start(b, a, 7411, RATE)?,
    ];
    for flow in kept.iter().chain(&doomed) {
        flow.await_more(u64::from(RATE))?;
    }
    let events = survivors
        .iter()
        .map(Events::record)
        .collect::<Result<Vec<_>>>()?;
    let queued = counter(a, domid_b, "tx_frames")?;

    end(victim)?;
    for events in events {
        let guest = events.guest.clone();
        let seconds = events.until_unrouted(victim)?;
        eprintln!(
            "{}: {} was unrouted {seconds:.2} s after its entry went",
            guest.name(),
            victim.name()
        );
    }
    await_peers(a, &[domid_b])?;
    await_peers(b, &[domid_a])?;
    for guest in survivors {
        await_status(guest)?;
    }
    await_gone(bed, domid)?;
    for flow in &kept {
        flow.await_more(u64::from(RATE))?;
    }
    ensure!(
        counter(a, domid_b, "tx_frames")? > queued + u64::from(RATE),
        "the survivors' flow does not go through xlnet0"
    );
    for flow in kept {
        flow.stop()?.is_lossless()?;
    }
    drop(doomed);
    bed.add_guest(victim.config.number)?;
    all_joined(bed)?;
    for guest in survivors {
        join(guest, &bed.g(victim.config.number)?)?;
    }
    Ok(())
}

/// Waits until Xen knows the domain no longer, not even as a zombie, and xlnet's nodes do not name it.
///
/// # Errors
/// If something of it is left.
pub(crate) fn await_gone(dom0: &Agent, domid: u32) -> Result<()> {
    eventually("nothing is left of the domain", || {
        let list = dom0.sh("xl list")?;
        ensure!(
            !list.contains("(null)")
                && list
                    .lines()
                    .skip(1)
                    .all(|line| line.split_whitespace().nth(1) != Some(&domid.to_string())),
            "{list}"
        );
        let nodes = helper::nodes_if_any(dom0)?;
        ensure!(
            !nodes.contains(&format!("/peer/{domid} ")),
            "a node names domain {domid}: {nodes}"
        );
        Ok(true)
    })
}

/// What a guest's kernel says about the device and the routes, each with the guest's time.
struct Events {
    guest: Guest,
    uevents: Background,
    routes: Background,
}

impl Events {
    fn record(guest: &Guest) -> Result<Self> {
        let uevents =
            guest.spawn("exec udevadm monitor --kernel --property --subsystem-match=net")?;
        let routes = guest.spawn("exec ip -ts monitor route > /run/routes")?;
        eventually("the monitors listen", || {
            guest.sh("pgrep -f '[u]devadm monitor' && pgrep -f '[i]p -ts monitor'")?;
            Ok(true)
        })?;
        Ok(Self {
            guest: guest.clone(),
            uevents,
            routes,
        })
    }

    /// Seconds of the guest's time from the change of the peer list to the last route of `victim` that went.
    fn until_unrouted(mut self, victim: &Guest) -> Result<f64> {
        let addresses = [victim.config.ip(), victim.config.ip6()];
        // What else is asked of the guest would take the processor from what is measured.
        eventually("the routes are gone", || {
            let routes = self.guest.sh("cat /run/routes")?;
            Ok(addresses
                .iter()
                .all(|address| last_deletion(&routes, address).is_some()))
        })?;
        let clocks = self.guest.sh("date -u +%s.%N; cat /proc/uptime")?;
        let mut clocks = clocks.split_whitespace();
        let mut clock = || -> Result<f64> { Ok(clocks.next().context("no clock")?.parse()?) };
        let boot = clock()? - clock()?;
        self.uevents.signal(15)?;
        self.routes.signal(15)?;
        let uevents = self.uevents.wait()?.text();
        self.routes.wait()?;
        let routes = self.guest.sh("cat /run/routes")?;
        let changed = first_list_change(&uevents)
            .with_context(|| format!("no change of the peer list in {uevents}"))?;
        let unrouted = addresses
            .iter()
            .filter_map(|address| last_deletion(&routes, address))
            .fold(0.0, f64::max);
        Ok((unrouted - boot - changed).rem_euclid(DAY))
    }
}

/// When the first uevent of a changed list came: "KERNEL[12.345678] change   /devices/virtual/net/xlnet0 (net)".
fn first_list_change(text: &str) -> Option<f64> {
    let event = text
        .split("\n\n")
        .find(|event| event.contains("XLNET_EVENT=peers"))?;
    let time = event.split_once("KERNEL[")?.1.split_once(']')?.0;
    time.parse().ok()
}

/// Seconds since midnight of the last deletion of `address`:
/// "[2026-01-02T03:04:05.678901] Deleted 10.77.0.103 dev xlnet0 …".
fn last_deletion(text: &str, address: &str) -> Option<f64> {
    let line = text.lines().rfind(|line| {
        line.contains("Deleted ")
            && line.contains(" dev xlnet0 ")
            && line.split_whitespace().any(|word| word == address)
    })?;
    let (_, time) = line.strip_prefix('[')?.split_once(']')?.0.split_once('T')?;
    let mut parts = time.splitn(3, ':').map(str::parse::<f64>);
    let mut part = || parts.next()?.ok();
    Some(part()? * 3600.0 + part()? * 60.0 + part()?)
}

fn of_daemon(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let guests = by_domid(bed)?;
    let mut flows = Vec::new();
    for (index, guest) in guests.iter().enumerate() {
        let other = &guests[(index + 1) % guests.len()];
        join(guest, other)?;
        flows.push(Flow::start(guest, other, 7500, RATE)?);
    }
    for flow in &flows {
        flow.await_more(u64::from(RATE))?;
    }
    let before = helper::nodes(bed)?;
    let counted = frames(&guests[0])?;
    helper::kill(bed, "KILL")?;
    for flow in &flows {
        flow.await_more(u64::from(RATE))?;
    }
    let alone = helper::nodes(bed)?;
    ensure!(
        before == alone,
        "without a daemon:\n{before}\nbecame\n{alone}"
    );
    bed.start_helper()?;
    for flow in &flows {
        flow.await_more(u64::from(RATE))?;
    }
    let after = helper::nodes(bed)?;
    ensure!(
        before == after,
        "the new daemon made of\n{before}\nthis:\n{after}"
    );
    ensure!(
        frames(&guests[0])? >= counted + u64::from(RATE),
        "the flows do not go through xlnet0"
    );
    for flow in flows {
        flow.stop()?.is_lossless()?;
    }
    unnoticed_departure(bed, &guests)
}

/// A driver that is loaded while no daemon runs leaves everything as it is without one. What happened meanwhile is found by
/// the next daemon.
fn unnoticed_departure(bed: &mut Bed, guests: &[Guest]) -> Result<()> {
    let (own, other) = (&guests[0], &guests[1]);
    helper::kill(bed, "KILL")?;
    own.sh("rmmod xlnet && modprobe xlnet")?;
    await_peers(own, &[])?;
    own.sh(&format!("ping -q -c 1 -W 10 {}", other.config.ip()))?;
    own.sh("rmmod xlnet")?;
    bed.start_helper()?;
    eventually("the other guest has lost the peer", || {
        let domid = own.domid()?;
        Ok(crate::view::state_of(other, domid)?.is_none())
    })?;
    own.sh("modprobe xlnet")?;
    all_joined(bed)?;
    join(own, other)
}

/// What a daemon of another version has left means nothing to the guests, who use their uplinks, and to the next one of this
/// version, which replaces it.
fn other_version(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let guests = by_domid(bed)?;
    let (own, other) = (&guests[0], &guests[1]);
    join(own, other)?;
    let flow = Flow::start(own, other, 7500, RATE)?;
    flow.await_more(u64::from(RATE))?;
    helper::kill(bed, "TERM")?;
    for guest in &guests {
        let dir = format!("/local/domain/{}/xlnet/0", guest.domid()?);
        bed.sh(&format!(
            "for node in $(xenstore-list {dir}/peer); do xenstore-write {dir}/peer/$node 'version=2 what=ever' || exit 1; done
            xenstore-write {dir}/self 'version=2 what=ever'"
        ))?;
    }
    for guest in &guests {
        await_peers(guest, &[])?;
    }
    flow.await_more(u64::from(RATE))?;
    bed.start_helper()?;
    all_joined(bed)?;
    join(own, other)?;
    flow.await_more(u64::from(RATE))?;
    flow.stop()?.is_sound()
}

fn second_daemon(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let first = helper::pid(bed)?;
    let before = helper::nodes(bed)?;
    let second = bed.try_sh("xlnetd run")?;
    ensure!(second.code == Some(5), "the second daemon: {second}");
    ensure!(
        String::from_utf8_lossy(&second.stderr).contains(&first),
        "it does not name the first, process {first}: {second}"
    );
    ensure!(helper::pid(bed)? == first, "the first daemon has ended");
    let after = helper::nodes(bed)?;
    ensure!(before == after, "{before}\nbecame\n{after}");
    Ok(())
}
