// SPDX-License-Identifier: GPL-2.0
//! After what time something is taken for hung. No such time measures anything.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// By how much slower a guest is whose kernel checks itself.
const CHECKING: u32 = 6;

static FACTOR: AtomicU32 = AtomicU32::new(1);

/// From here on, everything may be as slow as a guest with the checking kernel.
pub(crate) fn be_ready_for_checking() {
    FACTOR.store(CHECKING, Ordering::Relaxed);
}

/// What to wait for something that takes less than `usual` in a guest with Debian's kernel.
#[must_use]
pub fn with(usual: Duration) -> Duration {
    usual.saturating_mul(FACTOR.load(Ordering::Relaxed))
}
