// SPDX-License-Identifier: GPL-2.0

//! RCU: who waits for a grace period waits until nobody reads. Readers are not ordered with each other.

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

loom::lazy_static! {
    static ref READERS: AtomicU32 = AtomicU32::new(0);
    static ref PERIODS: AtomicU32 = AtomicU32::new(0);
}

/// Shows that somebody reads.
pub(crate) struct Guard(());

pub(crate) fn read_lock() -> Guard {
    READERS.fetch_add(1, Ordering::Relaxed);
    // Who begins to read after a grace period sees what was before it.
    PERIODS.fetch_add(0, Ordering::Acquire);
    Guard(())
}

impl Drop for Guard {
    fn drop(&mut self) {
        READERS.fetch_sub(1, Ordering::Release);
    }
}

/// Waits for a grace period.
pub(crate) fn synchronize() {
    PERIODS.fetch_add(1, Ordering::Release);
    while READERS.fetch_add(0, Ordering::Acquire) > 0 {
        thread::yield_now();
    }
}
