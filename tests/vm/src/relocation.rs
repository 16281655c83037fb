// SPDX-License-Identifier: GPL-2.0
//! A guest is saved, checkpointed or migrated, and comes back: its connections go on, over xlnet0 as soon as that can be.

use std::thread;

use anyhow::{anyhow, ensure, Context, Result};
use xlnet_lab::guest::{self, Guest};

use crate::{
    bed::eventually,
    death::await_gone,
    figures::{counter, last_leave_ms, Figures},
    flow::Flow,
    helper,
    journey::histogram,
    policy::all_joined,
    transfer::{give_block, sender, Receiver, Transfer, BLOCK},
    view::{await_peers, await_status, join},
    Bed, Scenario, Spec,
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("relocation::pv-save-restore", Spec::pv(3), save_restore).long(),
    Scenario::new("relocation::checkpoint", Spec::mixed(), checkpoint),
    Scenario::new("relocation::pv-checkpoint", Spec::pv(3), checkpoint).long(),
    Scenario::new(
        "relocation::pv-beside-a-paused-peer",
        Spec::pv(3),
        beside_a_paused_peer,
    )
    .long(),
    Scenario::new(
        "relocation::pv-beside-deaf-peers",
        Spec::pv(3),
        beside_deaf_peers,
    )
    .long(),
    Scenario::new("relocation::pv-two-at-once", Spec::pv(3), two_at_once).long(),
    Scenario::new("relocation::pv-same-domid", Spec::pv(3), same_domid).long(),
    Scenario::new("relocation::pv-under-load", Spec::pv(3), under_load).long(),
    Scenario::new("relocation::pvh-save-restore", Spec::pvh(2), save_restore).long(),
    Scenario::new("relocation::pvh-checkpoint", Spec::pvh(2), checkpoint).long(),
    Scenario::new("relocation::pvh-under-load", Spec::pvh(2), under_load).long(),
    Scenario::new("relocation::pvh-refused", Spec::pvh(2), refused).long(),
    Scenario::new("relocation::pvh-on-one-host", Spec::pvh(2), on_one_host).long(),
];

/// Records a second of each flow: together they leave an emulated processor time for what is tested.
const RATE: u32 = 20;

/// Where Dom0 puts a saved guest.
const FILE: &str = "/var/tmp/guest.save";

/// Nothing of the guest is left while it is a file. How many datagrams it loses as it goes on is said.
fn save_restore(bed: &mut Bed) -> Result<()> {
    across(bed, |bed, guest, others| {
        let peer = others.first().context("no other guest")?;
        let flow = Flow::start(guest, peer, 7590, RATE)?;
        let domid = guest.domid()?;
        guest.save(FILE)?;
        let present = others
            .iter()
            .map(Guest::domid)
            .collect::<Result<Vec<_>>>()?;
        for (guest, own) in others.iter().zip(&present) {
            let peers: Vec<_> = present.iter().copied().filter(|id| id != own).collect();
            await_peers(guest, &peers)?;
        }
        await_gone(bed, domid)?;
        guest.restore(FILE)?;
        bed.sh(&format!("rm {FILE}"))?;
        bed.await_guest(guest)?;
        flow.await_more(u64::from(RATE))?;
        let report = flow.stop()?;
        eprintln!("{} datagrams of its own were lost", report.lost());
        report.is_sound()
    })
}

/// Blocks that are sent while the guest is saved: more than can be before it is.
const BLOCKS: usize = 200;

/// The guest is saved while the channel is full of what it sends, of which every byte arrives.
fn under_load(bed: &mut Bed) -> Result<()> {
    across(bed, |bed, guest, others| {
        let peer = others.first().context("no other guest")?;
        give_block(guest)?;
        let transfer = Transfer::Tcp { blocks: BLOCKS };
        let receiver = Receiver::start(peer, transfer, 5001)?;
        // Of all instances of all peers.
        let sent = || anyhow::Ok(Figures::read_quickly(guest)?.sum("_tx_bytes"));
        let begun = sent()?;
        let sending = guest.spawn(&sender(transfer, &peer.config.ip(), 5001))?;
        eventually("it sends", || Ok(sent()? - begun > BLOCK as u64))?;
        guest.save(FILE)?;
        guest.restore(FILE)?;
        bed.sh(&format!("rm {FILE}"))?;
        bed.await_guest(guest)?;
        ensure!(
            sent()? - begun < transfer.bytes() as u64,
            "all was sent before it was saved"
        );
        let output = sending.wait()?;
        ensure!(output.success(), "sending: {output}");
        receiver.check()
    })
}

/// The guest is suspended and goes on as the same domain: its kernel thaws, and is not restored.
fn checkpoint(bed: &mut Bed) -> Result<()> {
    across(bed, |bed, guest, _| {
        guest.checkpoint(FILE)?;
        bed.sh(&format!("rm {FILE}")).map(drop)
    })
}

