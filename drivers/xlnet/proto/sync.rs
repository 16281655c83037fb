// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The memory orderings of the shared words.
//!
//! The words are accessed with `core`'s atomics in the kernel too. The other side of a channel is
//! another guest, so the operations needed are the kernel's `virt_*` family (`virt_mb()`,
//! `virt_load_acquire()`, `virt_store_release()`): real barriers even in a kernel built for one
//! processor. `kernel::sync::atomic` and `kernel::sync::barrier` have only the `smp_*` family, which
//! becomes a compiler barrier there. On x86-64 and arm64 `core`'s operations compile to what the
//! `virt_*` macros expand to, or to something stronger:
//!
//! | here | x86-64 | arm64 |
//! |---|---|---|
//! | load, relaxed | `mov` | `ldr` |
//! | load, acquire | `mov` | `ldar`/`ldapr` |
//! | store, relaxed | `mov` | `str` |
//! | store, release | `mov` | `stlr` |
//! | [`full_barrier`] | `mfence` or locked read-modify-write | `dmb ish` |
//!
//! No other code accesses the words, so the two memory models never meet on one location.
//! The types below name only the combinations that exist, so that a release-load cannot be written.

use core::sync::atomic::{fence, Ordering};

/// How a shared word is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadOrder {
    /// One read, unordered with others.
    Relaxed,
    /// Later accesses to the ring come after this read.
    Acquire,
}

impl From<LoadOrder> for Ordering {
    fn from(order: LoadOrder) -> Self {
        match order {
            LoadOrder::Relaxed => Ordering::Relaxed,
            LoadOrder::Acquire => Ordering::Acquire,
        }
    }
}

/// How a shared word is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreOrder {
    /// One write, unordered with others.
    Relaxed,
    /// Earlier accesses to the ring come before this write.
    Release,
}

impl From<StoreOrder> for Ordering {
    fn from(order: StoreOrder) -> Self {
        match order {
            StoreOrder::Relaxed => Ordering::Relaxed,
            StoreOrder::Release => Ordering::Release,
        }
    }
}

/// Orders every earlier access before every later one, a store before a load included.
#[inline]
pub fn full_barrier() {
    fence(Ordering::SeqCst);
}
