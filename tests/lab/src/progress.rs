// SPDX-License-Identifier: GPL-2.0
//! Tells a person what long work is being done.

use std::{
    io::{stderr, IsTerminal},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Where progress is shown: standard error, as spinners on a terminal and as lines elsewhere.
#[derive(Clone)]
pub struct Progress {
    bars: Option<MultiProgress>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            bars: stderr().is_terminal().then(MultiProgress::new),
        }
    }
}

impl Progress {
    /// Does `work` under the name `what`.
    ///
    /// # Errors
    /// The work's own, with `what` before it.
    pub fn step<T>(&self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let begun = Instant::now();
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner().with_message(what.to_owned()));
            bar.set_style(style("{spinner} {msg} ({elapsed})"));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let result = work();
        let mark = if result.is_ok() { "done" } else { "FAILED" };
        let line = format!("{mark} {what} ({:.1} s)", begun.elapsed().as_secs_f32());
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        self.say(&line);
        result.with_context(|| what.to_owned())
    }

    /// A bar over `len` equal pieces of work, advanced with [`ProgressBar::inc`].
    #[must_use]
    pub fn bar(&self, what: &str, len: u64) -> ProgressBar {
        match &self.bars {
            None => ProgressBar::hidden(),
            Some(bars) => {
                let bar = bars.add(ProgressBar::new(len).with_prefix(what.to_owned()));
                bar.set_style(style("{prefix} [{bar:30}] {pos}/{len} {msg} ({elapsed})"));
                bar.enable_steady_tick(Duration::from_millis(500));
                bar
            }
        }
    }

    /// Prints a line without tearing the bars.
    pub fn say(&self, line: &str) {
        match &self.bars {
            Some(bars) => {
                let _ = bars.println(line);
            }
            None => eprintln!("{line}"),
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
