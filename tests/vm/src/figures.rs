// SPDX-License-Identifier: GPL-2.0
//! What a guest counts at xlnet0, and Dom0 at a guest's uplink.

use std::collections::{BTreeMap, HashMap};

use anyhow::{ensure, Context, Result};
use xlnet_lab::{
    agent::{Agent, DEFAULT_TIMEOUT},
    guest::Guest,
};

const READ: &str =
    "ethtool -S xlnet0 && cd /sys/class/net/xlnet0/statistics && grep . * | sed s/^/link_/";

/// Endings of the driver's names for frames that it threw away itself.
const THROWN_AWAY: [&str; 5] = [
    "_dropped",
    "_no_peer",
    "_spoofed",
    "_bad_offload",
    "_no_memory",
];

/// What says how it is now, beside `peers`.
const NOT_COUNTERS: [&str; 3] = ["pages_pinned", "event_ns", "last_leave_ms"];

/// Counters as `ethtool -S xlnet0` names them, or `link_` and their name below `/sys/class/net/xlnet0/statistics`.
#[derive(Debug)]
pub struct Figures(HashMap<String, u64>);

impl Figures {
    /// Reads those of `guest`.
    ///
    /// # Errors
    /// If there is no xlnet0.
    pub fn read(guest: &Agent) -> Result<Self> {
        Self::parse(&guest.sh(READ)?)
    }

    /// As [`Figures::read`], but only what `ethtool` says, by a single process: each takes an emulated guest some tenths
    /// of a second.
    ///
    /// # Errors
    /// If there is no xlnet0.
    pub fn read_quickly(guest: &Agent) -> Result<Self> {
        let output = guest.run(&["ethtool", "-S", "xlnet0"], b"", DEFAULT_TIMEOUT)?;
        ensure!(output.success(), "{}: ethtool: {output}", guest.name());
        Self::parse(&output.text())
    }

    fn parse(text: &str) -> Result<Self> {
        text.lines()
            .filter(|line| line.contains('_'))
            .filter(|line| !NOT_COUNTERS.iter().any(|name| line.contains(name)))
            .map(|line| {
                let (name, value) = line.split_once(':').context(line.to_owned())?;
                let value = value.trim().parse().context(line.to_owned())?;
                Ok((name.trim().to_owned(), value))
            })
            .collect::<Result<_>>()
            .map(Self)
    }

    /// One of them.
    ///
    /// # Errors
    /// If there is no such counter.
    pub fn get(&self, name: &str) -> Result<u64> {
        let figure = self.0.get(name).copied();
        figure.with_context(|| format!("there is no counter {name}"))
    }

    /// What was added to each since `before`.
    ///
    /// # Errors
    /// If one has gone backwards.
    pub fn since(self, before: &Self) -> Result<Self> {
        let more = |(name, value): (String, u64)| {
            let old = before.0.get(&name).copied().unwrap_or(0);
            let more = value
                .checked_sub(old)
                .with_context(|| format!("{name} went from {old} to {value}"))?;
            Ok((name, more))
        };
        self.0
            .into_iter()
            .map(more)
            .collect::<Result<_>>()
            .map(Self)
    }

    /// What was added to which since `before`, in the order of their names, each of all peers and of departed ones together.
    #[must_use]
    pub(crate) fn added_to(&self, before: &Self) -> Vec<(String, u64)> {
        let before = before.by_kind();
        let more = self.by_kind().into_iter().filter_map(|(name, count)| {
            let old = before.get(name).copied().unwrap_or(0);
            let more = count.checked_sub(old).filter(|more| *more > 0)?;
            Some((name.to_owned(), more))
        });
        more.collect()
    }

    fn by_kind(&self) -> BTreeMap<&str, u64> {
        let mut sums = BTreeMap::new();
        for (name, count) in &self.0 {
            let whose = |prefix: &str| prefix == "departed" || prefix.starts_with("peer");
            let kind = match name.split_once('_') {
                Some((prefix, kind)) if whose(prefix) => kind,
                _ => name,
            };
            *sums.entry(kind).or_default() += count;
        }
        sums
    }

    /// The sum of those that end with `ending`, of all peers and of departed ones.
    #[must_use]
    pub fn sum(&self, ending: &str) -> u64 {
        let own = self.0.iter().filter(|(name, _)| name.ends_with(ending));
        own.map(|(_, count)| count).sum()
    }

    /// Frames that Linux threw away at xlnet0, not the driver.
    ///
    /// # Errors
    /// If they are not counted.
    pub fn dropped_by_stack(&self) -> Result<u64> {
        let all = self.get("link_tx_dropped")? + self.get("link_rx_dropped")?;
        let own = self.0.iter().filter(|(name, _)| {
            !name.starts_with("link_") && THROWN_AWAY.iter().any(|end| name.ends_with(end))
        });
        Ok(all.saturating_sub(own.map(|(_, count)| count).sum()))
    }
}

/// Frames that xlnet0 has sent and received.
///
/// # Errors
/// If there is no xlnet0.
pub fn frames(guest: &Agent) -> Result<u64> {
    sum(guest, "/sys/class/net/xlnet0/statistics/[rt]x_packets")
}

/// Frames that have passed Dom0's end of the guest's uplink.
///
/// # Errors
/// If the guest is gone.
pub fn vif_frames(dom0: &Agent, guest: &Guest) -> Result<u64> {
    let vif = guest.vif()?;
    sum(
        dom0,
        &format!("/sys/class/net/{vif}/statistics/[rt]x_packets"),
    )
}

fn sum(place: &Agent, files: &str) -> Result<u64> {
    let text = place.sh(&format!("cat {files}"))?;
    text.lines()
        .map(|line| line.parse::<u64>().with_context(|| format!("{line:?}")))
        .sum()
}

/// A counter that belongs to peer `domid`; 0 if that is no peer.
///
/// # Errors
/// If there is no xlnet0, or no peer has such a counter.
pub fn counter(guest: &Agent, domid: u32, name: &str) -> Result<u64> {
    let figures = Figures::read(guest)?;
    let peer = format!("peer{domid}_");
    if !figures.0.keys().any(|name| name.starts_with(&peer)) {
        return Ok(0);
    }
    figures.get(&format!("{peer}{name}"))
}

/// How long, in milliseconds of the guest's time, its driver took to let go of all channels when it was last suspended.
///
/// # Errors
/// If there is no xlnet0.
pub fn last_leave_ms(guest: &Agent) -> Result<u32> {
    let text = guest.sh("ethtool -S xlnet0 | sed -n 's/^ *last_leave_ms: //p'")?;
    text.trim()
        .parse()
        .with_context(|| format!("last_leave_ms: {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_goes_takes_nothing_along() {
        let before = Figures::parse("departed_faults: 1\npeer7_faults: 2\nrx_x: 3\n").unwrap();
        let after = Figures::parse("departed_faults: 3\npeer9_faults: 1\nrx_x: 3\n").unwrap();
        assert_eq!(after.added_to(&before), [("faults".to_owned(), 1)]);
    }

    #[test]
    fn what_the_driver_throws_away_is_not_the_stack_s() {
        let text =
            "NIC statistics:\n     peers: 2\n     tx_no_peer: 1\n     departed_tx_dropped: 2\n\
                    peer7_tx_frames: 9\n     peer7_rx_no_memory: 3\n\
                    link_tx_dropped:5\nlink_rx_dropped:3\n";
        let figures = Figures::parse(text).unwrap();
        assert_eq!(figures.dropped_by_stack().unwrap(), 2);
        assert!(Figures::parse("peers: 2")
            .unwrap()
            .dropped_by_stack()
            .is_err());
    }
}
