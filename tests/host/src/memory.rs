// SPDX-License-Identifier: GPL-2.0

//! Real pages, as a channel between two guests has them: zeroed, aligned, not contiguous.

use std::alloc::{alloc_zeroed, dealloc, handle_alloc_error, Layout};
use std::ptr::NonNull;
use std::sync::Arc;

use xlnet_proto::fifo::{Consumer, Producer};
use xlnet_proto::layout::PAGE_SIZE;
use xlnet_proto::mem::{ControlPage, PagedRing};

const PAGE: Layout = match Layout::from_size_align(PAGE_SIZE as usize, PAGE_SIZE as usize) {
    Ok(layout) => layout,
    Err(_) => panic!("a page has a layout"),
};

/// Pages that live as long as one handle does.
#[derive(Clone)]
pub struct Pages(Arc<Owned>);

struct Owned(Vec<NonNull<u8>>);

// SAFETY: The pages are plain memory, accessed through atomics and raw copies only.
unsafe impl Send for Owned {}
// SAFETY: As above.
unsafe impl Sync for Owned {}

impl Pages {
    /// Allocates `n` zeroed pages.
    pub fn new(n: usize) -> Self {
        let page = |_| {
            // SAFETY: The layout is not empty.
            NonNull::new(unsafe { alloc_zeroed(PAGE) }).unwrap_or_else(|| handle_alloc_error(PAGE))
        };
        let mut pages: Vec<_> = (0..n).map(page).collect();
        // Neighbours in the ring are not neighbours in memory.
        pages.reverse();
        Pages(Arc::new(Owned(pages)))
    }
}

impl AsRef<[NonNull<u8>]> for Pages {
    fn as_ref(&self) -> &[NonNull<u8>] {
        &self.0 .0
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        for page in &self.0 {
            // SAFETY: Allocated in `Pages::new` with this layout, and freed only here.
            unsafe { dealloc(page.as_ptr(), PAGE) };
        }
    }
}

/// A ring's handle that keeps its control page, too.
#[derive(Clone)]
pub struct RingPages {
    ring: Pages,
    _control: Pages,
}

impl AsRef<[NonNull<u8>]> for RingPages {
    fn as_ref(&self) -> &[NonNull<u8>] {
        self.ring.as_ref()
    }
}

/// The memory of a channel: a control page and two rings of `size` bytes.
pub struct Channel {
    control: Pages,
    rings: [Pages; 2],
    size: u32,
}

impl Channel {
    /// Allocates it. `size` is a power of two of at least a page.
    pub fn new(size: u32) -> Self {
        let pages = (size / PAGE_SIZE) as usize;
        Channel {
            control: Pages::new(1),
            rings: [Pages::new(pages), Pages::new(pages)],
            size,
        }
    }

    /// Returns a handle of ring 0 or 1.
    pub fn ring(&self, ring: usize) -> PagedRing<RingPages> {
        let pages = RingPages {
            ring: self.rings[ring].clone(),
            _control: self.control.clone(),
        };
        // SAFETY: The pages are aligned, valid, owned by `pages`, and `Pages` is `Send`.
        unsafe { PagedRing::new(self.control.as_ref()[0], ring, pages, self.size) }
            .expect("the size is that of the pages")
    }

    /// Returns both ends of ring 0 or 1.
    pub fn ends(
        &self,
        ring: usize,
    ) -> (
        Producer<PagedRing<RingPages>>,
        Consumer<PagedRing<RingPages>>,
    ) {
        (
            Producer::new(self.ring(ring)),
            Consumer::new(self.ring(ring)),
        )
    }

    /// Runs `f` with the control page.
    pub fn with_control<T>(&self, f: impl FnOnce(&ControlPage) -> T) -> T {
        // SAFETY: The page is aligned, and valid while `self` is borrowed.
        f(&unsafe { ControlPage::new(self.control.as_ref()[0]) })
    }
}
