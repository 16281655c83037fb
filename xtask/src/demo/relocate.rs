// SPDX-License-Identifier: GPL-2.0
//! `cargo xtask demo --relocate`: a guest goes to another host and comes back, and what goes on between it and one that
//! stays is drawn over time.

use std::{fs, path::Path as Directory, thread::sleep, time::Duration};

use anyhow::{ensure, Context, Result};
use serde::Serialize;
use xlnet_lab::{cache::Cache, guest::Guest, image::GuestKernel, product::Project};
use xlnet_vm_tests::{
    bed::Maker,
    figures::{frames, last_leave_ms, vif_frames},
    flow::{self, Flow},
    journey::{await_apart, await_together, come_back, depart, uptime},
    path_log::PathWatch,
    Bed, Spec,
};

use super::timeline::{Line, Span, Timeline};
use crate::plot;

/// Records a second of each flow: together they leave emulated processors time for the migration.
const RATE: u32 = 40;

/// How long the guests are left alone before, between and after the migrations.
const DWELL: Duration = Duration::from_secs(20);

/// What is drawn.
const TITLES: [&str; 2] = [
    "TCP: requests answered, per second",
    "UDP: datagrams received, per second",
];

/// A time between migrations, in which nothing was done with the guests.
#[derive(Debug, Serialize)]
struct Phase {
    /// Seconds since the staying guest's boot.
    span: Span,
    /// Frames that its xlnet0 counted.
    xlnet0: u64,
    /// Frames that Dom0's vif of its uplink counted.
    uplink: u64,
}

/// The way to one of the hosts.
#[derive(Debug, Serialize)]
struct Migration {
    /// From the call to where the guest answers, and nothing of it is left behind; seconds since the staying guest's boot.
    span: Span,
    /// The longest time in seconds without a request and without a datagram, until both went on; 0 if shorter than 0.1.
    standstill: [f64; 2],
    /// Milliseconds of the guest's time that its driver took to let go of its channels.
    leave_ms: u32,
    /// Milliseconds of its time from its going on to the channel, where its peer is.
    joined_ms: Option<u64>,
}

/// What became of a flow's records.
#[derive(Debug, Serialize)]
struct Counts {
    sent: u64,
    lost: u64,
}

#[derive(Serialize)]
struct Report {
    kernel: String,
    xen: String,
    /// Records a second that were asked of each flow.
    rate: u32,
    /// Together, apart and together again.
    phases: [Phase; 3],
    migrations: [Migration; 2],
    rr: Counts,
    udp: Counts,
    timeline: Timeline,
}

/// Boots two hosts, has the guest move, shows, and fails if the connection suffered.
pub fn run(cache: &Cache, project: &Project, out: &Directory, json: bool) -> Result<()> {
    let mut bed = Maker::new(cache, project, GuestKernel::Stock)?.boot(Spec::pvh(2).paired())?;
    let logs = format!("the logs are below {}", cache.run_dir().display());
    let (report, flows) = travel(&mut bed, cache).with_context(|| logs.clone())?;

    let text = serde_json::to_string_pretty(&report)?;
    let file = out.join("relocate.json");
    fs::write(&file, &text).with_context(|| format!("writing {}", file.display()))?;
    plot::write(&report.timeline, out, "relocate")?;
    if json {
        println!("{text}");
    } else {
        show(&report);
        println!(
            "\n{0}/relocate.json, {0}/relocate.svg, {0}/relocate.png",
            out.display()
        );
    }
    // Last, so that what went wrong can be looked at.
    let [rr, udp] = &flows;
    bed.check_logs()
        .and_then(|()| rr.is_lossless())
        .and_then(|()| udp.is_sound())
        .and_then(|()| prove(&report.phases, &report.timeline.xlnet0))
        .context(logs)
}

