// SPDX-License-Identifier: GPL-2.0
//! Frames as an attacker makes them by hand.

use std::net::{Ipv4Addr, Ipv6Addr};

use xlnet_proto::frame::{ethertype, Mac};

/// Who sends, and to whom.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// Our address on the segment, or one that is not ours.
    pub src_mac: Mac,
    /// The victim's.
    pub dst_mac: Mac,
    /// Our address, or one that is not ours.
    pub src: Ipv4Addr,
    /// The victim's.
    pub dst: Ipv4Addr,
}

const ICMP: u8 = 1;
const UDP: u8 = 17;
const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;
const ICMPV6: u8 = 58;
const ECHO_REQUEST_V6: u8 = 128;
const ROUTER_ADVERTISEMENT: u8 = 134;

/// The network that a false router advertises.
const ADVERTISED: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 0);

/// All nodes of a link, and the station address that stands for them.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: Mac = Mac([0x33, 0x33, 0, 0, 0, 1]);

/// Bytes in front of an IPv4 packet's payload in a frame.
pub const HEADERS: usize = 34;

/// The sum of RFC 1071 over bytes of even number.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| match *pair {
        [high, low] => u32::from(u16::from_be_bytes([high, low])),
        [high] => u32::from(high) << 8,
        _ => 0,
    });
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

fn ethernet(ends: &Ends, kind: u16, payload: &[u8]) -> Vec<u8> {
    [
        &ends.dst_mac.0[..],
        &ends.src_mac.0,
        &kind.to_be_bytes(),
        payload,
    ]
    .concat()
}

fn ipv4(ends: &Ends, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX);
    let mut header = vec![0x45, 0];
    header.extend(length.to_be_bytes());
    header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    header.extend(ends.src.octets());
    header.extend(ends.dst.octets());
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    ethernet(ends, ethertype::IPV4, &[header, payload.to_vec()].concat())
}

/// An ICMP echo request with `length` bytes of data.
pub fn echo_request(ends: &Ends, sequence: u16, length: usize) -> Vec<u8> {
    echo(ECHO_REQUEST, ends, sequence, length)
}

fn echo(kind: u8, ends: &Ends, sequence: u16, length: usize) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0x58, 0x4c];
    message.extend(sequence.to_be_bytes());
    message.extend((0..length).map(|at| at as u8));
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    ipv4(ends, ICMP, &message)
}

/// Whether a frame is the answer to [`echo_request`], unchanged.
pub fn is_echo_reply(frame: &[u8], ends: &Ends, sequence: u16) -> bool {
    let Some(message) = frame.get(HEADERS..) else {
        return false;
    };
    frame[..6] == ends.src_mac.0
        && frame[6..12] == ends.dst_mac.0
        && frame[12..14] == ethertype::IPV4.to_be_bytes()
        && message.first() == Some(&ECHO_REPLY)
        && message.get(6..8) == Some(&sequence.to_be_bytes()[..])
        && checksum(message) == 0
}

/// A UDP datagram to a port, without a checksum of its own.
pub fn datagram(ends: &Ends, port: u16, length: usize) -> Vec<u8> {
    let mut message = 4000_u16.to_be_bytes().to_vec();
    message.extend(port.to_be_bytes());
    let all = u16::try_from(8 + length).unwrap_or(u16::MAX);
    message.extend(all.to_be_bytes());
    message.extend([0, 0]);
    message.resize(8 + length, b'x');
    ipv4(ends, UDP, &message)
}

/// An ARP request for the victim's address, by `ends.src`.
pub fn arp_request(ends: &Ends) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, 1];
    packet.extend(ends.src_mac.0);
    packet.extend(ends.src.octets());
    packet.extend([0; 6]);
    packet.extend(ends.dst.octets());
    ethernet(ends, ethertype::ARP, &packet)
}

/// An ICMPv6 echo request to all nodes.
pub fn echo_request_to_all(ends: &Ends, source: Ipv6Addr) -> Vec<u8> {
    icmpv6_to_all(
        ends,
        source,
        vec![ECHO_REQUEST_V6, 0, 0, 0, 0x58, 0x4c, 0, 1],
    )
}

/// A router advertisement to all nodes (RFC 4861, 4.2 and 4.6.2), with a network in which who hears it is to have an address.
pub fn router_advertisement(ends: &Ends, source: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![ROUTER_ADVERTISEMENT, 0, 0, 0, 64, 0, 0x07, 0x08];
    message.extend([0; 8]);
    message.extend([3, 4, 64, 0xc0]);
    message.extend(3600_u32.to_be_bytes());
    message.extend(3600_u32.to_be_bytes());
    message.extend([0; 4]);
    message.extend(ADVERTISED.octets());
    icmpv6_to_all(ends, source, message)
}

/// An ICMPv6 message without a checksum yet, in a packet with the hop limit that neighbour discovery asks for.
fn icmpv6_to_all(ends: &Ends, source: Ipv6Addr, mut message: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let addresses = [source.octets(), ALL_NODES.octets()].concat();
    let pseudo = [&length.to_be_bytes()[..], &[0, ICMPV6]].concat();
    let sum = checksum(&[&addresses, &pseudo, &message[..]].concat());
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([ICMPV6, 255]);
    packet.extend(addresses);
    packet.extend(message);
    let to_all = Ends {
        dst_mac: ALL_NODES_MAC,
        ..*ends
    };
    ethernet(&to_all, ethertype::IPV6, &packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: Ends = Ends {
        src_mac: Mac([2, 0, 0, 0, 0, 1]),
        dst_mac: Mac([2, 0, 0, 0, 0, 2]),
        src: Ipv4Addr::new(10, 77, 0, 101),
        dst: Ipv4Addr::new(10, 77, 0, 102),
    };

    #[test]
    fn sums_add_up() {
        let frame = echo_request(&ENDS, 7, 56);
        assert_eq!(frame.len(), HEADERS + 8 + 56);
        assert_eq!(checksum(&frame[14..HEADERS]), 0);
        assert_eq!(checksum(&frame[HEADERS..]), 0);
        assert_eq!(checksum(&[0xff, 0xff, 0x80]), 0x7fff);
    }

    #[test]
    fn only_the_answer_is_one() {
        let request = echo_request(&ENDS, 7, 56);
        assert!(!is_echo_reply(&request, &ENDS, 7));
        let back = Ends {
            src_mac: ENDS.dst_mac,
            dst_mac: ENDS.src_mac,
            src: ENDS.dst,
            dst: ENDS.src,
        };
        let mut reply = echo(ECHO_REPLY, &back, 7, 56);
        assert!(is_echo_reply(&reply, &ENDS, 7));
        assert!(!is_echo_reply(&reply, &ENDS, 8));
        reply[HEADERS + 20] ^= 1;
        assert!(!is_echo_reply(&reply, &ENDS, 7));
    }
}
