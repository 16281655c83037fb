// SPDX-License-Identifier: GPL-2.0

//! A point in time by which something should have happened.

use kernel::time::{
    Instant,
    Monotonic, //
};

/// Some milliseconds after a moment.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    from: Instant<Monotonic>,
    ms: u32,
}

impl Deadline {
    /// `ms` milliseconds from now.
    pub(crate) fn after(ms: u32) -> Self {
        Self {
            from: Instant::now(),
            ms,
        }
    }

    /// Milliseconds until then; 0 once it has passed.
    pub(crate) fn left(&self) -> u32 {
        let elapsed = u32::try_from(self.from.elapsed().as_millis().max(0)).unwrap_or(u32::MAX);
        self.ms.saturating_sub(elapsed)
    }

    /// Whether it has passed.
    pub(crate) fn passed(&self) -> bool {
        self.left() == 0
    }
}