fn travel(bed: &mut Bed, cache: &Cache) -> Result<(Report, [flow::Report; 2])> {
    let progress = cache.progress();
    let (guest, stays) = (bed.g(1)?, bed.g(2)?);
    let kernel = guest.sh("uname -r")?.trim().to_owned();
    let xen = bed.sh("xl info xen_version")?.trim().to_owned();
    // The one that stays tells of the path, as its clock is the flows'; the other of its own going on.
    let (path, resumed) = (PathWatch::start(&stays)?, PathWatch::start(&guest)?);
    let flows = [
        Flow::start_rr(&guest, &stays, 7610, RATE)?,
        Flow::start(&guest, &stays, 7611, RATE)?,
    ];
    let before = progress.step("g1 is beside g2", || {
        await_together(bed, &guest, &stays)?;
        dwell(bed, &stays, &flows)
    })?;
    let (abroad, there) = progress.step("g1 goes to the other host", || {
        let abroad = depart(bed)?;
        Ok((abroad, uptime(&stays)?))
    })?;
    let away_ms = last_leave_ms(&abroad)?;
    let apart = progress.step("g1 is apart from g2", || {
        await_apart(&abroad, &stays)?;
        dwell(bed, &stays, &flows)
    })?;
    let (back, here) = progress.step("g1 comes back", || {
        let back = come_back(bed, &abroad)?;
        Ok((back, uptime(&stays)?))
    })?;
    let back_ms = last_leave_ms(&back)?;
    let after = progress.step("g1 is beside g2 again", || {
        await_together(bed, &back, &stays)?;
        dwell(bed, &stays, &flows)
    })?;
    let [rr, udp] = flows.map(Flow::stop);
    let flows = [rr?, udp?];
    let (xlnet0, returns) = (path.stop()?.stood(), resumed.stop()?.returns());

    let migration = |from: &Phase, ended, to: &Phase, leave_ms, joined_ms| Migration {
        span: (from.span.1, ended),
        standstill: flows
            .each_ref()
            .map(|flow| flow.arrivals.longest_gap((from.span.1, to.span.0))),
        leave_ms,
        joined_ms,
    };
    let migrations = [
        migration(&before, there, &apart, away_ms, None),
        migration(
            &apart,
            here,
            &after,
            back_ms,
            returns.last().and_then(|back| back.joined),
        ),
    ];
    let [rr, udp] = &flows;
    let line = |title, flow: &flow::Report| Line {
        title,
        rate: flow.arrivals.rate().to_vec(),
    };
    let counts = |flow: &flow::Report| Counts {
        sent: flow.sent,
        lost: flow.lost(),
    };
    let report = Report {
        kernel,
        xen,
        rate: RATE,
        timeline: Timeline {
            span: (before.span.0, after.span.1),
            xlnet0,
            migrations: migrations.each_ref().map(|migration| migration.span),
            flows: [line(TITLES[0], rr), line(TITLES[1], udp)],
        },
        phases: [before, apart, after],
        migrations,
        rr: counts(rr),
        udp: counts(udp),
    };
    Ok((report, flows))
}

/// Leaves the guests alone once the flows are known to go on, and counts.
fn dwell(bed: &Bed, stays: &Guest, flows: &[Flow]) -> Result<Phase> {
    for flow in flows {
        flow.await_more(u64::from(RATE))?;
    }
    let from = uptime(stays)?;
    let before = (frames(stays)?, vif_frames(bed, stays)?);
    sleep(DWELL);
    let after = (frames(stays)?, vif_frames(bed, stays)?);
    Ok(Phase {
        span: (from, uptime(stays)?),
        xlnet0: after.0.saturating_sub(before.0),
        uplink: after.1.saturating_sub(before.1),
    })
}

