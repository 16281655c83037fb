// SPDX-License-Identifier: GPL-2.0
//! What peers cost a guest's kernel while nothing is sent to them.

use anyhow::{Context, Result};
use xlnet_lab::guest::Guest;
use xlnet_vm_tests::{bed::eventually, Bed};

/// Peers that `xlnetd` would name if there were so many guests.
const PEERS: u32 = 200;

/// The first domid of theirs; no guest of a bed has one as high.
const FIRST: u32 = 1000;

/// Bytes for each peer without a channel, everything included that the kernel allocates on account of it, routes and neighbours too.
///
/// # Errors
/// If the guest does not take the peers, or does not let go of them.
pub fn measure(bed: &Bed, guest: &Guest) -> Result<f64> {
    let before = allocated(guest)?;
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
    let has = |peers: u32| {
        move || {
            let list = guest.sh("cat /sys/class/net/xlnet0/xlnet/peers")?;
            let found = list.lines().filter(|line| line.starts_with("peer "));
            Ok(found.count() == peers as usize)
        }
    };
    eventually("all peers are known", has(1 + PEERS))?;
    let after = allocated(guest)?;
    bed.start_helper()?;
    eventually("the peers are gone again", has(1))?;
    Ok((after - before) / f64::from(PEERS))
}

/// Bytes that the guest's kernel has allocated for small objects and each CPU's variables.
fn allocated(guest: &Guest) -> Result<f64> {
    let text = guest.sh(
        "udevadm settle; sleep 3; echo 3 > /proc/sys/vm/drop_caches; sleep 1
        awk '/^(SUnreclaim|Percpu):/ { sum += $2 } END { print sum }' /proc/meminfo",
    )?;
    let kibibytes: f64 = text.trim().parse().context(text)?;
    Ok(1024.0 * kibibytes)
}
