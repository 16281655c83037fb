// SPDX-License-Identifier: GPL-2.0
//! What was measured, as written to bench.json and read again by `--compare`.

use serde::{Deserialize, Serialize};
use xlnet_lab::netperf::{Test, Unit};
use xlnet_vm_tests::quantile::{median, quantile};

use super::{bystander::Bystander, setting::Setting, usage::Usage};
use crate::path::Path;

/// A whole run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// `uname -r` of the guests.
    pub kernel: String,
    /// Xen's version.
    pub xen: String,
    /// Seconds of the guest's time a measurement takes.
    pub seconds: u32,
    /// How often each was repeated.
    pub rounds: u32,
    /// One boot each.
    pub boots: Vec<Boot>,
}

/// What was measured in one boot.
#[derive(Debug, Serialize, Deserialize)]
pub struct Boot {
    /// Where.
    pub setting: Setting,
    /// One for each test.
    pub rows: Vec<Row>,
    /// Traffic that xlnet does not carry, where that was measured.
    #[serde(default)]
    pub bystanders: Vec<Bystander>,
    /// Bytes of kernel memory of a peer without a channel, where that was measured.
    #[serde(default)]
    pub idle_peer: Option<f64>,
}

/// One test over all paths.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The test.
    #[serde(flatten)]
    pub test: Test,
    /// Of all figures.
    pub unit: Unit,
    /// In the order in which they were measured in each round: the paths, and the uplink again.
    pub series: [Series; 4],
}

/// What was measured over one path.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Series {
    /// One figure for each round; of a ping, the median.
    pub figures: Vec<f64>,
    /// Of a ping's round trips in all rounds: the 99th percentile.
    pub p99: Option<f64>,
    /// Gigabytes that were carried, or transactions done, in all rounds.
    pub work: f64,
    /// What that used, in all rounds.
    pub usage: Usage,
}

impl Series {
    /// Adds what a round found.
    pub fn add(&mut self, unit: Unit, seconds: u32, samples: &[f64], usage: Usage) {
        let figure = median(samples);
        self.figures.push(figure);
        self.work += match unit {
            Unit::Milliseconds => samples.len() as f64,
            Unit::Megabits => figure * f64::from(seconds) / 8000.0,
            Unit::Transactions => figure * f64::from(seconds),
        };
        self.usage += usage;
    }
}

impl Row {
    /// Notes the tails of a ping's round trips: of all rounds together, and of both turns of the uplink.
    pub fn note_tails(&mut self, [uplink, xlnet0, loopback, again]: [Vec<f64>; 4]) {
        let uplink = [uplink, again].concat();
        let all = [&uplink, &xlnet0, &loopback, &uplink];
        for (series, round_trips) in self.series.iter_mut().zip(all) {
            series.p99 = Some(quantile(round_trips, 0.99));
        }
    }

    /// What was measured over `path`; of the uplink, before and after the others.
    pub fn figures(&self, path: Path) -> Vec<f64> {
        let [uplink, xlnet0, loopback, again] = &self.series;
        match path {
            // What drifts by and by has the others in its middle.
            Path::Uplink => [uplink.figures.as_slice(), again.figures.as_slice()].concat(),
            Path::Xlnet0 => xlnet0.figures.clone(),
            Path::Loopback => loopback.figures.clone(),
        }
    }

    /// Median over `path`.
    pub fn median(&self, path: Path) -> f64 {
        median(&self.figures(path))
    }

    /// Instructions for each byte or transaction over `path`, of all domains and Xen, if a nanosecond is one.
    pub fn instructions(&self, path: Path) -> f64 {
        let median = self.median(path);
        match self.unit {
            Unit::Milliseconds => 1e6 * median,
            Unit::Megabits => 8e3 / median,
            Unit::Transactions => 1e9 / median,
        }
    }

    /// How many times better xlnet0 is than `path`.
    pub fn gain(&self, path: Path) -> f64 {
        let (xlnet0, other) = (self.median(Path::Xlnet0), self.median(path));
        self.better(xlnet0, other)
    }

    /// How many times better the tail of xlnet0's round trips is than the uplink's.
    pub fn tail_gain(&self) -> Option<f64> {
        let [uplink, xlnet0, ..] = &self.series;
        Some(self.better(xlnet0.p99?, uplink.p99?))
    }

