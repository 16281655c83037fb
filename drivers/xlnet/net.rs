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
