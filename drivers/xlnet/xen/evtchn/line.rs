// SPDX-License-Identifier: GPL-2.0

//! What may be done with an event channel from any context, whoever closes it meanwhile.

use super::Port;
use crate::bindings;
use kernel::sync::{
    atomic::{
        Atomic,
        Full,
        Relaxed, //
    },
    rcu, //
};

/// An interrupt number of a [`Line`] that nothing is bound to. Xen's are never as high.
const CLOSED: u32 = u32::MAX;

/// An interrupt number of a [`Line`] that is being bound, before the number is known.
const BINDING: u32 = u32::MAX - 1;

/// A handler's view of the event channel it is bound to: what may be done with the channel from any
/// context, for as long as it stands and, harmlessly, after that.
///
/// # Invariants
///
/// `irq` is the interrupt of a standing event channel, or [`BINDING`], or [`CLOSED`]. It is set to
/// [`CLOSED`] before the interrupt is given up.
pub(crate) struct Line {
    irq: Atomic<u32>,
    port: Atomic<u32>,
}

impl Line {
    /// Makes a line that nothing is bound to.
    pub(crate) fn new() -> Self {
        // INVARIANT: There is no event channel.
        Self {
            irq: Atomic::new(CLOSED),
            port: Atomic::new(0),
        }
    }

    /// Sends an event to the other end. Does nothing if no event channel is bound. Any context.
    ///
    /// An event that is sent while another CPU closes the channel is refused by Xen or, if the port
    /// has a new owner already, is one event too many for that one, which everyone has to bear.
    pub(crate) fn kick(&self) {
        let port = self.port.load(Relaxed);
        if port != 0 {
            // SAFETY: Any port may be named; Xen checks it.
            unsafe { bindings::xlnet_notify_remote_via_evtchn(port) };
        }
    }

    /// Ends an interrupt: from now on the next event may come, unless `spurious` delays it.
    ///
    /// To be called once per call of [`Handler::handle()`](super::Handler::handle), when all work was
    /// done that could be found; `spurious` says that there was none. Does nothing if no event channel
    /// is bound. Any context.
    pub(crate) fn eoi(&self, spurious: bool) {
        let flags = if spurious {
            bindings::XEN_EOI_FLAG_SPURIOUS
        } else {
            0
        };
        // An interrupt number is reused only a grace period after it was given up. By the type
        // invariants that is later than `CLOSED`, so the number read here stays good.
        let _guard = rcu::read_lock();
        let irq = self.irq.load(Relaxed);
        if irq != CLOSED && irq != BINDING {
            // SAFETY: `irq` is the interrupt of an event channel until the guard is dropped.
            unsafe { bindings::xen_irq_lateeoi(irq, flags) };
        }
    }

    /// Takes note that the event channel `port` is about to be bound; false if another is already.
    pub(super) fn begin(&self, port: Port) -> bool {
        if self.irq.cmpxchg(CLOSED, BINDING, Full).is_err() {
            return false;
        }
        // INVARIANT: `irq` is `BINDING` now.
        self.port.store(port.0, Relaxed);
        true
    }

    /// Takes note of the interrupt, unless that was done before or the line was closed meanwhile.
    pub(super) fn opened(&self, irq: u32) {
        // INVARIANT: `bind()` and `thunk()` name the interrupt that the line is being bound to.
        let _ = self.irq.cmpxchg(BINDING, irq, Relaxed);
    }

    /// Takes note that the event channel is about to be closed.
    pub(super) fn close(&self) {
        self.port.store(0, Relaxed);
        // INVARIANT: The interrupt is given up after this. Nobody reads its number within an RCU
        // critical section that the grace period which then begins does not wait for.
        self.irq.store(CLOSED, Relaxed);
    }
}
