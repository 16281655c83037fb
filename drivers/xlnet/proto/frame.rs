// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The little that is read from an Ethernet frame: its header, and who claims to have sent it.
//!
//! Everything here works on a private copy of a frame's first bytes.

mod ack;
mod ip;
mod mac;
mod segment;
mod tcp;

pub use ack::is_bare_ack;
pub use ip::{Ip, Prefix};
pub use mac::Mac;
pub use segment::{tcp_segments, TCP_HLEN};

/// Bytes of an Ethernet header without VLAN tags.
pub const ETH_HLEN: usize = 14;

/// Shortest frame a record carries, in bytes: an Ethernet header.
pub const MIN_FRAME_LEN: u32 = 14;

/// Longest frame a record carries, in bytes: the longest IP packet, an Ethernet header and one tag,
/// rounded up to an even number.
pub const MAX_FRAME_LEN: u32 = 65_554;

/// First bytes of a frame that [`source_ip`] looks at, at most.
pub const SOURCE_IP_BYTES: usize = ETH_HLEN + 2 * VLAN_HLEN + IPV6_HLEN + 1;

/// EtherTypes, from IEEE's registry.
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// A VLAN tag, IEEE 802.1Q.
    pub const VLAN: u16 = 0x8100;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// An outer VLAN tag, IEEE 802.1ad.
    pub const QINQ: u16 = 0x88a8;

    /// Returns whether a VLAN tag follows.
    pub const fn is_tag(ethertype: u16) -> bool {
        matches!(ethertype, VLAN | QINQ)
    }
}

const VLAN_HLEN: usize = 4;

/// The bits of a tag that are the VLAN.
const VLAN_ID_MASK: u16 = 0x0fff;
const IPV6_HLEN: usize = 40;
const PROTO_ICMPV6: u8 = 58;
/// ICMPv6 types of neighbour discovery, RFC 4861: router solicitation to redirect.
const ND_TYPES: core::ops::RangeInclusive<u8> = 133..=137;

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EthernetHeader {
    /// Destination.
    pub dst: Mac,
    /// Source.
    pub src: Mac,
    /// What follows: an EtherType, or a length below 1536.
    pub ethertype: u16,
}

