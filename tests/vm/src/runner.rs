// SPDX-License-Identifier: GPL-2.0
//! Runs scenarios, one after the other, and keeps the logs of those that fail.

use std::{
    fs,
    panic::{catch_unwind, AssertUnwindSafe},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{bail, Context, Result};

use crate::{
    bed::{Bed, Maker},
    chaos, checking, Scenario,
};

/// What Xen logs when a PVH guest falls to the emulator's known fault. A test it hits is not to blame and runs again.
const FAULT: &str = "riple fault";

/// How often: what faults every time is no accident.
const REPEATS: u32 = 2;

/// How a scenario ended.
#[derive(Debug)]
pub struct Outcome {
    /// The scenario's name.
    pub name: &'static str,
    /// Real time it took, in seconds, without booting its bed.
    pub seconds: f32,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

impl Outcome {
    fn new(name: &'static str, begun: Instant, result: Result<()>) -> Self {
        Self {
            name,
            seconds: begun.elapsed().as_secs_f32(),
            failure: result.err().map(|error| format!("{error:#}")),
        }
    }

    /// How it ended, for a person.
    fn line(&self) -> String {
        match &self.failure {
            None => format!("ok     {} ({:.1} s)", self.name, self.seconds),
            Some(why) => format!("FAILED {}: {why}", self.name),
        }
    }
}

/// Runs `scenarios` and says of each how it ended.
pub fn run(maker: &Maker, scenarios: &[Scenario]) -> Vec<Outcome> {
    let progress = maker.cache().progress();
    let bar = progress.bar("Xen tests", scenarios.len() as u64);
    let mut bed: Option<Bed> = None;
    let mut outcomes = Vec::new();
    for scenario in scenarios {
        bar.set_message(scenario.name);
        let outcome =
            again_if_it_faults(maker, scenario.name, || attempt(maker, &mut bed, scenario));
        outcomes.push(outcome);
        bar.inc(1);
    }
    bar.finish_and_clear();
    outcomes
}

/// Has anything happen to anybody for so many minutes, as `seed` has it, and says how that ended.
pub fn chaos(maker: &Maker, seed: u64, minutes: u32) -> Outcome {
    again_if_it_faults(maker, "chaos", || {
        let begun = Instant::now();
        let booted = maker.boot(chaos::BED).context("making its bed");
        let result = booted.and_then(|bed| {
            let run = |bed: &mut Bed| chaos::run(bed, seed, minutes);
            run_one(maker, bed, "chaos", run).0
        });
        Outcome::new("chaos", begun, result)
    })
}

/// Runs what may be hit by the emulator's fault, and says how it ended.
fn again_if_it_faults(maker: &Maker, name: &str, mut run: impl FnMut() -> Outcome) -> Outcome {
    let progress = maker.cache().progress();
    let mut outcome = run();
    for _ in 0..REPEATS {
        match &outcome.failure {
            Some(why) if why.contains(FAULT) => {
                progress.say(&format!("again: {name}: the emulator faulted: {why}"));
            }
            _ => break,
        }
        outcome = run();
    }
    progress.say(&outcome.line());
    outcome
}

/// Runs one scenario on `bed`, if that is of its kind, and leaves there what the next may use.
fn attempt(maker: &Maker, bed: &mut Option<Bed>, scenario: &Scenario) -> Outcome {
    match make_bed(maker, bed.take(), scenario) {
        Err(error) => Outcome::new(scenario.name, Instant::now(), Err(error)),
        Ok(current) => {
            let begun = Instant::now();
            let (result, kept) = run_one(maker, current, scenario.name, scenario.run);
            *bed = kept;
            Outcome::new(scenario.name, begun, result)
        }
    }
}

/// The bed of the scenario before, if it is of the kind this one asks for, or a new one.
fn make_bed(maker: &Maker, bed: Option<Bed>, scenario: &Scenario) -> Result<Bed> {
    match bed {
        Some(bed) if bed.spec == scenario.bed => Ok(bed),
        other => {
            // The machine is free for the next host only when the last one is gone.
            drop(other);
            maker.boot(scenario.bed).context("making its bed")
        }
    }
}

/// Runs one scenario. Returns the bed with the result if another may use it.
fn run_one(
    maker: &Maker,
    mut bed: Bed,
    name: &str,
    scenario: impl FnOnce(&mut Bed) -> Result<()>,
) -> (Result<()>, Option<Bed>) {
    // The panic's own words are on standard error by then; the scenarios that follow have beds of their own.
    let ran = catch_unwind(AssertUnwindSafe(|| scenario(&mut bed)));
    let ran = ran.unwrap_or_else(|_| bail!("it panicked, as said above"));
    let result = ran.and_then(|()| {
        if maker.is_checking() {
            checking::no_leaks(&bed)?;
        }
        Ok(())
    });
    // What the logs say explains a failure better than what the test saw of it.
    let result = match (result, bed.check_logs()) {
        (Ok(()), logs) => logs,
        (Err(error), Ok(())) => Err(error),
        (Err(error), Err(logs)) => Err(error.context(logs)),
    };
    match result {
        Ok(()) => (Ok(()), Some(bed)),
        Err(error) => {
            // A failed test may have left anything: the next one gets a new bed.
            let error = error.context(match keep_logs(maker, name, bed.dir()) {
                Ok(dir) => format!("logs in {}", dir.display()),
                Err(lost) => format!("its logs were not kept: {lost:#}"),
            });
            (Err(error), None)
        }
    }
}

/// Copies the run's logs to where the next boot does not remove them.
fn keep_logs(maker: &Maker, name: &str, from: &Path) -> Result<PathBuf> {
    let name = name.replace("::", "-");
    let dir = maker.cache().dir().join("failures").join(name);
    fs::create_dir_all(&dir)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            fs::copy(&path, dir.join(path.file_name().unwrap_or_default()))?;
        }
    }
    Ok(dir)
}
