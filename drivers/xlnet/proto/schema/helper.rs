// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What `xlnetd` writes below a guest's `xlnet/0`.

use core::fmt;
use core::str::FromStr;

use super::super::frame::{Ip, Mac, Prefix};
use super::super::layout::VERSION;
use super::fields::{decimal, Fields};
use super::{List, Offer, SchemaError, MAX_GROUP_LEN};

/// The name of a group: 1 to [`MAX_GROUP_LEN`] bytes of printable ASCII without spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    bytes: [u8; MAX_GROUP_LEN],
    len: usize,
}

/// The text is not a group's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseGroupError;

impl Group {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl FromStr for Group {
    type Err = ParseGroupError;

    fn from_str(name: &str) -> Result<Group, ParseGroupError> {
        let mut bytes = [0; MAX_GROUP_LEN];
        let len = name.len();
        let to = bytes.get_mut(..len).ok_or(ParseGroupError)?;
        if len == 0 || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ParseGroupError);
        }
        to.copy_from_slice(name.as_bytes());
        Ok(Group { bytes, len })
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for ParseGroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not 1 to {MAX_GROUP_LEN} printable ASCII characters")
    }
}

impl core::error::Error for ParseGroupError {}

/// `xlnet/0/self`: who a guest is on its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelperSelf {
    /// The guest's epoch that this answers.
    pub epoch: u64,
    /// Address of the guest's xlnet device.
    pub mac: Mac,
    /// Address of its uplink, by which it finds that.
    pub uplink_mac: Mac,
    /// The segment.
    pub group: Group,
    /// Its own addresses.
    pub prefixes: List<Prefix>,
    /// Its peers drop what it sends from others. Never set without prefixes.
    pub strict: bool,
}

impl HelperSelf {
    /// Reads the node.
    ///
    /// # Errors
    ///
    /// See [`SchemaError`].
    pub fn parse(value: &[u8]) -> Result<Self, SchemaError> {
        let fields = Fields::parse(value)?;
        fields.version()?;
        let (prefixes, strict) = addresses(&fields)?;
        Ok(HelperSelf {
            epoch: fields.epoch("epoch")?,
            mac: fields.mac("mac")?,
            uplink_mac: fields.mac("uplink-mac")?,
            group: fields.require("group", |name| name.parse().ok())?,
            prefixes,
            strict,
        })
    }

    /// Returns whether its peers take what it sends from `source`.
    pub fn owns(&self, source: Ip) -> bool {
        owns(&self.prefixes, self.strict, self.mac, source)
    }
}

impl fmt::Display for HelperSelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HelperSelf {
            epoch,
            mac,
            uplink_mac,
            group,
            prefixes,
            strict,
        } = self;
        write!(
            f,
            "version={VERSION} epoch={epoch:016x} mac={mac} uplink-mac={uplink_mac} group={group}"
        )?;
        write_addresses(f, prefixes, *strict)
    }
}

/// `xlnet/0/peer/<domid>`: a peer, and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerEntry {
    /// The peer's epoch; not zero.
    pub epoch: u64,
    /// Address of its xlnet device.
    pub mac: Mac,
    /// Address of its uplink.
    pub uplink_mac: Mac,
    /// Features the peer has.
    pub features: u32,
    /// Number of the channel the peer wants as a connector, 0 for none.
    pub want: u32,
    /// What the peer offers as a listener.
    pub offer: Option<Offer>,
    /// Addresses the peer has.
    pub prefixes: List<Prefix>,
    /// The prefixes are authoritative: frames from other addresses are dropped. Never set without
    /// prefixes.
    pub strict: bool,
}

impl PeerEntry {
    /// Reads the node.
    ///
    /// # Errors
    ///
    /// See [`SchemaError`].
    pub fn parse(value: &[u8]) -> Result<Self, SchemaError> {
        let fields = Fields::parse(value)?;
        let (prefixes, strict) = addresses(&fields)?;
        Ok(PeerEntry {
            epoch: fields.epoch("epoch")?,
            mac: fields.mac("mac")?,
            uplink_mac: fields.mac("uplink-mac")?,
            features: fields.features()?,
            want: fields.require("want", decimal)?,
            offer: fields.offer()?,
            prefixes,
            strict,
        })
    }

    /// Returns whether the peer may send from `source`.
    pub fn owns(&self, source: Ip) -> bool {
        owns(&self.prefixes, self.strict, self.mac, source)
    }
}

impl fmt::Display for PeerEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "epoch={:016x} mac={} uplink-mac={} features={:08x} want={}",
            self.epoch, self.mac, self.uplink_mac, self.features, self.want,
        )?;
        if let Some(offer) = self.offer {
            write!(f, " {offer}")?;
        }
        write_addresses(f, &self.prefixes, self.strict)
    }
}

/// Reads the fields of a guest's addresses, both or none of which are there.
fn addresses(fields: &Fields<'_>) -> Result<(List<Prefix>, bool), SchemaError> {
    if fields.get("addr").is_none() && fields.get("strict").is_none() {
        return Ok((List::new(), false));
    }
    let prefixes = fields.require("addr", |text| {
        List::parse(text, ',', |item| item.parse().ok())
    })?;
    match fields.require("strict", decimal)? {
        0 => Ok((prefixes, false)),
        1 => Ok((prefixes, true)),
        _ => Err(SchemaError::Invalid("strict")),
    }
}

/// Writes them.
fn write_addresses(
    f: &mut fmt::Formatter<'_>,
    prefixes: &List<Prefix>,
    strict: bool,
) -> fmt::Result {
    if prefixes.is_empty() {
        return Ok(());
    }
    write!(f, " addr={prefixes} strict={}", u8::from(strict))
}

/// Whether the guest with the station address `mac` may send from `source`: from its addresses if it is
/// held to them, and from the link-local one that nobody else on the segment can have.
fn owns(prefixes: &List<Prefix>, strict: bool, mac: Mac, source: Ip) -> bool {
    !strict
        || source == Ip::V6(mac.link_local())
        || prefixes.iter().any(|prefix| prefix.contains(source))
}
