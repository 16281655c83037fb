// SPDX-License-Identifier: GPL-2.0

//! Pages of ours that one other domain may map.
//!
//! # Taking a grant back
//!
//! A domain that has mapped a page keeps it until it unmaps it or dies; nothing we do takes it away.
//! So access is ended with `gnttab_end_foreign_access()`: a page that is not mapped is freed at
//! once, any other goes with its reference to a list of the kernel's, whose timer tries again every
//! second, ten pages at a time, and frees each page only when it is safe. A page is never reused
//! while the other domain can still write to it.
//!
//! What a domain can pin in this way is therefore every page it was ever granted and never
//! unmapped. Pages are of order 0, so it pins no more than those, and [`Revoked`] tells how many
//! they are, so that the owner can refuse to grant more to a domain that does not let go.
//!
//! C header: [`include/xen/grant_table.h`](srctree/include/xen/grant_table.h)

use super::DomId;
use crate::bindings;
use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// A grant reference: the index of an entry in the granting domain's grant table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ref(pub(crate) u32);

// A grant covers 4 KiB. Where the kernel's pages are larger, a page would take several.
static_assert!(kernel::page::PAGE_SIZE == 4096);

/// Pages whose access was ended since the module was loaded, see [`ended()`].
static ENDED: Atomic<u64> = Atomic::new(0);

/// Returns how many granted pages have had their access ended since the module was loaded. Whether
/// the other domain still had a page mapped then makes no difference here; [`Revoked`] knows that.
pub(crate) fn ended() -> u64 {
    ENDED.load(Relaxed)
}

/// One reference to an allocated page.
///
/// # Invariants
///
/// The pointer is to an order-0 page of the direct map, one of whose references is owned by this
/// object.
struct PageRef(NonNull<bindings::page>);

// SAFETY: A page may be freed from any thread.
unsafe impl Send for PageRef {}
// SAFETY: Nothing is changed through a shared reference but the atomic reference count.
unsafe impl Sync for PageRef {}

impl PageRef {
    /// Allocates a zeroed page. May sleep.
    fn new() -> Result<Self> {
        // SAFETY: Called where sleeping is allowed, as the constructor that calls it requires.
        let page = unsafe { bindings::xlnet_alloc_zeroed_page() };
        // INVARIANT: An allocated page comes with one reference, which is ours.
        NonNull::new(page).map(Self).ok_or(ENOMEM)
    }

    /// Takes another reference to the page.
    fn share(&self) -> Self {
        // SAFETY: By the type invariants the page is alive.
        unsafe { bindings::xlnet_get_page(self.0.as_ptr()) };
        // INVARIANT: The reference just taken.
        Self(self.0)
    }

    /// Returns whether there are references beside this one. The answer may be out of date at once,
    /// so nothing may be freed because of it.
    fn is_shared(&self) -> bool {
        // SAFETY: By the type invariants the page is alive.
        unsafe { bindings::xlnet_page_count(self.0.as_ptr()) > 1 }
    }

    /// Returns the kernel virtual address of the page's 4096 bytes.
    fn addr(&self) -> Result<NonNull<u8>> {
        // SAFETY: By the type invariants the page is alive.
        let addr = unsafe { bindings::xlnet_page_address(self.0.as_ptr()) };
        NonNull::new(addr.cast()).ok_or(EFAULT)
    }
}

impl Drop for PageRef {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the reference is ours to give up. The page goes back to
        // the allocator with the last one.
        unsafe { bindings::xlnet_free_page(self.0.as_ptr()) };
    }
}

/// An entry of the grant table.
///
/// # Invariants
///
/// `gref` is a live entry that lets one domain read and write the order-0 page `page`, one of whose
/// references is owned by this object.
struct Grant {
    gref: Ref,
    page: NonNull<bindings::page>,
}

// SAFETY: Access may be ended from any thread.
unsafe impl Send for Grant {}
// SAFETY: A shared reference allows nothing but reading the number.
unsafe impl Sync for Grant {}

impl Grant {
    /// Grants `page` to the domain `to`, to read and write.
    fn new(to: DomId, page: PageRef) -> Result<Self> {
        // SAFETY: By the type invariants of `PageRef` the page is alive. It is zeroed or holds what
        // was written to it as a granted page: nothing the domain may not see.
        let gref = unsafe {
            let gfn = bindings::xlnet_xen_page_to_gfn(page.0.as_ptr());
            bindings::gnttab_grant_foreign_access(to.0, gfn, 0)
        };
        let Ok(gref) = u32::try_from(gref) else {
            return Err(Error::from_errno(gref));
        };
        // INVARIANT: The entry was just made, and the reference is `page`'s.
        Ok(Self {
            gref: Ref(gref),
            page: ManuallyDrop::new(page).0,
        })
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the entry is live and the reference to the page is ours.
        // Both are passed on and not used after this.
        unsafe { bindings::gnttab_end_foreign_access(self.gref.0, self.page.as_ptr()) };
        ENDED.fetch_add(1, Relaxed);
    }
}

