// SPDX-License-Identifier: GPL-2.0

//! Where the memory of a socket buffer comes from.

use super::SkBuff;
use crate::{
    bindings,
    net::{
        device::Device,
        napi::{
            Poll,
            Turn, //
        },
        page_pool::PagePool, //
    },
};
use core::ptr::NonNull;
use kernel::{
    ffi,
    prelude::*, //
};

/// Frames up to this many bytes are received into one linear buffer that comes from a page fragment.
const LINEAR_MAX: u32 = 3072;

/// Of a longer frame this much is linear, so that every header the stack parses is; the rest is in
/// page fragments.
const LINEAR_HEAD: u32 = 256;

/// Page order of the fragments of a long frame for which the pool has no page: 32 KiB with 4 KiB pages,
/// as sockets use.
const FRAGMENT_ORDER: ffi::c_int = 3;

impl SkBuff {
    /// Allocates a buffer of `len` bytes for a frame that this poll will receive, with pages of `pool` if
    /// it is long.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn alloc_rx<T: Poll>(
        turn: &Turn<'_, T>,
        dev: &Device,
        pool: &mut PagePool,
        len: u32,
    ) -> Result<Self> {
        if len <= LINEAR_MAX {
            return Self::alloc_linear(turn, len);
        }
        let paged = len.checked_sub(LINEAR_HEAD).ok_or(EINVAL)?;
        let mut skb = Self::alloc_linear(turn, LINEAR_HEAD)?;
        if skb.add_pages(pool, paged) {
            return Ok(skb);
        }
        Self::alloc_scattered(dev, LINEAR_HEAD, paged)
    }

    /// Allocates a buffer of `len` bytes for a frame that is to be sent. Any context.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn alloc_tx(dev: &Device, len: u32) -> Result<Self> {
        let linear = len.min(LINEAR_HEAD);
        Self::alloc_scattered(dev, linear, len.saturating_sub(linear))
    }

    fn alloc_linear<T: Poll>(turn: &Turn<'_, T>, len: u32) -> Result<Self> {
        // SAFETY: The instance is being polled.
        let ptr = unsafe { bindings::napi_alloc_skb(turn.as_ptr(), len) };
        let ptr = NonNull::new(ptr).ok_or(ENOMEM)?;
        // SAFETY: The buffer has room for `len` bytes.
        unsafe { bindings::skb_put(ptr.as_ptr(), len) };
        // INVARIANT: A new buffer is ours.
        Ok(Self(ptr))
    }

    /// Lets a new, linear buffer go on for `paged` bytes in pages of `pool`; false if there are not enough.
    fn add_pages(&mut self, pool: &mut PagePool, paged: u32) -> bool {
        let skb = self.as_ptr();
        // SAFETY: By the type invariants.
        unsafe { bindings::xlnet_skb_mark_for_recycle(skb) };
        let mut left = paged;
        while left != 0 {
            let Some(piece) = pool.alloc(left) else {
                return false;
            };
            let len = left.min(piece.truesize);
            // SAFETY: By the type invariants; the largest frame takes fewer fragments than a buffer has
            // room for, and the buffer takes over the reference to the page.
            unsafe {
                bindings::xlnet_skb_add_rx_frag(
                    skb,
                    piece.page.as_ptr(),
                    piece.offset,
                    len,
                    piece.truesize,
                )
            };
            left = left.saturating_sub(len);
        }
        true
    }

    /// Allocates a buffer of `linear` bytes and `paged` ones in fragments of new pages, as few as can be
    /// had.
    fn alloc_scattered(dev: &Device, linear: u32, paged: u32) -> Result<Self> {
        let mut error = 0;
        // SAFETY: No requirements; `error` is valid for writes.
        let ptr = unsafe {
            bindings::alloc_skb_with_frags(
                linear as usize,
                paged as usize,
                FRAGMENT_ORDER,
                &mut error,
                bindings::XLNET_GFP_ATOMIC,
            )
        };
        let ptr = NonNull::new(ptr).ok_or(ENOMEM)?;
        // SAFETY: The buffer was allocated with a linear part of `linear` and fragments of
        // `paged` bytes, which are accounted here as `sock_alloc_send_pskb()` does.
        unsafe {
            let skb = ptr.as_ptr();
            bindings::skb_put(skb, linear);
            (*skb).data_len = paged;
            (*skb).len = linear.saturating_add(paged);
            bindings::xlnet_skb_set_dev(skb, dev.as_ptr());
        }
        // INVARIANT: A new buffer is ours.
        Ok(Self(ptr))
    }
}
