// SPDX-License-Identifier: GPL-2.0

//! xenstore nodes and paths with arbitrary contents: what is accepted is written back as itself.

#![no_main]

use std::fmt::{Debug, Display};

use libfuzzer_sys::fuzz_target;
use xlnet_proto::schema::{
    Claims, GuestSelf, HelperSelf, InHome, PeerEntry, PeerRequest, SchemaError,
};

fn round_trips<T: Debug + Display + PartialEq>(
    value: &[u8],
    parse: impl Fn(&[u8]) -> Result<T, SchemaError>,
) {
    if let Ok(node) = parse(value) {
        assert_eq!(parse(node.to_string().as_bytes()), Ok(node));
    }
}

fuzz_target!(|input: &[u8]| {
    round_trips(input, GuestSelf::parse);
    round_trips(input, PeerRequest::parse);
    round_trips(input, Claims::parse);
    round_trips(input, HelperSelf::parse);
    round_trips(input, PeerEntry::parse);
    if let Ok(text) = std::str::from_utf8(input) {
        if let Some(path) = InHome::parse(text) {
            assert_eq!(path.to_string(), text);
        }
    }
});
