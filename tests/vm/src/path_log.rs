// SPDX-License-Identifier: GPL-2.0
//! When a guest had a channel and when not, as the lab's program in it has seen.

use anyhow::{ensure, Context, Result};
use xlnet_lab::{agent::Background, guest::Guest};

/// The watch under way. It ends when this is dropped.
pub struct PathWatch(Background);

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// A channel stands.
    Up,
    /// None does.
    Down,
    /// The guest goes on after it was suspended.
    Resumed,
}

/// What was seen.
#[derive(Debug)]
pub struct PathLog {
    /// Each change, with the milliseconds of the guest's time since the watch began.
    changes: Vec<(What, u64)>,
}

impl PathWatch {
    /// Starts it in `guest`, which may move meanwhile but has to be reached as it is now when the watch is stopped.
    ///
    /// # Errors
    /// If the agent cannot be reached.
    pub fn start(guest: &Guest) -> Result<Self> {
        guest.spawn("exec /lab/bin/xlnet-lab-path").map(Self)
    }

    /// Ends it.
    ///
    /// # Errors
    /// If the program has failed.
    pub fn stop(mut self) -> Result<PathLog> {
        self.0.signal(15)?;
        let output = self.0.wait()?;
        ensure!(output.success(), "xlnet-lab-path: {output}");
        PathLog::parse(&output.text()).with_context(|| format!("xlnet-lab-path: {output}"))
    }
}

impl PathLog {
    fn parse(text: &str) -> Result<Self> {
        let change = |line: &str| -> Result<(What, u64)> {
            let (word, at) = line.split_once(' ').context("no time")?;
            let what = match word {
                "up" => What::Up,
                "down" => What::Down,
                "resumed" => What::Resumed,
                _ => anyhow::bail!("no such change"),
            };
            Ok((what, at.parse()?))
        };
        Ok(Self {
            changes: text
                .lines()
                .map(|line| change(line).with_context(|| format!("{line:?}")))
                .collect::<Result<_>>()?,
        })
    }

    /// Of each channel that came after the guest went on: the milliseconds of its time between.
    pub(crate) fn joined_ms(&self) -> Vec<u64> {
        let mut resumed = None;
        let mut joined = Vec::new();
        for (what, at) in &self.changes {
            match what {
                What::Resumed => resumed = Some(at),
                What::Up => joined.extend(resumed.take().map(|from| at - from)),
                What::Down => {}
            }
        }
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_tells_how_long_a_channel_took() {
        let text = "up 0\ndown 500\nresumed 510\nresumed 900\nup 1000\ndown 1500\nup 2000\n";
        let log = PathLog::parse(text).unwrap();
        assert_eq!(log.joined_ms(), [100]);
        assert!(PathLog::parse("sideways 3\n").is_err());
    }
}
