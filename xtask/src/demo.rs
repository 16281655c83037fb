// SPDX-License-Identifier: GPL-2.0
//! `cargo xtask demo`: the same measurements over the uplink, xlnet0 and the guest's own loopback, side by side.

use std::{fs, path::PathBuf};

use anyhow::{ensure, Context, Result};
use serde::Serialize;
use xlnet_lab::{
    cache::Cache,
    guest::{Guest, Kind},
    image::GuestKernel,
    needs,
    netperf::{self, Test, Unit},
    product::Project,
    progress::Progress,
};
use xlnet_vm_tests::{bed::Maker, quantile::median, Bed, Spec};

use crate::{
    path::{Pair, Path},
    plot,
};
use bars::Bars;

mod bars;
mod relocate;
mod timeline;

/// What to show.
#[derive(clap::Args)]
pub struct Args {
    /// Show instead a guest that moves to another host and back, over time
    #[arg(long, conflicts_with_all = ["seconds", "rounds", "pv"])]
    relocate: bool,
    /// How long each measurement takes, in seconds of the guest's time
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// How often each is repeated; the median counts
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// Paravirtualised guests instead of PVH ones
    #[arg(long)]
    pv: bool,
    /// Directory for demo.json, demo.svg and demo.png, or relocate.…; by default out/ in the tree
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print the JSON instead of the table
    #[arg(long)]
    json: bool,
}

const TESTS: [Test; 6] = [
    Test::Ping,
    Test::TcpStream { size: 64 << 10 },
    Test::UdpStream { size: 1400 },
    Test::UdpStream { size: 60 << 10 },
    Test::TcpRr { size: 1 },
    Test::UdpRr { size: 1 },
];

/// Bytes that were counted, both directions.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Counters {
    /// By Dom0's vif of the first guest's uplink.
    vif: u64,
    /// By the first guest's xlnet0.
    xlnet0: u64,
}

/// One row of the table.
#[derive(Debug, Serialize)]
pub struct Row {
    #[serde(flatten)]
    test: Test,
    unit: Unit,
    /// Medians, in the order of [`Path::ALL`].
    figures: [f64; 3],
    /// What was counted while each path was measured, summed over all rounds.
    counted: [Counters; 3],
}

impl Row {
    /// How many times better path `index` is than the uplink.
    fn gain(&self, index: usize) -> f64 {
        let (path, uplink) = (self.figures[index], self.figures[0]);
        if self.unit == Unit::Milliseconds {
            uplink / path
        } else {
            path / uplink
        }
    }
}

#[derive(Serialize)]
struct Report {
    kernel: String,
    xen: String,
    guests: &'static str,
    seconds: u32,
    rounds: u32,
    peers: String,
    routes: String,
    rows: Vec<Row>,
}

/// Boots, measures, shows.
pub fn run(args: &Args) -> Result<()> {
    let cache = Cache::open(Progress::default())?;
    needs::ensure(&cache)?;
    plot::prepare(&cache)?;
    let project = Project::find()?;
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| project.root().join("out"));
    fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    if args.relocate {
        return relocate::run(&cache, &project, &out, args.json);
    }
    let bed = Maker::new(&cache, &project, GuestKernel::Stock)?.boot(if args.pv {
        Spec::pv(2)
    } else {
        Spec::pvh(2)
    })?;
    let pair = Pair::prepare(bed.g(1)?, bed.g(2)?)?;
    let g1 = &pair.from;
    let mut report = Report {
        kernel: g1.sh("uname -r")?.trim().to_owned(),
        xen: bed.sh("xl info xen_version")?.trim().to_owned(),
        guests: if bed.spec.kind == Kind::Pv { "PV" } else { "PVH" },
        seconds: args.seconds,
        rounds: args.rounds,
        peers: g1.sh("cat /sys/class/net/xlnet0/xlnet/peers")?,
        routes: g1.sh("ip rule show pref 5000; ip -4 route show table 5000; ip -6 route show table 5000; ip neigh show dev xlnet0")?,
        rows: Vec::new(),
    };
    let bar = cache.progress().bar(
        "measuring",
        u64::from(args.rounds) * (TESTS.len() * Path::ALL.len()) as u64,
    );
    for test in TESTS {
        let mut figures: [Vec<f64>; 3] = Default::default();
        let mut counted = [Counters::default(); 3];
        // Path by path within a round, so that a slow spell of the machine spoils all of them alike.
        for _ in 0..args.rounds {
            for (index, path) in Path::ALL.into_iter().enumerate() {
                bar.set_message(format!("{} over {}", test.name(), path.name()));
                let before = count(&bed, g1)?;
                figures[index].extend(netperf::measure(
                    g1,
                    test,
                    &pair.address(path),
                    args.seconds,
                )?);
                let after = count(&bed, g1)?;
                counted[index].vif += after.vif.saturating_sub(before.vif);
                counted[index].xlnet0 += after.xlnet0.saturating_sub(before.xlnet0);
                bar.inc(1);
            }
        }
        report.rows.push(Row {
            test,
            unit: test.unit(),
            figures: figures.map(|figures| median(&figures)),
            counted,
        });
    }
    bar.finish_and_clear();
    bed.check_logs()?;

    let json = serde_json::to_string_pretty(&report)?;
    fs::write(out.join("demo.json"), &json)?;
    plot::write(&Bars(&report.rows), &out, "demo")?;
    if args.json {
        println!("{json}");
    } else {
        show(&report);
        println!("\n{0}/demo.json, {0}/demo.svg, {0}/demo.png", out.display());
    }
    prove(&report.rows)
}