impl EthernetHeader {
    /// Reads the header, or returns `None` if `frame` is shorter than one.
    pub fn parse(frame: &[u8]) -> Option<EthernetHeader> {
        let &[d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = frame.first_chunk()?;
        Some(EthernetHeader {
            dst: Mac([d0, d1, d2, d3, d4, d5]),
            src: Mac([s0, s1, s2, s3, s4, s5]),
            ethertype: u16::from_be_bytes([t0, t1]),
        })
    }

    /// Returns whether the frame would do with other Ethernet addresses: an IP packet to one receiver.
    pub const fn is_unicast_ip(&self) -> bool {
        !self.dst.is_multicast() && matches!(self.ethertype, ethertype::IPV4 | ethertype::IPV6)
    }
}

/// Returns the address that sent the frame, as it claims itself.
///
/// That is the source of an IPv4 or IPv6 packet, or the sender of an ARP packet. Frames without
/// such an address give `None`: other protocols, headers cut short, an ARP probe (RFC 5227), and
/// neighbour discovery, whose source may be link-local or unspecified; and frames in a VLAN, a
/// network of its own, whose addresses nobody has assigned.
///
/// A tag with VLAN 0 carries a priority only: receivers take the frame as untagged, so what is below
/// is looked at. More than two of them have no use; such a frame claims the unspecified address, which
/// no guest owns.
///
/// `frame` needs to hold only the first [`SOURCE_IP_BYTES`] bytes.
pub fn source_ip(frame: &[u8]) -> Option<Ip> {
    let header = EthernetHeader::parse(frame)?;
    let mut ethertype = header.ethertype;
    let mut rest = frame.get(ETH_HLEN..)?;
    for _ in 0..2 {
        if !ethertype::is_tag(ethertype) {
            break;
        }
        let &[c0, c1, t0, t1] = rest.first_chunk()?;
        if u16::from_be_bytes([c0, c1]) & VLAN_ID_MASK != 0 {
            return None;
        }
        ethertype = u16::from_be_bytes([t0, t1]);
        rest = rest.get(VLAN_HLEN..)?;
    }
    match ethertype {
        ethertype::IPV4 => ipv4_source(rest),
        ethertype::IPV6 => ipv6_source(rest),
        ethertype::ARP => arp_sender(rest),
        tag if ethertype::is_tag(tag) => Some(Ip::V4(core::net::Ipv4Addr::UNSPECIFIED)),
        _ => None,
    }
}

fn ipv4_source(packet: &[u8]) -> Option<Ip> {
    let header: &[u8; 20] = packet.first_chunk()?;
    if header[0] >> 4 != 4 {
        return None;
    }
    Some(Ip::from([header[12], header[13], header[14], header[15]]))
}

fn ipv6_source(packet: &[u8]) -> Option<Ip> {
    let header: &[u8; IPV6_HLEN] = packet.first_chunk()?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let icmp_type = packet.get(IPV6_HLEN);
    if header[6] == PROTO_ICMPV6 && icmp_type.is_some_and(|t| ND_TYPES.contains(t)) {
        return None;
    }
    let source: [u8; 16] = header.get(8..24)?.try_into().ok()?;
    Some(Ip::from(source))
}

fn arp_sender(packet: &[u8]) -> Option<Ip> {
    // RFC 826: Ethernet and IPv4, with their address lengths. An Ethernet device takes the hardware type
    // of IEEE 802 for its own, too (`arp_process()` in net/ipv4/arp.c).
    const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
    const IEEE802_IPV4: [u8; 6] = [0, 6, 8, 0, 6, 4];
    let packet: &[u8; 28] = packet.first_chunk()?;
    if !packet.starts_with(&ETHERNET_IPV4) && !packet.starts_with(&IEEE802_IPV4) {
        return None;
    }
    let sender = Ip::from([packet[14], packet[15], packet[16], packet[17]]);
    (!sender.is_unspecified()).then_some(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(tags: &[u16], ethertype: u16, payload: &[u8]) -> Vec<u8> {
        tagged(tags, 0xe000, ethertype, payload)
    }

    fn tagged(tags: &[u16], control: u16, ethertype: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x02; 12];
        for tag in tags {
            frame.extend(tag.to_be_bytes());
            frame.extend(control.to_be_bytes());
        }
        frame.extend(ethertype.to_be_bytes());
        frame.extend(payload);
        frame
    }

    fn ipv4(source: [u8; 4]) -> Vec<u8> {
        let mut packet = vec![0; 20];
        packet[0] = 0x45;
        packet[12..16].copy_from_slice(&source);
        packet
    }

    fn ipv6(next_header: u8, payload: u8) -> Vec<u8> {
        let mut packet = vec![0; 41];
        packet[0] = 0x60;
        packet[6] = next_header;
        packet[8..10].copy_from_slice(&[0x20, 0x01]);
        packet[23] = 9;
        packet[40] = payload;
        packet
    }

    fn arp(sender: [u8; 4]) -> Vec<u8> {
        let mut packet = vec![0; 28];
        packet[..6].copy_from_slice(&[0, 1, 8, 0, 6, 4]);
        packet[14..18].copy_from_slice(&sender);
        packet
    }

    #[test]
    fn the_sender_is_found_below_two_priority_tags() {
        let source = [10, 0, 0, 9];
        for tags in [
            &[][..],
            &[ethertype::VLAN],
            &[ethertype::QINQ, ethertype::VLAN],
        ] {
            let ip = Some(Ip::from(source));
            assert_eq!(source_ip(&frame(tags, ethertype::IPV4, &ipv4(source))), ip);
            assert_eq!(source_ip(&frame(tags, ethertype::ARP, &arp(source))), ip);
            let v6 = source_ip(&frame(tags, ethertype::IPV6, &ipv6(6, 0)));
            assert_eq!(v6, "2001::9".parse().ok());
        }
    }

    #[test]
    fn a_third_priority_tag_claims_an_address_nobody_owns() {
        let source = source_ip(&frame(
            &[ethertype::VLAN; 3],
            ethertype::IPV4,
            &ipv4([10, 0, 0, 9]),
        ));
        assert_eq!(source, "0.0.0.0".parse().ok());
    }

    #[test]
    fn a_vlan_is_a_network_of_its_own() {
        for tags in [&[ethertype::VLAN][..], &[ethertype::QINQ, ethertype::VLAN]] {
            for control in [7, 0xe007] {
                let frame = tagged(tags, control, ethertype::IPV4, &ipv4([10, 0, 0, 9]));
                assert_eq!(source_ip(&frame), None);
            }
        }
    }

    #[test]
    fn neighbour_discovery_and_probes_have_no_sender() {
        for nd in ND_TYPES {
            let packet = ipv6(PROTO_ICMPV6, nd);
            assert_eq!(source_ip(&frame(&[], ethertype::IPV6, &packet)), None);
        }
        let echo = source_ip(&frame(&[], ethertype::IPV6, &ipv6(PROTO_ICMPV6, 128)));
        assert_eq!(echo, "2001::9".parse().ok());
        assert_eq!(source_ip(&frame(&[], ethertype::ARP, &arp([0; 4]))), None);
    }

    #[test]
    fn arp_has_a_sender_under_each_type_that_ethernet_takes() {
        let sender = |hardware| {
            let mut packet = arp([10, 0, 0, 9]);
            packet[1] = hardware;
            source_ip(&frame(&[], ethertype::ARP, &packet))
        };
        assert_eq!(
            [1, 6].map(sender),
            [[10, 0, 0, 9]; 2].map(|ip| Some(Ip::from(ip)))
        );
        assert_eq!(sender(15), None);
    }

    #[test]
    fn frames_cut_short_have_no_sender() {
        let whole = frame(&[ethertype::VLAN], ethertype::IPV4, &ipv4([10, 0, 0, 9]));
        for len in 0..whole.len() {
            assert_eq!(source_ip(&whole[..len]), None, "{len} bytes");
        }
        assert!(EthernetHeader::parse(&whole[..13]).is_none());
        let header = EthernetHeader::parse(&whole).expect("a whole header");
        assert_eq!(
            (header.src, header.ethertype),
            (Mac([2; 6]), ethertype::VLAN)
        );
    }
}