/// Fails unless the channel stood in the first and the last of the phases and not in the one between, and most frames went
/// that way: neighbour discovery and the like may pass on the other.
fn prove(phases: &[Phase; 3], xlnet0: &[Span]) -> Result<()> {
    let [before, apart, after] = phases;
    for phase in [before, after] {
        let (begin, end) = phase.span;
        ensure!(
            xlnet0.iter().any(|(from, to)| *from <= begin && *to >= end),
            "g1 and g2 were on one host from {begin} to {end} s, and the channel stood only {xlnet0:?}"
        );
        ensure!(
            phase.xlnet0 > phase.uplink,
            "g1 and g2 were on one host, and most frames went by the uplink: {phase:?}"
        );
    }
    let (begin, end) = apart.span;
    ensure!(
        xlnet0.iter().all(|(from, to)| *from >= end || *to <= begin),
        "g1 and g2 were on two hosts from {begin} to {end} s, and a channel stood {xlnet0:?}"
    );
    ensure!(
        apart.uplink > apart.xlnet0,
        "g1 and g2 were on two hosts, and most frames went by xlnet0: {apart:?}"
    );
    Ok(())
}

fn show(report: &Report) {
    println!(
        "Xen {}, two PVH guests, kernel {}: g1 goes to another host and comes back, g2 stays\n",
        report.xen, report.kernel
    );
    let row = |name: &str, cell: &dyn Fn(&Migration) -> String| {
        let [there, back] = report.migrations.each_ref().map(cell);
        println!("{name:<44}{there:>12}{back:>12}");
    };
    println!("{:<44}{:>12}{:>12}", "", "there", "back");
    row("the migration took, s", &|migration| {
        format!("{:.1}", migration.span.1 - migration.span.0)
    });
    for (index, name) in ["TCP requests stood still, s", "UDP stood still, s"]
        .into_iter()
        .enumerate()
    {
        row(name, &|migration| {
            format!("{:.2}", migration.standstill[index])
        });
    }
    row("the driver let go within, ms", &|migration| {
        migration.leave_ms.to_string()
    });
    row("from going on to the channel, ms", &|migration| {
        migration
            .joined_ms
            .map_or_else(|| "-".to_owned(), |ms| ms.to_string())
    });
    println!(
        "\n{:<44}{:>12}{:>12}",
        "frames counted at g2's", "xlnet0", "uplink"
    );
    for (name, phase) in ["together", "apart", "together again"]
        .iter()
        .zip(&report.phases)
    {
        println!("{name:<44}{:>12}{:>12}", phase.xlnet0, phase.uplink);
    }
    println!();
    for (name, counts) in [("TCP requests", &report.rr), ("UDP", &report.udp)] {
        println!("{name}: {} sent, {} lost", counts.sent, counts.lost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Phases of 10 s, with 10 s between them, and these frames at xlnet0 and the uplink.
    fn phases(counted: [(u64, u64); 3]) -> [Phase; 3] {
        let mut from = -20.0;
        counted.map(|(xlnet0, uplink)| {
            from += 20.0;
            Phase {
                span: (from, from + 10.0),
                xlnet0,
                uplink,
            }
        })
    }

    #[test]
    fn the_channel_stands_where_the_guests_are_together() {
        let moved = phases([(900, 3), (0, 900), (900, 3)]);
        prove(&moved, &[(-1.0, 15.0), (38.0, 51.0)]).unwrap();
        for wrong in [
            &[(38.0, 51.0)][..],
            &[(-1.0, 15.0)],
            &[(-1.0, 51.0)],
            &[(-1.0, 15.0), (22.0, 23.0), (38.0, 51.0)],
            &[(-1.0, 5.0), (6.0, 15.0), (38.0, 51.0)],
        ] {
            assert!(prove(&moved, wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_frames_go_the_way_that_is_drawn() {
        let stood = [(-1.0, 15.0), (38.0, 51.0)];
        for wrong in [
            [(3, 900), (0, 900), (900, 3)],
            [(900, 3), (900, 3), (900, 3)],
            [(900, 3), (0, 900), (0, 0)],
        ] {
            assert!(prove(&phases(wrong), &stood).is_err(), "{wrong:?}");
        }
    }
}
