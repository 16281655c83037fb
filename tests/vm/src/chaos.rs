// SPDX-License-Identifier: GPL-2.0
//! Anything happens to anybody, again and again: whoever it has not happened to has its peers, its routes and its
//! connections.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::{
    leaks::Holdings,
    policy::all_joined,
    view::{await_peers, await_routing},
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

/// Whoever runs has the peers it should have, and routes to exactly those, and talks to whoever else runs.
fn all_holds(bed: &Bed, world: &World, traffic: &mut Traffic) -> Result<()> {
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
    traffic.lives(bed, &world.running())?;
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
    Holdings::read(bed)
}
