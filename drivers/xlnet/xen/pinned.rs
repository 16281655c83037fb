// SPDX-License-Identifier: GPL-2.0

//! Pages whose grant has ended while the peer may still have them mapped.
//!
//! Nothing takes them from a domain that does not let go, so what counts is that it gets no more of
//! them: whoever grants asks first how many the domain pins already.

use super::{
    grant::{
        GrantedPages,
        Revoked, //
    },
    DomId, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
};

/// The pages that peers pin.
#[pin_data]
pub(crate) struct Pinned {
    #[pin]
    revoked: Mutex<KVVec<Revoked>>,
}

impl Pinned {
    /// Makes an empty one. Process context.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                revoked <- new_mutex!(KVVec::new(), "xlnet_pinned"),
            }),
            GFP_KERNEL,
        )
    }

    /// Frees what was let go of, and returns how many pages are left that `domain` pins, or, with
    /// `None`, any domain. Process context.
    pub(crate) fn count(&self, domain: Option<DomId>) -> usize {
        let mut total = 0usize;
        self.revoked.lock().retain(|revoked| {
            let pages = revoked.reap();
            if domain.is_none_or(|domain| domain == revoked.peer()) {
                total = total.saturating_add(pages);
            }
            pages != 0
        });
        total
    }
}

/// Granted pages that are accounted for until the peer has let go of them. Dropping them ends the
/// grants. Process context.
pub(crate) struct Accounted {
    /// `None` only while it is being dropped.
    pages: Option<GrantedPages>,
    pinned: Arc<Pinned>,
}

impl Accounted {
    /// Has `pages` accounted for in `pinned`.
    pub(crate) fn new(pages: GrantedPages, pinned: &Arc<Pinned>) -> Self {
        Self {
            pages: Some(pages),
            pinned: pinned.clone(),
        }
    }

    /// The pages.
    pub(crate) fn get(&self) -> Option<&GrantedPages> {
        self.pages.as_ref()
    }
}

impl Drop for Accounted {
    fn drop(&mut self) {
        let Some(pages) = self.pages.take() else {
            return;
        };
        let mut revoked = pages.revoke();
        if revoked.reap() != 0 {
            // Without memory for the list the pages go uncounted; the kernel's list keeps them.
            let _ = self.pinned.revoked.lock().push(revoked, GFP_KERNEL);
        }
    }
}
