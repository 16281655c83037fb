// SPDX-License-Identifier: GPL-2.0 OR MIT

//! IP addresses and prefixes.

use core::fmt;
use core::str::FromStr;

/// An IPv4 or IPv6 address.
pub type Ip = core::net::IpAddr;

/// A block of addresses; one address where the length is full.
///
/// # Invariants
///
/// `len` is at most the bits of `addr`, and the bits of `addr` behind it are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prefix {
    addr: Ip,
    len: u8,
}

/// The text is not an address or prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsePrefixError;

/// Returns the bits of an address of the family of `addr`.
const fn bits(addr: Ip) -> u8 {
    match addr {
        Ip::V4(_) => 32,
        Ip::V6(_) => 128,
    }
}

/// Returns `addr` with all bits behind the first `len` cleared, none where it has no more than `len`.
fn masked(addr: Ip, len: u8) -> Ip {
    match addr {
        Ip::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(len.min(32)));
            Ip::V4((u32::from(v4) & mask.unwrap_or(0)).into())
        }
        Ip::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(len.min(128)));
            Ip::V6((u128::from(v6) & mask.unwrap_or(0)).into())
        }
    }
}

impl Prefix {
    /// Makes the prefix of `len` bits that holds `addr`, or returns `None` if `len` is too long.
    pub fn new(addr: Ip, len: u8) -> Option<Prefix> {
        if len > bits(addr) {
            return None;
        }
        // INVARIANT: Checked above, and masked here.
        let addr = masked(addr, len);
        Some(Prefix { addr, len })
    }

    /// Returns the first address.
    pub const fn addr(&self) -> Ip {
        self.addr
    }

    /// Returns the number of bits that all its addresses share.
    pub const fn prefix_len(&self) -> u8 {
        self.len
    }

    /// Returns whether it holds one address only.
    pub const fn is_host(&self) -> bool {
        self.len == bits(self.addr)
    }

    /// Returns whether `ip` is one of its addresses.
    pub fn contains(&self, ip: Ip) -> bool {
        masked(ip, self.len) == self.addr
    }
}

impl From<Ip> for Prefix {
    fn from(addr: Ip) -> Self {
        let len = bits(addr);
        // INVARIANT: The length is full.
        Prefix { addr, len }
    }
}

impl FromStr for Prefix {
    type Err = ParsePrefixError;

    /// Parses `<ip>` or `<ip>/<len>`. Bits of the address behind the length are dropped.
    fn from_str(text: &str) -> Result<Prefix, ParsePrefixError> {
        let Some((addr, len)) = text.split_once('/') else {
            let addr: Ip = text.parse().map_err(|_| ParsePrefixError)?;
            return Ok(addr.into());
        };
        let addr = addr.parse().map_err(|_| ParsePrefixError)?;
        let canonical = matches!(len.as_bytes(), [b'0'] | [b'1'..=b'9', ..]);
        match len.parse() {
            Ok(len) if canonical => Prefix::new(addr, len).ok_or(ParsePrefixError),
            _ => Err(ParsePrefixError),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_host() {
            write!(f, "{}", self.addr)
        } else {
            write!(f, "{}/{}", self.addr, self.len)
        }
    }
}

impl fmt::Display for ParsePrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an IP address, or one with a prefix length")
    }
}

impl core::error::Error for ParsePrefixError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().expect("a prefix")
    }

    fn ip(text: &str) -> Ip {
        text.parse().expect("an address")
    }

    #[test]
    fn containment() {
        assert!(prefix("10.1.0.0/16").contains(ip("10.1.255.3")));
        assert!(!prefix("10.1.0.0/16").contains(ip("10.2.0.0")));
        assert!(prefix("10.1.2.3").contains(ip("10.1.2.3")));
        assert!(!prefix("10.1.2.3").contains(ip("10.1.2.2")));
        assert!(prefix("0.0.0.0/0").contains(ip("255.0.0.1")));
        assert!(!prefix("0.0.0.0/0").contains(ip("::1")));
        assert!(prefix("2001:db8::/33").contains(ip("2001:db8:7fff::1")));
        assert!(!prefix("2001:db8::/33").contains(ip("2001:db8:8000::1")));
        assert!(prefix("::/0").contains(ip("fe80::1")));
    }

    #[test]
    fn text_round_trips_in_canonical_form() {
        for text in [
            "10.1.2.3",
            "10.1.0.0/16",
            "0.0.0.0/0",
            "fe80::1",
            "2001:db8::/32",
        ] {
            assert_eq!(prefix(text).to_string(), text);
        }
        assert_eq!(prefix("10.1.2.3/16").to_string(), "10.1.0.0/16");
        assert_eq!(prefix("10.1.2.3/32").to_string(), "10.1.2.3");
        for text in [
            "",
            "10.1.2",
            "10.1.2.3/",
            "10.1.2.3/33",
            "10.1.2.3/+8",
            "10.1.2.3/08",
            "::/129",
            "10.1.2.3/8/8",
            "010.1.2.3",
            " 10.1.2.3",
            "fe80::1%eth0",
        ] {
            assert_eq!(text.parse::<Prefix>(), Err(ParsePrefixError), "{text:?}");
        }
    }
}
