// SPDX-License-Identifier: GPL-2.0

//! Memory to test the rings of `xlnet-proto` on: honest in [`memory`], hostile in [`hostile`].

pub mod hostile;
pub mod memory;
