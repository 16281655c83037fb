// SPDX-License-Identifier: GPL-2.0
//! What was counted on the way: the proof that traffic took the path a test is about.

use anyhow::{ensure, Context, Result};
use xlnet_lab::{agent::Agent, guest::Guest};

use crate::{figures::Figures, view::join, Bed};

/// Reads every guest's counters, and those of Dom0's ends of the uplinks.
pub(crate) struct Meter {
    guests: Vec<(Guest, u32)>,
    dom0: Agent,
    before: Reading,
}

/// Counters at one moment, or what was added to them between two.
struct Reading {
    guests: Vec<Figures>,
    vifs: Vec<u64>,
}

/// What was counted since the meter was started.
pub(crate) struct Moved<'a> {
    meter: &'a Meter,
    since: Reading,
}

impl Meter {
    /// Starts counting in all guests of `bed`, whose list of each other must be complete.
    ///
    /// # Errors
    /// If a guest is gone or has no `xlnet0`.
    pub(crate) fn start(bed: &Bed) -> Result<Self> {
        // By number, as they are asked for: a host's own list has one that was made anew last.
        let guests = (1..=bed.spec.guests)
            .map(|number| {
                let guest = bed.g(number)?;
                let domid = guest.domid()?;
                Ok((guest, domid))
            })
            .collect::<Result<Vec<_>>>()?;
        let mut meter = Self {
            guests,
            dom0: Agent::clone(bed),
            before: Reading {
                guests: Vec::new(),
                vifs: Vec::new(),
            },
        };
        meter.before = meter.read()?;
        Ok(meter)
    }

    fn read(&self) -> Result<Reading> {
        let guests = self
            .guests
            .iter()
            .map(|(guest, _)| Figures::read(guest))
            .collect::<Result<_>>()?;
        let files: Vec<_> = self
            .guests
            .iter()
            .map(|(_, domid)| {
                let dir = format!("/sys/class/net/vif{domid}.0/statistics");
                format!("echo $(($(cat {dir}/rx_bytes) + $(cat {dir}/tx_bytes)))")
            })
            .collect();
        let text = self.dom0.sh(&files.join("\n"))?;
        let vifs = text
            .lines()
            .map(|line| {
                line.parse()
                    .with_context(|| format!("a vif's bytes: {line:?}"))
            })
            .collect::<Result<Vec<_>>>()?;
        ensure!(vifs.len() == self.guests.len(), "bytes of vifs: {text:?}");
        Ok(Reading { guests, vifs })
    }

    /// What has been counted since the start.
    ///
    /// # Errors
    /// If a counter cannot be read, or has gone backwards.
    pub(crate) fn moved(&self) -> Result<Moved<'_>> {
        let now = self.read()?;
        let guests = self.before.guests.iter().zip(now.guests);
        let guests = guests
            .map(|(before, now)| now.since(before))
            .collect::<Result<_>>()?;
        let vifs = self.before.vifs.iter().zip(now.vifs);
        let vifs = vifs.map(|(old, now)| now.wrapping_sub(*old)).collect();
        Ok(Moved {
            meter: self,
            since: Reading { guests, vifs },
        })
    }
}

impl Moved<'_> {
    /// How much `ethtool -S` of guest `of` counts under `name` for guest `peer`, both by number.
    ///
    /// # Errors
    /// If there is no such counter.
    pub(crate) fn peer(&self, of: u8, peer: u8, name: &str) -> Result<u64> {
        let (_, domid) = self
            .meter
            .guests
            .get(usize::from(peer) - 1)
            .context("no such guest")?;
        self.at(of, &format!("peer{domid}_{name}"))
    }

    /// How much guest `of` counts for xlnet0 as a whole, by name of `/sys/class/net/xlnet0/statistics`.
    ///
    /// # Errors
    /// If there is no such counter.
    pub(crate) fn link(&self, of: u8, name: &str) -> Result<u64> {
        self.at(of, &format!("link_{name}"))
    }

    fn at(&self, of: u8, name: &str) -> Result<u64> {
        let figures = self.since.guests.get(usize::from(of) - 1);
        let figures = figures.context("no such guest")?;
        figures.get(name).with_context(|| format!("g{of}"))
    }

    /// Bytes, both ways, that passed Dom0's end of the uplink of guest `of`.
    ///
    /// # Errors
    /// If there is no such guest.
    pub(crate) fn vif_bytes(&self, of: u8) -> Result<u64> {
        let bytes = self.since.vifs.get(usize::from(of) - 1);
        bytes.copied().context("no such guest")
    }

    /// Fails unless at least `bytes` went from one guest to the other through shared memory, none of them by the
    /// uplink and none thrown away, and both uplinks stood still but for what guests say anyway.
    ///
    /// # Errors
    /// What was counted otherwise.
    pub(crate) fn carried(&self, from: u8, to: u8, bytes: u64) -> Result<()> {
        let sent = self.peer(from, to, "tx_bytes")?;
        let received = self.peer(to, from, "rx_bytes")?;
        ensure!(
            sent >= bytes && received >= bytes,
            "of {bytes} bytes g{from} sent {sent} to g{to} through xlnet0, which received {received}"
        );
        for (name, of, peer) in [
            ("tx_uplink", from, to),
            ("tx_dropped", from, to),
            ("rx_spoofed", to, from),
            ("rx_bad_offload", to, from),
            ("rx_no_memory", to, from),
            ("faults", to, from),
        ] {
            let count = self.peer(of, peer, name)?;
            ensure!(count == 0, "g{of} counts {count} {name} of g{peer}");
        }
        for guest in [from, to] {
            let vif = self.vif_bytes(guest)?;
            ensure!(
                vif < QUIET,
                "{vif} bytes passed the uplink of g{guest}, more than its own chatter"
            );
        }
        Ok(())
    }
}

/// More bytes than guests send over their uplinks by themselves during a test, and far fewer than any test sends.
const QUIET: u64 = 50_000;

/// Waits until two guests have a channel, which what this sends brings about.
///
/// # Errors
/// If they do not get there.
pub(crate) fn connect(bed: &Bed, a: u8, b: u8) -> Result<()> {
    join(&bed.g(a)?, &bed.g(b)?)
}

/// Each guest and the next, the last and the first: every pair of three once, and each guest at both ends.
pub(crate) fn round(bed: &Bed) -> Vec<(u8, u8)> {
    let guests = bed.spec.guests;
    (1..=guests).map(|from| (from, from % guests + 1)).collect()
}

/// Every ordered pair of the guests of `bed`, by number.
pub(crate) fn pairs(bed: &Bed) -> Vec<(u8, u8)> {
    let numbers = 1..=bed.spec.guests;
    numbers
        .clone()
        .flat_map(|from| numbers.clone().map(move |to| (from, to)))
        .filter(|(from, to)| from != to)
        .collect()
}
