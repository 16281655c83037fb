// SPDX-License-Identifier: GPL-2.0
//! `cargo xtask …`: builds, tests and shows xlnet.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod bench;
mod build;
mod coverage;
mod demo;
mod lab;
mod path;
mod plot;
mod test;

/// Builds, tests and shows xlnet.
#[derive(Parser)]
#[command(name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build xlnet.ko and xlnetd, and say where they are
    Build(build::Args),
    /// A Xen host with guests, to work in
    #[command(subcommand)]
    Lab(lab::Command),
    /// Measure two guests over the uplink, xlnet0 and loopback, and show it
    Demo(demo::Args),
    /// Measure everything in every setting, path by path, and judge it
    Bench(bench::Args),
    /// Say which lines of the protocol its tests run
    Coverage,
    /// Test everything; the last line is `N passed, N failed`
    Test(test::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result: Result<ExitCode> = match cli.command {
        Command::Build(args) => build::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Lab(command) => lab::run(&command),
        Command::Demo(args) => demo::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Bench(args) => bench::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Coverage => coverage::run().map(|()| ExitCode::SUCCESS),
        Command::Test(args) => test::run(&args).map(|passed| ExitCode::from(u8::from(!passed))),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}
