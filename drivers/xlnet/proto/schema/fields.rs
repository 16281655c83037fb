// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The common form of values: `key=value` fields separated by one space.

use core::str::FromStr;

use super::super::frame::Mac;
use super::super::layout::VERSION;
use super::{Offer, SchemaError, MAX_VALUE_LEN};

/// Checks what holds for every value, and returns it as text.
pub(super) fn text(value: &[u8]) -> Result<&str, SchemaError> {
    if value.len() > MAX_VALUE_LEN {
        return Err(SchemaError::TooLong);
    }
    if !value.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(SchemaError::NotPrintable);
    }
    core::str::from_utf8(value).map_err(|_| SchemaError::NotPrintable)
}

/// The fields of a value that is well-formed as a whole.
pub(super) struct Fields<'a>(&'a str);

impl<'a> Fields<'a> {
    pub(super) fn parse(value: &'a [u8]) -> Result<Self, SchemaError> {
        let text = text(value)?;
        let mut rest = text;
        loop {
            let (field, next) = match rest.split_once(' ') {
                Some((field, next)) => (field, Some(next)),
                None => (rest, None),
            };
            let key = match field.split_once('=') {
                Some((key, _)) if !key.is_empty() => key,
                _ => return Err(SchemaError::Malformed),
            };
            let Some(next) = next else {
                return Ok(Fields(text));
            };
            // Quadratic, in at most a few hundred fields.
            if Fields(next).get(key).is_some() {
                return Err(SchemaError::Repeated);
            }
            rest = next;
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a str> {
        self.0
            .split(' ')
            .find_map(|field| field.strip_prefix(key)?.strip_prefix('='))
    }

    /// Reads a mandatory field.
    pub(super) fn require<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, SchemaError> {
        let value = self.get(key).ok_or(SchemaError::Missing(key))?;
        read(value).ok_or(SchemaError::Invalid(key))
    }

    /// Checks the `version` field.
    pub(super) fn version(&self) -> Result<(), SchemaError> {
        match self.require("version", decimal)? {
            version if version == u32::from(VERSION) => Ok(()),
            version => Err(SchemaError::Version(version)),
        }
    }

    /// Reads a mandatory epoch.
    pub(super) fn epoch(&self, key: &'static str) -> Result<u64, SchemaError> {
        self.require(key, |text| hex(text, 16).filter(|epoch| *epoch != 0))
    }

    /// Reads a mandatory set of feature bits.
    pub(super) fn features(&self) -> Result<u32, SchemaError> {
        self.require("features", |text| hex(text, 8)?.try_into().ok())
    }

    /// Reads a mandatory address of a station.
    pub(super) fn mac(&self, key: &'static str) -> Result<Mac, SchemaError> {
        self.require(key, |text| {
            Mac::from_str(text)
                .ok()
                .filter(|mac| mac.is_valid_unicast())
        })
    }

    /// Reads the fields of an offer, all or none of which are there.
    pub(super) fn offer(&self) -> Result<Option<Offer>, SchemaError> {
        let keys = ["offer", "gref", "evtchn"];
        if keys.iter().all(|key| self.get(key).is_none()) {
            return Ok(None);
        }
        let nonzero = |text| decimal(text).filter(|value| *value != 0);
        Ok(Some(Offer {
            number: self.require("offer", nonzero)?,
            gref: self.require("gref", nonzero)?,
            evtchn: self.require("evtchn", nonzero)?,
        }))
    }
}

/// Reads a decimal number without sign or leading zeros.
pub(super) fn decimal(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    if !digits || leading_zero {
        return None;
    }
    text.parse().ok()
}

/// Reads exactly `digits` lower-case hexadecimal digits, at most 16.
fn hex(text: &str, digits: usize) -> Option<u64> {
    let lower_case = text
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if text.len() != digits || !lower_case {
        return None;
    }
    u64::from_str_radix(text, 16).ok()
}
