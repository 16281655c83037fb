// SPDX-License-Identifier: GPL-2.0

//! The shared memory of a channel: the pages, whichever side granted them, and the handles through
//! which `proto` touches them.

use super::{
    grant::{
        GrantedPages,
        Ref, //
    },
    mapping::MappedPages,
    pinned::{
        Accounted,
        Pinned, //
    },
    DomId, //
};
use crate::proto::{
    fault::PeerFault,
    layout::{
        Header,
        Role,
        PAGE_SIZE, //
    },
    mem::{
        ControlPage,
        PagedRing, //
    },
};
use core::{
    ops::Range,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// One end of a channel's two rings.
pub(crate) type Ring = PagedRing<RingPages>;

/// Why an offered channel could not be mapped.
pub(crate) enum MapError {
    /// What the peer wrote into the control page is impossible.
    Fault(PeerFault),
    /// Xen or this kernel refused.
    Kernel(Error),
}

impl From<Error> for MapError {
    fn from(error: Error) -> Self {
        Self::Kernel(error)
    }
}

enum Pages {
    Granted(Accounted),
    Mapped(MappedPages),
}

impl Pages {
    fn addrs(&self) -> &[NonNull<u8>] {
        match self {
            Self::Granted(pages) => pages.get().map_or(&[], GrantedPages::addrs),
            Self::Mapped(pages) => pages.addrs(),
        }
    }
}

/// The pages of a channel.
///
/// # Invariants
///
/// `control` is the handle of the first page of `head`. `data` holds the pages of ring 0, then as
/// many of ring 1, each ring of `ring_bytes`.
pub(crate) struct Memory {
    control: ControlPage,
    data: Pages,
    head: Pages,
    ring_bytes: u32,
}

fn pages_per_ring(ring_bytes: u32) -> usize {
    (ring_bytes / PAGE_SIZE) as usize
}

fn control_of(head: &Pages) -> Result<ControlPage> {
    let addr = head.addrs().first().ok_or(EINVAL)?;
    // SAFETY: The page is valid for as long as `head`, which the caller keeps beside the handle; pages
    // that are granted or mapped are only accessed through such handles.
    Ok(unsafe { ControlPage::new(*addr) })
}

impl Memory {
    /// Allocates and grants the memory of a channel to `peer`, and writes `header` and the directory.
    ///
    /// The rings have `1 << header.ring_shift` bytes each. What the peer keeps mapped when it is over is
    /// counted in `pinned`. Process context; may sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a ring size the protocol does not allow, `ENOMEM`, `ENOSPC` if the grant table is
    /// full. Nothing is left behind.
    pub(crate) fn grant(peer: DomId, header: &Header, pinned: &Arc<Pinned>) -> Result<Self> {
        let ring_bytes = 1u32.checked_shl(header.ring_shift.into()).ok_or(EINVAL)?;
        let pages = pages_per_ring(ring_bytes).checked_mul(2).ok_or(EINVAL)?;
        let head = GrantedPages::new(peer, 1)?;
        let head = Pages::Granted(Accounted::new(head, pinned));
        let data = GrantedPages::new(peer, pages)?;
        let control = control_of(&head)?;
        control.init(header);
        for (i, gref) in data.refs().enumerate() {
            control.set_gref(i, gref.0);
        }
        // INVARIANT: `data` has the pages of two rings.
        Ok(Self {
            control,
            data: Pages::Granted(Accounted::new(data, pinned)),
            head,
            ring_bytes,
        })
    }

    /// Maps a channel that `peer` offers: its control page, and what the directory there names.
    ///
    /// `check` gets the header as it was copied once, and returns the bytes of each ring. Process
    /// context; may sleep.
    ///
    /// # Errors
    ///
    /// What `check` says, or what [`MappedPages::new()`] says. Nothing is left behind.
    pub(crate) fn map(
        peer: DomId,
        control: Ref,
        check: impl FnOnce(&Header) -> core::result::Result<u32, PeerFault>,
    ) -> core::result::Result<Self, MapError> {
        let head = Pages::Mapped(MappedPages::new(peer, &[control])?);
        let control = control_of(&head)?;
        let ring_bytes = check(&control.read_header()).map_err(MapError::Fault)?;
        let pages = pages_per_ring(ring_bytes).checked_mul(2).ok_or(EINVAL)?;
        let mut refs = KVVec::with_capacity(pages, GFP_KERNEL).map_err(Error::from)?;
        for i in 0..pages {
            refs.push(Ref(control.gref(i)), GFP_KERNEL)
                .map_err(Error::from)?;
        }
        let data = Pages::Mapped(MappedPages::new(peer, &refs)?);
        // INVARIANT: `data` has the pages of two rings.
        Ok(Self {
            control,
            data,
            head,
            ring_bytes,
        })
    }

    /// The control page's state words.
    pub(crate) fn control(&self) -> &ControlPage {
        &self.control
    }

    /// The grant reference of the control page, if it is ours.
    pub(crate) fn control_ref(&self) -> Option<Ref> {
        match &self.head {
            Pages::Granted(pages) => pages.get()?.get_ref(0),
            Pages::Mapped(_) => None,
        }
    }

    /// The handles of the rings we produce into and consume from, in that order. They keep the
    /// memory. To be called once, as a ring has one producer and one consumer.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the pages do not make two rings.
    pub(crate) fn rings(this: &Arc<Self>, us: Role) -> Result<(Ring, Ring)> {
        Ok((
            Self::ring(this, us.tx_ring())?,
            Self::ring(this, us.rx_ring())?,
        ))
    }

    fn ring(this: &Arc<Self>, ring: usize) -> Result<Ring> {
        let count = pages_per_ring(this.ring_bytes);
        let start = ring.checked_mul(count).ok_or(EINVAL)?;
        let pages = RingPages {
            range: start..start.checked_add(count).ok_or(EINVAL)?,
            memory: this.clone(),
        };
        let control = *this.head.addrs().first().ok_or(EINVAL)?;
        // SAFETY: Control page and ring pages are kept by `pages`, are the same at each look, are
        // only accessed through `proto`'s handles, and may be used and dropped by any thread.
        unsafe { PagedRing::new(control, ring, pages, this.ring_bytes) }.ok_or(EINVAL)
    }
}

/// The pages of one ring.
pub(crate) struct RingPages {
    memory: Arc<Memory>,
    range: Range<usize>,
}

impl AsRef<[NonNull<u8>]> for RingPages {
    #[inline]
    fn as_ref(&self) -> &[NonNull<u8>] {
        self.memory
            .data
            .addrs()
            .get(self.range.start..self.range.end)
            .unwrap_or_default()
    }
}
