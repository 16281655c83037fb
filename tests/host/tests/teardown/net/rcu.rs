// SPDX-License-Identifier: GPL-2.0

//! A pointer that readers follow under RCU: the number of one of all the values it has had.

use std::cell::RefCell;

use crate::sync::atomic::{Acquire, Atomic, Full};
use crate::sync::{rcu, Arc};

/// The number of none.
const NONE: u32 = u32::MAX;

pub(crate) struct RcuArc<T> {
    now: Atomic<u32>,
    /// Those that were given back have left a gap.
    values: RefCell<Vec<Option<Arc<T>>>>,
}

impl<T> RcuArc<T> {
    /// Makes one that holds nothing.
    pub(crate) fn none() -> Self {
        Self {
            now: Atomic::new(NONE),
            values: RefCell::default(),
        }
    }

    pub(crate) fn load(&self, _guard: &rcu::Guard) -> Option<Arc<T>> {
        match self.now.load(Acquire) {
            NONE => None,
            now => {
                let value = self.values.borrow()[now as usize].clone();
                Some(value.expect("a reader sees what was given back"))
            }
        }
    }

    pub(crate) fn replace(&self, value: Option<Arc<T>>) -> Option<Arc<T>> {
        let new = match value {
            None => NONE,
            some => {
                let mut values = self.values.borrow_mut();
                values.push(some);
                values.len() as u32 - 1
            }
        };
        match self.now.xchg(new, Full) {
            NONE => None,
            old => {
                rcu::synchronize();
                self.values.borrow_mut()[old as usize].take()
            }
        }
    }
}
