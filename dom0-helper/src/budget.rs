// SPDX-License-Identifier: GPL-3.0-only

//! How much of the helper's time a guest may take, and how often a guest may be spoken of in the
//! log.

use std::time::Duration;

use tokio::time::Instant;

/// Requests to the store that one guest may cause a second, for long.
pub const REQUESTS_A_SECOND: u32 = 200;

/// How many guests' entries can be compared with what they should be in the time of a request to the
/// store, about.
pub const COMPARED_A_REQUEST: usize = 50;

/// The most requests that a comparison of all guests with all counts for. A guest that has used up its
/// budget waits half a second for the next then, a tenth of what its driver gives a handshake.
pub const COMPARISON_AT_MOST: usize = 100;

/// A token bucket. A guest that has used it up waits; the others do not notice.
#[derive(Debug, Clone)]
pub struct Budget {
    tokens: f64,
    burst: f64,
    per_second: f64,
    filled: Instant,
}

impl Budget {
    /// For requests to the store on behalf of one guest. A handshake costs ten or so, and some
    /// comparisons; a guest that writes without pause gets this many a second, about a hundredth of
    /// what a daemon answers.
    pub fn requests(now: Instant) -> Self {
        Self::new(now, 1000.0, f64::from(REQUESTS_A_SECOND))
    }

    /// For changes of the lists of peers of others: five at once, as when a driver is loaded anew, one a
    /// second for long. Each has them look at all their routes.
    pub fn news(now: Instant) -> Self {
        Self::new(now, 5.0, 1.0)
    }

    /// For lines of log about one guest: ten at once, one in ten seconds for long.
    pub fn log_lines(now: Instant) -> Self {
        Self::new(now, 10.0, 0.1)
    }

    fn new(now: Instant, burst: f64, per_second: f64) -> Self {
        Self {
            tokens: burst,
            burst,
            per_second,
            filled: now,
        }
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        self.filled = now;
    }

    /// When there is something left: now, or the time given.
    pub fn available(&mut self, now: Instant) -> Result<(), Instant> {
        self.fill(now);
        if self.tokens > 0.0 {
            return Ok(());
        }
        Err(now + Duration::from_secs_f64((1.0 - self.tokens) / self.per_second))
    }

    /// Takes what was used, which may be more than there was.
    pub fn charge(&mut self, used: u32) {
        self.tokens -= f64::from(used);
    }

    /// Takes one if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        let available = self.available(now).is_ok();
        if available {
            self.charge(1);
        }
        available
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_overdrawn_is_waited_for() {
        let start = Instant::now();
        let mut budget = Budget::new(start, 10.0, 2.0);
        assert!(budget.available(start).is_ok());
        budget.charge(30);
        let until = budget.available(start).unwrap_err();
        assert_eq!(until - start, Duration::from_millis(10_500));
        assert!(budget.available(until - Duration::from_secs(1)).is_err());
        assert!(budget.available(until).is_ok());
    }

    #[test]
    fn time_alone_fills_it_to_the_burst_only() {
        let start = Instant::now();
        let mut budget = Budget::new(start, 3.0, 1.0);
        let later = start + Duration::from_secs(1000);
        let taken = (0..10).filter(|_| budget.take(later)).count();
        assert_eq!(taken, 3);
    }
}
