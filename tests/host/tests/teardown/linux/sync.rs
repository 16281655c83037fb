// SPDX-License-Identifier: GPL-2.0

//! Locks, atomics, reference counts and RCU.

pub(crate) mod aref;
pub(crate) mod atomic;
pub(crate) mod rcu;

use std::convert::Infallible;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;

use pinned_init::{InPlaceInit, PinInit};

use super::{Flags, Result};

/// A counted reference. loom runs all its threads in one, so a plain count does; that what it counts is
/// there is for the language to see to.
pub(crate) struct Arc<T>(Rc<Pin<Box<T>>>);

impl<T> Arc<T> {
    pub(crate) fn new(value: T, _flags: Flags) -> Result<Self> {
        Ok(Self(Rc::new(Box::pin(value))))
    }

    pub(crate) fn pin_init(init: impl PinInit<T, Infallible>, _flags: Flags) -> Result<Self> {
        let Ok(value) = Box::pin_init(init);
        Ok(Self(Rc::new(value)))
    }

    /// How many references there are.
    pub(crate) fn count(&self) -> usize {
        Rc::strong_count(&self.0)
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A lock.
pub(crate) struct SpinLock<T>(loom::sync::Mutex<T>);

impl<T> SpinLock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
        self.0.lock().expect("no thread panics with a lock")
    }
}

macro_rules! new_spinlock {
    ($value:expr, $name:literal) => {
        $crate::sync::SpinLock::new($value)
    };
}
pub(crate) use new_spinlock;
