// SPDX-License-Identifier: GPL-2.0
//! A host's logs.

use std::fs;

use anyhow::{bail, Result};

use super::Host;
use crate::logs::Finding;

impl Host {
    /// Brings the logs of Dom0 and of the guests' consoles into [`Host::dir`].
    ///
    /// # Errors
    /// If Dom0 does not answer.
    pub fn collect_logs(&self) -> Result<()> {
        fs::write(self.dir.join("dom0-dmesg.log"), self.sh("dmesg")?)?;
        let names = self.sh("cd /var/log/xen && find . -name '*.log' -size +0")?;
        for name in names.lines().map(|name| name.trim_start_matches("./")) {
            let log = self.get(&format!("/var/log/xen/{name}"))?;
            fs::write(self.dir.join(name.replace('/', "-")), log)?;
        }
        Ok(())
    }

    /// What is bad in the lines all logs got since the last call.
    ///
    /// # Errors
    /// If a log cannot be read.
    pub fn findings(&self) -> Result<Vec<Finding>> {
        // Where Dom0 is gone, its console still tells why.
        let collected = self.collect_logs();
        let mut reader = self
            .reader
            .lock()
            .map_err(|_| anyhow::anyhow!("a log reader panicked"))?;
        let found = reader.findings(&self.dir)?;
        if found.is_empty() {
            collected?;
        }
        Ok(found)
    }

    /// Fails if a log got a line that no test may leave, and names it.
    ///
    /// # Errors
    /// Those lines.
    pub fn check_logs(&self) -> Result<()> {
        let found = self.findings()?;
        if found.is_empty() {
            return Ok(());
        }
        let lines: Vec<_> = found.iter().map(ToString::to_string).collect();
        bail!(
            "the logs in {} say\n{}",
            self.dir.display(),
            lines.join("\n")
        );
    }
}
