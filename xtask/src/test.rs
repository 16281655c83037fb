// SPDX-License-Identifier: GPL-2.0
//! `cargo xtask test`: everything that can be checked, from formatting to real Xen.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command, thread, time::Instant};

use anyhow::{anyhow, bail, ensure, Context, Result};
use clap::ValueEnum;
use xlnet_lab::{
    cache::Cache, command, image::GuestKernel, needs, product::Project, progress::Progress,
};
use xlnet_vm_tests::{
    bed::Maker,
    runner::{self, Outcome},
    scenarios,
};

mod lint;
mod report;

use report::{close, counted, Checked};

/// What to test.
#[derive(clap::Args)]
pub struct Args {
    /// Only these areas; all by default
    #[arg(value_enum)]
    areas: Vec<Area>,
    /// Of the Xen tests, only those whose name contains this, or one of these, long ones too
    #[arg(long)]
    filter: Vec<String>,
    /// The Xen tests that take long, too
    #[arg(long)]
    long: bool,
    /// Only the Xen tests with a hostile guest
    #[arg(long, conflicts_with_all = ["areas", "filter"])]
    hostile: bool,
    /// Only the Xen tests, with PVH guests whose kernel checks itself (KASAN, lockdep, …); it is built first if need be
    #[arg(long, conflicts_with = "areas")]
    checking: bool,
    /// Only that anything happens to any of six guests, for a while
    #[arg(long, conflicts_with_all = ["areas", "filter", "long", "hostile", "list"])]
    chaos: bool,
    /// What happens then, and in which order
    #[arg(long, requires = "chaos", default_value_t = 1)]
    seed: u64,
    /// For how long
    #[arg(long, requires = "chaos", default_value_t = 30)]
    minutes: u32,
    /// List the Xen tests and stop
    #[arg(long)]
    list: bool,
    /// How long each fuzz target runs, in seconds
    #[arg(long, default_value_t = 10)]
    fuzz_seconds: u32,
    /// Print the results as JSON, before the closing line
    #[arg(long)]
    json: bool,
}

/// A part of the tests.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Area {
    /// rustfmt, clippy, shellcheck; the module's too
    Lint,
    /// The protocol: model-based tests, loom, also of the channel's end, fuzzing
    Host,
    /// xlnetd against both real xenstore daemons
    Helper,
    /// The guests' routing script, in network namespaces
    Route,
    /// Everything together, on real Xen
    Vm,
}

/// Runs them all, and says whether all passed.
pub fn run(args: &Args) -> Result<bool> {
    let chosen: Vec<_> = scenarios()
        .into_iter()
        .filter(|scenario| match args.checking {
            true => scenario.bed.has_pvh(),
            false => !scenario.checking,
        })
        .filter(|scenario| match args.filter.as_slice() {
            [] if args.hostile => scenario.name.starts_with("hostile::"),
            [] => args.long || !scenario.long,
            parts => parts.iter().any(|part| scenario.name.contains(part)),
        })
        .collect();
    if args.list {
        for scenario in chosen {
            println!("{}", scenario.name);
        }
        return Ok(true);
    }
    ensure!(
        args.filter.is_empty() || !chosen.is_empty(),
        "no Xen test is called like that: see --list, with --checking for those that need a kernel that checks itself"
    );
    let cache = Cache::open(Progress::default())?;
    needs::ensure(&cache)?;
    let project = Project::find()?;
    let mut tests = Tests::new(&cache, &project);
    let guests = GuestKernel::new(args.checking);
    if args.chaos {
        tests.vm(guests, |maker| {
            vec![runner::chaos(maker, args.seed, args.minutes)]
        });
        return Ok(close(&tests.results, args.json));
    }
    let wanted = |area| match args.hostile || args.checking {
        true => area == Area::Vm,
        false => args.areas.is_empty() || args.areas.contains(&area),
    };
    if wanted(Area::Lint) {
        tests.lint()?;
    }
    // Neither of the two fills a machine's processors by itself.
    let beside = thread::scope(|scope| {
        let beside = scope.spawn(|| -> Result<_> {
            let mut tests = Tests::new(&cache, &project);
            if wanted(Area::Helper) {
                tests.helper()?;
            }
            if wanted(Area::Route) {
                tests.route()?;
            }
            Ok(tests.results)
        });
        if wanted(Area::Host) {
            tests.host(args.fuzz_seconds)?;
        }
        beside
            .join()
            .unwrap_or_else(|_| bail!("a testing thread panicked"))
    })?;
    tests.results.extend(beside);
    if wanted(Area::Vm) && !chosen.is_empty() {
        tests.vm(guests, |maker| runner::run(maker, &chosen));
    }
    Ok(close(&tests.results, args.json))
}

struct Tests<'a> {
    cache: &'a Cache,
    project: &'a Project,
    results: Vec<Checked>,
}

impl<'a> Tests<'a> {
    fn new(cache: &'a Cache, project: &'a Project) -> Self {
        Self {
            cache,
            project,
            results: Vec::new(),
        }
    }

