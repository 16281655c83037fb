// SPDX-License-Identifier: GPL-2.0
//! What can be tried.

use anyhow::Result;

use crate::attack::{Attack, Ending};

mod counts;
mod frames;
mod garbage;
mod lasting;
mod offers;
mod racing;
mod records;

/// One thing to try.
pub struct Act {
    /// How it is called.
    pub name: &'static str,
    /// Tries it.
    pub run: fn(&mut Attack) -> Result<Ending>,
}

impl Act {
    const fn new(name: &'static str, run: fn(&mut Attack) -> Result<Ending>) -> Self {
        Self { name, run }
    }
}

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Act> {
    [
        counts::ACTS,
        records::ACTS,
        frames::ACTS,
        offers::ACTS,
        lasting::ACTS,
        racing::ACTS,
        garbage::ACTS,
    ]
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_has_a_name_of_its_own() {
        let names: BTreeSet<_> = all().map(|act| act.name).collect();
        assert_eq!(names.len(), all().count());
    }
}
