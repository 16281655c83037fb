// SPDX-License-Identifier: GPL-2.0
//! Who is not to be reached through xlnet is not.

use anyhow::{ensure, Context, Result};
use xlnet_lab::guest::Guest;

use crate::{
    bed::eventually,
    figures::{counter, frames, vif_frames},
    helper,
    view::{await_peers, await_routing, join, peers},
    Bed, Scenario, Spec,
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("policy::pv-dom0", Spec::pv(3), dom0).long(),
    Scenario::new("policy::pv-guest-without-xlnet", Spec::pv(3), non_member).long(),
    Scenario::new("policy::pv-denied-pair", Spec::pv(3), denied_pair).long(),
    Scenario::new(
        "policy::pv-denied-by-default",
        Spec::pv(3),
        denied_by_default,
    )
    .long(),
    Scenario::new("policy::unknown-address", Spec::mixed(), unknown_address),
    Scenario::new("policy::pvh-dom0", Spec::pvh(2), dom0).long(),
    Scenario::new("policy::pvh-denied-pair", Spec::pvh(2), denied_pair).long(),
];

/// Packets of one exchange, one way.
const COUNT: u64 = 10;

fn ping(from: &Guest, ip: &str) -> Result<()> {
    from.sh(&format!("ping -q -c {COUNT} -i 0.02 -W 10 {ip}"))
        .map(drop)
}

/// Runs `traffic` and fails unless all of it, there and back, went through `guest`'s uplink and none through xlnet0.
fn only_by_uplink(bed: &Bed, guest: &Guest, traffic: impl Fn() -> Result<u64>) -> Result<()> {
    let before = (frames(guest)?, vif_frames(bed, guest)?);
    let packets = traffic()?;
    let after = (frames(guest)?, vif_frames(bed, guest)?);
    ensure!(
        after.0 == before.0,
        "{}: {} frames passed xlnet0",
        guest.name(),
        after.0 - before.0
    );
    ensure!(
        after.1 - before.1 >= 2 * packets,
        "{}: {packets} packets and their answers, and only {} frames passed the vif",
        guest.name(),
        after.1 - before.1
    );
    Ok(())
}

/// Runs a ping both ways and fails unless it went through xlnet0 and not through Dom0.
fn only_by_xlnet(bed: &Bed, from: &Guest, to: &Guest) -> Result<()> {
    join(from, to)?;
    let before = (frames(from)?, vif_frames(bed, from)?);
    ping(from, &to.config.ip())?;
    ping(from, &to.config.ip6())?;
    let after = (frames(from)?, vif_frames(bed, from)?);
    ensure!(
        after.0 - before.0 >= 4 * COUNT && after.1 - before.1 < COUNT,
        "{}: {} frames passed xlnet0, {} the vif",
        from.name(),
        after.0 - before.0,
        after.1 - before.1
    );
    Ok(())
}

fn all(bed: &Bed) -> Result<Vec<Guest>> {
    (1..=bed.spec.guests).map(|number| bed.g(number)).collect()
}

/// Waits until every guest has all others for peers, and routes to them.
pub(crate) fn all_joined(bed: &Bed) -> Result<()> {
    let guests = all(bed)?;
    let domids = guests
        .iter()
        .map(Guest::domid)
        .collect::<Result<Vec<_>>>()?;
    for (guest, own) in guests.iter().zip(&domids) {
        let others: Vec<_> = domids.iter().copied().filter(|id| id != own).collect();
        await_peers(guest, &others)?;
    }
    Ok(())
}

fn dom0(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    for guest in all(bed)? {
        only_by_uplink(bed, &guest, || {
            ping(&guest, "10.77.0.1")?;
            ping(&guest, "fd77::1")?;
            let megabyte = "head -c 1000000 /dev/zero | socat -u - TCP:10.77.0.1:7700";
            let sink = bed.spawn("exec socat -u TCP-LISTEN:7700,reuseaddr /dev/null")?;
            eventually("Dom0 listens", || {
                Ok(bed.try_sh("ss -Hltn | grep -q ':7700 '")?.success())
            })?;
            guest.sh(megabyte)?;
            drop(sink);
            Ok(2 * COUNT)
        })?;
    }
    Ok(())
}