    fn host(&mut self, fuzz_seconds: u32) -> Result<()> {
        self.check(
            "protocol",
            cargo().args([
                "test",
                "--workspace",
                "--exclude",
                "xlnetd",
                "--no-fail-fast",
            ]),
        );
        self.check(
            "protocol and channel under loom",
            under_loom("test").arg("--release"),
        );
        self.install(&[("g++", "g++")])?;
        for target in files_in(&self.project.root().join("tests/fuzz/fuzz_targets"))? {
            let name = target
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let found = self.cache.dir().join("fuzz").join(&name);
            fs::create_dir_all(&found)?;
            self.check(
                &format!("fuzz {name}"),
                cargo()
                    .args(["run", "--release", "--bin", &name, "--"])
                    .arg(format!("-max_total_time={fuzz_seconds}"))
                    .arg(format!("-artifact_prefix={}/", found.display()))
                    .args([&found, &PathBuf::from("corpus").join(&name)])
                    .current_dir(self.project.root().join("tests/fuzz")),
            );
        }
        Ok(())
    }

    fn helper(&mut self) -> Result<()> {
        let version = fs::read_to_string("/etc/os-release")?;
        let package = if version.contains("VERSION_ID=\"12\"") {
            "xen-utils-4.17"
        } else {
            "xen-utils-4.20"
        };
        let library = format!("/usr/lib/{}", package.replace("-utils", ""));
        if !PathBuf::from(library).is_dir() {
            needs::install(self.cache, &BTreeSet::from([package]))?;
        }
        self.install(&[("gcc", "gcc")])?;
        self.check(
            "helper",
            cargo().args(["test", "--package", "xlnetd", "--no-fail-fast"]),
        );
        Ok(())
    }

    fn route(&mut self) -> Result<()> {
        self.install(&[
            ("ip", "iproute2"),
            ("ping", "iputils-ping"),
            ("ps", "procps"),
            // Every awk that the script says it works with.
            ("gawk", "gawk"),
            ("busybox", "busybox"),
        ])?;
        let mut script = Command::new("sh");
        self.check("guest routing", script.arg("tests/route/run.sh"));
        Ok(())
    }

    fn vm(&mut self, guests: GuestKernel, run: impl FnOnce(&Maker) -> Vec<Outcome>) {
        let maker = match Maker::new(self.cache, self.project, guests) {
            Ok(maker) => maker,
            Err(error) => {
                self.step("prepare the Xen tests", || Err(error));
                return;
            }
        };
        for outcome in run(&maker) {
            let failed = u32::from(outcome.failure.is_some());
            self.results.push(Checked {
                name: outcome.name.to_owned(),
                passed: 1 - failed,
                failed,
                seconds: outcome.seconds,
                failure: outcome.failure,
            });
        }
    }

    fn install(&self, programs: &[(&str, &'static str)]) -> Result<()> {
        let missing: BTreeSet<_> = programs
            .iter()
            .filter(|(program, _)| !needs::is_on_path(program))
            .map(|(_, package)| *package)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        needs::install(self.cache, &missing)
    }

    /// Runs a program that reports how many tests passed, or is one test itself.
    fn check(&mut self, name: &str, program: &mut Command) {
        let log = self.cache.log(&name.replace([' ', ':'], "-"));
        if program.get_current_dir().is_none() {
            program.current_dir(self.project.root());
        }
        let begun = Instant::now();
        let result = fs::write(&log, "")
            .with_context(|| log.display().to_string())
            .and_then(|()| {
                self.cache
                    .progress()
                    .step(name, || command::run(program, &log))
            });
        let text = fs::read(&log).unwrap_or_default();
        let (passed, failed, result) = match (counted(&String::from_utf8_lossy(&text)), result) {
            // A program that fails without a failed test did not get to its tests.
            (Some((passed, 0)), Err(error)) => (passed, 1, Err(error)),
            (Some((0, 0)), Ok(())) => (0, 1, Err(anyhow!("{name}: no test ran"))),
            (Some((passed, failed)), result) => (passed, failed, result),
            (None, result) => (
                u32::from(result.is_ok()),
                u32::from(result.is_err()),
                result,
            ),
        };
        self.add(name, passed, failed, begun, result);
    }

    /// Runs something that is one test.
    fn step(&mut self, name: &str, work: impl FnOnce() -> Result<()>) {
        let begun = Instant::now();
        let result = self.cache.progress().step(name, work);
        let failed = u32::from(result.is_err());
        self.add(name, 1 - failed, failed, begun, result);
    }

    fn add(&mut self, name: &str, passed: u32, failed: u32, begun: Instant, result: Result<()>) {
        let failure = result.err().map(|error| format!("{error:#}"));
        if let Some(failure) = &failure {
            self.cache.progress().say(failure);
        }
        let seconds = begun.elapsed().as_secs_f32();
        self.results.push(Checked {
            name: name.to_owned(),
            passed,
            failed,
            seconds,
            failure,
        });
    }
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Does something with the tests that run under loom, whose configuration is another.
fn under_loom(command: &str) -> Command {
    let mut cargo = cargo();
    let args = ["--package", "xlnet-host-tests", "--test", "loom"];
    cargo.arg(command).args(args).args(["--test", "teardown"]);
    // Which comes before the other.
    cargo.env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo.env("RUSTFLAGS", "--cfg loom");
    cargo
}

fn files_in(dir: &std::path::Path) -> Result<Vec<PathBuf>> {
    let mut files = fs::read_dir(dir)
        .with_context(|| dir.display().to_string())?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}
