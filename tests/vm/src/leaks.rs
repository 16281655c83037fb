// SPDX-License-Identifier: GPL-2.0
//! What guests hold of Xen, of xenstore and of memory, so that what was begun with can be compared with what is left.

use std::collections::BTreeMap;

use anyhow::{bail, ensure, Context, Result};
use xlnet_lab::{agent::Agent, guest::Guest, host::Host};

use crate::{bed::eventually, helper};

/// Memory that may be in use afterwards beyond what was before, in KiB: caches of the allocators. A channel is 1028.
const SLACK: u64 = 4 << 10;

/// The same after much, as what a guest's system writes meanwhile is in its memory, too.
pub(crate) const SLACK_AFTER_MUCH: u64 = 8 << 10;

/// What Linux 7.3's netfront loses for each interface each time that a guest goes on, in KiB: the pages of its receive ring
/// (docs/operators-guide.md).
const LOST_BY_NETFRONT: u64 = 1100;

/// The most frames that a grant table has for two uplinks, and for five channels with what their peers may still map of
/// earlier ones: 1036 + 5 × 769 grants, in frames of 512.
const FRAMES_AFTER_MUCH: u64 = 10;

const LSEVTCHN: &str = "/usr/lib/xen-4.20/bin/lsevtchn";

/// What is held while nothing happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holdings {
    /// Of each domain: what is counted, and how many.
    counts: BTreeMap<String, u64>,
    /// Of each guest: free memory in KiB.
    free: BTreeMap<String, u64>,
    /// How much less that may be.
    slack: u64,
}

impl Holdings {
    /// Counts what Dom0 and the guests of `host` hold. There should be neither traffic nor a channel.
    ///
    /// # Errors
    /// If Xen, xenstore or a guest does not say.
    pub(crate) fn read(host: &Host) -> Result<Self> {
        let mut holdings = Self {
            counts: BTreeMap::new(),
            free: BTreeMap::new(),
            slack: SLACK,
        };
        let grants = grants(host)?;
        for guest in host.guests() {
            let (name, domid) = (guest.config.name(), guest.domid()?);
            let mut count = |what: &str, value: u64| {
                holdings.counts.insert(format!("{name}: {what}"), value);
            };
            let used = grants.get(&domid).copied().unwrap_or((0, 0));
            count("grants in use", used.0);
            count("grant table frames", used.1);
            count("event channels", event_channels(host, domid)?);
            count("interrupts", interrupts(guest)?);
            for (what, value) in store(host, domid)? {
                count(&what, value);
            }
            holdings.free.insert(name, free(guest)?);
        }
        for (what, value) in store(host, 0)? {
            holdings.counts.insert(format!("dom0: {what}"), value);
        }
        holdings
            .counts
            .insert("dom0: event channels".to_owned(), event_channels(host, 0)?);
        let daemon = helper::pid(host)?;
        let files = number(&host.sh(&format!("ls /proc/{daemon}/fd | wc -l"))?)?;
        holdings.counts.insert("xlnetd: files".to_owned(), files);
        Ok(holdings)
    }

    /// The same as what may be held after guests have come, gone and talked to each other in any way: some of it does not become less
    /// when it is not used any more.
    pub(crate) fn after_much(mut self) -> Self {
        self.slack = SLACK_AFTER_MUCH;
        for (what, count) in &mut self.counts {
            if what.ends_with("grant table frames") {
                *count = FRAMES_AFTER_MUCH.max(*count);
            }
        }
        self
    }

    /// The same after that guest has gone on elsewhere so many times.
    pub(crate) fn after_moves(mut self, guest: &Guest, times: u64) -> Self {
        let interfaces = 1 + u64::from(guest.config.control_vif);
        if let Some(free) = self.free.get_mut(&guest.config.name()) {
            *free = free.saturating_sub(times * interfaces * LOST_BY_NETFRONT);
        }
        self
    }

    /// The same, whatever memory that guest has.
    pub(crate) fn but_for_memory_of(mut self, guest: &Guest) -> Self {
        self.free.remove(&guest.config.name());
        self
    }

    /// Waits until no more is held than this, but for some memory.
    ///
    /// # Errors
    /// If more is: what.
    pub(crate) fn await_return(&self, host: &Host) -> Result<()> {
        eventually("what was taken is given back", || {
            let left = self.exceeded_by(&Self::read(host)?);
            if left.is_empty() {
                return Ok(true);
            }
            bail!("{}", left.join("; "))
        })
    }

    fn exceeded_by(&self, now: &Self) -> Vec<String> {
        let mut left = Vec::new();
        for (what, count) in &now.counts {
            let before = self.counts.get(what).copied().unwrap_or(0);
            if *count > before {
                left.push(format!("{what}: {before} before, {count} now"));
            }
        }
        for (guest, free) in &now.free {
            let before = self.free.get(guest).copied().unwrap_or(0);
            if free + self.slack < before {
                left.push(format!("{guest}: {before} KiB free before, {free} now"));
            }
        }
        left
    }
}