/// A peer that does not run cannot let go of the channel, nor take what is in it: the guest leaves all the same, and what
/// it has sent arrives once.
fn beside_a_paused_peer(bed: &mut Bed) -> Result<()> {
    across(bed, |bed, guest, others| {
        let peer = others.first().context("no other guest")?;
        let (name, domid) = (peer.config.name(), peer.domid()?);
        let mut flow = Flow::start(guest, peer, 7590, RATE)?;
        flow.await_more(u64::from(RATE))?;
        bed.sh(&format!("xl pause {name}"))?;
        let begun = counter(guest, domid, "tx_frames")?;
        let before = Figures::read(guest)?.sum("tx_recalled");
        let sent = eventually("frames lie in the channel", || {
            Ok(counter(guest, domid, "tx_frames")? >= begun + u64::from(RATE))
        });
        // What is sent after the restore is not what the peer has left in its ring.
        let ended = sent.and_then(|()| flow.end_sending());
        let saved = ended.and_then(|()| guest.save(FILE));
        bed.sh(&format!("xl unpause {name}"))?;
        saved?;
        guest.restore(FILE)?;
        bed.sh(&format!("rm {FILE}"))?;
        bed.await_guest(guest)?;
        let recalled = Figures::read(guest)?.sum("tx_recalled") - before;
        ensure!(
            recalled >= u64::from(RATE),
            "{recalled} frames were taken back"
        );
        eprintln!(
            "beside a paused peer it took {recalled} frames back, and let go within {} ms",
            last_leave_ms(guest)?
        );
        flow.stop()?.is_lossless()
    })
}

/// Spins for a while above everything else that the only CPU would run, ended by what is above that. Neither the limit of real-time
/// tasks nor the server of the others takes the CPU from it.
const SPIN: &str = "mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug
    echo 0 > /sys/kernel/debug/sched/fair_server/cpu0/runtime
    echo -1 > /proc/sys/kernel/sched_rt_runtime_us
    chrt -f 99 timeout 20 chrt -f 98 sh -c 'while :; do :; done'
    echo 950000 > /proc/sys/kernel/sched_rt_runtime_us
    echo 50000000 > /sys/kernel/debug/sched/fair_server/cpu0/runtime";

/// How long a peer is waited for that does not answer, in milliseconds (`DRAIN_MS` of the driver).
const DRAIN: u32 = 1000;

/// Processor time that a guest has used, in seconds.
fn seconds_used(bed: &Bed, guest: &Guest) -> Result<f64> {
    let text = bed.sh(&format!(
        "xl list {} | awk 'NR == 2 {{ print $NF }}'",
        guest.config.name()
    ))?;
    text.trim()
        .parse()
        .with_context(|| format!("xl list: {text:?}"))
}

/// A peer that has no time to answer, and one that is gone without anybody having said so.
fn beside_deaf_peers(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let (guest, busy, dead) = (bed.g(1)?, bed.g(2)?, bed.g(3)?);
    let mut times = Vec::new();
    for _ in 0..3 {
        for peer in [&busy, &dead] {
            join(&guest, peer)?;
        }
        guest.checkpoint(FILE)?;
        times.push(last_leave_ms(&guest)?);
        all_joined(bed)?;
    }
    eprintln!("ms to let go beside running peers: {}", histogram(&times));

    let mut times = Vec::new();
    for _ in 0..3 {
        join(&guest, &busy)?;
        let used = seconds_used(bed, &busy)?;
        let spinning = busy.spawn(SPIN)?;
        eventually("it spins", || Ok(seconds_used(bed, &busy)? > used + 2.0))?;
        guest.checkpoint(FILE)?;
        let took = last_leave_ms(&guest)?;
        spinning.wait()?;
        ensure!(took >= DRAIN, "the busy peer has answered within {took} ms");
        times.push(took);
        all_joined(bed)?;
    }
    eprintln!("beside a busy one: {}", histogram(&times));

    join(&guest, &dead)?;
    helper::halted(bed, || {
        dead.destroy()?;
        guest.checkpoint(FILE)
    })?;
    eprintln!("beside a dead one: {} ms", last_leave_ms(&guest)?);
    bed.sh(&format!("rm {FILE}"))?;
    await_peers(&guest, &[busy.domid()?])?;
    bed.add_guest(dead.config.number)?;
    all_joined(bed)?;
    join(&guest, &busy)
}

