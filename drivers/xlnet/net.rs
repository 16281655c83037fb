// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions of the network stack: what mainline Rust does not have yet.
//!
//! Everything here is written for a virtual device with a table of peers. Nothing here knows what a
//! peer is; `unsafe` of the network side stays below this module.

pub(crate) mod device;
pub(crate) mod ethtool;
pub(crate) mod napi;
pub(crate) mod ops;
pub(crate) mod page_pool;
pub(crate) mod pm;
pub(crate) mod rcu;
pub(crate) mod skb;
pub(crate) mod stats;
pub(crate) mod sysfs;
pub(crate) mod work;

use crate::bindings;

/// Whether one more line that a peer can provoke may go to the log: ten in five seconds, of the whole
/// network stack (`net.core.message_burst`, `message_cost`), which says how many were left out. Any
/// context.
///
/// C header: [`include/linux/net.h`](srctree/include/linux/net.h)
pub(crate) fn may_log() -> bool {
    // SAFETY: The function has no requirements.
    unsafe { bindings::net_ratelimit() != 0 }
}
