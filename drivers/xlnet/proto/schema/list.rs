// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Short lists without allocation.

use core::fmt;

use super::MAX_ADDRS;

/// At most [`MAX_ADDRS`] values, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List<T: Copy>([Option<T>; MAX_ADDRS]);

impl<T: Copy> List<T> {
    /// Makes an empty list.
    pub const fn new() -> Self {
        List([None; MAX_ADDRS])
    }

    /// Appends a value, or returns false if the list is full.
    #[must_use]
    pub fn push(&mut self, value: T) -> bool {
        match self.0.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => {
                *slot = Some(value);
                true
            }
            None => false,
        }
    }

    /// Returns the values.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        self.0.iter().copied().flatten()
    }

    /// Returns whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Returns the number of values.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Reads values separated by `separator`; `None` if one is refused or there are too many.
    pub(super) fn parse(
        text: &str,
        separator: char,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<Self> {
        let mut list = Self::new();
        for item in text.split(separator) {
            if !list.push(read(item)?) {
                return None;
            }
        }
        Some(list)
    }
}

impl<T: Copy + fmt::Display> List<T> {
    /// Writes the values separated by `separator`.
    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, separator: &str) -> fmt::Result {
        let mut lead = "";
        for value in self.iter() {
            write!(f, "{lead}{value}")?;
            lead = separator;
        }
        Ok(())
    }
}

impl<T: Copy + fmt::Display> fmt::Display for List<T> {
    /// Separated by commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, ",")
    }
}

impl<T: Copy> Default for List<T> {
    fn default() -> Self {
        Self::new()
    }
}
