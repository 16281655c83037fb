// SPDX-License-Identifier: GPL-2.0
//! The module and the device come, change and go, and everything follows and nothing is left.

use anyhow::{bail, ensure, Context, Result};
use xlnet_lab::guest::Guest;

use crate::{
    bed::eventually,
    figures::{counter, Figures},
    flow::Flow,
    leaks::Holdings,
    meter::round,
    policy::all_joined,
    view::{await_routing, await_status, join, peers, state_of},
    Bed, Scenario, Spec,
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("lifecycle::pv-link-down-up", Spec::pv(3), link).long(),
    Scenario::new("lifecycle::pv-mtu", Spec::pv(3), mtu).long(),
    Scenario::new("lifecycle::pv-other-netns", Spec::pv(3), netns).long(),
    Scenario::new("lifecycle::uplink-addresses", Spec::mixed(), addresses),
    Scenario::new("lifecycle::pv-50-reloads", Spec::pv(2), fifty_reloads).long(),
    Scenario::new("lifecycle::pvh-link-down-up", Spec::pvh(2), link).long(),
    Scenario::new("lifecycle::pvh-6-reloads", Spec::pvh(2), six_reloads).long(),
];

/// Datagrams a second of each flow: together they leave an emulated processor time for what is tested.
const RATE: u32 = 50;

/// The same where all guests have flows.
const RELOAD_RATE: u32 = 10;

/// Flows both ways between two guests.
fn flows(a: &Guest, b: &Guest) -> Result<[Flow; 2]> {
    Ok([
        Flow::start(a, b, 7300, RATE)?,
        Flow::start(b, a, 7301, RATE)?,
    ])
}

/// The device goes down and up: the peers remain, and traffic goes by the uplink as long as it is down.
fn link(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    for number in 1..=2 {
        let (guest, other) = (bed.g(number)?, bed.g(3 - number)?);
        join(&guest, &other)?;
        let flows = flows(&guest, &other)?;
        let before = Figures::read(&guest)?.dropped_by_stack()?;
        for _ in 0..3 {
            guest.sh("ip link set xlnet0 down")?;
            await_status(&guest)?;
            await_routing(&other)?;
            let sent = counter(&guest, other.domid()?, "tx_frames")?;
            for flow in &flows {
                flow.await_more(u64::from(RATE))?;
            }
            ensure!(
                counter(&guest, other.domid()?, "tx_frames")? == sent,
                "{}: xlnet0 is down and sends",
                guest.name()
            );
            guest.sh("ip link set xlnet0 up")?;
            all_joined(bed)?;
            join(&guest, &other)?;
        }
        stop_accounted(flows, &guest, before)?;
    }
    Ok(())
}

/// Ends the flows. Linux takes a device's queues away before its routes (`dev_deactivate` of any device, then the FIB's
/// notifier), and counts at the device what is sent to it in between: nothing else may be lost, above all nothing by the driver.
fn stop_accounted(flows: impl IntoIterator<Item = Flow>, guest: &Guest, before: u64) -> Result<()> {
    let mut lost = 0;
    let mut reports = String::new();
    for flow in flows {
        flow.await_more(1)?;
        let report = flow.stop()?;
        report.is_sound()?;
        lost += report.lost();
        reports = format!("{reports}\n{report}");
    }
    let dropped = Figures::read(guest)?.dropped_by_stack()? - before;
    eprintln!("{lost} datagrams lost, {dropped} frames dropped by the stack at xlnet0");
    if lost > dropped {
        let counted = guest.sh("ethtool -S xlnet0; grep -hE '^(Ip|Udp):' /proc/net/snmp")?;
        bail!("{lost} datagrams lost where {dropped} frames were dropped:{reports}\n{counted}");
    }
    Ok(())
}

fn mtu(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let (g1, g2) = (bed.g(1)?, bed.g(2)?);
    for guest in [&g1, &g2] {
        // Linux gives up a datagram if more than 64 fragments of others come between two of its own: the ping below sends
        // 170 at the smallest MTU, and may do so while a sender of the flows stands between two fragments.
        guest.sh("sysctl -qw net.ipv4.ipfrag_max_dist=0")?;
    }
    let flows = flows(&g1, &g2)?;
    let before = Figures::read(&g2)?.dropped_by_stack()?;
    let first = g2.sh("cat /sys/class/net/xlnet0/mtu")?;
    // Below 1280 the device has no IPv6: those routes go and come back.
    for mtu in ["1500", "68", "9000", "1280", "65535", first.trim()] {
        g2.sh(&format!("ip link set xlnet0 mtu {mtu}"))?;
        await_status(&g2)?;
        join(&g2, &g1)?;
        let before = counter(&g2, g1.domid()?, "tx_frames")?;
        // In fragments of 48 bytes the message takes more of a socket's buffer than ping would give it.
        g2.sh(&format!(
            "ping -q -c 3 -i 0.2 -s 8000 -S 212992 -W 10 {}",
            g1.config.ip()
        ))
        .with_context(|| format!("at MTU {mtu}"))?;
        ensure!(
            counter(&g2, g1.domid()?, "tx_frames")? >= before + 3,
            "at MTU {mtu} ping did not take xlnet0"
        );
    }
    for wrong in ["67", "65536"] {
        ensure!(
            !g2.try_sh(&format!("ip link set xlnet0 mtu {wrong}"))?
                .success(),
            "an MTU of {wrong} was taken"
        );
    }
    all_joined(bed)?;
    stop_accounted(flows, &g2, before)
}

