// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions of Xen's guest interfaces: what mainline Rust does not have yet.
//!
//! - [`grant`]: pages of ours that one other domain may map.
//! - [`mapping`]: pages of another domain that we map.
//! - [`memory`]: the shared memory of a channel, made of the one or the other.
//! - [`pinned`]: pages that a peer has not let go of.
//! - [`evtchn`]: event channels, the interrupts between two domains.
//! - [`store`]: xenstore nodes and watches.
//!
//! The kernel's own helpers for grants and event channels, `xenbus_setup_ring()` and its kin, always
//! address the other end of a xenbus device. A channel's peer is a guest that no xenbus device leads
//! to, so these modules stand on the primitives below: the grant table and event channel calls.
//!
//! `unsafe` of the Xen side stays below this module.
//!
//! C headers: [`include/xen/xen.h`](srctree/include/xen/xen.h),
//! [`include/xen/interface/xen.h`](srctree/include/xen/interface/xen.h)

pub(crate) mod evtchn;
pub(crate) mod grant;
pub(crate) mod mapping;
pub(crate) mod memory;
pub(crate) mod pinned;
pub(crate) mod store;

use crate::bindings;
use core::fmt;

/// The number of a domain on its host.
///
/// Xen reuses numbers: one names the same guest only for as long as that guest lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DomId(pub(crate) u16);

// For `write!`, with which the paths of nodes are put together.
impl fmt::Display for DomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// For `pr_info!` and its like, which have a trait of their own.
impl kernel::fmt::Display for DomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether this kernel runs in a domain of a Xen host, of whatever type. Any context.
pub(crate) fn is_domain() -> bool {
    // SAFETY: Reads a variable that is set once during boot.
    unsafe { bindings::xlnet_xen_domain() }
}

/// Whether this domain is the initial one, Dom0. Any context.
pub(crate) fn is_initial_domain() -> bool {
    // SAFETY: Reads variables that are set once during boot.
    unsafe { bindings::xlnet_xen_initial_domain() }
}

/// A random number that nobody can guess. Any context, once the kernel's generator is seeded, which is
/// before modules are loaded.
pub(crate) fn random_u64() -> u64 {
    // SAFETY: No requirements.
    unsafe { bindings::get_random_u64() }
}
