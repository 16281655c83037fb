// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Frames that only acknowledge: they keep a stream going, and are no answer to anything.

use super::tcp::segment;

/// Whether the frame is a TCP segment without data that does nothing but acknowledge (RFC 9293).
///
/// Headers cut short, extension headers of IPv6, fragments and frames with a VLAN tag give false.
///
/// `frame` needs to hold only the headers, up to the flags of TCP.
pub fn is_bare_ack(frame: &[u8]) -> bool {
    segment(frame).is_some_and(|(tcp, len)| only_acknowledges(tcp, len))
}

fn only_acknowledges(tcp: &[u8], len: u16) -> bool {
    // URG, ACK, PSH, RST, SYN and FIN; of which ACK.
    const FLAGS: u8 = 0x3f;
    const ACK: u8 = 0x10;
    let Some(&[.., offset, flags]) = tcp.first_chunk::<14>() else {
        return false;
    };
    let header_len = u16::from(offset >> 4).checked_mul(4);
    header_len == Some(len) && flags & FLAGS == ACK
}

#[cfg(test)]
mod tests {
    use super::super::tcp::PROTO_TCP;
    use super::*;

    const ACK: u8 = 0x10;

    /// A frame with a TCP header of 32 bytes and `data` bytes after it.
    fn ipv4(flags: u8, data: u16) -> Vec<u8> {
        let mut frame = vec![2; 12];
        frame.extend([0x08, 0x00, 0x45, 0]);
        frame.extend((52 + data).to_be_bytes());
        frame.extend([0, 0, 0x40, 0, 64, PROTO_TCP, 0, 0]);
        frame.extend([10, 0, 0, 1, 10, 0, 0, 2]);
        tcp(frame, flags)
    }

    fn ipv6(flags: u8, data: u16) -> Vec<u8> {
        let mut frame = vec![2; 12];
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend((32 + data).to_be_bytes());
        frame.extend([PROTO_TCP, 64]);
        frame.extend([1; 32]);
        tcp(frame, flags)
    }

    fn tcp(mut frame: Vec<u8>, flags: u8) -> Vec<u8> {
        frame.extend([0; 12]);
        frame.extend([0x80, flags]);
        frame.extend([0; 18]);
        frame
    }

    #[test]
    fn only_what_has_no_data_and_no_other_flag_is_one() {
        for frame in [ipv4, ipv6] {
            assert!(is_bare_ack(&frame(ACK, 0)));
            assert!(is_bare_ack(&frame(ACK | 0xc0, 0)), "with congestion marks");
            for other in [0, 0x01, 0x02, 0x04, 0x08, 0x20] {
                let flags = if other == 0 { 0 } else { ACK | other };
                assert!(!is_bare_ack(&frame(flags, 0)), "flags {flags:#x}");
            }
            for data in [1, 16_384] {
                assert!(!is_bare_ack(&frame(ACK, data)), "{data} bytes");
            }
        }
    }

    #[test]
    fn other_packets_are_none() {
        let ack = ipv4(ACK, 0);
        // Version, length of the header, fragments, protocol, EtherType.
        for (at, value) in [
            (14, 0x55),
            (14, 0x46),
            (14, 0x44),
            (20, 0x20),
            (21, 1),
            (23, 17),
            (12, 0x81),
        ] {
            let mut frame = ack.clone();
            frame[at] = value;
            assert!(!is_bare_ack(&frame), "byte {at}");
        }
        let ack = ipv6(ACK, 0);
        for (at, value) in [(14, 0x40), (20, 17), (13, 0)] {
            let mut frame = ack.clone();
            frame[at] = value;
            assert!(!is_bare_ack(&frame), "byte {at}");
        }
    }

    #[test]
    fn a_header_shorter_than_one_is_none() {
        // An IP header of no length, whose own bytes would be those of TCP, and so an acknowledgement.
        let mut frame = ipv4(ACK, 0);
        frame[14] = 0x40;
        frame[16..18].copy_from_slice(&16_u16.to_be_bytes());
        frame[26..28].copy_from_slice(&[0x40, ACK]);
        assert!(!is_bare_ack(&frame));
    }

    #[test]
    fn what_is_cut_short_is_none() {
        for whole in [ipv4(ACK, 0), ipv6(ACK, 0)] {
            let flags = whole.len() - 18;
            for len in 0..=whole.len() {
                assert_eq!(is_bare_ack(&whole[..len]), len >= flags, "{len} bytes");
            }
        }
    }
}
