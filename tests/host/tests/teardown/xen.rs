// SPDX-License-Identifier: GPL-2.0

//! The little of Xen that the files under test use.

pub(crate) mod evtchn;
pub(crate) mod memory;
