// SPDX-License-Identifier: GPL-2.0
//! Pages shared with another guest, from user space: granted by `include/uapi/xen/gntalloc.h`, or mapped by
//! `include/uapi/xen/gntdev.h`.

use std::{
    ffi::c_void,
    fs::{File, OpenOptions},
    num::NonZeroUsize,
    os::fd::AsRawFd,
    ptr::NonNull,
};

use anyhow::{ensure, Context, Result};
use nix::sys::mman::{mmap, munmap, MapFlags, ProtFlags};

const GNTALLOC: &str = "/dev/xen/gntalloc";
const GNTDEV: &str = "/dev/xen/gntdev";

const PAGE: usize = 4096;

/// Pages of the largest channel: two rings of a megabyte, and one more.
const MAX_PAGES: usize = 513;

const WRITABLE: u16 = 1;

#[repr(C)]
struct Alloc {
    domid: u16,
    flags: u16,
    count: u32,
    index: u64,
    refs: [u32; MAX_PAGES],
}

#[repr(C)]
#[derive(Clone, Copy)]
struct GrantRef {
    domid: u32,
    gref: u32,
}

#[repr(C)]
struct Map {
    count: u32,
    pad: u32,
    index: u64,
    refs: [GrantRef; MAX_PAGES],
}

// The numbers name the sizes of the headers' structures, of which the arrays have one element.
nix::ioctl_readwrite_bad!(alloc, 0x0018_4705_u64, Alloc);
nix::ioctl_readwrite_bad!(map, 0x0018_4700_u64, Map);

/// Pages that two guests share, in this process's memory. They are let go when this is dropped.
pub struct Pages {
    /// Closed when they are not in memory any more: that ends the grants.
    _file: File,
    base: NonNull<c_void>,
    count: usize,
    /// Their grant references.
    pub refs: Vec<u32>,
}

// SAFETY: The mapping belongs to no thread; what is done with the addresses is their user's concern.
unsafe impl Send for Pages {}

impl Pages {
    /// Grants `count` zeroed pages to domain `to`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn grant(to: u16, count: usize, writable: bool) -> Result<Self> {
        ensure!((1..=MAX_PAGES).contains(&count), "{count} pages");
        let file = open(GNTALLOC)?;
        let mut request = Box::new(Alloc {
            domid: to,
            flags: if writable { WRITABLE } else { 0 },
            count: count.try_into()?,
            index: 0,
            refs: [0; MAX_PAGES],
        });
        // SAFETY: The structure is the one that this request of this device reads and writes, with room for `count`.
        unsafe { alloc(file.as_raw_fd(), &mut *request) }
            .with_context(|| format!("granting {count} pages to domain {to}"))?;
        let base = map_file(&file, request.index, count)?;
        Ok(Self {
            _file: file,
            base,
            count,
            refs: request.refs[..count].to_vec(),
        })
    }

    /// Maps pages that domain `from` has granted.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn map(from: u16, refs: &[u32]) -> Result<Self> {
        ensure!(
            (1..=MAX_PAGES).contains(&refs.len()),
            "{} pages",
            refs.len()
        );
        let file = open(GNTDEV)?;
        let none = GrantRef {
            domid: from.into(),
            gref: 0,
        };
        let mut request = Box::new(Map {
            count: refs.len().try_into()?,
            pad: 0,
            index: 0,
            refs: [none; MAX_PAGES],
        });
        for (to, &gref) in request.refs.iter_mut().zip(refs) {
            to.gref = gref;
        }
        // SAFETY: The structure is the one that this request of this device reads and writes, with `count` references.
        unsafe { map(file.as_raw_fd(), &mut *request) }
            .with_context(|| format!("mapping {} pages of domain {from}", refs.len()))?;
        let base = map_file(&file, request.index, refs.len())?;
        Ok(Self {
            _file: file,
            base,
            count: refs.len(),
            refs: refs.to_vec(),
        })
    }

    /// Where each page is. Each address is valid for reads and writes of a page for as long as `self` lives.
    pub fn addresses(&self) -> Vec<NonNull<u8>> {
        let first = self.base.cast::<u8>();
        (0..self.count)
            // SAFETY: The mapping has `count` pages.
            .map(|page| unsafe { first.add(page * PAGE) })
            .collect()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: The mapping is this object's, and its addresses are not used after it.
        let _ = unsafe { munmap(self.base, self.count * PAGE) };
    }
}

fn open(device: &str) -> Result<File> {
    let file = OpenOptions::new().read(true).write(true).open(device);
    file.with_context(|| format!("{device}: are xen-gntalloc and xen-gntdev loaded?"))
}

fn map_file(file: &File, index: u64, count: usize) -> Result<NonNull<c_void>> {
    let length = NonZeroUsize::new(count * PAGE).context("no pages")?;
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: A new mapping at an address of the kernel's choice touches nothing that is there.
    let base = unsafe {
        mmap(
            None,
            length,
            access,
            MapFlags::MAP_SHARED,
            file,
            index.try_into()?,
        )
    };
    base.with_context(|| format!("{count} pages into memory"))
}
