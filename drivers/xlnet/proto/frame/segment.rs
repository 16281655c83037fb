// SPDX-License-Identifier: GPL-2.0 OR MIT

//! How a TCP frame that is too long for a device is to be segmented by it.

use super::super::layout::VirtioNetHdr;
use super::tcp::segment;
use super::{ethertype, EthernetHeader, ETH_HLEN};

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM` of `include/uapi/linux/virtio_net.h`.
const NEEDS_CSUM: u8 = 1;
/// `VIRTIO_NET_HDR_GSO_NONE`, `_TCPV4`, `_TCPV6` and the bit `_ECN`.
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_ECN: u8 = 0x80;

/// Bytes of a TCP header without options, where its checksum is, where its length is (in words, in the
/// upper four bits), and where its flags are: RFC 9293.
pub const TCP_HLEN: u16 = 20;
const TCP_CHECKSUM: u16 = 16;
const TCP_OFFSET: usize = 12;
const TCP_FLAGS: usize = 13;
/// The flag by which a sender says that it has slowed down: of the segments, only the first may have it.
const TCP_CWR: u8 = 0x80;

/// Says how the frame that begins with `head`, and whose checksum and segmentation are `hdr`, is to be
/// segmented into packets of `mtu` bytes at most.
///
/// `None` if it is not TCP right behind an IP header with the checksum left to the device, if `head` ends
/// before the TCP header does (its first [`TCP_HLEN`] bytes from `hdr.csum_start` on are looked at), or if
/// `mtu` leaves no space behind the headers.
pub fn tcp_segments(head: &[u8], hdr: &VirtioNetHdr, mtu: u32) -> Option<VirtioNetHdr> {
    if hdr.flags & NEEDS_CSUM == 0 || hdr.csum_offset != TCP_CHECKSUM {
        return None;
    }
    let family = match EthernetHeader::parse(head)?.ethertype {
        ethertype::IPV4 => GSO_TCPV4,
        ethertype::IPV6 => GSO_TCPV6,
        _ => return None,
    };
    let (tcp, _) = segment(head)?;
    // A tunnel's checksum may be that of the TCP inside.
    if head.len().checked_sub(tcp.len())? != usize::from(hdr.csum_start) {
        return None;
    }
    // What is segmented otherwise is no TCP, or of the other family.
    if ![GSO_NONE, family].contains(&(hdr.gso_type & !GSO_ECN)) {
        return None;
    }
    let words = tcp.get(TCP_OFFSET)? >> 4;
    let hdr_len = hdr.csum_start.checked_add(u16::from(words) * 4)?;
    let ecn = match tcp.get(TCP_FLAGS)? & TCP_CWR {
        0 => 0,
        _ => GSO_ECN,
    };
    let behind_ethernet = u32::from(hdr_len).checked_sub(ETH_HLEN as u32)?;
    let space = mtu.checked_sub(behind_ethernet)?;
    if space == 0 || u16::from(words) * 4 < TCP_HLEN {
        return None;
    }
    Some(VirtioNetHdr {
        gso_type: family | ecn,
        hdr_len,
        gso_size: space.try_into().ok()?,
        ..*hdr
    })
}

#[cfg(test)]
mod tests {
    use super::super::tcp::PROTO_TCP;
    use super::*;

    const IPV4_PROTO: usize = ETH_HLEN + 9;

    /// The headers of a TCP frame with so many bytes of IP header, so many of TCP, and these flags.
    fn head(ethertype: u16, ip: usize, tcp: u8, flags: u8) -> Vec<u8> {
        let mut head = vec![0; 12];
        head.extend(ethertype.to_be_bytes());
        head.resize(ETH_HLEN + ip, 0);
        match ethertype {
            ethertype::IPV6 => {
                head[ETH_HLEN] = 0x60;
                head[ETH_HLEN + 6] = PROTO_TCP;
            }
            _ => {
                head[ETH_HLEN] = 0x40 | (ip / 4) as u8;
                head[ETH_HLEN + 2..][..2].copy_from_slice(&60_000_u16.to_be_bytes());
                head[IPV4_PROTO] = PROTO_TCP;
            }
        }
        let at = head.len();
        head.resize(at + usize::from(tcp), 0);
        head[at + TCP_OFFSET] = (tcp / 4) << 4;
        head[at + TCP_FLAGS] = flags;
        head
    }

    fn of_stack(ip: u16) -> VirtioNetHdr {
        VirtioNetHdr {
            flags: NEEDS_CSUM,
            csum_start: ETH_HLEN as u16 + ip,
            csum_offset: TCP_CHECKSUM,
            ..VirtioNetHdr::default()
        }
    }

    #[test]
    fn packets_are_as_long_as_the_device_takes() {
        let v4 = tcp_segments(&head(ethertype::IPV4, 20, 32, 0x10), &of_stack(20), 1500).unwrap();
        assert_eq!(
            (v4.gso_type, v4.hdr_len, v4.gso_size),
            (GSO_TCPV4, 66, 1448)
        );
        assert_eq!(
            (v4.flags, v4.csum_start, v4.csum_offset),
            (NEEDS_CSUM, 34, 16)
        );
        let v6 = tcp_segments(&head(ethertype::IPV6, 40, 20, 0x10), &of_stack(40), 1500).unwrap();
        assert_eq!(
            (v6.gso_type, v6.hdr_len, v6.gso_size),
            (GSO_TCPV6, 74, 1440)
        );
    }

    #[test]
    fn what_is_segmented_into_larger_ones_is_segmented_anew() {
        let head = head(ethertype::IPV4, 20, 20, 0x10 | TCP_CWR);
        let large = VirtioNetHdr {
            gso_type: GSO_TCPV4,
            hdr_len: 54,
            gso_size: 32_000,
            ..of_stack(20)
        };
        let anew = tcp_segments(&head, &large, 1500).unwrap();
        assert_eq!((anew.gso_type, anew.gso_size), (GSO_TCPV4 | GSO_ECN, 1460));
    }

    #[test]
    fn nothing_else_is_segmented() {
        let good = head(ethertype::IPV4, 20, 20, 0x10);
        assert!(tcp_segments(&good, &of_stack(20), 1500).is_some());
        let udp = VirtioNetHdr {
            csum_offset: 6,
            ..of_stack(20)
        };
        let complete = VirtioNetHdr {
            flags: 0,
            ..of_stack(20)
        };
        let of_datagrams = VirtioNetHdr {
            gso_type: 5,
            ..of_stack(20)
        };
        for hdr in [udp, complete, of_datagrams] {
            assert_eq!(tcp_segments(&good, &hdr, 1500), None);
        }
        assert_eq!(
            tcp_segments(&head(ethertype::ARP, 20, 20, 0), &of_stack(20), 1500),
            None
        );
        assert_eq!(
            tcp_segments(&head(ethertype::IPV4, 20, 16, 0), &of_stack(20), 1500),
            None
        );
        assert_eq!(tcp_segments(&good[..40], &of_stack(20), 1500), None);
        let mut tunnel = good.clone();
        tunnel[IPV4_PROTO] = 17;
        assert_eq!(tcp_segments(&tunnel, &of_stack(20), 1500), None);
        let inside = head(ethertype::IPV4, 48, 20, 0x10);
        assert!(tcp_segments(&inside, &of_stack(48), 1500).is_some());
        assert_eq!(tcp_segments(&inside, &of_stack(20), 1500), None);
        assert_eq!(tcp_segments(&good, &of_stack(20), 40), None);
        assert_eq!(tcp_segments(&good, &of_stack(u16::MAX - 14), 1500), None);
    }
}