/// Zeroed pages of ours, each of which one other domain may map, to read and write.
///
/// The other domain may change every byte at any time: the addresses are for raw, checked access
/// only, never for references.
///
/// Dropping it ends the access; see the [module documentation](self) for what becomes of pages that
/// are still mapped, and [`GrantedPages::revoke()`] for knowing about them. Process context; does not
/// wait for the other domain.
///
/// # Invariants
///
/// `addrs` are the addresses of the 4096 bytes of each page of `pages`, in order.
pub(crate) struct GrantedPages {
    to: DomId,
    grants: KVVec<Grant>,
    pages: KVVec<PageRef>,
    addrs: KVVec<NonNull<u8>>,
}

// SAFETY: The pages belong to no thread; what is done with the addresses is their user's concern.
unsafe impl Send for GrantedPages {}
// SAFETY: A shared reference allows only reading the numbers and addresses, which do not change.
unsafe impl Sync for GrantedPages {}

impl GrantedPages {
    /// Allocates `count` zeroed pages and grants each to the domain `to`.
    ///
    /// Process context; may sleep for memory.
    ///
    /// # Errors
    ///
    /// Where not all of it can be done, none of it is:
    /// - `EINVAL` if `count` is zero.
    /// - `ENOMEM` if there is not enough memory.
    /// - `ENOSPC` if the grant table is full.
    pub(crate) fn new(to: DomId, count: usize) -> Result<Self> {
        if count == 0 {
            return Err(EINVAL);
        }
        // INVARIANT: There is neither a page nor an address, and below one of each is added.
        let mut this = Self {
            to,
            grants: KVVec::with_capacity(count, GFP_KERNEL)?,
            pages: KVVec::with_capacity(count, GFP_KERNEL)?,
            addrs: KVVec::with_capacity(count, GFP_KERNEL)?,
        };
        for _ in 0..count {
            let page = PageRef::new()?;
            let addr = page.addr()?;
            this.grants
                .push(Grant::new(to, page.share())?, GFP_KERNEL)?;
            this.pages.push(page, GFP_KERNEL)?;
            this.addrs.push(addr, GFP_KERNEL)?;
        }
        Ok(this)
    }

    /// Returns the grant reference of each page, in the order of [`GrantedPages::addrs()`].
    pub(crate) fn refs(&self) -> impl Iterator<Item = Ref> + '_ {
        self.grants.iter().map(|grant| grant.gref)
    }

    /// Returns the grant reference of page `index`.
    pub(crate) fn get_ref(&self, index: usize) -> Option<Ref> {
        self.grants.get(index).map(|grant| grant.gref)
    }

    /// Returns the kernel virtual address of each page's 4096 bytes, valid for reads and writes for
    /// as long as `self` lives.
    pub(crate) fn addrs(&self) -> &[NonNull<u8>] {
        &self.addrs
    }

    /// Ends the access as dropping does, and returns what tells when the other domain has let go.
    ///
    /// Process context; does not wait for the other domain.
    pub(crate) fn revoke(self) -> Revoked {
        let Self {
            to, grants, pages, ..
        } = self;
        drop(grants);
        let mut revoked = Revoked { to, pages };
        revoked.reap();
        revoked
    }
}

impl AsRef<[NonNull<u8>]> for GrantedPages {
    fn as_ref(&self) -> &[NonNull<u8>] {
        self.addrs()
    }
}

/// Pages whose access was ended while the other domain may still have had them mapped.
///
/// It shares each page with the kernel's list of grants to free, so it learns of the freeing by its
/// own reference becoming the only one. Dropping it forgets about the pages; the kernel's list keeps
/// those that are not safe to free.
pub(crate) struct Revoked {
    to: DomId,
    pages: KVVec<PageRef>,
}

impl Revoked {
    /// Returns the domain that the pages were granted to.
    pub(crate) fn peer(&self) -> DomId {
        self.to
    }

    /// Frees what the other domain has let go of, and returns how many pages are left.
    ///
    /// The kernel looks at its list once a second, so a page counts for up to some seconds after it
    /// was unmapped (ten pages are freed each second). Any context that may free memory; never
    /// sleeps.
    pub(crate) fn reap(&mut self) -> usize {
        self.pages.retain(|page| page.is_shared());
        self.pages.len()
    }
}
