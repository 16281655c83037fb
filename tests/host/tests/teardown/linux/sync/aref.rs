// SPDX-License-Identifier: GPL-2.0

//! A reference that the C side counts.

use std::ops::Deref;

pub(crate) struct ARef<T>(T);

impl<T: Clone> From<&T> for ARef<T> {
    fn from(value: &T) -> Self {
        Self(value.clone())
    }
}

impl<T> Deref for ARef<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
