// SPDX-License-Identifier: GPL-2.0

//! A pointer to an [`Arc`] that readers follow under RCU.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)

use crate::bindings;
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::sync::{
    atomic::{
        Acquire,
        Atomic,
        Full, //
    },
    rcu,
    Arc,
    ArcBorrow, //
};

/// An optional [`Arc`] that can be read under RCU while another context replaces it.
///
/// # Invariants
///
/// `ptr` is null or came from [`Arc::into_raw`], whose reference this object owns. A reference that
/// was taken out is dropped only after a grace period.
pub(crate) struct RcuArc<T> {
    ptr: Atomic<*mut T>,
    _owns: PhantomData<Arc<T>>,
}

// SAFETY: `RcuArc` hands out what `Arc` hands out, to any thread.
unsafe impl<T: Send + Sync> Send for RcuArc<T> {}
// SAFETY: As above; the pointer itself is atomic.
unsafe impl<T: Send + Sync> Sync for RcuArc<T> {}

fn into_ptr<T>(value: Option<Arc<T>>) -> *mut T {
    value.map_or(ptr::null_mut(), |arc| Arc::into_raw(arc).cast_mut())
}

impl<T> RcuArc<T> {
    /// Makes one that holds `value`.
    pub(crate) fn new(value: Option<Arc<T>>) -> Self {
        // INVARIANT: The pointer is null or comes from `Arc::into_raw`.
        Self {
            ptr: Atomic::new(into_ptr(value)),
            _owns: PhantomData,
        }
    }

    /// Returns what is held now. Any context; valid for as long as the read-side lock is held.
    #[inline]
    pub(crate) fn load<'a>(&'a self, _guard: &'a rcu::Guard) -> Option<ArcBorrow<'a, T>> {
        let ptr = self.ptr.load(Acquire);
        if ptr.is_null() {
            return None;
        }
        // SAFETY: By the type invariants the pointer came from `Arc::into_raw`, and whoever takes
        // it out waits for a grace period, which cannot end while `_guard` exists, before the
        // reference is dropped.
        Some(unsafe { ArcBorrow::from_raw(ptr) })
    }

    /// Returns a counted reference to what is held now. Any context.
    pub(crate) fn get(&self) -> Option<Arc<T>> {
        let guard = rcu::read_lock();
        self.load(&guard).map(Arc::from)
    }

    /// Puts `value` in place of what is held, waits until no reader can still see the old value
    /// and returns it. Process context; sleeps.
    pub(crate) fn replace(&self, value: Option<Arc<T>>) -> Option<Arc<T>> {
        // INVARIANT: The new pointer is null or comes from `Arc::into_raw`.
        let old = self.ptr.xchg(into_ptr(value), Full);
        if old.is_null() {
            return None;
        }
        // SAFETY: No requirements; the caller is in process context.
        unsafe { bindings::synchronize_net() };
        // SAFETY: By the type invariants `old` came from `Arc::into_raw`, its reference was ours,
        // and it is no longer in `self`.
        Some(unsafe { Arc::from_raw(old) })
    }
}

impl<T> Drop for RcuArc<T> {
    fn drop(&mut self) {
        let ptr = *self.ptr.get_mut();
        if !ptr.is_null() {
            // SAFETY: By the type invariants the reference is ours; `&mut self` shows that no
            // reader is left.
            drop(unsafe { Arc::from_raw(ptr) });
        }
    }
}
