// SPDX-License-Identifier: GPL-2.0
//! Does to real guests what the world says happens to them.

use anyhow::{ensure, Context, Result};
use xlnet_lab::{
    agent::Agent,
    guest::{Guest, Kind},
};

use super::world::Act;
use crate::{bed::eventually, figures::Figures, helper, Bed};

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

/// What a kernel that stood still without knowing takes for its own fault, if it was busy: that it did.
const WATCHDOGS: [&str; 2] = [
    "/proc/sys/kernel/soft_watchdog",
    "/sys/module/rcupdate/parameters/rcu_cpu_stall_suppress",
];

/// Does it, and waits until it is done; what follows from it may still be under way. Returns the domain that is no more, if it
/// ends one.
///
/// # Errors
/// If it cannot be done.
pub(super) fn perform(bed: &mut Bed, act: Act) -> Result<Option<u32>> {
    attempt(bed, act).with_context(|| format!("{act:?}"))
}

fn attempt(bed: &mut Bed, act: Act) -> Result<Option<u32>> {
    match act {
        Act::Destroy(number) => {
            let guest = bed.g(number)?;
            let domid = guest.domid()?;
            guest.destroy()?;
            return Ok(Some(domid));
        }
        Act::Create(number) => {
            let guest = bed.add_guest(number)?;
            announced(bed, &guest)?;
        }
        Act::Pause(number) => pause(bed, &bed.g(number)?)?,
        Act::Unpause(number) => unpause(bed, &bed.g(number)?)?,
        Act::Unload(number) => {
            let guest = bed.g(number)?;
            no_faults(&guest)?;
            guest.sh("rmmod xlnet")?;
        }
        Act::Load(number) => {
            let guest = bed.g(number)?;
            guest.sh("modprobe xlnet")?;
            announced(bed, &guest)?;
        }
        Act::Relocate(number) => {
            let guest = bed.g(number)?;
            let before = guest.domid()?;
            relocate(bed, &guest)?;
            if guest.try_sh("test -d /sys/module/xlnet")?.success() {
                announced(bed, &guest)?;
            }
            return Ok((guest.domid()? != before).then_some(before));
        }
        Act::Garbage(number, way) => garbage(bed, number, way)?,
        Act::Readdress(number) => readdress(bed, number)?,
        Act::KillHelper => helper::kill(bed, "KILL")?,
        Act::StartHelper => bed.start_helper()?,
    }
    Ok(None)
}

/// Fails if a guest has seen another break the protocol.
///
/// # Errors
/// If so, or it does not answer.
pub(super) fn no_faults(guest: &Guest) -> Result<()> {
    let faults = Figures::read_quickly(guest)?.sum("_faults");
    let name = guest.config.name();
    ensure!(
        faults == 0,
        "{name} has seen {faults} breaches of the protocol"
    );
    Ok(())
}

/// Waits until the driver has said who it is: what happens to its nodes before that, it would undo.
fn announced(dom0: &Agent, guest: &Guest) -> Result<()> {
    eventually("the driver is known", || {
        let own = helper::said_by(dom0, guest)?;
        ensure!(own.contains("state=ready"), "{own:?}");
        Ok(true)
    })
}

fn pause(dom0: &Agent, guest: &Guest) -> Result<()> {
    let [soft, rcu] = WATCHDOGS;
    guest.sh(&format!("echo 0 > {soft}; echo 1 > {rcu}"))?;
    dom0.sh(&format!("xl pause {}", guest.config.name()))
        .map(drop)
}

fn unpause(dom0: &Agent, guest: &Guest) -> Result<()> {
    dom0.sh(&format!("xl unpause {}", guest.config.name()))?;
    let [soft, rcu] = WATCHDOGS;
    guest
        .sh(&format!("echo 1 > {soft}; echo 0 > {rcu}"))
        .map(drop)
}

/// How often a guest is told to suspend that could not.
const TIMES: u32 = 3;

/// A guest does not suspend while its kernel waits for a program that it has started itself, such as modprobe, for more
/// than five seconds (`kernel/umh.c`), which is soon over on so busy a processor. Then it stays, and is told again.
fn relocate(bed: &Bed, guest: &Guest) -> Result<()> {
    let could_not = || guest.sh("dmesg | grep 'freeze processes failed' || true");
    for _ in 1..TIMES {
        let before = could_not()?;
        match suspend(bed, guest) {
            Err(error) if could_not().is_ok_and(|now| now != before) => {
                eprintln!("chaos: again: {error:#}");
            }
            other => return other,
        }
    }
    suspend(bed, guest)
}

/// A PV guest cannot be migrated while it runs, on Debian's Xen: it is suspended and goes on as the same domain.
fn suspend(bed: &Bed, guest: &Guest) -> Result<()> {
    if guest.config.kind == Kind::Pv {
        guest.checkpoint(FILE)?;
        return bed.sh(&format!("rm {FILE}")).map(drop);
    }
    guest.migrate_locally()?;
    bed.await_guest(guest)
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
