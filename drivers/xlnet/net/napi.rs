// SPDX-License-Identifier: GPL-2.0

//! NAPI: the receive poll of one channel.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h), manual:
//! [`Documentation/networking/napi.rst`](srctree/Documentation/networking/napi.rst)

use crate::{
    bindings,
    net::device::Device, //
};
use kernel::{
    ffi,
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// What a [`Napi`] polls.
pub(crate) trait Poll: Send + Sync + 'static {
    /// The instance inside the object.
    fn napi(&self) -> &Napi<Self>
    where
        Self: Sized;

    /// Handles up to `budget` frames and returns how many. When it is fewer than `budget` the
    /// implementation has called [`Napi::complete_done`]. Softirq context, never concurrently with
    /// itself.
    fn poll(&self, budget: u32) -> u32;
}

/// A `struct napi_struct`, to be embedded in the object it polls.
#[repr(C)]
#[pin_data]
pub(crate) struct Napi<T> {
    #[pin]
    inner: Opaque<bindings::napi_struct>,
    owner: kernel::sync::atomic::Atomic<*mut T>,
}

// SAFETY: A NAPI instance may be scheduled from any context.
unsafe impl<T: Send + Sync> Send for Napi<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync> Sync for Napi<T> {}

impl<T: Poll> Napi<T> {
    /// Makes an instance that no device knows yet.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: All zeroes is what `netif_napi_add()` expects of an instance that was not added,
            // but for the bit that it sets itself, and that keeps one from being scheduled.
            inner <- unsafe {
                pin_init::pin_init_from_closure(|slot: *mut Opaque<bindings::napi_struct>| {
                    core::ptr::write_bytes(slot, 0, 1);
                    bindings::xlnet_napi_hold(Opaque::cast_into(slot));
                    Ok::<(), core::convert::Infallible>(())
                })
            },
            owner: kernel::sync::atomic::Atomic::new(core::ptr::null_mut()),
        })
    }

    pub(super) fn as_ptr(&self) -> *mut bindings::napi_struct {
        self.inner.get()
    }

    /// Has the poll run soon. Any context, hard irq included.
    #[inline]
    pub(crate) fn schedule(&self) {
        // SAFETY: The instance is valid; scheduling one that is not enabled does nothing.
        unsafe { bindings::xlnet_napi_schedule(self.as_ptr()) };
    }

    /// Has the poll run in `ns` nanoseconds unless it runs before. Only from [`Poll::poll`], after
    /// [`Self::complete_done`] has returned true.
    #[inline]
    pub(crate) fn schedule_in(&self, ns: u64) {
        // SAFETY: The instance is valid, and adding it has set up its timer, which does nothing but
        // schedule it.
        unsafe { bindings::xlnet_napi_schedule_in(self.as_ptr(), ns) };
    }

    /// Ends a poll that handled `done` frames, fewer than its budget. Returns false if the stack
    /// wants the poll to go on, in which case nothing may be re-armed. Only from [`Poll::poll`].
    #[inline]
    pub(crate) fn complete_done(&self, done: u32) -> bool {
        let done = ffi::c_int::try_from(done).unwrap_or(ffi::c_int::MAX);
        // SAFETY: The instance is valid and being polled.
        unsafe { bindings::napi_complete_done(self.as_ptr(), done) }
    }

    /// The device the instance was added to. Only while it is registered.
    #[inline]
    pub(crate) fn device(&self) -> &Device {
        // SAFETY: A registered instance was added to a device, which outlives it.
        unsafe { Device::from_raw((*self.as_ptr()).dev) }
    }

    unsafe extern "C" fn thunk(napi: *mut bindings::napi_struct, budget: ffi::c_int) -> ffi::c_int {
        // SAFETY: `napi` is the first field of a `Napi<T>`, which is `repr(C)`.
        let this = unsafe { &*napi.cast::<Self>() };
        let owner = this.owner.load(kernel::sync::atomic::Acquire);
        // SAFETY: The owner was set before the instance was enabled, and the `Registration` that
        // keeps it alive disables the instance, which waits for this poll, before it lets go.
        let owner = unsafe { &*owner };
        let done = owner.poll(u32::try_from(budget).unwrap_or(0));
        ffi::c_int::try_from(done).unwrap_or(budget)
    }
}

/// An enabled [`Napi`]; keeps its owner alive.
pub(crate) struct Registration<T: Poll>(Arc<T>);

impl<T: Poll> Registration<T> {
    /// Adds the instance inside `owner` to `dev` and enables it. Process context; sleeps.
    pub(crate) fn new(dev: &Device, owner: Arc<T>) -> Self {
        let napi = owner.napi();
        napi.owner.store(
            Arc::as_ptr(&owner).cast_mut(),
            kernel::sync::atomic::Release,
        );
        // SAFETY: The device is registered, the instance is zeroed and pinned in an `Arc`, and it
        // is removed again in `drop()` before the reference goes.
        unsafe {
            bindings::xlnet_netif_napi_add(dev.as_ptr(), napi.as_ptr(), Some(Napi::<T>::thunk));
            bindings::napi_enable(napi.as_ptr());
        }
        Self(owner)
    }
}

impl<T: Poll> Drop for Registration<T> {
    fn drop(&mut self) {
        let napi = self.0.napi().as_ptr();
        // SAFETY: The instance was added and enabled by `new()`; process context.
        unsafe {
            bindings::napi_disable(napi);
            bindings::xlnet_netif_napi_del(napi);
            // The last poll may have set the timer after it was stopped, but has ended by now, as
            // removing the instance waits for readers of RCU.
            bindings::hrtimer_cancel(&raw mut (*napi).timer);
        }
    }
}

/// Calls `f` with bottom halves disabled, as on the transmit and receive paths. Process context.
pub(crate) fn with_bh_disabled<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: Balanced below.
    unsafe { bindings::xlnet_local_bh_disable() };
    let result = f();
    // SAFETY: Disabled above.
    unsafe { bindings::xlnet_local_bh_enable() };
    result
}