/// Both sides of a channel leave at the same time.
fn two_at_once(bed: &mut Bed) -> Result<()> {
    across(bed, |bed, guest, others| {
        let travellers = [guest, others.first().context("no other guest")?];
        let files = travellers.map(|guest| format!("{FILE}.{}", guest.config.name()));
        let names = travellers.map(|guest| guest.config.name());
        // Each is told while it cannot obey.
        for name in &names {
            bed.sh(&format!("xl pause {name}"))?;
        }
        thread::scope(|scope| {
            let saves: Vec<_> = travellers
                .iter()
                .zip(&files)
                .map(|(guest, file)| scope.spawn(|| guest.save(file)))
                .collect();
            for guest in travellers {
                let node = format!("/local/domain/{}/control/shutdown", guest.domid()?);
                eventually("it is told to suspend", || {
                    Ok(bed.sh(&format!("xenstore-read {node}"))?.trim() == "suspend")
                })?;
            }
            for name in &names {
                bed.sh(&format!("xl unpause {name}"))?;
            }
            saves.into_iter().try_for_each(|save| {
                save.join()
                    .map_err(|_| anyhow!("a saving thread panicked"))?
            })
        })?;
        for (guest, file) in travellers.iter().zip(&files) {
            guest.restore(file)?;
            bed.sh(&format!("rm {file}"))?;
            bed.await_guest(guest)?;
        }
        Ok(())
    })
}

/// The guest's number is another domain's before xlnetd has seen the first one go.
fn same_domid(bed: &mut Bed) -> Result<()> {
    across(bed, |bed, guest, _| {
        let domid = guest.domid()?;
        helper::halted(bed, || guest.be_reborn(FILE))?;
        bed.sh(&format!("rm {FILE}"))?;
        bed.await_guest(guest)?;
        ensure!(guest.domid()? == domid, "it has another domid");
        Ok(())
    })
}

/// The other host takes all of the guest's memory and then does not start it, so that it goes on where it was suspended.
fn refused(bed: &mut Bed) -> Result<()> {
    across(bed, |bed, guest, _| {
        let (name, domid) = (guest.config.name(), guest.domid()?);
        // As `xl migrate-receive` begins; it ends when nothing has come for a while.
        let receiver = "echo xl migration receiver ready, send binary domain data.; exec socat -u -T 5 - OPEN:/dev/null";
        let migrate = format!("xl migrate -s '' {name} '{receiver}'");
        let output = bed.run(&["sh", "-c", &migrate], b"", guest::COPY_LIMIT)?;
        ensure!(!output.success(), "it was taken: {output}");
        ensure!(
            String::from_utf8_lossy(&output.stderr).contains("resum"),
            "it was not suspended: {output}"
        );
        ensure!(guest.domid()? == domid, "it is another domain");
        Ok(())
    })
}

/// For a while there are two domains with the guest's name, UUID and addresses.
fn on_one_host(bed: &mut Bed) -> Result<()> {
    across(bed, |bed, guest, _| {
        let domid = guest.domid()?;
        guest.migrate_locally()?;
        bed.await_guest(guest)?;
        await_gone(bed, domid)
    })
}

/// Has the first guest go away and come back by `travel`, which is given the others too, with connections to and from it.
pub(crate) fn across(
    bed: &mut Bed,
    travel: impl FnOnce(&Bed, &Guest, &[Guest]) -> Result<()>,
) -> Result<()> {
    all_joined(bed)?;
    let guest = bed.g(1)?;
    let others = (2..=bed.spec.guests)
        .map(|number| bed.g(number))
        .collect::<Result<Vec<_>>>()?;
    let mut flows = Vec::new();
    for (port, other) in (7600..).step_by(2).zip(&others) {
        flows.push(Flow::start_tcp(&guest, other, port, RATE)?);
        flows.push(Flow::start_tcp(other, &guest, port + 1, RATE)?);
        join(&guest, other)?;
    }
    for flow in &flows {
        flow.await_more(u64::from(RATE))?;
    }
    let before = epoch(bed, &guest)?;

    travel(bed, &guest, &others)?;

    all_joined(bed)?;
    ensure!(
        epoch(bed, &guest)? != before,
        "the driver has not begun anew"
    );
    for other in &others {
        // The flows bring the channel about.
        join(&guest, other)?;
        await_status(other)?;
        let sent = || counter(&guest, other.domid()?, "tx_frames");
        let begun = sent()?;
        for flow in &flows {
            flow.await_more(u64::from(RATE))?;
        }
        ensure!(
            sent()? >= begun + u64::from(RATE),
            "the connections are not on xlnet0 again"
        );
    }
    await_status(&guest)?;
    for flow in flows {
        flow.stop()?.is_lossless()?;
    }
    Ok(())
}

/// The epoch under which the guest's driver is known.
pub(crate) fn epoch(bed: &Bed, guest: &Guest) -> Result<String> {
    let text = helper::said_by(bed, guest)?;
    let epoch = text
        .split_whitespace()
        .find_map(|field| field.strip_prefix("epoch="));
    Ok(epoch
        .with_context(|| format!("no epoch in {text:?}"))?
        .to_owned())
}
