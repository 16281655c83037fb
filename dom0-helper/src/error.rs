// SPDX-License-Identifier: GPL-3.0-only

//! What can go wrong, and the exit code each failure ends the program with.

use std::path::PathBuf;
use std::time::Duration;

/// Exit code of `check` when it found something that keeps xlnet from working.
pub const EXIT_CHECK: u8 = 1;
/// Exit code of a configuration file that is missing, unreadable or wrong.
pub const EXIT_CONFIG: u8 = 3;
/// Exit code when xenstore cannot be reached, or stopped answering.
pub const EXIT_STORE: u8 = 4;
/// Exit code when another xlnetd already runs.
pub const EXIT_LOCKED: u8 = 5;
/// Exit code when this is not Dom0, or the user may not do what was asked.
pub const EXIT_NOT_DOM0: u8 = 6;
/// Exit code of any other failure of the system.
pub const EXIT_SYSTEM: u8 = 7;
/// Exit code of `status` when no daemon runs; what it shows is right all the same.
pub const EXIT_STOPPED: u8 = 8;

/// The table of exit codes that `--help` shows.
pub const EXIT_CODES_HELP: &str = "\
Exit codes:
  0  done
  1  check found something that keeps xlnet from working
  2  wrong command line
  3  the configuration file is missing, unreadable or wrong
  4  xenstore cannot be reached, or stopped answering
  5  another xlnetd already runs
  6  not in Dom0, or not allowed
  7  any other failure of the system
  8  status: xlnetd is not running";

/// A failure that ends the program.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration file cannot be read.
    #[error("cannot read the configuration {path}: {source}; give another with --config")]
    ConfigRead {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The configuration file was read and is wrong.
    #[error("wrong configuration {path}: {reason}")]
    ConfigWrong {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line where the parser knows it.
        reason: String,
    },
    /// The store failed in a way that retrying on the same connection does not mend.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another instance holds the lock.
    #[error("another xlnetd (pid {pid}) holds {path}; stop it first (systemctl stop xlnetd)")]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// What the holder wrote into it.
        pid: String,
    },
    /// xenstore says that this is a guest.
    #[error("this is domain {domid}, not Dom0; xlnetd runs in Dom0 only")]
    NotDom0 {
        /// The domain it is.
        domid: String,
    },
    /// A call to the operating system failed.
    #[error("cannot {doing}: {source}")]
    System {
        /// What was being done, to what.
        doing: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl Error {
    /// The exit code of this failure.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::ConfigRead { .. } | Self::ConfigWrong { .. } => EXIT_CONFIG,
            Self::Store(StoreError::Denied { .. }) => EXIT_NOT_DOM0,
            Self::Store(_) => EXIT_STORE,
            Self::Locked { .. } => EXIT_LOCKED,
            Self::NotDom0 { .. } => EXIT_NOT_DOM0,
            Self::System { source, .. }
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                EXIT_NOT_DOM0
            }
            Self::System { .. } => EXIT_SYSTEM,
        }
    }
}

/// A failed request to xenstore. A node that does not exist is not a failure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No connection could be made.
    #[error("cannot connect to xenstore ({reason}); is xenstored running, and is this Dom0?")]
    Connect {
        /// Why.
        reason: String,
    },
    /// No answer in time.
    #[error("xenstore did not answer '{request}' within {} s; is xenstored alive, and the host overloaded?", timeout.as_secs())]
    Timeout {
        /// The request and its path.
        request: String,
        /// How long it was waited for.
        timeout: Duration,
    },
    /// The connection is gone.
    #[error("the connection to xenstore broke at '{request}': {reason}; has xenstored ended?")]
    Broken {
        /// The request and its path.
        request: String,
        /// Why.
        reason: String,
    },
    /// xenstore refuses it to this user or domain.
    #[error("xenstore refuses '{request}'; xlnetd must run as root in Dom0")]
    Denied {
        /// The request and its path.
        request: String,
    },
    /// What is stored there cannot be read as text, or is too long to be sent.
    #[error("xenstore cannot return '{request}': {reason}")]
    Unreadable {
        /// The request and its path.
        request: String,
        /// Why.
        reason: String,
    },
    /// Any other refusal.
    #[error("xenstore failed '{request}': {reason}")]
    Refused {
        /// The request and its path.
        request: String,
        /// Its own words.
        reason: String,
    },
}

impl StoreError {
    /// Whether the connection is of no more use, so that the program has to end.
    pub fn is_fatal(&self) -> bool {
        !matches!(self, Self::Unreadable { .. } | Self::Refused { .. })
    }
}
