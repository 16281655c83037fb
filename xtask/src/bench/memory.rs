// SPDX-License-Identifier: GPL-2.0
//! What peers cost a guest's kernel: while nothing is sent to them, and while something is.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use xlnet_lab::guest::Guest;
use xlnet_vm_tests::{bed::eventually, figures::Figures, Bed};

use crate::path::Pair;

/// Peers that `xlnetd` would name if there were so many guests.
const PEERS: u32 = 200;

/// The first domid of theirs; no guest of a bed has one as high.
const FIRST: u32 = 1000;

/// Bytes for each peer, everything included that the kernel keeps on account of it, routes and neighbours too.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Memory {
    /// Without a channel.
    pub idle: f64,
    /// With a channel, beside that, where the rings are allocated.
    pub listener: f64,
    /// With a channel, beside that, where they are mapped.
    pub connector: f64,
}

/// Measures it in the pair's guests, while nothing is sent.
///
/// # Errors
/// If a guest does not take the peers, or does not let go of them.
pub fn measure(bed: &Bed, pair: &Pair) -> Result<Memory> {
    let guests = [&pair.from, &pair.to];
    let mut channel = [0.0; 2];
    pair.without_channel()?;
    for (bytes, guest) in channel.iter_mut().zip(guests) {
        *bytes = free(guest)?;
    }
    pair.join()?;
    for (bytes, guest) in channel.iter_mut().zip(guests) {
        *bytes -= free(guest)?;
    }
    let [listener, connector] = channel;
    Ok(Memory {
        idle: idle(bed, &pair.from)?,
        listener,
        connector,
    })
}

fn idle(bed: &Bed, guest: &Guest) -> Result<f64> {
    let before = free(guest)?;
    // It would take peers away that it does not know of.
    bed.sh("pkill -KILL -x xlnetd")?;
    bed.sh(&format!(
        "for i in $(seq 0 {}); do
            xenstore-write /local/domain/{}/xlnet/0/peer/$(({FIRST} + i)) \"epoch=00000000000000ff mac=$(
                printf 02:16:3e:00:01:%02x $i) uplink-mac=$(printf 00:16:3e:00:01:%02x $i) features=00000000 want=0 addr=10.80.0.$i/32,fd80::$i/128 strict=1\"
        done",
        PEERS - 1,
        guest.domid()?
    ))?;
    let has = |peers: u32| move || Ok(Figures::read(guest)?.get("peers")? == u64::from(peers));
    eventually("all peers are known", has(1 + PEERS))?;
    let after = free(guest)?;
    bed.start_helper()?;
    eventually("the peers are gone again", has(1))?;
    Ok((before - after) / f64::from(PEERS))
}

/// Bytes of a guest that nothing uses, caches aside.
fn free(guest: &Guest) -> Result<f64> {
    let text = guest.sh("udevadm settle; sleep 3; sync
        for i in 1 2 3; do echo 3 > /proc/sys/vm/drop_caches; sleep 0.5; done
        sed -n 's/^MemFree: *\\([0-9]*\\) kB$/\\1/p' /proc/meminfo")?;
    let kibibytes: f64 = text.trim().parse().context(text)?;
    Ok(1024.0 * kibibytes)
}
