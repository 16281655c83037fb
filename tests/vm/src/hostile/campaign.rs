// SPDX-License-Identifier: GPL-2.0
//! What was tried on a victim, what it counted, and what the bystander got through meanwhile.

use anyhow::{ensure, Context, Result};

use super::arena::RATE;
use crate::{flow::Arrivals, quantile::median};

/// What the bystander may not fall below, as a part of what it had before.
pub(super) const LEAST: f64 = 0.8;

/// Counters that say something of every second, attack or none.
const USUAL: [&str; 6] = ["frames", "bytes", "kicks", "irqs", "peers", "event_ns"];

/// What must arrive before the first act, as a part of what is sent: of less, little could be said.
const ENOUGH: f64 = 0.5;

/// A time in which something was tried, or nothing.
pub(super) struct Window {
    /// What.
    pub(super) act: String,
    /// How long it was to last, in seconds.
    pub(super) seconds: u32,
    /// How its last channel ended.
    pub(super) ending: String,
    /// What the victim counted, and how often.
    pub(super) counted: Vec<(String, u64)>,
    /// When it began and ended, in seconds since the victim's boot, and since the bystander's.
    pub(super) spans: [(f64, f64); 2],
}

/// All of them in their order, the first of which is what to compare with.
#[derive(Default)]
pub(super) struct Campaign(Vec<Window>);

impl Campaign {
    /// Adds one.
    pub(super) fn note(&mut self, window: Window) {
        self.0.push(window);
    }

    /// Shows a table of them with what arrived of each flow, in datagrams a second, and returns of each the least part of
    /// what had arrived before; 0 where no whole second lies in it.
    ///
    /// # Errors
    /// If too little arrived before to compare with.
    pub(super) fn parts(&self, flows: [&Arrivals; 3]) -> Result<Vec<f64>> {
        eprintln!("| act | ends | the victim counts | from the bystander /s | longest gap, s | by the uplink /s | longest gap, s | to the bystander /s | longest gap, s |");
        eprintln!("|---|---|---|---|---|---|---|---|---|");
        let mut first = None;
        let mut parts = Vec::new();
        for window in &self.0 {
            let rates = window.each(flows, rate);
            let mut row = format!(
                "| {} | {} | {} |",
                window.act,
                window.ending,
                window.counters()
            );
            let gaps = window.each(flows, Arrivals::longest_gap);
            for (rate, gap) in rates.iter().zip(gaps) {
                row += &format!(" {rate:.1} | {gap:.1} |");
            }
            eprintln!("{row}");
            let before = first.get_or_insert(rates).iter();
            let least = rates.iter().zip(before).map(|(rate, before)| rate / before);
            parts.push(least.fold(f64::INFINITY, f64::min));
        }
        let first = first.context("nothing was tried")?;
        ensure!(
            first.iter().all(|rate| *rate >= ENOUGH * f64::from(RATE)),
            "{first:?} a second arrived before, of {RATE}"
        );
        Ok(parts)
    }

    /// The acts in which less than [`LEAST`] of it arrived: their names, how long they were to last, and the part.
    pub(super) fn less(&self, parts: &[f64]) -> Vec<(String, u32, f64)> {
        let windows = self.0.iter().zip(parts);
        let less = windows.filter(|(_, part)| **part < LEAST);
        less.map(|(window, part)| (window.act.clone(), window.seconds, *part))
            .collect()
    }
}

impl Window {
    /// Of each flow, told by the clock of whom it arrives at.
    fn each(
        &self,
        [to, by_uplink, back]: [&Arrivals; 3],
        of: impl Fn(&Arrivals, (f64, f64)) -> f64,
    ) -> [f64; 3] {
        let [here, there] = self.spans;
        [of(to, here), of(by_uplink, here), of(back, there)]
    }

    fn counters(&self) -> String {
        let told = self
            .counted
            .iter()
            .filter(|(name, _)| !USUAL.iter().any(|usual| name.ends_with(usual)));
        let told: Vec<_> = told
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        told.join(", ")
    }
}

/// The median of the whole seconds in a span; 0 if there is none.
fn rate(arrivals: &Arrivals, (from, to): (f64, f64)) -> f64 {
    let within = |(at, _): &&(f64, f64)| *at > from && *at < to;
    let rates = arrivals.rate().iter().filter(within).map(|(_, rate)| *rate);
    let quarters: Vec<f64> = rates.collect();
    // One datagram is a fifth of what arrives in a quarter.
    let seconds = quarters.chunks_exact(4);
    let seconds: Vec<f64> = seconds.map(|four| four.iter().sum::<f64>() / 4.0).collect();
    match seconds.as_slice() {
        [] => 0.0,
        seconds => median(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The part that arrived in an act of so many seconds, after ten in which `before` arrived in each quarter.
    fn part(before: u32, seconds: u32, quarters: [u32; 4]) -> Result<f64> {
        let before = [before; 40].into_iter();
        let arrivals = Arrivals::of_quarters(before.chain([quarters; 9].concat()));
        let whole = Arrivals::of_quarters([5; 76]);
        let window = |from, to| Window {
            act: String::new(),
            seconds,
            ending: String::new(),
            counted: Vec::new(),
            spans: [(from, to); 2],
        };
        let campaign = Campaign(vec![
            window(0.0, 10.0),
            window(10.0, 10.0 + f64::from(seconds)),
        ]);
        let mut least = f64::INFINITY;
        for flows in [
            [&arrivals, &whole, &whole],
            [&whole, &arrivals, &whole],
            [&whole, &whole, &arrivals],
        ] {
            let parts = campaign.parts(flows)?;
            assert_eq!(campaign.less(&parts).len(), usize::from(parts[1] < LEAST));
            least = least.min(parts[1]);
        }
        Ok(least)
    }

    #[test]
    fn what_arrives_late_within_a_second_counts() {
        assert!(part(5, 4, [5, 5, 5, 5]).unwrap() >= LEAST);
        assert!(part(5, 4, [0, 0, 10, 6]).unwrap() >= LEAST);
    }

    #[test]
    fn less_is_not_enough_nor_is_nothing_to_look_at() {
        assert!(part(5, 4, [4, 4, 4, 3]).unwrap() < LEAST);
        assert!(part(5, 0, [5, 5, 5, 5]).unwrap() < LEAST);
    }

    #[test]
    fn little_is_nothing_to_compare_with() {
        part(2, 4, [2, 2, 2, 2]).unwrap_err();
    }
}
