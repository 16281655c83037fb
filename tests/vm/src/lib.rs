// SPDX-License-Identifier: GPL-2.0
//! Tests of xlnet on real Xen.
//!
//! A [`Scenario`] runs in a [`Bed`]: a booted host with guests. Those that ask for the same bed, one after the other in
//! [`scenarios`], share one. After each the logs are read, and a line no kernel should have logged fails it.

pub mod bed;
pub mod figures;
pub mod flow;
pub mod journey;
pub mod path_log;
pub mod quantile;
pub mod runner;

mod channel;
mod chaos;
mod checking;
mod counters;
mod death;
mod exhaustion;
mod handshake;
mod helper;
mod hostile;
mod install;
mod itself;
mod kinds;
mod leaks;
mod lifecycle;
mod load;
mod meter;
mod moderation;
mod pair;
mod policy;
mod refusal;
mod relocation;
mod segment;
mod stream;
mod traffic;
mod transfer;
mod view;
mod watch;

pub use bed::{Bed, Spec};

/// One test.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// What is shown and filtered by: `area::what-holds`.
    pub name: &'static str,
    /// Where it runs.
    pub bed: Spec,
    /// Whether it takes so long that it runs only when asked for.
    pub long: bool,
    /// Whether it needs the guests' kernel to be the checking one.
    pub checking: bool,
    /// The test: an error is a failure.
    pub run: fn(&mut Bed) -> anyhow::Result<()>,
}

impl Scenario {
    const fn new(name: &'static str, bed: Spec, run: fn(&mut Bed) -> anyhow::Result<()>) -> Self {
        Self {
            name,
            bed,
            long: false,
            checking: false,
            run,
        }
    }

    const fn long(self) -> Self {
        Self { long: true, ..self }
    }

    const fn checking(self) -> Self {
        Self {
            checking: true,
            ..self
        }
    }
}

/// All scenarios, those of one bed together. Each leaves its bed fit for the next.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    let mut all = [
        itself::SCENARIOS,
        load::SCENARIOS,
        install::SCENARIOS,
        policy::SCENARIOS,
        channel::SCENARIOS,
        lifecycle::SCENARIOS,
        death::SCENARIOS,
        exhaustion::SCENARIOS,
        relocation::SCENARIOS,
        refusal::SCENARIOS,
        handshake::SCENARIOS,
        journey::SCENARIOS,
        traffic::SCENARIOS,
        segment::SCENARIOS,
        stream::SCENARIOS,
        counters::SCENARIOS,
        moderation::SCENARIOS,
        watch::SCENARIOS,
        kinds::SCENARIOS,
        hostile::SCENARIOS,
        checking::SCENARIOS,
    ]
    .concat();
    let beds: Vec<_> = all.iter().map(|scenario| scenario.bed).collect();
    all.sort_by_key(|scenario| beds.iter().position(|&bed| bed == scenario.bed));
    all
}
