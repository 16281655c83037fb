// SPDX-License-Identifier: GPL-2.0

//! Event channels: the interrupts between two domains.
//!
//! One domain makes a channel with [`EventChannel::listen()`] and tells the other its port; the other
//! joins it with [`EventChannel::connect()`]. Either binds its end to a [`Handler`] with
//! [`EventChannel::bind()`]. Both ends have a port number of their own.
//!
//! Xen keeps one bit per end, so events merge: a handler must look for all that may have happened,
//! and must bear events that mean nothing. The connecting end gets one such event at once.
//!
//! # Late end of interrupt
//!
//! The other domain decides how often we are interrupted, so an end stays masked from its interrupt
//! until [`Line::eoi()`] says that the work is done. An end of interrupt that is said to have been
//! spurious more than once in a row delays the next event by 1, 2, 4, ... jiffies, a second at most.
//! So only the poll that an interrupt has scheduled may take work away, or honest events begin to
//! look spurious.
//!
//! # Suspend
//!
//! A restored guest has no event channels: their port numbers then are free for others to use.
//! [`BoundChannel`]s notice. The time from making an [`EventChannel`] to binding it must not
//! contain a suspend, which holds for a task that suspend waits for.
//!
//! C headers: [`include/xen/events.h`](srctree/include/xen/events.h),
//! [`include/xen/interface/event_channel.h`](srctree/include/xen/interface/event_channel.h)

mod line;

pub(crate) use line::Line;

use super::DomId;
use crate::bindings;
use core::mem::ManuallyDrop;
use kernel::{
    error::to_result,
    prelude::*,
    str::CString,
    sync::Arc, //
};

/// The calling domain, as hypercalls name it.
const DOMID_SELF: u16 = bindings::DOMID_SELF as u16;

/// The number of a domain's end of an event channel; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Port(pub(crate) u32);

/// Whom the events of a channel are for.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Returns the line inside the handler, which [`EventChannel::bind()`] and dropping the
    /// [`BoundChannel`] open and close. Always the same one.
    fn line(&self) -> &Line;

    /// Takes note of an event. Hard interrupt context, possibly before [`EventChannel::bind()`] has
    /// returned.
    ///
    /// No further event comes before [`Line::eoi()`] is called, so this or whatever it schedules must
    /// call it.
    fn handle(&self);
}

/// Our end of an event channel that nothing is bound to. Events for it are remembered.
///
/// Dropping it closes the channel. Process context.
pub(crate) struct EventChannel {
    peer: DomId,
    port: Port,
}

impl EventChannel {
    /// Makes an event channel that the domain `peer` may connect to.
    ///
    /// Process context.
    ///
    /// # Errors
    ///
    /// What Xen returns: `ENOSPC` if this domain has no port left, `ESRCH` if there is no such domain,
    /// `EACCES` or `EPERM` if the host's policy forbids it.
    pub(crate) fn listen(peer: DomId) -> Result<Self> {
        let mut op = bindings::evtchn_alloc_unbound {
            dom: DOMID_SELF,
            remote_dom: peer.0,
            ..Default::default()
        };
        // SAFETY: The operation takes a structure of this type.
        unsafe { hypercall(bindings::EVTCHNOP_alloc_unbound, &mut op) }?;
        Ok(Self {
            peer,
            port: Port(op.port),
        })
    }

    /// Joins the event channel that the domain `peer` listens on with its port `remote`.
    ///
    /// Process context.
    ///
    /// # Errors
    ///
    /// What Xen returns: `EINVAL` if `peer` does not listen for us on that port, else as
    /// [`EventChannel::listen()`].
    pub(crate) fn connect(peer: DomId, remote: Port) -> Result<Self> {
        let mut op = bindings::evtchn_bind_interdomain {
            remote_dom: peer.0,
            remote_port: remote.0,
            ..Default::default()
        };
        // SAFETY: The operation takes a structure of this type.
        unsafe { hypercall(bindings::EVTCHNOP_bind_interdomain, &mut op) }?;
        Ok(Self {
            peer,
            port: Port(op.local_port),
        })
    }

    /// Returns the number of our end: what the other domain needs to connect.
    pub(crate) fn port(&self) -> Port {
        self.port
    }

