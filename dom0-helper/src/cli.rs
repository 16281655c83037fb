// SPDX-License-Identifier: GPL-3.0-only

//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::error::EXIT_CODES_HELP;

/// Where the configuration is unless `--config` says otherwise.
pub const DEFAULT_CONFIG: &str = "/etc/xlnet/xlnetd.toml";

/// Decides which guests of this Xen host may talk through shared memory, and relays their
/// handshakes.
///
/// xlnetd runs in Dom0, beside xenstored. It is never on the data path: stopping it stops no
/// traffic.
#[derive(Debug, Parser)]
#[command(name = "xlnetd", version, after_help = EXIT_CODES_HELP, subcommand_required = true)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// Configuration file; without it /etc/xlnet/xlnetd.toml, or the defaults if there is none
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Lock file that lets one xlnetd run at a time
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "/run/xlnetd.lock"
    )]
    pub lock_file: PathBuf,
    /// Say more in the log; twice for every request
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// How a command that shows something shows it.
#[derive(Debug, Args)]
pub struct Output {
    /// Print JSON for programs instead of a table
    #[arg(long)]
    pub json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the guests of this host until told to stop; what it wrote stays when it stops
    Run,
    /// Show which guest may reach which, and where each channel stands
    Peers(Output),
    /// Show the guests, their groups and addresses, and what is wrong
    Status(Output),
    /// Check whether this Dom0 is able to run xlnet, and what is missing
    Check(Output),
    /// Remove every node xlnetd ever wrote, so that all guests use their uplinks; not while it
    /// runs
    Clean,
    /// Print the completion script for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
