// SPDX-License-Identifier: GPL-2.0

//! Pages that received frames lie in, used again when the stack is done with them.
//!
//! A new page is cleared (`init_on_alloc`) and charged each time; one that comes back is not.
//!
//! C header: [`include/net/page_pool/helpers.h`](srctree/include/net/page_pool/helpers.h), manual:
//! [`Documentation/networking/page_pool.rst`](srctree/Documentation/networking/page_pool.rst)

use crate::{
    bindings,
    net::device::Device, //
};
use core::ptr::NonNull;
use kernel::{
    error::from_err_ptr,
    ffi,
    prelude::*, //
};

/// Page order: 16 KiB with 4 KiB pages. The largest frame takes four, and less than 8 KiB are wasted.
const ORDER: ffi::c_uint = 2;

/// Bytes of such a page.
const PAGE_BYTES: u32 = (kernel::page::PAGE_SIZE as u32) << ORDER;

/// Pages that wait in the ring of those that came back. As many again may have been taken out of it
/// to be used next, so that a pool keeps 1 MiB at most.
const RING: ffi::c_uint = 32;

/// A `struct page_pool`.
///
/// Dropping it sleeps. What the stack still holds is freed when it comes back.
///
/// # Invariants
///
/// The pointer is valid, and the pool is ours.
pub(crate) struct PagePool(NonNull<bindings::page_pool>);

// SAFETY: A pool may be created, used and destroyed by different threads.
unsafe impl Send for PagePool {}
// SAFETY: Nothing can be done with a shared pool.
unsafe impl Sync for PagePool {}

/// A piece of a pool's page, of which the holder owns a reference.
pub(super) struct Fragment {
    pub(super) page: NonNull<bindings::page>,
    pub(super) offset: ffi::c_uint,
    /// Bytes of memory it takes, at least those that were asked for.
    pub(super) truesize: ffi::c_uint,
}

impl PagePool {
    /// Makes an empty pool for `dev`, which only says whose it is. Process context.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(dev: &Device) -> Result<Self> {
        // SAFETY: The device is registered; it is taken out of the pool when it is unregistered.
        let pool = unsafe { bindings::xlnet_page_pool_create(dev.as_ptr(), ORDER, RING) };
        // INVARIANT: A new pool is ours.
        NonNull::new(from_err_ptr(pool)?).map(Self).ok_or(ENOMEM)
    }

    /// Takes a piece of `want` bytes, or of a whole page if that is less. Bottom halves disabled.
    ///
    /// Its reference is given up by a socket buffer that is marked for recycling, or is lost.
    pub(super) fn alloc(&mut self, want: u32) -> Option<Fragment> {
        let (mut offset, mut truesize) = (0, want.min(PAGE_BYTES));
        // SAFETY: By the type invariants; as we have the pool to ourselves, nobody takes pages meanwhile.
        let page =
            unsafe { bindings::xlnet_page_pool_alloc(self.0.as_ptr(), &mut offset, &mut truesize) };
        NonNull::new(page).map(|page| Fragment {
            page,
            offset,
            truesize,
        })
    }
}

impl Drop for PagePool {
    fn drop(&mut self) {
        // SAFETY: The pool is ours, by the type invariants, and whoever dropped it polls no more.
        unsafe { bindings::page_pool_destroy(self.0.as_ptr()) };
    }
}
