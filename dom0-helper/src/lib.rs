// SPDX-License-Identifier: GPL-3.0-only

//! `xlnetd`, the Dom0 helper of xlnet: decides which guests may talk, and relays their handshakes
//! through xenstore.
//!
//! It is built as a chain of which only the ends touch the world: `inventory` and `report` read
//! what the toolstack and the guests wrote, `policy`, `addresses` and `told` say what follows,
//! `reconcile` finds the steps, `apply` takes them.
//!
//! Public is what the fuzzer in `tests/fuzz` needs to have a daemon act on a store of its own.

mod addresses;
mod apply;
mod budget;
mod care;
mod check;
mod clean;
mod cli;
pub mod config;
mod counts;
pub mod daemon;
mod dom0;
pub mod error;
mod hints;
mod inventory;
mod lock;
mod log;
mod model;
mod notify;
mod peers;
mod policy;
mod reconcile;
mod report;
mod status;
pub mod store;
mod told;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::cli::{Cli, Command};
use crate::config::Config;
use crate::error::{Error, EXIT_CHECK, EXIT_STOPPED};
use crate::lock::Lock;
use crate::model::Model;
use crate::status::Running;
use crate::store::xs::Xs;

/// What the program does: the command that its arguments name.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log::init(cli.global.verbose);
    if let Command::Completions { shell } = cli.command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "xlnetd", &mut script);
        return match status::print(String::from_utf8_lossy(&script).trim_end()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error),
        };
    }
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(source) => {
            return failed(&Error::System {
                doing: "start".into(),
                source,
            })
        }
    };
    match runtime.block_on(run(cli)) {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> ExitCode {
    tracing::error!("{error}");
    ExitCode::from(error.exit_code())
}

async fn run(cli: Cli) -> Result<ExitCode, Error> {
    let config = || Config::load(cli.global.config.as_deref());
    let holder = || Lock::holder(&cli.global.lock_file);
    let running = || Running::find(&cli.global.lock_file);
    match cli.command {
        Command::Run => daemon::run(Xs::connect().await?, config, &cli.global.lock_file).await?,
        Command::Peers(output) => {
            let model = Model::scan(config()?, &Xs::connect().await?).await?;
            peers::show(&model, &running(), &output)?;
        }
        Command::Status(output) => {
            let model = Model::scan(config()?, &Xs::connect().await?).await?;
            let running = running();
            status::show(&model, &running, &output)?;
            if !running.is_any() {
                return Ok(ExitCode::from(EXIT_STOPPED));
            }
        }
        Command::Check(output) => {
            if !check::check(config(), holder(), &output).await? {
                return Ok(ExitCode::from(EXIT_CHECK));
            }
        }
        Command::Clean => {
            let _lock = Lock::take(&cli.global.lock_file)?;
            clean::clean(&Xs::connect().await?).await?;
        }
        Command::Completions { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}
