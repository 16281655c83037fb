// SPDX-License-Identifier: GPL-2.0

//! Pages of another domain that we map.
//!
//! Each grant is mapped into the place of an *unpopulated* page: one that has a `struct page` and a
//! kernel virtual address but no memory of ours behind it. Xen puts the other domain's frame behind
//! it, by the address (PV: Xen changes the page table entry) or by the page frame number (PVH and
//! HVM: Xen changes the physical map); `gnttab_set_map_op()` makes the difference.
//!
//! A mapping is valid memory for as long as it stands, even when the other domain has died, ended
//! the grant, or writes nonsense.
//!
//! C header: [`include/xen/grant_table.h`](srctree/include/xen/grant_table.h)

use super::{
    grant::Ref,
    DomId, //
};
use crate::bindings;
use core::{
    ffi::c_int,
    ptr::{
        null_mut,
        NonNull, //
    }, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};

/// What an operation that succeeded has for a status.
const OKAY: i16 = bindings::GNTST_okay as i16;

/// The status of an operation for which Xen had no room.
const NO_SPACE: i16 = bindings::GNTST_no_device_space as i16;

/// The handle of no mapping, `INVALID_GRANT_HANDLE` in C.
const NO_HANDLE: bindings::grant_handle_t = bindings::grant_handle_t::MAX;

/// A positive status, which Xen never reports: the operation was not done.
const NOT_DONE: i16 = 1;

/// Unpopulated pages.
///
/// # Invariants
///
/// Each pointer is to a page of `gnttab_alloc_pages()` that is owned by this object and has nothing
/// mapped into it when this object is dropped.
struct Unpopulated(KVVec<*mut bindings::page>);

impl Unpopulated {
    /// Allocates `count` pages. May sleep, and may add memory sections to the kernel's map.
    fn new(count: usize) -> Result<Self> {
        let number = c_int::try_from(count).map_err(|_| EINVAL)?;
        let mut pages = KVVec::from_elem(null_mut(), count, GFP_KERNEL)?;
        // SAFETY: `pages` has room for `count` pointers.
        to_result(unsafe { bindings::gnttab_alloc_pages(number, pages.as_mut_ptr()) })?;
        // INVARIANT: The call above has filled the array.
        Ok(Self(pages))
    }
}

impl Drop for Unpopulated {
    fn drop(&mut self) {
        // The number was that of `new()` or less, so it fits.
        let Ok(number) = c_int::try_from(self.0.len()) else {
            return;
        };
        if number > 0 {
            // SAFETY: By the type invariants the pages are ours and nothing is mapped into them.
            unsafe { bindings::gnttab_free_pages(number, self.0.as_mut_ptr()) };
        }
    }
}

/// Pages of another domain, mapped to be read and written.
///
/// The other domain may change every byte at any time: the addresses are for raw, checked access
/// only, never for references, and the pages must not be given to anything that takes references to
/// them, such as a socket buffer.
///
/// Dropping it unmaps the pages; process context, waits for nothing but a mutex. A page that Xen
/// will not unmap is never used again: this is logged.
///
/// # Invariants
///
/// `pages`, `unmaps` and `addrs` have one element per grant, in the same order: the page it is mapped
/// into, the operation that unmaps it, and the address of the page's 4096 bytes. The handle of the
/// operation is [`NO_HANDLE`] where mapping has failed.
pub(crate) struct MappedPages {
    from: DomId,
    unmaps: KVVec<bindings::gnttab_unmap_grant_ref>,
    addrs: KVVec<NonNull<u8>>,
    pages: Unpopulated,
}

// SAFETY: The mapping belongs to no thread; what is done with the addresses is their user's concern.
unsafe impl Send for MappedPages {}
// SAFETY: A shared reference allows only reading the addresses, which do not change.
unsafe impl Sync for MappedPages {}

