// SPDX-License-Identifier: GPL-3.0-only

//! What the daemon keeps about one guest beside what it knows of it: how much of its time the guest has taken, and
//! what was said of that.

use tokio::time::Instant;
use tracing::warn;

use crate::budget::{Budget, REQUESTS_A_SECOND};
use crate::counts::Counts;
use crate::inventory::Domid;
use crate::report::Garbage;
use crate::store::Watch;

/// One guest's. Dropping it ends its watches.
pub struct Care {
    domid: Domid,
    /// Tells a domain from a later one of the same number.
    pub uuid: String,
    #[allow(dead_code, reason = "held for their drop")]
    watches: Vec<Watch>,
    requests: Budget,
    news: Budget,
    log: Budget,
    counts: Counts,
    waiting: bool,
}

impl Care {
    /// That of a guest that has done nothing yet.
    pub fn new(domid: Domid, uuid: String, watches: Vec<Watch>) -> Self {
        let now = Instant::now();
        Self {
            domid,
            uuid,
            watches,
            requests: Budget::requests(now),
            news: Budget::news(now),
            log: Budget::log_lines(now),
            counts: Counts::default(),
            waiting: false,
        }
    }

    /// What was counted of it.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// When it may be looked at: now, or later.
    pub fn available(&mut self, now: Instant) -> Result<(), Instant> {
        let until = [&mut self.requests, &mut self.news].map(|budget| budget.available(now).err());
        until.into_iter().flatten().max().map_or(Ok(()), Err)
    }

    /// Whether it may be looked at now. The first time that it may not is counted and spoken of.
    pub fn may_be_looked_at(&mut self) -> bool {
        let now = Instant::now();
        let waits = self.available(now).is_err();
        if waits && !self.waiting {
            self.counts.waits += 1;
            if self.log.take(now) {
                warn!(
                    domid = self.domid,
                    total = self.counts.waits,
                    "its changes take the time of more than {REQUESTS_A_SECOND} requests a second, or change others' lists of \
                     peers more than once a second: it waits, others do not; see what its driver does, or deny it"
                );
            }
        }
        self.waiting = waits;
        !waits
    }

    /// Takes what was used for it.
    pub fn charge(&mut self, used: u32) {
        self.requests.charge(used);
    }

    /// Takes a change of the lists of peers of others.
    pub fn charge_news(&mut self) {
        self.news.charge(1);
    }

    /// Whether one more line of log may be about it.
    pub fn may_be_spoken_of(&mut self) -> bool {
        self.log.take(Instant::now())
    }

    /// Counts its garbage and speaks of it, not too often.
    pub fn count(&mut self, garbage: Garbage) {
        let Some(example) = garbage.example else {
            return;
        };
        self.counts.invalid += garbage.count;
        if self.may_be_spoken_of() {
            warn!(
                domid = self.domid,
                total = self.counts.invalid,
                "invalid node, taken as absent: {example}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_used_up_its_requests_waits_and_is_counted_once() {
        let mut care = Care::new(7, "a uuid".into(), Vec::new());
        assert!(care.may_be_looked_at());
        care.charge(1_000_000);
        assert!(!care.may_be_looked_at());
        assert!(!care.may_be_looked_at());
        assert_eq!(care.counts().waits, 1);
    }
}
