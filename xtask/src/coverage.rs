// SPDX-License-Identifier: GPL-2.0
//! `cargo xtask coverage`: which lines of the protocol its host tests run.

use std::{collections::BTreeSet, path::PathBuf, process::Command};

use anyhow::{ensure, Context, Result};
use xlnet_lab::{cache::Cache, command, needs, product::Project, progress::Progress};

/// Whose tests count: the property and model tests, the peers that are simulated, and the crate's own.
const PACKAGES: [&str; 2] = ["xlnet-host-tests", "xlnet-proto"];

/// What is not the protocol.
const OTHERS: &str = "/tests/";

/// Runs the tests, and prints a table of files with the parts that were run.
pub fn run() -> Result<()> {
    let cache = Cache::open(Progress::default())?;
    let project = Project::find()?;
    needs::ensure(&cache)?;
    let llvm = llvm(&cache)?;
    if !needs::is_on_path("cargo-llvm-cov") {
        let log = cache.log("coverage");
        cache.progress().step("cargo install cargo-llvm-cov", || {
            let mut install = Command::new("cargo");
            install.args(["install", "--locked", "cargo-llvm-cov"]);
            command::run(&mut install, &log)
        })?;
    }
    let mut report = Command::new("cargo");
    report
        .args([
            "llvm-cov",
            "--summary-only",
            "--ignore-filename-regex",
            OTHERS,
        ])
        .args(PACKAGES.map(|package| format!("--package={package}")))
        .env("LLVM_COV", llvm.join("llvm-cov"))
        .env("LLVM_PROFDATA", llvm.join("llvm-profdata"))
        .current_dir(project.root());
    let status = report.status().context("running cargo llvm-cov")?;
    ensure!(
        status.success(),
        "the tests did not pass, or were not counted"
    );
    Ok(())
}

/// Where the tools are that read what this compiler's LLVM writes, of Debian's packages: those of rustup may be out of
/// reach.
fn llvm(cache: &Cache) -> Result<PathBuf> {
    let said = command::output(Command::new("rustc").arg("-vV"))?;
    let version = said
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))
        .and_then(|version| version.split('.').next())
        .context("rustc does not say which LLVM it has")?;
    let package = format!("llvm-{version}");
    let tools = PathBuf::from(format!("/usr/lib/{package}/bin"));
    if !tools.join("llvm-cov").exists() {
        needs::install(cache, &BTreeSet::from([package.as_str()]))?;
    }
    Ok(tools)
}
