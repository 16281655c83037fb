// SPDX-License-Identifier: GPL-2.0
//! What was tried on a victim, what it counted, and what the bystander got through meanwhile.

use anyhow::{ensure, Context, Result};

use crate::{flow::Arrivals, quantile::median};

/// What the bystander may not fall below, as a part of what it had before.
const LEAST: f64 = 0.8;

/// Counters that say something of every second, attack or none.
const USUAL: [&str; 6] = ["frames", "bytes", "kicks", "irqs", "peers", "event_ns"];

/// A time in which something was tried, or nothing.
pub(super) struct Window {
    /// What.
    pub(super) act: String,
    /// How its last channel ended.
    pub(super) ending: String,
    /// What the victim counted, and how often.
    pub(super) counted: Vec<(String, u64)>,
    /// When it began, in seconds since the victim's boot.
    pub(super) from: f64,
    /// When it had ended.
    pub(super) to: f64,
}

/// All of them in their order, the first of which is what to compare with.
#[derive(Default)]
pub(super) struct Campaign(Vec<Window>);

impl Campaign {
    /// Adds one.
    pub(super) fn note(&mut self, window: Window) {
        self.0.push(window);
    }

    /// Shows a table of them with what arrived through the channel and by the uplink, in datagrams a second, and fails if
    /// there was a time in which that was less than [`LEAST`] of what it was before.
    pub(super) fn judge(&self, channel: &Arrivals, uplink: &Arrivals) -> Result<()> {
        let rates: Vec<_> = self
            .0
            .iter()
            .map(|window| (window, window.rate(channel), window.rate(uplink)))
            .collect();
        eprintln!("| act | ends | the victim counts | bystander /s | longest gap, s | by the uplink /s | longest gap, s |");
        eprintln!("|---|---|---|---|---|---|---|");
        for (window, rate, rate_by_uplink) in &rates {
            eprintln!(
                "| {} | {} | {} | {rate:.1} | {:.1} | {rate_by_uplink:.1} | {:.1} |",
                window.act,
                window.ending,
                window.counters(),
                window.gap(channel),
                window.gap(uplink)
            );
        }
        let (_, first, first_by_uplink) = rates.first().context("nothing was tried")?;
        for (window, channel, uplink) in &rates {
            for (rate, before) in [(channel, first), (uplink, first_by_uplink)] {
                // Without a whole second in it there is no median, which is not enough either.
                ensure!(
                    *rate >= LEAST * before,
                    "{}: {rate:.1} a second arrive, and {before:.1} before",
                    window.act
                );
            }
        }
        Ok(())
    }
}

impl Window {
    /// The median of its seconds.
    fn rate(&self, arrivals: &Arrivals) -> f64 {
        let within = |(at, _): &&(f64, f64)| *at > self.from && *at < self.to;
        let rates = arrivals.rate().iter().filter(within).map(|(_, rate)| *rate);
        let quarters: Vec<f64> = rates.collect();
        // One datagram is a fifth of what arrives in a quarter.
        let seconds = quarters.chunks_exact(4);
        let seconds: Vec<f64> = seconds.map(|four| four.iter().sum::<f64>() / 4.0).collect();
        median(&seconds)
    }

    /// The longest time without a datagram, in seconds.
    fn gap(&self, arrivals: &Arrivals) -> f64 {
        arrivals.longest_gap((self.from, self.to))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Judges an act of so many seconds, after ten in which twenty datagrams arrived in each.
    fn judge(seconds: u32, quarters: [u32; 4]) -> Result<()> {
        let before = [5; 4].into_iter().cycle().take(40);
        let arrivals = Arrivals::of_quarters(before.chain([quarters; 9].concat()));
        let window = |from, to| Window {
            act: String::new(),
            ending: String::new(),
            counted: Vec::new(),
            from,
            to,
        };
        let campaign = Campaign(vec![
            window(0.0, 10.0),
            window(10.0, 10.0 + f64::from(seconds)),
        ]);
        campaign.judge(&arrivals, &arrivals)
    }

    #[test]
    fn what_arrives_late_within_a_second_counts() {
        judge(4, [5, 5, 5, 5]).unwrap();
        judge(4, [0, 0, 10, 6]).unwrap();
    }

    #[test]
    fn less_is_not_enough_nor_is_nothing_to_look_at() {
        judge(4, [4, 4, 4, 3]).unwrap_err();
        judge(0, [5, 5, 5, 5]).unwrap_err();
    }
}
