// SPDX-License-Identifier: GPL-2.0

//! NAPI: the receive poll of one channel.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h), manual:
//! [`Documentation/networking/napi.rst`](srctree/Documentation/networking/napi.rst)

use crate::{
    bindings,
    net::device::Device, //
};
use core::ptr::{
    null_mut,
    NonNull, //
};
use kernel::{
    ffi,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Acquire,
            Atomic,
            Full, //
        },
        Arc, //
    },
    types::{
        NotThreadSafe,
        Opaque, //
    },
};

/// What a [`Napi`] polls.
pub(crate) trait Poll: Send + Sync + 'static {
    /// The instance inside the object.
    fn napi(&self) -> &Napi<Self>
    where
        Self: Sized;

    /// Handles up to [`Turn::budget`] frames and returns how many. When it is fewer the implementation has
    /// called [`Turn::complete`], up to which it never runs concurrently with itself. Softirq context.
    fn poll(&self, turn: Turn<'_, Self>) -> u32
    where
        Self: Sized;
}

/// A `struct napi_struct`, to be embedded in the object it polls.
#[repr(C)]
#[pin_data]
pub(crate) struct Napi<T> {
    #[pin]
    inner: Opaque<bindings::napi_struct>,
    /// What is polled; null before there is a [`Registration`].
    owner: Atomic<*mut T>,
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
            owner: Atomic::new(null_mut()),
        })
    }

    fn as_ptr(&self) -> *mut bindings::napi_struct {
        self.inner.get()
    }

    /// Has the poll run soon. Any context, hard irq included.
    #[inline]
    pub(crate) fn schedule(&self) {
        // SAFETY: The instance is valid; scheduling one that is not enabled does nothing.
        unsafe { bindings::xlnet_napi_schedule(self.as_ptr()) };
    }

    unsafe extern "C" fn thunk(napi: *mut bindings::napi_struct, budget: ffi::c_int) -> ffi::c_int {
        // SAFETY: `napi` is the first field of a `Napi<T>`, which is `repr(C)`.
        let this = unsafe { &*napi.cast::<Self>() };
        let owner = this.owner.load(Acquire);
        // SAFETY: The owner was set before the instance was enabled, and the `Registration` that
        // keeps it alive disables the instance, which waits for this poll, before it lets go.
        let owner = unsafe { &*owner };
        let done = owner.poll(Turn {
            napi: this,
            budget: u32::try_from(budget).unwrap_or(0),
            _context: NotThreadSafe,
        });
        ffi::c_int::try_from(done).unwrap_or(budget)
    }
}

/// One call of [`Poll::poll`]: shows that the instance is being polled, which some of what is done with it
/// takes.
pub(crate) struct Turn<'a, T> {
    napi: &'a Napi<T>,
    budget: u32,
    _context: NotThreadSafe,
}

impl<'a, T: Poll> Turn<'a, T> {
    /// How many frames may be handled.
    pub(crate) fn budget(&self) -> u32 {
        self.budget
    }

    pub(super) fn as_ptr(&self) -> *mut bindings::napi_struct {
        self.napi.as_ptr()
    }

    /// Ends a poll that handled `done` frames, fewer than its budget. `None` if the stack wants the poll to
    /// go on, in which case nothing may be re-armed.
    #[inline]
    pub(crate) fn complete(self, done: u32) -> Option<Completed<'a, T>> {
        let done = ffi::c_int::try_from(done).unwrap_or(ffi::c_int::MAX);
        // SAFETY: The instance is valid and being polled.
        let completed = unsafe { bindings::napi_complete_done(self.as_ptr(), done) };
        completed.then_some(Completed(self.napi))
    }
}

/// A poll that has handled all there was.
pub(crate) struct Completed<'a, T>(&'a Napi<T>);

impl<T: Poll> Completed<'_, T> {
    /// Has the poll run in `ns` nanoseconds unless it runs before.
    #[inline]
    pub(crate) fn schedule_in(self, ns: u64) {
        // SAFETY: The instance is valid, and adding it has set up its timer, which does nothing but
        // schedule it.
        unsafe { bindings::xlnet_napi_schedule_in(self.0.as_ptr(), ns) };
    }
}

/// An enabled [`Napi`]; keeps its owner and its device alive.
///
/// # Invariants
///
/// `napi` is part of what `_owner` keeps, and was added to `_dev` and enabled.
pub(crate) struct Registration<T: Poll> {
    napi: NonNull<Napi<T>>,
    _owner: Arc<T>,
    _dev: ARef<Device>,
}

// SAFETY: An instance may be disabled and removed by any thread in process context.
unsafe impl<T: Poll> Send for Registration<T> {}
// SAFETY: Nothing can be done with a shared registration.
unsafe impl<T: Poll> Sync for Registration<T> {}

impl<T: Poll> Registration<T> {
    /// Adds the instance inside `owner` to `dev` and enables it. Process context; sleeps.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it was added before.
    pub(crate) fn new(dev: &Device, owner: Arc<T>) -> Result<Self> {
        let napi = owner.napi();
        let ptr = Arc::as_ptr(&owner).cast_mut();
        if napi.owner.cmpxchg(null_mut(), ptr, Full).is_err() {
            return Err(EBUSY);
        }
        // SAFETY: The device is kept, the instance is zeroed, pinned in what `owner` keeps and added only
        // here, and it is removed again in `drop()` before either reference goes.
        unsafe {
            bindings::xlnet_netif_napi_add(dev.as_ptr(), napi.as_ptr(), Some(Napi::<T>::thunk));
            bindings::napi_enable(napi.as_ptr());
        }
        // INVARIANT: It was added and enabled just now.
        Ok(Self {
            napi: NonNull::from(napi),
            _owner: owner,
            _dev: dev.into(),
        })
    }
}

impl<T: Poll> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants; process context.
        unsafe {
            let napi = self.napi.as_ref().as_ptr();
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