impl MappedPages {
    /// Maps the grants `refs` of the domain `from`, to be read and written.
    ///
    /// Process context; may sleep. It sleeps for long, up to half a minute for each grant, only
    /// where the host has paged the other domain's memory out, which the host alone decides.
    ///
    /// # Errors
    ///
    /// Where not all of it can be done, none of it is:
    /// - `EINVAL` if `refs` is empty or absurdly long.
    /// - `ENOMEM` if there is not enough memory.
    /// - `ENOSPC` if Xen is out of room to keep track of mappings.
    /// - `ENOENT` if Xen refuses a grant: there is no such domain, the grant is not for us or is
    ///   read-only.
    pub(crate) fn new(from: DomId, refs: &[Ref]) -> Result<Self> {
        if refs.is_empty() {
            return Err(EINVAL);
        }
        let count = c_int::try_from(refs.len()).map_err(|_| EINVAL)?;

        let pages = Unpopulated::new(refs.len())?;
        let mut maps = KVVec::with_capacity(refs.len(), GFP_KERNEL)?;
        let mut unmaps = KVVec::with_capacity(refs.len(), GFP_KERNEL)?;
        let mut addrs = KVVec::with_capacity(refs.len(), GFP_KERNEL)?;
        for (&page, gref) in pages.0.iter().zip(refs) {
            let flags = bindings::GNTMAP_host_map;
            let mut map = bindings::gnttab_map_grant_ref::default();
            let mut unmap = bindings::gnttab_unmap_grant_ref::default();
            // SAFETY: `page` is one of `pages`, `map` and `unmap` are local.
            let addr = unsafe {
                let kaddr = bindings::xlnet_page_kaddr(page);
                bindings::xlnet_gnttab_set_map_op(&mut map, kaddr, flags, gref.0, from.0);
                bindings::xlnet_gnttab_set_unmap_op(&mut unmap, kaddr, flags, NO_HANDLE);
                bindings::xlnet_page_address(page)
            };
            map.status = NOT_DONE;
            maps.push(map, GFP_KERNEL)?;
            unmaps.push(unmap, GFP_KERNEL)?;
            addrs.push(NonNull::new(addr.cast()).ok_or(EFAULT)?, GFP_KERNEL)?;
        }

        // From here on nothing is allocated, so that what gets mapped also gets unmapped.
        //
        // INVARIANT: One element per grant was added to each; no handle stands for a mapping yet.
        let mut this = Self {
            from,
            unmaps,
            addrs,
            pages,
        };
        // SAFETY: Both arrays have `count` elements, and nothing is mapped into the pages.
        let called = to_result(unsafe {
            bindings::gnttab_map_refs(
                maps.as_mut_ptr(),
                null_mut(),
                this.pages.0.as_mut_ptr(),
                count.unsigned_abs(),
            )
        });
        let mut failed = None;
        for (map, unmap) in maps.iter().zip(this.unmaps.iter_mut()) {
            if map.status == OKAY {
                // INVARIANT: `unmap` now undoes `map`.
                unmap.handle = map.handle;
            } else {
                failed = failed.or(Some(map.status));
            }
        }
        called?;
        match failed {
            None => Ok(this),
            Some(NO_SPACE) => Err(ENOSPC),
            Some(_) => Err(ENOENT),
        }
    }

    /// Returns the kernel virtual address of each page's 4096 bytes, in the order of the grants;
    /// valid for reads and writes for as long as `self` lives.
    pub(crate) fn addrs(&self) -> &[NonNull<u8>] {
        &self.addrs
    }
}

impl AsRef<[NonNull<u8>]> for MappedPages {
    fn as_ref(&self) -> &[NonNull<u8>] {
        self.addrs()
    }
}

impl Drop for MappedPages {
    fn drop(&mut self) {
        for unmap in self.unmaps.iter_mut() {
            unmap.status = NOT_DONE;
        }
        // The number was that of `new()`, so it fits. Were it not to, all would be kept below.
        let count = u32::try_from(self.unmaps.len()).unwrap_or(0);
        // The operations' own statuses tell more than the return value. Those without a handle fail,
        // which the call is made to bear.
        //
        // `gnttab_unmap_refs_sync()` would wait for as long as anyone else has a reference to one of
        // the pages. Nobody has: the pages never leave this object, only their addresses do.
        //
        // SAFETY: Both arrays have `count` elements, and by the type invariants the operations are
        // those of the pages.
        unsafe {
            bindings::gnttab_unmap_refs(
                self.unmaps.as_mut_ptr(),
                null_mut(),
                self.pages.0.as_mut_ptr(),
                count,
            );
        }

        // A page that may still be the other domain's must not be used for anything else.
        let total = self.pages.0.len();
        let mut unmaps = self.unmaps.iter();
        self.pages.0.retain(|_| {
            unmaps
                .next()
                .is_some_and(|unmap| unmap.status == OKAY || unmap.handle == NO_HANDLE)
        });
        let lost = total.saturating_sub(self.pages.0.len());
        if lost > 0 {
            pr_err!(
                "{lost} pages of domain {} stay mapped: Xen refused\n",
                self.from
            );
        }
    }
}
