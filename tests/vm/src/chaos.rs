// SPDX-License-Identifier: GPL-2.0
//! Anything happens to anybody, again and again: whoever it has not happened to has its peers, its routes and its
//! connections.

use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};

use crate::{
    bed::eventually,
    figures::Figures,
    helper,
    leaks::Holdings,
    policy::all_joined,
    view::{await_channel, await_peers, await_routing, peers},
    Bed, Spec,
};
use traffic::Traffic;
use world::{Act, World};

mod deed;
mod traffic;
mod world;

/// Four PV guests, which share two pCPUs with Dom0, and two PVH ones.
pub(crate) const BED: Spec = Spec::pv(6).sharing(2).apart(2);

/// Has things happen for so many minutes, and then all be well again: nothing may be left of it.
///
/// # Errors
/// What did not hold, and after which act.
pub(crate) fn run(bed: &mut Bed, seed: u64, minutes: u32) -> Result<()> {
    let guests = bed.spec.guests;
    all_joined(bed)?;
    let before = rest(bed)?;
    let mut world = World::new(seed, guests, deed::GARBAGE.len());
    let mut traffic = Traffic::default();
    traffic.lives(bed, &world.running())?;

    let begun = Instant::now();
    let length = Duration::from_secs(60 * u64::from(minutes));
    let mut count = 0;
    while begun.elapsed() < length {
        let acts = world.burst();
        eprintln!("chaos: seed {seed}, burst {count}: {acts:?}");
        happen(bed, &mut traffic, &acts)
            .and_then(|()| all_holds(bed, &world, &mut traffic))
            .with_context(|| format!("seed {seed}, burst {count}: {acts:?}"))?;
        count += 1;
    }
    let acts = world.mend();
    eprintln!("chaos: at the end: {acts:?}");
    happen(bed, &mut traffic, &acts)?;
    all_holds(bed, &world, &mut traffic).context("after all was mended")?;
    let (sent, lost) = traffic.end()?;
    eprintln!("chaos: seed {seed}: {count} bursts; of {sent} datagrams {lost} were lost");
    rest(bed)?;
    before.await_return(bed)
}

fn happen(bed: &mut Bed, traffic: &mut Traffic, acts: &[Act]) -> Result<()> {
    for &act in acts {
        if let Act::Destroy(number) = act {
            traffic.strike(number);
        }
        deed::perform(bed, act)?;
    }
    Ok(())
}

/// Whoever runs has the peers it should have, and routes to exactly those, and talks to whoever else runs: through a channel
/// where that is a peer. Nobody has found another at fault.
fn all_holds(bed: &Bed, world: &World, traffic: &mut Traffic) -> Result<()> {
    if world.helper_runs() {
        helper::pid(bed).context("xlnetd has ended by itself")?;
    }
    for number in world.running() {
        let guest = bed.g(number)?;
        match world.peers_of(number) {
            None => await_routing(&guest)?,
            Some(peers) => {
                let domids = peers
                    .into_iter()
                    .map(|peer| bed.g(peer)?.domid())
                    .collect::<Result<Vec<_>>>()?;
                await_peers(&guest, &domids)?;
            }
        }
    }
    for (from, to) in traffic.lives(bed, &world.running())? {
        if world
            .peers_of(from)
            .is_some_and(|peers| peers.contains(&to))
        {
            // They talk, which is what makes it.
            await_channel(&bed.g(from)?, &bed.g(to)?, || Ok(()))?;
        }
    }
    for (number, claims) in world.claims() {
        let guest = bed.g(number)?;
        let faults = Figures::read_quickly(&guest)?.sum("_faults");
        ensure!(
            faults == 0,
            "g{number} has seen {faults} breaches of the protocol"
        );
        let address = deed::further_address(number);
        eventually(&format!("g{number} claims {address}: {claims}"), || {
            let claim = guest.sh("cat /sys/class/net/xlnet0/xlnet/claim")?;
            Ok(claim.contains(&address) == claims)
        })?;
    }
    bed.check_logs()
}

/// Ends every channel, and counts what is held then.
fn rest(bed: &Bed) -> Result<Holdings> {
    for guest in bed.guests() {
        guest.sh("rmmod xlnet")?;
    }
    for guest in bed.guests() {
        await_routing(guest)?;
        guest.sh("modprobe xlnet")?;
    }
    all_joined(bed)?;
    // What a guest sends to all of them makes channels, too.
    for guest in bed.guests() {
        eventually("no channel is left", || {
            Ok(peers(guest)?.iter().all(|peer| peer.state == "idle"))
        })?;
    }
    Holdings::read(bed)
}