    /// Has `handler` called for each event from now on, beginning with those remembered.
    ///
    /// `name` is what `/proc/interrupts` shows. Process context; may sleep.
    ///
    /// # Errors
    ///
    /// The event channel is closed on any error:
    /// - `EBUSY` if the handler's line is bound already.
    /// - `ENOMEM` or `ENOSPC` if there is no memory or no interrupt number left.
    pub(crate) fn bind<H: Handler>(self, name: &CStr, handler: Arc<H>) -> Result<BoundChannel<H>> {
        let name = CString::try_from(name)?;
        let port = self.port;
        let line = handler.line();
        if !line.begin(port) {
            return Err(EBUSY);
        }

        // SAFETY:
        // - `thunk` is for a pointer to an `H`, and `handler` is kept until the interrupt is given
        //   up, and so is `name`.
        // - The handler is ready for an interrupt at once.
        let irq = unsafe {
            bindings::bind_evtchn_to_irqhandler_lateeoi(
                port.0,
                Some(thunk::<H>),
                0,
                name.as_char_ptr(),
                Arc::as_ptr(&handler).cast_mut().cast(),
            )
        };
        let Ok(irq) = u32::try_from(irq) else {
            // Whether the port is closed by now depends on what has failed; `self` finds out.
            line.close();
            return Err(Error::from_errno(irq));
        };
        line.opened(irq);
        // The interrupt owns the port now.
        let _ = ManuallyDrop::new(self);
        // INVARIANT: `irq` was bound just now, with the address of `handler`'s contents.
        Ok(BoundChannel {
            irq,
            handler,
            _name: name,
        })
    }
}

impl Drop for EventChannel {
    fn drop(&mut self) {
        // The port may have been closed already, by a `bind()` that failed, and could in theory be
        // someone else's now. One that leads to our peer can only be this one.
        let mut op = bindings::evtchn_status {
            dom: DOMID_SELF,
            port: self.port.0,
            ..Default::default()
        };
        // SAFETY: The operation takes a structure of this type.
        if unsafe { hypercall(bindings::EVTCHNOP_status, &mut op) }.is_err() {
            return;
        }
        let peer = match op.status {
            // SAFETY: The status says that this member is valid.
            bindings::EVTCHNSTAT_unbound => unsafe { op.u.unbound.dom },
            // SAFETY: As above.
            bindings::EVTCHNSTAT_interdomain => unsafe { op.u.interdomain.dom },
            _ => return,
        };
        if peer == self.peer.0 {
            let mut op = bindings::evtchn_close { port: self.port.0 };
            // SAFETY: The operation takes a structure of this type.
            let closed = unsafe { hypercall(bindings::EVTCHNOP_close, &mut op) };
            // An open port of our own is never refused, and there would be nothing to do about it.
            let _ = closed;
        }
    }
}

/// Our end of an event channel whose events go to a [`Handler`].
///
/// Dropping it waits for a running [`Handler::handle()`], closes the channel and makes the handler's
/// [`Line`] do nothing. Process context; may sleep. Not to be dropped from within the handler.
///
/// # Invariants
///
/// `irq` is bound to [`thunk()`] with the address of `handler`'s contents.
pub(crate) struct BoundChannel<H: Handler> {
    irq: u32,
    handler: Arc<H>,
    /// The interrupt's name, which the kernel only points to.
    _name: CString,
}

impl<H: Handler> Drop for BoundChannel<H> {
    fn drop(&mut self) {
        self.handler.line().close();
        // SAFETY: By the type invariants `irq` is bound with this address.
        unsafe {
            bindings::unbind_from_irqhandler(self.irq, Arc::as_ptr(&self.handler).cast_mut().cast())
        };
    }
}

/// What the kernel calls for an event.
///
/// # Safety
///
/// `handler` must point to a valid `H`, and `irq` must be the interrupt it is bound to.
unsafe extern "C" fn thunk<H: Handler>(irq: c_int, handler: *mut c_void) -> bindings::irqreturn_t {
    // SAFETY: By the safety requirements of this function.
    let handler = unsafe { &*handler.cast::<H>() };
    // The first event may come before `bind()` has learnt the number.
    handler.line().opened(irq.unsigned_abs());
    handler.handle();
    bindings::irqreturn_IRQ_HANDLED
}

/// Does an event channel operation.
///
/// # Safety
///
/// `op` must be the structure that the operation `command` takes.
unsafe fn hypercall<T>(command: u32, op: &mut T) -> Result {
    let command = c_int::try_from(command).map_err(|_| EINVAL)?;
    // SAFETY: By the safety requirements of this function.
    to_result(unsafe { bindings::xlnet_evtchn_op(command, core::ptr::from_mut(op).cast()) })
}
