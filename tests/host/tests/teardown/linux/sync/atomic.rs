// SPDX-License-Identifier: GPL-2.0

//! Atomics with the kernel's orderings.

use loom::sync::atomic::{fence, AtomicU32, AtomicU64, Ordering};

/// An ordering.
pub(crate) trait Order {
    const ORDER: Ordering;

    /// What comes before and after the operation.
    fn barrier() {}
}

pub(crate) struct Relaxed;
pub(crate) struct Acquire;
pub(crate) struct Release;
/// Ordered with all before and all after.
pub(crate) struct Full;

impl Order for Relaxed {
    const ORDER: Ordering = Ordering::Relaxed;
}

impl Order for Acquire {
    const ORDER: Ordering = Ordering::Acquire;
}

impl Order for Release {
    const ORDER: Ordering = Ordering::Release;
}

impl Order for Full {
    const ORDER: Ordering = Ordering::AcqRel;

    fn barrier() {
        fence(Ordering::SeqCst);
    }
}

/// What can be atomic.
pub(crate) trait Value: Sized {
    type Atomic;

    fn atomic(self) -> Self::Atomic;
    fn load(atomic: &Self::Atomic, order: Ordering) -> Self;
    fn swap(self, atomic: &Self::Atomic, order: Ordering) -> Self;
    fn exchange(atomic: &Self::Atomic, old: Self, new: Self, order: Ordering)
        -> Result<Self, Self>;
}

macro_rules! value {
    ($type:ty, $atomic:ty) => {
        impl Value for $type {
            type Atomic = $atomic;

            fn atomic(self) -> $atomic {
                <$atomic>::new(self)
            }

            fn load(atomic: &$atomic, order: Ordering) -> Self {
                atomic.load(order)
            }

            fn swap(self, atomic: &$atomic, order: Ordering) -> Self {
                atomic.swap(self, order)
            }

            fn exchange(
                atomic: &$atomic,
                old: Self,
                new: Self,
                order: Ordering,
            ) -> Result<Self, Self> {
                atomic.compare_exchange(old, new, order, Ordering::Relaxed)
            }
        }
    };
}

value!(u32, AtomicU32);
value!(u64, AtomicU64);

pub(crate) struct Atomic<T: Value>(T::Atomic);

impl<T: Value> Atomic<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(value.atomic())
    }

    pub(crate) fn load<O: Order>(&self, _order: O) -> T {
        T::load(&self.0, O::ORDER)
    }

    pub(crate) fn store<O: Order>(&self, value: T, _order: O) {
        // In loom, who reads and modifies may overlook another thread's plain store, as no processor does.
        value.swap(&self.0, O::ORDER);
    }

    pub(crate) fn xchg<O: Order>(&self, value: T, _order: O) -> T {
        O::barrier();
        let old = value.swap(&self.0, O::ORDER);
        O::barrier();
        old
    }

    pub(crate) fn cmpxchg<O: Order>(&self, old: T, new: T, _order: O) -> Result<T, T> {
        O::barrier();
        let result = T::exchange(&self.0, old, new, O::ORDER);
        O::barrier();
        result
    }
}
