// SPDX-License-Identifier: GPL-2.0

//! Counters. Nothing hangs on them, so that loom need not know.

use std::cell::Cell;

#[derive(Default)]
pub(crate) struct Counter(Cell<u64>);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.set(self.0.get() + n);
    }

    pub(crate) fn add_shared(&self, n: u64) {
        self.add(n);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.get()
    }
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) tx_frames: Counter,
    pub(crate) tx_bytes: Counter,
    pub(crate) rx_bytes: Counter,
    pub(crate) kicks: Counter,
    pub(crate) irqs: Counter,
    pub(crate) irqs_spurious: Counter,
    pub(crate) tx_full: Counter,
    pub(crate) tx_uplink: Counter,
    pub(crate) tx_recalled: Counter,
    pub(crate) tx_held: Counter,
    pub(crate) tx_dropped: Counter,
    pub(crate) faults: Counter,
}
