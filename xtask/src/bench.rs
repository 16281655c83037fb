// SPDX-License-Identifier: GPL-2.0
//! `cargo xtask bench`: every message size over every path, in every setting, with what it used.

use std::{fs, path::PathBuf, thread};

use anyhow::{ensure, Context, Result};
use xlnet_lab::{
    cache::Cache,
    image::GuestKernel,
    needs,
    netperf::{self, Test, Unit},
    product::Project,
    progress::Progress,
};
use xlnet_vm_tests::bed::Maker;

use crate::{
    path::{Pair, Path},
    plot,
};
use lines::Lines;
use report::{Boot, Report, Row, Series};
use setting::Setting;
use usage::Usage;

mod bystander;
mod lines;
mod memory;
mod report;
mod setting;
mod table;
mod target;
mod usage;

/// What to measure.
#[derive(clap::Args)]
pub struct Args {
    /// Where; in all of them by default
    #[arg(value_enum)]
    settings: Vec<Setting>,
    /// A look: few sizes, once
    #[arg(long)]
    quick: bool,
    /// Only tests whose name contains this
    #[arg(long)]
    filter: Option<String>,
    /// How long each measurement takes, in seconds of the guest's time
    #[arg(long, default_value_t = 1)]
    seconds: u32,
    /// How often each is repeated; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// bench.json of an earlier run, to compare the ratios with
    #[arg(long)]
    compare: Option<PathBuf>,
    /// Directory for bench.json and the plots; by default out/ in the tree
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print the JSON instead of the tables
    #[arg(long)]
    json: bool,
}

impl Args {
    fn rounds(&self) -> u32 {
        if self.quick {
            1
        } else {
            self.rounds
        }
    }

    fn tests(&self, setting: Setting) -> Vec<Test> {
        let mut tests = setting.tests(self.quick);
        if let Some(part) = &self.filter {
            tests.retain(|test| test.name().contains(part));
        }
        tests
    }
}

/// The order within a round: the uplink's second turn shows how the machine drifted meanwhile.
const ROUND: [Path; 4] = [Path::Uplink, Path::Xlnet0, Path::Loopback, Path::Uplink];

/// Boots each setting, measures, shows.
pub fn run(args: &Args) -> Result<()> {
    let earlier: Option<Report> = args.compare.as_ref().map(read).transpose()?;
    let settings = match args.settings.as_slice() {
        [] => <Setting as clap::ValueEnum>::value_variants(),
        some => some,
    };
    ensure!(
        args.rounds > 0
            && settings
                .iter()
                .any(|&setting| !args.tests(setting).is_empty()),
        "nothing to measure: see --rounds and --filter"
    );
    let cache = Cache::open(Progress::default())?;
    needs::ensure(&cache)?;
    plot::prepare(&cache)?;
    let project = Project::find()?;
    let out = match &args.out {
        Some(out) => out.clone(),
        None => project.root().join("out"),
    };
    fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let maker = Maker::new(&cache, &project, GuestKernel::Stock)?;
    let mut report = Report {
        kernel: String::new(),
        xen: String::new(),
        seconds: args.seconds,
        rounds: args.rounds(),
        boots: Vec::new(),
    };
    for &setting in settings {
        let tests = args.tests(setting);
        if tests.is_empty() {
            continue;
        }
        let boot = measure(&maker, setting, &tests, args.filter.is_some(), &mut report)?;
        if !args.json {
            table::show(&boot);
        }
        if tests
            .iter()
            .any(|test| matches!(test, Test::TcpStream { size } if *size < 65536))
        {
            plot::write(&Lines(&boot), &out, &format!("bench-{}", setting.name()))?;
        }
        report.boots.push(boot);
        // A setting that fails takes none before it along.
        fs::write(
            out.join("bench.json"),
            serde_json::to_string_pretty(&report)?,
        )?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("\n{}", out.join("bench.json").display());
    }
    if let Some(earlier) = &earlier {
        table::compare(&report, earlier);
    }
    Ok(())
}

fn read(path: &PathBuf) -> Result<Report> {
    let what = || format!("reading the earlier run {}", path.display());
    let text = fs::read_to_string(path).with_context(what)?;
    serde_json::from_str(&text).with_context(what)
}

