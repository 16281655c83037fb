// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Ethernet addresses.

use core::fmt;
use core::net::Ipv6Addr;
use core::str::FromStr;

/// An Ethernet address, in the order of transmission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

/// The text is not an Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseMacError;

impl Mac {
    /// The address of every station.
    pub const BROADCAST: Mac = Mac([0xff; 6]);

    /// Returns whether the address is a group's; broadcast is.
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Returns whether the address is one of the sixteen that no bridge forwards (IEEE 802.1Q, table
    /// 8-1): what is sent there, as STP and LLDP are, is meant for the other end of a cable.
    pub const fn is_reserved(self) -> bool {
        matches!(self.0, [0x01, 0x80, 0xc2, 0x00, 0x00, 0x00..=0x0f])
    }

    /// Returns whether the address is all zero.
    pub const fn is_zero(self) -> bool {
        matches!(self.0, [0, 0, 0, 0, 0, 0])
    }

    /// Returns whether the address can be a station's: neither a group's nor zero.
    pub const fn is_valid_unicast(self) -> bool {
        !self.is_multicast() && !self.is_zero()
    }
}

impl Mac {
    /// Returns the link-local IPv6 address that a station with this address gives itself (RFC 4291,
    /// appendix A).
    pub const fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0;
        Ipv6Addr::new(
            0xfe80,
            0,
            0,
            0,
            u16::from_be_bytes([a ^ 2, b]),
            u16::from_be_bytes([c, 0xff]),
            u16::from_be_bytes([0xfe, d]),
            u16::from_be_bytes([e, f]),
        )
    }
}

impl FromStr for Mac {
    type Err = ParseMacError;

    /// Parses exactly six pairs of lower-case hexadecimal digits, separated by colons.
    fn from_str(text: &str) -> Result<Mac, ParseMacError> {
        let mut mac = Mac::default();
        let mut pairs = text.split(':');
        for byte in &mut mac.0 {
            let &[high, low] = pairs.next().map(str::as_bytes).unwrap_or_default() else {
                return Err(ParseMacError);
            };
            let high = hex_digit(high).ok_or(ParseMacError)?;
            let low = hex_digit(low).ok_or(ParseMacError)?;
            *byte = (high << 4) | low;
        }
        match pairs.next() {
            None => Ok(mac),
            Some(_) => Err(ParseMacError),
        }
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Display for ParseMacError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not six lower-case hexadecimal pairs separated by colons")
    }
}

impl core::error::Error for ParseMacError {}

/// Returns the value of a lower-case hexadecimal digit.
fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_form_is_parsed() {
        let mac = Mac([0x00, 0x16, 0x3e, 0xab, 0x0c, 0xff]);
        assert_eq!("00:16:3e:ab:0c:ff".parse(), Ok(mac));
        assert_eq!(mac.to_string(), "00:16:3e:ab:0c:ff");
        for text in [
            "",
            "00:16:3e:ab:0c",
            "00:16:3e:ab:0c:ff:00",
            "00:16:3e:ab:0c:ff:",
            "00:16:3E:AB:0C:FF",
            "0:16:3e:ab:0c:ff",
            "00-16-3e-ab-0c-ff",
            " 00:16:3e:ab:0c:ff",
            "00:16:3e:ab:0c:+f",
        ] {
            assert_eq!(text.parse::<Mac>(), Err(ParseMacError), "{text:?}");
        }
    }

    #[test]
    fn link_local_follows_from_the_address() {
        let mac = Mac([0x02, 0x16, 0x3e, 0xab, 0x0c, 0xff]);
        assert_eq!(mac.link_local().to_string(), "fe80::16:3eff:feab:cff");
    }

    #[test]
    fn kinds() {
        assert!(Mac::BROADCAST.is_multicast() && !Mac::BROADCAST.is_valid_unicast());
        assert!(Mac([0x33, 0x33, 0, 0, 0, 1]).is_multicast());
        assert!(Mac::default().is_zero() && !Mac::default().is_valid_unicast());
        assert!(Mac([2, 0, 0, 0, 0, 1]).is_valid_unicast());
        assert!(Mac([0x01, 0x80, 0xc2, 0, 0, 0]).is_reserved());
        assert!(Mac([0x01, 0x80, 0xc2, 0, 0, 0x0f]).is_reserved());
        assert!(!Mac([0x01, 0x80, 0xc2, 0, 0, 0x10]).is_reserved());
        assert!(!Mac([0x01, 0x80, 0xc2, 0, 1, 0]).is_reserved());
        assert!(!Mac::BROADCAST.is_reserved());
    }
}