/// In another namespace the device routes nothing; traffic goes by the uplink, which has stayed.
fn netns(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let g2 = bed.g(2)?;
    let flows = flows(&bed.g(1)?, &g2)?;
    let before = Figures::read(&g2)?.dropped_by_stack()?;
    g2.sh("ip netns add aside")?;
    for _ in 0..3 {
        g2.sh("ip link set xlnet0 netns aside && ip -n aside link show xlnet0")?;
        await_status(&g2)?;
        ensure!(
            g2.sh("ip -4 rule show pref 5000; ip -6 rule show pref 5000")?
                .is_empty(),
            "a rule was left"
        );
        for flow in &flows {
            flow.await_more(u64::from(RATE))?;
        }
        g2.sh("ip -n aside link set xlnet0 netns 1")?;
        all_joined(bed)?;
        join(&g2, &bed.g(1)?)?;
    }
    g2.sh("ip netns del aside")?;
    stop_accounted(flows, &g2, before)
}

/// The uplink's addresses decide what can be sent to whom: routes need one of their family to be sent from.
fn addresses(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let (g1, g2) = (bed.g(1)?, bed.g(2)?);
    let dev = g2.uplink()?;
    let claim = || g2.sh("cat /sys/class/net/xlnet0/xlnet/claim");
    let rounds = [
        (g2.config.ip(), "24", "10.77.9.2", "24"),
        (g2.config.ip6(), "64", "fd77:9::2", "64"),
    ];
    for (own, length, more, more_length) in rounds {
        let options = if own.contains(':') { "nodad" } else { "" };
        g2.sh(&format!(
            "ip addr add {more}/{more_length} dev {dev} {options}"
        ))?;
        eventually("the new address is claimed", || {
            Ok(claim()?.split_whitespace().any(|word| word == more))
        })?;
        await_status(&g2)?;
        g2.sh(&format!("ip addr del {more}/{more_length} dev {dev}"))?;
        eventually("the address is no longer claimed", || {
            Ok(!claim()?.split_whitespace().any(|word| word == more))
        })?;
        await_status(&g2)?;
        g2.sh(&format!("ip addr del {own}/{length} dev {dev}"))?;
        await_status(&g2)?;
        let family = if own.contains(':') { 6 } else { 4 };
        let rule = format!("ip -{family} rule show pref 5000");
        ensure!(g2.sh(&rule)?.is_empty(), "a rule of IPv{family} was left");
        g2.sh(&format!("ip addr add {own}/{length} dev {dev} {options}"))?;
        all_joined(bed)?;
        join(&g1, &g2)?;
        g2.sh(&format!("ping -q -c 3 -i 0.2 -W 10 {}", g1.config.ip6()))?;
    }
    Ok(())
}

fn fifty_reloads(bed: &mut Bed) -> Result<()> {
    reloads(bed, 50)
}

fn six_reloads(bed: &mut Bed) -> Result<()> {
    reloads(bed, 6)
}

/// The guests reload the module in turn, with flows between all of them.
fn reloads(bed: &mut Bed, count: u8) -> Result<()> {
    all_joined(bed)?;
    // What is allocated once and kept is there before the first reading.
    for number in 1..=bed.spec.guests {
        reload(bed, number)?;
    }
    let mut under_way = begin(bed)?;
    settle(bed, &mut under_way)?;
    let before = Holdings::read(bed)?;
    let mut under_way = begin(bed)?;
    for turn in 0..count {
        let number = 1 + turn % bed.spec.guests;
        reload(bed, number)?;
        if turn % 10 == 9 {
            eprintln!("reloads: {} of {count}", turn + 1);
        }
        let guest = bed.g(number)?;
        eventually("the flows have made channels again", || {
            Ok(peers(&guest)?.iter().all(|peer| peer.state == "up"))
        })?;
        if turn % 5 == 0 {
            await_status(&guest)?;
        }
    }
    settle(bed, &mut under_way)?;
    before.await_return(bed)
}

/// Starts a flow of datagrams and one over TCP from each guest to the next by number, and waits for its channel.
fn begin(bed: &Bed) -> Result<Vec<Flow>> {
    let mut under_way = Vec::new();
    for (from, to) in round(bed) {
        let (guest, other) = (bed.g(from)?, bed.g(to)?);
        under_way.push(Flow::start(&guest, &other, 7300, RELOAD_RATE)?);
        under_way.push(Flow::start_tcp(&guest, &other, 7301, RELOAD_RATE)?);
        join(&guest, &other)?;
    }
    Ok(under_way)
}

/// Ends the flows, and every channel by reloading the module once more.
fn settle(bed: &Bed, under_way: &mut Vec<Flow>) -> Result<()> {
    for flow in under_way.iter() {
        flow.await_more(u64::from(RELOAD_RATE))?;
    }
    // What was sent to a device after its queues went is lost, and its counters went with it: TCP tells that no more was.
    for flow in under_way.drain(..) {
        let over_tcp = flow.is_tcp();
        let report = flow.stop()?;
        if over_tcp {
            report.is_lossless()?;
        } else {
            report.is_sound()?;
            eprintln!("{} datagrams lost of {}", report.lost(), report.sent);
        }
    }
    for number in 1..=bed.spec.guests {
        reload(bed, number)?;
    }
    Ok(())
}

/// Unloads the module of a guest, waits until the others have noticed, and loads it again.
pub(crate) fn reload(bed: &Bed, number: u8) -> Result<()> {
    let guest = bed.g(number)?;
    let domid = guest.domid()?;
    guest.sh("rmmod xlnet && [ ! -e /sys/class/net/xlnet0 ]")?;
    await_routing(&guest)?;
    for other in (1..=bed.spec.guests).filter(|other| *other != number) {
        let other = bed.g(other)?;
        eventually("the others have lost the peer", || {
            Ok(state_of(&other, domid)?.is_none())
        })?;
    }
    guest.sh("modprobe xlnet")?;
    all_joined(bed)
}
