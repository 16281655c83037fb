// SPDX-License-Identifier: GPL-2.0

//! xlnet: a network device to the guests on the same Xen host, through shared memory.
//!
//! The rooms, from the bottom up; imports go one way:
//!
//! - `proto`: the protocol two guests speak, pure. Also a Cargo crate.
//! - `xen`, `net`: safe abstractions of grants, event channels, xenstore, and of the network stack.
//!   All `unsafe` is there, and in `proto/mem.rs`.
//! - `peer`: a permitted peer and its channel; `tx`, `rx`: the data path; `netdev`: the device;
//!   `shared`: what these and the control task share.
//! - `control`: the task that makes and closes channels; `driver`: the module.
//!
//! `docs/architecture.md` has the drawing.

mod bindings;
mod net;
// Public as in the crate of its own that it also is: xlnetd uses what we do not.
pub mod proto;
mod xen;

#[forbid(unsafe_code)]
mod control;
#[forbid(unsafe_code)]
mod driver;
#[forbid(unsafe_code)]
mod event_cost;
#[forbid(unsafe_code)]
mod netdev;
#[forbid(unsafe_code)]
mod peer;
#[forbid(unsafe_code)]
mod rx;
#[forbid(unsafe_code)]
mod shared;
#[forbid(unsafe_code)]
mod stats;
#[forbid(unsafe_code)]
mod tx;
#[forbid(unsafe_code)]
mod watch;

kernel::prelude::module! {
    type: driver::Xlnet,
    name: "xlnet",
    authors: ["The xlnet authors"],
    description: "Network device to guests on the same Xen host, through shared memory",
    license: "GPL",
}
