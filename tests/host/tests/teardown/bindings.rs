// SPDX-License-Identifier: GPL-2.0

//! What the files under test call of C.

use crate::xen::evtchn;

pub(crate) const XEN_EOI_FLAG_SPURIOUS: u32 = 1;

/// Ends an interrupt.
///
/// # Safety
///
/// `irq` must be that of a standing event channel, which this checks.
pub(crate) unsafe fn xen_irq_lateeoi(irq: u32, _flags: u32) {
    evtchn::end(irq);
}

/// Sends the peer an event.
///
/// # Safety
///
/// None is needed.
pub(crate) unsafe fn xlnet_notify_remote_via_evtchn(port: u32) {
    evtchn::notify_peer(port);
}
