// SPDX-License-Identifier: GPL-2.0
//! Reads what the machines have logged, for what no test may leave there.

use std::{collections::HashMap, fmt, fs, path::Path};

use anyhow::{Context, Result};

/// What stands in a log only when something is broken.
const BAD: &[&str] = &[
    "WARNING: ",
    "BUG: ",
    "BUG at ",
    "kernel BUG",
    "KFENCE: ",
    "KASAN: ",
    "INFO: trying to register non-static key",
    "new suspected memory leaks",
    "Kernel memory leak detector disabled",
    "ref_tracker: ",
    "Oops: ",
    "general protection",
    "still pending",
    "leaking g.e. ",
    "panicked at",
    "riple fault",
    "rcu: INFO: rcu",
    "self-detected stall",
    "detected stalls",
    "soft lockup",
    "hard LOCKUP",
    "blocked for more than",
    "scheduling while atomic",
    "Kernel panic",
    "Fatal exception",
    "Domain 0 crashed",
    "Xen BUG",
    "Assertion '",
    "refcount_t:",
    "UBSAN:",
    "unregister_netdevice: waiting for",
    "NETDEV WATCHDOG",
    "Out of memory:",
    "page allocation failure",
    "Bad mfn",
];

/// Lines that look bad and are known to be harmless, with the reason.
const HARMLESS: &[&str] = &[
    // netfront takes a reference to a page of slab memory (`get_page()` in `xennet_release_tx_bufs()`) when a guest is
    // restored that was saved with frames of its uplink under way, whoever sent them.
    "include/linux/mm.h:2128 at xennet_disconnect_backend+",
    // A scenario has a guest do that.
    "Kernel panic - not syncing: sysrq triggered crash",
];

/// A line no test may leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// File the line is in.
    pub log: String,
    /// Its number there, from 1.
    pub line: usize,
    /// The line.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.log, self.line, self.text)?;
        if self.text.contains("riple fault") {
            f.write_str(
                "\n  (the emulator's known fault, when PVH guests share a CPU, start at once, or the machine is busy: \
                 run it again on an idle machine before blaming the test)",
            )?;
        }
        Ok(())
    }
}

/// Remembers how far every log was read.
#[derive(Debug, Default)]
pub struct Reader {
    seen: HashMap<String, usize>,
}

impl Reader {
    /// What is bad in the lines that were added to the `*.log` files of `dir` since the last call.
    ///
    /// # Errors
    /// If a log cannot be read.
    pub fn findings(&mut self, dir: &Path) -> Result<Vec<Finding>> {
        let mut found = Vec::new();
        let mut paths = fs::read_dir(dir)
            .with_context(|| dir.display().to_string())?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<Vec<_>>>()?;
        paths.sort();
        for path in paths {
            if path.extension().is_none_or(|extension| extension != "log") {
                continue;
            }
            let text = fs::read(&path).with_context(|| path.display().to_string())?;
            let text = String::from_utf8_lossy(&text);
            let log = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            self.read(&log, &text, &mut found);
        }
        Ok(found)
    }

    fn read(&mut self, log: &str, text: &str, found: &mut Vec<Finding>) {
        let seen = self.seen.entry(log.to_owned()).or_default();
        for (index, line) in text.lines().enumerate().skip(*seen) {
            if BAD.iter().any(|bad| line.contains(bad))
                && !HARMLESS.iter().any(|harmless| line.contains(harmless))
            {
                found.push(Finding {
                    log: log.to_owned(),
                    line: index + 1,
                    text: line.trim_end().to_owned(),
                });
            }
        }
        // The last line may be half written: it is read again.
        *seen = text
            .lines()
            .count()
            .saturating_sub(usize::from(!text.ends_with('\n')));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_line_is_found_once() {
        let mut reader = Reader::default();
        let mut found = Vec::new();
        reader.read("x.log", "fine\n[1.0] BUG: KFENCE: x\nhal", &mut found);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].line, found[0].log.as_str()), (2, "x.log"));
        found.clear();
        reader.read(
            "x.log",
            "fine\n[1.0] BUG: KFENCE: x\nhalf: still pending\n",
            &mut found,
        );
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 3);
    }
}
