// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The xlnet protocol: everything two guests and the helper must agree on, as pure code.
//!
//! These files are compiled twice: as `mod proto` of the kernel module and as the Cargo crate
//! `xlnet-proto`, which the helper and the tests link. So they use only `core`, refer to each other
//! by `super::` paths, allocate nothing and carry no crate attributes. `unsafe` is confined to
//! [`mem`]. The contract they implement is `docs/protocol.md`.
//!
//! - [`mem`], [`sync`], [`layout`]: the memory a channel shares and the only ways to touch it.
//! - [`index`], [`fifo`]: the ring of records on top of it; [`fault`]: what a peer can do wrong.
//! - [`frame`]: the little that is read from an Ethernet frame.
//! - [`peer_state`]: when channels are made and closed.
//! - [`schema`]: the xenstore nodes.

pub mod fault;
pub mod fifo;
pub mod frame;
pub mod index;
pub mod layout;
pub mod mem;
pub mod peer_state;
pub mod schema;
pub mod sync;
