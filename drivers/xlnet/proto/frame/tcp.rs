// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The TCP segment in a frame.

use super::{ethertype, EthernetHeader, ETH_HLEN, IPV6_HLEN};

/// The protocol number of TCP.
pub(super) const PROTO_TCP: u8 = 6;

/// Returns the TCP segment of a frame, as far as it is held, and its whole length in bytes. `None` for
/// headers cut short, extension headers of IPv6, fragments and frames with a VLAN tag.
pub(super) fn segment(frame: &[u8]) -> Option<(&[u8], u16)> {
    let packet = frame.get(ETH_HLEN..)?;
    match EthernetHeader::parse(frame)?.ethertype {
        ethertype::IPV4 => {
            let header: &[u8; 20] = packet.first_chunk()?;
            let header_len = (header[0] & 0xf).checked_mul(4)?;
            let whole = u16::from_be_bytes([header[2], header[3]]);
            // The bit that says that fragments follow, and the offset.
            let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff;
            let whole_header = usize::from(header_len) >= header.len();
            if header[0] >> 4 != 4 || !whole_header || header[9] != PROTO_TCP || fragment != 0 {
                return None;
            }
            let len = whole.checked_sub(header_len.into())?;
            Some((packet.get(header_len.into()..)?, len))
        }
        ethertype::IPV6 => {
            let header: &[u8; IPV6_HLEN] = packet.first_chunk()?;
            if header[0] >> 4 != 6 || header[6] != PROTO_TCP {
                return None;
            }
            let len = u16::from_be_bytes([header[4], header[5]]);
            Some((packet.get(IPV6_HLEN..)?, len))
        }
        _ => None,
    }
}
