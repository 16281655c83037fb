// SPDX-License-Identifier: GPL-2.0
//! Does to real guests what the world says happens to them.

use anyhow::{Context, Result};
use xlnet_lab::guest::{Guest, Kind};

use super::world::Act;
use crate::{death::await_gone, helper, Bed};

/// What a guest's nodes are overwritten with: what it says of itself, and of a peer.
pub(super) const GARBAGE: &[(&str, &str)] = &[
    ("", ""),
    ("epoch=0 features=0 state=ready", "want=1"),
    ("epoch=18446744073709551616", "offer=1,2"),
    (
        "$(head -c 2000 /dev/zero | tr '\\0' x)",
        "$(printf '\\377\\376')",
    ),
];

/// How many peers it speaks of then, none of which there is.
const STRANGERS: u32 = 20;

/// Where Dom0 puts a guest that is suspended.
const FILE: &str = "/var/tmp/chaos.save";

/// Does it, and waits until it is done; what follows from it may still be under way.
///
/// # Errors
/// If it cannot be done.
pub(super) fn perform(bed: &mut Bed, act: Act) -> Result<()> {
    attempt(bed, act).with_context(|| format!("{act:?}"))
}

fn attempt(bed: &mut Bed, act: Act) -> Result<()> {
    match act {
        Act::Destroy(number) => bed.g(number)?.destroy(),
        Act::Create(number) => bed.add_guest(number).map(drop),
        Act::Pause(number) => bed.sh(&format!("xl pause g{number}")).map(drop),
        Act::Unpause(number) => bed.sh(&format!("xl unpause g{number}")).map(drop),
        Act::Unload(number) => bed.g(number)?.sh("rmmod xlnet").map(drop),
        Act::Load(number) => bed.g(number)?.sh("modprobe xlnet").map(drop),
        Act::Relocate(number) => relocate(bed, number),
        Act::Garbage(number, way) => garbage(bed, number, way),
        Act::Readdress(number) => readdress(bed, number),
        Act::KillHelper => helper::kill(bed, "KILL"),
        Act::StartHelper => bed.start_helper(),
    }
}

/// How often a guest is told to suspend that could not.
const TIMES: u32 = 3;

/// A guest does not suspend while its kernel waits for a program that it has started itself, such as modprobe, for more
/// than five seconds (`kernel/umh.c`), which is soon over on so busy a processor. Then it stays, and is told again.
fn relocate(bed: &Bed, number: u8) -> Result<()> {
    let guest = bed.g(number)?;
    let could_not = || guest.sh("dmesg | grep 'freeze processes failed' || true");
    for _ in 1..TIMES {
        let before = could_not()?;
        match suspend(bed, &guest) {
            Err(error) if could_not()? != before => eprintln!("chaos: again: {error:#}"),
            other => return other,
        }
    }
    suspend(bed, &guest)
}

/// A PV guest cannot be migrated while it runs, on Debian's Xen: it is suspended and goes on as the same domain.
fn suspend(bed: &Bed, guest: &Guest) -> Result<()> {
    if guest.config.kind == Kind::Pv {
        guest.checkpoint(FILE)?;
        return bed.sh(&format!("rm {FILE}")).map(drop);
    }
    let domid = guest.domid()?;
    guest.migrate_locally()?;
    bed.await_guest(guest)?;
    await_gone(bed, domid)
}

/// Dom0 writes in the guest's place: the nodes stay the guest's.
fn garbage(bed: &Bed, number: u8, way: usize) -> Result<()> {
    let (own, peer) = GARBAGE.get(way).context("there is no such garbage")?;
    let dir = format!("/local/domain/{}/data/xlnet/0", bed.g(number)?.domid()?);
    bed.sh(&format!(
        "for i in $(seq 1 {STRANGERS}); do xenstore-write {dir}/peer/$((i * 1000)) \"{peer}\" || exit 1; done
        xenstore-write {dir}/self \"{own}\""
    ))
    .map(drop)
}

/// The address that a guest's uplink gets or loses.
pub(super) fn further_address(number: u8) -> String {
    format!("10.77.9.{number}")
}

fn readdress(bed: &Bed, number: u8) -> Result<()> {
    let guest = bed.g(number)?;
    let (dev, ip) = (guest.uplink()?, format!("{}/24", further_address(number)));
    guest
        .sh(&format!(
            "ip addr del {ip} dev {dev} 2>/dev/null || ip addr add {ip} dev {dev}"
        ))
        .map(drop)
}