    /// How many times better the uplink was the second time.
    pub fn drift(&self) -> f64 {
        let [uplink, .., again] = &self.series;
        self.better(median(&again.figures), median(&uplink.figures))
    }

    fn better(&self, one: f64, other: f64) -> f64 {
        if self.unit == Unit::Milliseconds {
            other / one
        } else {
            one / other
        }
    }
}

impl Row {
    fn series_of(&self, path: Path) -> Vec<&Series> {
        let [uplink, xlnet0, loopback, again] = &self.series;
        match path {
            Path::Uplink => vec![uplink, again],
            Path::Xlnet0 => vec![xlnet0],
            Path::Loopback => vec![loopback],
        }
    }

    fn work(&self, path: Path) -> f64 {
        self.series_of(path).iter().map(|series| series.work).sum()
    }

    /// Processor seconds of Dom0 over `path`, beyond what it uses while a guest talks to itself: that is what measuring
    /// takes. Xen tells tenths of seconds, so that it may be a little less than nothing.
    fn dom0_seconds(&self, path: Path) -> f64 {
        let sum = |series: &[&Series]| -> (f64, usize) {
            let used = series.iter().map(|series| series.usage.dom0).sum();
            (used, series.iter().map(|series| series.figures.len()).sum())
        };
        let (used, runs) = sum(&self.series_of(path));
        let (measuring, rounds) = sum(&self.series_of(Path::Loopback));
        used - measuring * runs as f64 / rounds as f64
    }

    /// Processor seconds for each gigabyte or transaction over `path`: of Dom0, and of the guests with what measuring takes.
    pub fn cost(&self, path: Path) -> (f64, f64) {
        let work = self.work(path);
        let guests: f64 = self
            .series_of(path)
            .iter()
            .map(|series| series.usage.guests)
            .sum();
        (self.dom0_seconds(path) / work, guests / work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(unit: Unit, figures: [f64; 4]) -> Row {
        Row {
            test: Test::Ping,
            unit,
            series: figures.map(|figure| {
                let mut series = Series::default();
                series.add(unit, 2, &[figure], Usage::default());
                series
            }),
        }
    }

    #[test]
    fn better_is_more_than_one() {
        let stream = row(Unit::Megabits, [100.0, 400.0, 800.0, 300.0]);
        assert_eq!(stream.gain(Path::Uplink), 2.0);
        assert_eq!(stream.gain(Path::Loopback), 0.5);
        assert_eq!(stream.drift(), 3.0);
        let ping = row(Unit::Milliseconds, [4.0, 1.0, 0.5, 2.0]);
        assert_eq!(ping.gain(Path::Uplink), 3.0);
        assert_eq!(ping.drift(), 2.0);
    }

    #[test]
    fn nanoseconds_are_instructions() {
        let stream = row(Unit::Megabits, [1000.0, 4000.0, 8000.0, 1000.0]);
        assert_eq!(
            Path::ALL.map(|path| stream.instructions(path)),
            [8.0, 2.0, 1.0]
        );
        let exchange = row(Unit::Transactions, [1e3, 2e3, 4e3, 1e3]);
        assert_eq!(exchange.instructions(Path::Loopback), 250_000.0);
    }

    #[test]
    fn what_measuring_takes_is_not_dom0_s() {
        let used = |dom0| Usage {
            dom0,
            guests: 4.0,
            ..Usage::default()
        };
        let mut stream = row(Unit::Megabits, [8000.0; 4]);
        for (series, dom0) in stream.series.iter_mut().zip([5.0, 1.5, 1.0, 7.0]) {
            series.usage = used(dom0);
        }
        // 2 GB in each run's two seconds.
        assert_eq!(stream.cost(Path::Uplink), (2.5, 2.0));
        assert_eq!(stream.cost(Path::Xlnet0), (0.25, 2.0));
    }

    #[test]
    fn the_tail_of_the_uplink_is_that_of_both_turns() {
        let mut ping = row(Unit::Milliseconds, [4.0, 1.0, 0.5, 2.0]);
        let rising = |from: u32| (from..from + 100).map(f64::from).collect();
        ping.note_tails([rising(1), rising(1), rising(1), rising(101)]);
        assert_eq!(ping.series[0].p99, Some(198.0));
        assert_eq!(ping.tail_gain(), Some(2.0));
    }
}
