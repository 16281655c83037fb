// SPDX-License-Identifier: GPL-3.0-only

//! Where log lines go: to the journal when systemd reads standard error, else to standard error.

use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

/// Whether standard error is the journal's: systemd names its device and inode in
/// `$JOURNAL_STREAM`.
fn goes_to_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    std::fs::metadata("/proc/self/fd/2")
        .is_ok_and(|stderr| stream == format!("{}:{}", stderr.dev(), stderr.ino()))
}

/// Starts logging; `verbose` counts the `-v`. `$RUST_LOG` may name targets and levels instead.
pub fn init(verbose: u8) {
    let (own, library) = match verbose {
        0 => (LevelFilter::INFO, LevelFilter::ERROR),
        1 => (LevelFilter::DEBUG, LevelFilter::WARN),
        _ => (LevelFilter::TRACE, LevelFilter::DEBUG),
    };
    let usual = || {
        Targets::new()
            .with_target("xlnetd", own)
            .with_default(library)
    };
    let filter = std::env::var("RUST_LOG")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(usual);
    let journal = goes_to_journal()
        .then(tracing_journald::layer)
        .and_then(Result::ok);
    let stderr = journal.is_none().then(|| {
        tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .without_time()
    });
    tracing_subscriber::registry()
        .with(filter)
        .with(journal)
        .with(stderr)
        .init();
}
