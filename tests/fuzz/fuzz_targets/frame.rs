// SPDX-License-Identifier: GPL-2.0

//! Arbitrary first bytes of a frame, and of a record.

#![no_main]

use libfuzzer_sys::fuzz_target;
use xlnet_proto::frame::{
    is_bare_ack, source_ip, tcp_segments, EthernetHeader, Mac, Prefix, SOURCE_IP_BYTES,
};
use xlnet_proto::layout::RecordHeader;

fuzz_target!(|input: &[u8]| {
    let header = EthernetHeader::parse(input);
    assert_eq!(header.is_some(), input.len() >= 14);
    let source = source_ip(input);
    let enough = input.get(..SOURCE_IP_BYTES).unwrap_or(input);
    assert_eq!(source, source_ip(enough), "later bytes do not matter");
    if let Some(ip) = source {
        assert!(Prefix::from(ip).contains(ip));
    }
    if is_bare_ack(input) {
        assert!(input.len() >= 14 + 20 + 14, "the flags of TCP are there");
    }
    if let Some(bytes) = input.first_chunk() {
        if let Ok(header) = RecordHeader::from_bytes(bytes) {
            assert_eq!(header.to_bytes()[..18], bytes[..18]);
            if let Some(anew) = tcp_segments(input, &header.virtio, 1500) {
                assert_eq!(u32::from(anew.hdr_len) + u32::from(anew.gso_size), 1514);
            }
        }
    }
    if let Ok(text) = std::str::from_utf8(input) {
        if let Ok(mac) = text.parse::<Mac>() {
            assert_eq!(mac.to_string(), text);
        }
        if let Ok(prefix) = text.parse::<Prefix>() {
            assert_eq!(prefix.to_string().parse(), Ok(prefix));
        }
    }
});