fn count(bed: &Bed, guest: &Guest) -> Result<Counters> {
    let sum = |text: String| -> Result<u64> {
        text.split_whitespace()
            .try_fold(0, |sum, word| Ok(sum + word.parse::<u64>()?))
    };
    let read = |dev: &str| {
        format!(
            "cat /sys/class/net/{dev}/statistics/rx_bytes /sys/class/net/{dev}/statistics/tx_bytes"
        )
    };
    Ok(Counters {
        vif: sum(bed.sh(&read(&guest.vif()?))?)?,
        xlnet0: sum(guest.sh(&read("xlnet0"))?)?,
    })
}

fn show(report: &Report) {
    println!(
        "Xen {}, two {} guests, kernel {}\n",
        report.xen, report.guests, report.kernel
    );
    println!(
        "g1's peers:\n{}\ng1's routes to them:\n{}",
        report.peers, report.routes
    );
    println!(
        "{:<20}{:>6}{:>11}{:>11}{:>11}{:>16}{:>18}",
        "", "", "uplink", "xlnet0", "loopback", "xlnet0/uplink", "xlnet0/loopback"
    );
    for row in &report.rows {
        let [uplink, xlnet0, loopback] = row.figures;
        println!(
            "{:<20}{:>6}{uplink:>11.2}{xlnet0:>11.2}{loopback:>11.2}{:>15.2}x{:>17.2}x",
            row.test.name(),
            row.unit.name(),
            row.gain(1),
            row.gain(1) / row.gain(2)
        );
    }
    println!(
        "\n{:<20}{:>24}{:>24}",
        "bytes counted during", "the uplink's runs", "xlnet0's runs"
    );
    println!(
        "{:<20}{:>12}{:>12}{:>12}{:>12}",
        "", "Dom0 vif", "xlnet0", "Dom0 vif", "xlnet0"
    );
    for row in &report.rows {
        let [uplink, xlnet0, _] = row.counted;
        println!(
            "{:<20}{:>12}{:>12}{:>12}{:>12}",
            row.test.name(),
            uplink.vif,
            uplink.xlnet0,
            xlnet0.vif,
            xlnet0.xlnet0
        );
    }
}

/// Fails unless the bytes went the way the table says: neighbour discovery and the like may pass on the other.
fn prove(rows: &[Row]) -> Result<()> {
    for row in rows {
        let [uplink, xlnet0, _] = row.counted;
        ensure!(
            xlnet0.xlnet0 > 10 * xlnet0.vif,
            "{}: while xlnet0 was measured Dom0's vif did not stand still: {xlnet0:?}",
            row.test.name()
        );
        ensure!(
            uplink.vif > 10 * uplink.xlnet0,
            "{}: the uplink's run went over xlnet0: {uplink:?}",
            row.test.name()
        );
    }
    Ok(())
}
