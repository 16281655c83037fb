// SPDX-License-Identifier: GPL-2.0

//! Strings of bounded length that need no allocation.

use core::fmt;
use kernel::prelude::*;

/// A C string of at most `N - 1` bytes, written with `write!`.
///
/// A path or value is put together in one on the stack, so `N` should be small: 64 for paths, some
/// hundreds for values.
///
/// # Invariants
///
/// `len` is less than `N`, the bytes before it are not NUL, and all from there on are.
pub(crate) struct StrBuf<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> StrBuf<N> {
    /// Makes an empty string.
    pub(crate) const fn new() -> Self {
        const { assert!(N > 0) };
        // INVARIANT: The length is 0, which is less than `N`, and every byte is NUL.
        Self {
            bytes: [0; N],
            len: 0,
        }
    }

    /// Makes a string of what `format_args!` has put together.
    ///
    /// # Errors
    ///
    /// `E2BIG` if it does not fit or contains a NUL.
    pub(crate) fn format(args: fmt::Arguments<'_>) -> Result<Self> {
        let mut this = Self::new();
        fmt::Write::write_fmt(&mut this, args).map_err(|_| E2BIG)?;
        Ok(this)
    }

    /// Returns the string.
    pub(crate) fn as_cstr(&self) -> &CStr {
        // By the type invariants there is always a NUL.
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }
}

impl<const N: usize> fmt::Write for StrBuf<N> {
    /// Appends `s`, or nothing and an error if it does not fit or contains a NUL.
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let s = s.as_bytes();
        let end = self.len.checked_add(s.len()).ok_or(fmt::Error)?;
        if end >= N || s.contains(&0) {
            return Err(fmt::Error);
        }
        let room = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(s);
        // INVARIANT: `end` is less than `N`; the bytes before it are the string's and `s`'s, neither
        // of which has a NUL.
        self.len = end;
        Ok(())
    }
}
