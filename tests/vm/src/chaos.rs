// SPDX-License-Identifier: GPL-2.0
//! Anything happens to anybody, again and again: whoever it has not happened to has its peers, its routes and its
//! connections.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{ensure, Context, Result};
use xlnet_lab::guest::Guest;

use crate::{
    bed::eventually,
    death::await_gone,
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
    let done = begin(bed, seed).and_then(|(run, before)| run.go_on(bed, minutes, before));
    if done.is_err() {
        describe(bed);
    }
    done
}

/// What is known of one run.
struct Run {
    seed: u64,
    world: World,
    traffic: Traffic,
    /// Domains that are no more, of which nothing may be left once everybody can let go of them.
    gone: Vec<u32>,
    /// How often each guest has gone on as another domain since it was made.
    moves: BTreeMap<u8, u64>,
}

/// Counts what is held, once everything has happened that happens in every guest.
fn begin(bed: &mut Bed, seed: u64) -> Result<(Run, Holdings)> {
    all_joined(bed)?;
    let world = World::new(seed, bed.spec.guests, deed::GARBAGE.len());
    let mut traffic = Traffic::default();
    traffic.lives(bed, &world.running())?;
    traffic.end(0)?;
    let before = rest(bed)?.after_much();
    let run = Run {
        seed,
        world,
        traffic: Traffic::default(),
        gone: Vec::new(),
        moves: BTreeMap::new(),
    };
    Ok((run, before))
}

impl Run {
    fn go_on(mut self, bed: &mut Bed, minutes: u32, mut before: Holdings) -> Result<()> {
        self.all_holds(bed).context("before anything happens")?;
        let begun = Instant::now();
        let length = Duration::from_secs(60 * u64::from(minutes));
        let seed = self.seed;
        let mut count = 0;
        while begun.elapsed() < length {
            let acts = self.world.burst();
            eprintln!(
                "chaos: seed {seed}, burst {count}, domains {}: {acts:?}",
                domids(bed)
            );
            self.happen(bed, &acts)
                .and_then(|()| self.all_holds(bed))
                .with_context(|| format!("seed {seed}, burst {count}: {acts:?}"))?;
            count += 1;
        }
        let acts = self.world.mend();
        eprintln!("chaos: at the end: {acts:?}");
        self.happen(bed, &acts)
            .and_then(|()| self.all_holds(bed))
            .with_context(|| format!("as all was mended: {acts:?}"))?;
        let (sent, lost) = self.traffic.end(self.world.pauses())?;
        eprintln!("chaos: seed {seed}: {count} bursts; of {sent} datagrams {lost} were lost");
        for guest in bed.guests() {
            unpinned(guest)?;
        }
        rest(bed).context("at rest")?;
        for (number, moves) in self.moves {
            before = before.after_moves(&bed.g(number)?, moves);
        }
        before.await_return(bed)
    }

    fn happen(&mut self, bed: &mut Bed, acts: &[Act]) -> Result<()> {
        for &act in acts {
            if let Act::Destroy(number) = act {
                self.traffic.strike(number);
            }
            let ended = deed::perform(bed, act)?;
            match act {
                Act::Create(number) => _ = self.moves.remove(&number),
                Act::Relocate(number) if ended.is_some() => {
                    *self.moves.entry(number).or_default() += 1;
                }
                _ => {}
            }
            self.gone.extend(ended);
        }
        Ok(())
    }

    /// Whoever runs has the peers it should have, and routes to exactly those, and talks to whoever else runs: through a
    /// channel where that is a peer. Nobody has found another at fault, and nothing is left of who is no more.
    fn all_holds(&mut self, bed: &mut Bed) -> Result<()> {
        if self.world.helper_runs() {
            helper::pid(bed).context("xlnetd has ended by itself")?;
        }
        for number in self.world.running() {
            let guest = bed.g(number)?;
            match self.world.peers_of(number) {
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
        for (from, to) in self.traffic.lives(bed, &self.world.running())? {
            if self
                .world
                .peers_of(from)
                .is_some_and(|peers| peers.contains(&to))
            {
                // They talk, which is what makes it.
                await_channel(&bed.g(from)?, &bed.g(to)?, || Ok(()))?;
            }
        }
        for number in self.world.loaded() {
            deed::no_faults(&bed.g(number)?)?;
        }
        for (number, claims) in self.world.claims() {
            let guest = bed.g(number)?;
            let address = deed::further_address(number);
            eventually(&format!("g{number} claims {address}: {claims}"), || {
                let claim = guest.sh("cat /sys/class/net/xlnet0/xlnet/claim")?;
                ensure!(claim.contains(&address) == claims, "{claim:?}");
                Ok(true)
            })?;
        }
        if self.world.all_can_let_go() {
            for domid in self.gone.drain(..) {
                await_gone(bed, domid)?;
            }
        }
        bed.check_logs()
    }
}

/// Waits until the guest has all pages back that it has granted.
fn unpinned(guest: &Guest) -> Result<()> {
    eventually("no page is pinned", || {
        let pinned = guest.sh("ethtool -S xlnet0 | grep -w pages_pinned")?;
        ensure!(pinned.trim_end().ends_with(": 0"), "{pinned}");
        Ok(true)
    })
}

/// The guests' domains, for who reads the log.
fn domids(bed: &Bed) -> String {
    let mut all = Vec::new();
    for guest in bed.guests() {
        let domid = guest.domid();
        let domid = domid.map_or_else(|_| "none".to_owned(), |domid| domid.to_string());
        all.push(format!("{} {domid}", guest.config.name()));
    }
    all.join(", ")
}

/// Shows how it stands, as far as that can be had.
fn describe(bed: &Bed) {
    let mut texts = vec![bed.sh("xl list"), helper::nodes_if_any(bed)];
    for guest in bed.guests() {
        let look = "cat /sys/class/net/xlnet0/xlnet/peers; ethtool -S xlnet0 | grep -v ': 0$'; ip route show table 5000";
        texts.push(guest.sh_within(look, Duration::from_secs(10)));
    }
    for text in texts {
        eprintln!("{}", text.unwrap_or_else(|error| format!("{error:#}")));
    }
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
            let peers = peers(guest)?;
            ensure!(peers.iter().all(|peer| peer.state == "idle"), "{peers:?}");
            Ok(true)
        })?;
    }
    Holdings::read(bed)
}