/// Measures `tests` in one boot; if they are not `narrowed`, what else is to be known too. Writes to `report` what was booted.
fn measure(
    maker: &Maker,
    setting: Setting,
    tests: &[Test],
    narrowed: bool,
    report: &mut Report,
) -> Result<Boot> {
    let bed = maker.boot(setting.spec())?;
    let pairs = (1..bed.spec.guests)
        .step_by(2)
        .map(|number| Pair::prepare(bed.g(number)?, bed.g(number + 1)?))
        .collect::<Result<Vec<_>>>()?;
    report.kernel = bed.g(1)?.sh("uname -r")?.trim().to_owned();
    report.xen = bed.sh("xl info xen_version")?.trim().to_owned();
    let (seconds, rounds) = if setting.is_counted() {
        // Nothing there depends on how busy the machine is: once tells.
        (1, 1)
    } else {
        (report.seconds, report.rounds)
    };
    let mut boot = Boot {
        setting,
        rows: Vec::new(),
        bystanders: Vec::new(),
        idle_peer: None,
    };
    let progress = maker.cache().progress();
    // First what is quick, so that a failure there does not take the rest along. Where instructions are counted, a
    // difference of a hundredth shows.
    if let (Setting::Pv | Setting::Count, false, [pair]) = (setting, narrowed, pairs.as_slice()) {
        let what = "traffic that xlnet does not carry";
        boot.bystanders =
            progress.step(what, || bystander::measure(&bed, pair, seconds, rounds))?;
    }
    if let (Setting::Pv, false, [pair]) = (setting, narrowed, pairs.as_slice()) {
        let memory = progress.step("memory of a peer", || memory::measure(&bed, &pair.from))?;
        boot.idle_peer = Some(memory);
    }
    // What follows from loading the module, and from peers that have gone, would slow the first figures.
    for pair in &pairs {
        for guest in [&pair.from, &pair.to] {
            bystander::settle(guest)?;
        }
        pair.join()?;
    }
    let total = u64::from(rounds) * (tests.len() * ROUND.len()) as u64;
    let bar = progress.bar("measuring", total);
    let mut before = Usage::read(&bed, &pairs)?;
    for &test in tests {
        let mut row = Row {
            test,
            unit: test.unit(),
            series: <[Series; 4]>::default(),
        };
        let mut round_trips = <[Vec<f64>; 4]>::default();
        let seconds = seconds * stretch(test, &pairs);
        for _ in 0..rounds {
            // Path by path within a round, so that a slow spell of the machine spoils all of them alike.
            for ((series, all), path) in row.series.iter_mut().zip(&mut round_trips).zip(ROUND) {
                bar.set_message(format!("{} over {}", test.name(), path.name()));
                let samples = in_all(&pairs, test, path, seconds)?;
                let after = Usage::read(&bed, &pairs)?;
                series.add(row.unit, seconds, &samples, after.since(&before));
                before = after;
                all.extend(samples);
                bar.inc(1);
            }
        }
        if row.unit == Unit::Milliseconds {
            row.note_tails(round_trips);
        }
        boot.rows.push(row);
    }
    bar.finish_and_clear();
    bed.check_logs()?;
    prove(&boot)?;
    Ok(boot)
}

/// How many times longer a measurement takes in which several flows run at once. Their rates are summed, and they do not
/// begin at one moment: some tenths of a second apart in a guest, a second or so in several.
fn stretch(test: Test, pairs: &[Pair]) -> u32 {
    match (test, pairs) {
        (Test::TcpStreams { .. } | Test::TcpBothWays { .. }, [_]) => 3,
        (_, [_]) => 1,
        _ => 10,
    }
}

/// Runs `test` in all pairs at once. Rates are summed.
fn in_all(pairs: &[Pair], test: Test, path: Path, seconds: u32) -> Result<Vec<f64>> {
    let run = |pair: &Pair| netperf::measure(&pair.from, test, &pair.address(path), seconds);
    if let [pair] = pairs {
        return run(pair);
    }
    let figures = thread::scope(|scope| {
        let running: Vec<_> = pairs.iter().map(|pair| scope.spawn(|| run(pair))).collect();
        let joined = running.into_iter().map(|thread| thread.join());
        joined
            .map(|result| result.map_err(|_| anyhow::anyhow!("a measuring thread panicked"))?)
            .collect::<Result<Vec<_>>>()
    })?;
    Ok(vec![figures.into_iter().flatten().sum()])
}

/// Fails unless xlnet0 carried what was measured over it, and nothing of the rest.
fn prove(boot: &Boot) -> Result<()> {
    for row in &boot.rows {
        let [uplink, xlnet0, loopback, again] = &row.series;
        for other in [uplink, loopback, again] {
            ensure!(
                xlnet0.usage.frames > 10 * other.usage.frames,
                "{}: xlnet0 sent {} frames while it was measured, and {} while it was not",
                row.test.name(),
                xlnet0.usage.frames,
                other.usage.frames
            );
        }
    }
    Ok(())
}
