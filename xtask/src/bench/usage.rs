// SPDX-License-Identifier: GPL-2.0
//! What a measurement used: processor time as Xen counts it, and xlnet0's events.

use std::{
    ops::{Add, AddAssign},
    thread,
};

use anyhow::{anyhow, Context, Result};
use serde::{Deserialize, Serialize};
use xlnet_vm_tests::{figures::Figures, Bed};

use crate::path::Pair;

/// Counted by Xen and in all measured guests, or what was added to it.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Processor seconds of Dom0.
    pub dom0: f64,
    /// Processor seconds of the guests.
    pub guests: f64,
    /// Events sent for xlnet0.
    pub kicks: u64,
    /// Interrupts of xlnet0.
    pub irqs: u64,
    /// Times a ring of xlnet0 was full.
    pub full: u64,
    /// Frames xlnet0 sent.
    pub frames: u64,
}

impl Usage {
    /// Reads it, everywhere at once. Doing so takes processor time itself, whatever was measured.
    ///
    /// # Errors
    /// If Xen or a guest does not say.
    pub fn read(bed: &Bed, pairs: &[Pair]) -> Result<Self> {
        let guests: Vec<_> = pairs
            .iter()
            .flat_map(|pair| [&pair.from, &pair.to])
            .collect();
        thread::scope(|scope| {
            let counting: Vec<_> = guests
                .iter()
                .map(|guest| scope.spawn(|| Figures::read_quickly(guest)))
                .collect();
            let list = bed.sh("xl list")?;
            let (dom0, guests) = processor_seconds(&list).context(list)?;
            let mut usage = Self {
                dom0,
                guests,
                ..Self::default()
            };
            for guest in counting {
                let figures = guest
                    .join()
                    .map_err(|_| anyhow!("a reading thread panicked"))??;
                usage += Self {
                    kicks: figures.sum("_kicks"),
                    irqs: figures.sum("_irqs"),
                    full: figures.sum("_tx_full"),
                    frames: figures.sum("_tx_frames"),
                    ..Self::default()
                };
            }
            Ok(usage)
        })
    }

    /// What was added since `before`.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            dom0: self.dom0 - before.dom0,
            guests: self.guests - before.guests,
            kicks: self.kicks.saturating_sub(before.kicks),
            irqs: self.irqs.saturating_sub(before.irqs),
            full: self.full.saturating_sub(before.full),
            frames: self.frames.saturating_sub(before.frames),
        }
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            dom0: self.dom0 + other.dom0,
            guests: self.guests + other.guests,
            kicks: self.kicks + other.kicks,
            irqs: self.irqs + other.irqs,
            full: self.full + other.full,
            frames: self.frames + other.frames,
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// Of Dom0 and of all others together, from `xl list`: "Name ID Mem VCPUs State Time(s)".
fn processor_seconds(list: &str) -> Option<(f64, f64)> {
    let (mut dom0, mut guests) = (None, 0.0);
    for line in list.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let seconds: f64 = words.last()?.parse().ok()?;
        match words.get(1)? {
            &"0" => dom0 = Some(seconds),
            _ => guests += seconds,
        }
    }
    Some((dom0?, guests))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_dom0_is_told_from_the_guests() {
        let list = "Name                 ID   Mem VCPUs\tState\tTime(s)\n\
                    Domain-0              0   768     1     r-----      12.5\n\
                    g1                    1   320     1     -b----       3.0\n\
                    g2                    2   320     1     -b----       4.5\n";
        assert_eq!(processor_seconds(list), Some((12.5, 7.5)));
        assert_eq!(processor_seconds("Name"), None);
    }
}
