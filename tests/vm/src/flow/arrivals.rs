// SPDX-License-Identifier: GPL-2.0
//! When the records of a flow arrived.

use std::collections::HashMap;

use anyhow::{Context, Result};

/// When records arrived, by the receiver's time since its boot, in seconds.
pub struct Arrivals {
    /// Begin and end of every time of 0.1 s or more without a record.
    gaps: Vec<(f64, f64)>,
    /// The middle of each short time until the last record, and records a second in it.
    rate: Vec<(f64, f64)>,
}

impl Arrivals {
    pub(super) fn parse(fields: &HashMap<String, String>) -> Result<Self> {
        let field = |key: &str| fields.get(key).with_context(|| format!("no {key}"));
        let begun: f64 = field("begun")?.parse().context("begun")?;
        let gap = |word: &str| -> Option<(f64, f64)> {
            let (from, to) = word.split_once('-')?;
            let at = |ms: &str| Some(begun + ms.parse::<f64>().ok()? / 1000.0);
            Some((at(from)?, at(to)?))
        };
        let length = field("bin_ms")?.parse::<f64>().context("bin_ms")? / 1000.0;
        let bin = |(index, word): (usize, &str)| -> Result<(f64, f64)> {
            let count: u32 = word.parse().with_context(|| format!("bin {word:?}"))?;
            let middle = begun + (index as f64 + 0.5) * length;
            Ok((middle, f64::from(count) / length))
        };
        Ok(Self {
            gaps: field("gaps")?
                .split_whitespace()
                .map(|word| gap(word).with_context(|| format!("gap {word:?}")))
                .collect::<Result<_>>()?,
            rate: field("bins")?
                .split_whitespace()
                .enumerate()
                .map(bin)
                .collect::<Result<_>>()?,
        })
    }

    /// As if so many had arrived in each quarter of a second since the boot.
    #[cfg(test)]
    pub(crate) fn of_quarters(counts: impl IntoIterator<Item = u32>) -> Self {
        let bin =
            |(index, count): (usize, u32)| ((index as f64 + 0.5) / 4.0, 4.0 * f64::from(count));
        Self {
            gaps: Vec::new(),
            rate: counts.into_iter().enumerate().map(bin).collect(),
        }
    }

    /// Records a second over time: of each quarter of a second the middle, in seconds since the receiver's boot, and the rate.
    #[must_use]
    pub fn rate(&self) -> &[(f64, f64)] {
        &self.rate
    }

    /// The longest time without a record, in seconds, of those that lie in `window` to some part; 0 if there is none of 0.1 s.
    #[must_use]
    pub fn longest_gap(&self, window: (f64, f64)) -> f64 {
        self.gaps
            .iter()
            .filter(|(from, to)| *from < window.1 && *to > window.0)
            .map(|(from, to)| to - from)
            .fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(gaps: &str, bins: &str) -> Result<Arrivals> {
        let fields = [
            ("begun", "100.5"),
            ("gaps", gaps),
            ("bin_ms", "250"),
            ("bins", bins),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
        Arrivals::parse(&fields.into())
    }

    #[test]
    fn gaps_are_found_where_they_lie() {
        let arrivals = parse("200-700 5000-5150", "").unwrap();
        for (window, gap) in [
            ((100.0, 101.0), 0.5),
            ((101.0, 102.0), 0.5),
            ((102.0, 104.0), 0.0),
        ] {
            assert!(
                (arrivals.longest_gap(window) - gap).abs() < 1e-6,
                "{window:?}"
            );
        }
    }

    #[test]
    fn bins_become_a_rate_over_time() {
        let arrivals = parse("", "3 0 10").unwrap();
        assert_eq!(
            arrivals.rate(),
            [(100.625, 12.0), (100.875, 0.0), (101.125, 40.0)]
        );
        assert!(parse("", "").unwrap().rate().is_empty());
        assert!(parse("", "3 many").is_err());
    }
}