fn number(text: &str) -> Result<u64> {
    let text = text.trim();
    text.parse().with_context(|| format!("a number: {text:?}"))
}

/// Of each domain: the grants that another domain uses now, and the pages of its grant table. The table does not shrink:
/// 512 grants that are never ended make it grow by one page.
fn grants(dom0: &Agent) -> Result<BTreeMap<u32, (u64, u64)>> {
    let text = dom0.sh("xl dmesg -c >/dev/null; xl debug-keys g; xl dmesg")?;
    parse_grants(&text).with_context(|| format!("Xen's grant tables: {text}"))
}

fn parse_grants(text: &str) -> Result<BTreeMap<u32, (u64, u64)>> {
    let mut tables = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        match words.as_slice() {
            ["grant-table", "for", "remote", domain, ..] => {
                let domid = domain.trim_start_matches('d').parse().context("domid")?;
                current = Some(domid);
                tables.insert(domid, (0, 0));
            }
            [frames, "frames", ..] => {
                if let Some(table) = current.and_then(|domid| tables.get_mut(&domid)) {
                    table.1 = number(frames)?;
                }
            }
            [entry, ..] if entry.starts_with("[0x") => {
                if let Some(table) = current.and_then(|domid| tables.get_mut(&domid)) {
                    table.0 += 1;
                }
            }
            _ => {}
        }
    }
    ensure!(!tables.is_empty(), "there are none");
    Ok(tables)
}

/// Event channels of a domain.
pub(crate) fn event_channels(dom0: &Agent, domid: u32) -> Result<u64> {
    number(&dom0.sh(&format!("{LSEVTCHN} {domid} | wc -l"))?)
}

fn interrupts(guest: &Guest) -> Result<u64> {
    number(&guest.sh("wc -l < /proc/interrupts")?)
}

/// What xenstored itself counts for a domain: nodes, watches, transactions. Not its memory, which is the bytes of paths and
/// values: a domain of a higher number has more of them.
fn store(dom0: &Agent, domid: u32) -> Result<Vec<(String, u64)>> {
    let text = dom0.sh(&format!("xenstore-control quota {domid}"))?;
    let counts: Vec<_> = text
        .lines()
        .filter_map(|line| {
            let (what, count) = line.split_once(':')?;
            let count = count.split_whitespace().next()?.parse().ok()?;
            Some((format!("xenstore {}", what.trim()), count))
        })
        .filter(|(what, _)| !what.contains("memory"))
        .collect();
    ensure!(
        counts.iter().any(|(what, _)| what.contains("watches")),
        "xenstored counts no watches: {text:?}"
    );
    Ok(counts)
}

/// Free memory of a guest, in KiB, its caches dropped.
///
/// # Errors
/// If it does not say.
pub(crate) fn free(guest: &Guest) -> Result<u64> {
    let text = guest.sh(
        "sync; echo 3 > /proc/sys/vm/drop_caches; sleep 0.5; echo 3 > /proc/sys/vm/drop_caches
        sed -n 's/^MemFree: *\\([0-9]*\\) kB$/\\1/p' /proc/meminfo",
    )?;
    number(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_counted_by_domain() {
        let text = "(XEN) gnttab_usage_print_all [ key 'g' pressed\n\
                    (XEN)       -------- active --------       -------- shared --------\n\
                    (XEN) [ref] localdom mfn      pin          localdom gmfn     flags\n\
                    (XEN) grant-table for remote d0 (v1)\n\
                    (XEN)   1 frames (64 max), 5 maptrack frames (1024 max)\n\
                    (XEN) no active grant table entries\n\
                    (XEN) grant-table for remote d1 (v1)\n\
                    (XEN)   2 frames (64 max), 0 maptrack frames (1024 max)\n\
                    (XEN) [0x000]      0 0x13f8f5 0x00000002          0 0x00f8f5 0x19\n\
                    (XEN) [0x001]      0 0x13f8f4 0x00000002          0 0x00f8f4 0x19\n";
        let tables = parse_grants(text).unwrap();
        assert_eq!(tables.get(&0), Some(&(0, 1)));
        assert_eq!(tables.get(&1), Some(&(2, 2)));
        assert!(parse_grants("").is_err());
    }

    #[test]
    fn more_than_before_is_told() {
        let holdings = |count, free| Holdings {
            counts: [("g1: event channels".to_owned(), count)].into(),
            free: [("g1".to_owned(), free)].into(),
            slack: SLACK,
        };
        let before = holdings(9, 100_000);
        assert!(before.exceeded_by(&holdings(9, 99_000)).is_empty());
        assert_eq!(before.exceeded_by(&holdings(10, 100_000)).len(), 1);
        assert_eq!(before.exceeded_by(&holdings(9, 90_000)).len(), 1);
    }
}
