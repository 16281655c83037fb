// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The xenstore nodes: their paths, and their values as types.
//!
//! The tables are in `docs/protocol.md`, section 1. Each value type has a `parse` that takes the raw
//! bytes of a node, accepts nothing but the written rules, and gives a reason for what it refuses;
//! and a [`core::fmt::Display`] that writes what `parse` accepts.

mod fields;
mod guest;
mod helper;
mod list;
mod path;

pub use guest::{Claims, GuestSelf, GuestState, Offer, PeerRequest};
pub use helper::{Group, HelperSelf, PeerEntry};
pub use list::List;
pub use path::{InHome, Node};

use core::fmt;

/// Most bytes of a value.
pub const MAX_VALUE_LEN: usize = 2048;

/// Most addresses in a claim, and most prefixes of a peer.
pub const MAX_ADDRS: usize = 16;

/// Most bytes of a group's name.
pub const MAX_GROUP_LEN: usize = 32;

/// Why a node is invalid. The reader treats it as absent, and counts and logs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaError {
    /// The value is longer than [`MAX_VALUE_LEN`].
    TooLong,
    /// The value holds a byte that is not printable ASCII.
    NotPrintable,
    /// The value is not `key=value` fields separated by one space.
    Malformed,
    /// A key occurs twice.
    Repeated,
    /// This key is missing.
    Missing(&'static str),
    /// This key's value breaks its rule.
    Invalid(&'static str),
    /// The other side speaks another version of the protocol.
    Version(u32),
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SchemaError::TooLong => write!(f, "longer than {MAX_VALUE_LEN} bytes"),
            SchemaError::NotPrintable => f.write_str("not printable ASCII"),
            SchemaError::Malformed => {
                f.write_str("not key=value fields separated by single spaces")
            }
            SchemaError::Repeated => f.write_str("a key is repeated"),
            SchemaError::Missing(key) => write!(f, "no {key}"),
            SchemaError::Invalid(key) => write!(f, "invalid {key}"),
            SchemaError::Version(version) => write!(f, "unknown version {version}"),
        }
    }
}

impl core::error::Error for SchemaError {}
