// SPDX-License-Identifier: GPL-2.0

//! The little of the `kernel` crate that the files under test use, on top of loom.

pub(crate) mod sync;

pub(crate) mod prelude {
    pub(crate) use super::{KVec, Result, GFP_KERNEL};
    pub(crate) use pinned_init::{pin_data, pin_init};
}

pub(crate) mod ffi {
    pub(crate) use std::ffi::c_ulong;
}

pub(crate) mod time {
    use std::marker::PhantomData;

    pub(crate) struct Monotonic;

    /// A moment. There is only one: no interleaving hangs on how long something takes.
    pub(crate) struct Instant<C>(PhantomData<C>);

    impl<C> Instant<C> {
        pub(crate) fn now() -> Self {
            Self(PhantomData)
        }

        pub(crate) fn elapsed(&self) -> Delta {
            Delta
        }
    }

    pub(crate) struct Delta;

    impl Delta {
        pub(crate) fn as_micros_ceil(&self) -> i64 {
            0
        }
    }
}

/// What may fail, and does not here.
#[derive(Debug)]
pub(crate) struct Error;

pub(crate) type Result<T = (), E = Error> = std::result::Result<T, E>;

/// How to allocate.
pub(crate) struct Flags;

pub(crate) const GFP_KERNEL: Flags = Flags;

/// A vector whose capacity is asked for.
pub(crate) struct KVec<T>(Vec<T>);

impl<T> KVec<T> {
    pub(crate) fn with_capacity(capacity: usize, _flags: Flags) -> Result<Self> {
        Ok(Self(Vec::with_capacity(capacity)))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn push_within_capacity(&mut self, value: T) -> std::result::Result<(), T> {
        if self.0.len() == self.0.capacity() {
            return Err(value);
        }
        self.0.push(value);
        Ok(())
    }

    pub(crate) fn drain_all(&mut self) -> impl Iterator<Item = T> + '_ {
        self.0.drain(..)
    }
}