fn non_member(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let (g1, g2, g3) = (bed.g(1)?, bed.g(2)?, bed.g(3)?);
    g3.sh("rmmod xlnet")?;
    await_peers(&g1, &[g2.domid()?])?;
    await_peers(&g2, &[g1.domid()?])?;
    await_routing(&g3)?;
    for guest in [&g1, &g2] {
        only_by_uplink(bed, guest, || {
            ping(guest, &g3.config.ip())?;
            ping(&g3, &guest.config.ip6())?;
            Ok(2 * COUNT)
        })?;
    }
    only_by_xlnet(bed, &g1, &g2)?;
    g3.sh("modprobe xlnet")?;
    all_joined(bed)
}

/// What a guest sends from an address that Dom0 does not know its peers would drop: it goes by the uplink, and all else on
/// through xlnet0.
fn unknown_address(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let (g1, g2) = (bed.g(1)?, bed.g(2)?);
    let (dev, domid) = (g1.uplink()?, g2.domid()?);
    let families = [
        ("10.77.0.200", 24, "", g2.config.ip()),
        ("fd77::200", 64, "nodad", g2.config.ip6()),
    ];
    for (address, length, options, peer) in families {
        g1.sh(&format!(
            "ip addr add {address}/{length} dev {dev} {options}"
        ))?;
        all_joined(bed)?;
        join(&g1, &g2)?;
        let before = counter(&g1, domid, "tx_uplink")?;
        ping(&g1, &format!("-I {address} {peer}"))?;
        ping(&g2, address)?;
        let more = counter(&g1, domid, "tx_uplink")? - before;
        ensure!(
            more >= 2 * COUNT,
            "{more} frames from {address} went by the uplink"
        );
        only_by_xlnet(bed, &g1, &g2)?;
        g1.sh(&format!("ip addr del {address}/{length} dev {dev}"))?;
    }
    all_joined(bed)
}

/// Runs `check` while `config` holds, and then puts the daemon back to its defaults whatever came of it.
fn under(bed: &Bed, config: &str, check: impl FnOnce() -> Result<()>) -> Result<()> {
    let checked = helper::restart_with(bed, config).and_then(|()| check());
    let restored = helper::restart_with(bed, "").and_then(|()| all_joined(bed));
    checked?;
    restored.context("back to the default configuration")
}

/// Fails unless xenstore and Dom0's own table say that the two have nothing to do with each other.
fn strangers(bed: &Bed, a: &Guest, b: &Guest) -> Result<()> {
    let (domid_a, domid_b) = (a.domid()?, b.domid()?);
    for (own, other) in [(domid_a, domid_b), (domid_b, domid_a)] {
        let node = format!("/local/domain/{own}/xlnet/0/peer/{other}");
        ensure!(
            !bed.try_sh(&format!("xenstore-exists {node}"))?.success(),
            "{node} is there"
        );
    }
    for (guest, other) in [(a, domid_b), (b, domid_a)] {
        ensure!(
            peers(guest)?.iter().all(|peer| peer.domid != other),
            "{} has domain {other} for a peer",
            guest.name()
        );
    }
    only_by_uplink(bed, a, || {
        ping(a, &b.config.ip())?;
        ping(a, &b.config.ip6())?;
        ping(b, &a.config.ip())?;
        Ok(3 * COUNT)
    })
}

fn denied_pair(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let (g1, g2) = (bed.g(1)?, bed.g(2)?);
    // A channel stands when the pair is denied: it must go.
    join(&g1, &g2)?;
    under(bed, "deny = [[\"g1\", \"g[2]\"]]\n", || {
        let third = bed.g(3).ok();
        let rest = match &third {
            Some(g3) => vec![g3.domid()?],
            None => vec![],
        };
        for guest in [&g1, &g2] {
            await_peers(guest, &rest)?;
        }
        strangers(bed, &g1, &g2)?;
        if let Some(g3) = &third {
            only_by_xlnet(bed, &g1, g3)?;
            only_by_xlnet(bed, g3, &g2)?;
        }
        Ok(())
    })?;
    only_by_xlnet(bed, &g1, &g2)
}

fn denied_by_default(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let (g1, g2, g3) = (bed.g(1)?, bed.g(2)?, bed.g(3)?);
    let config = "default = \"deny\"\n[[group]]\nname = \"pair\"\nmembers = [\"g1\", \"g2\"]\nbridge = \"xenbr0\"\n";
    under(bed, config, || {
        await_peers(&g1, &[g2.domid()?])?;
        await_peers(&g2, &[g1.domid()?])?;
        await_peers(&g3, &[])?;
        strangers(bed, &g3, &g1)?;
        strangers(bed, &g2, &g3)?;
        only_by_xlnet(bed, &g1, &g2)
    })
}
