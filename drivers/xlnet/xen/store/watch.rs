// SPDX-License-Identifier: GPL-2.0

//! Being told that nodes have changed.

use crate::bindings;
use kernel::{
    container_of,
    error::to_result,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
    types::Opaque, //
};

/// Whom a [`Watch`] tells.
pub(crate) trait WatchHandler: Send + Sync + 'static {
    /// Takes note of a node at or below the watched path that may have changed, the path as that of the
    /// watch was given. Atomic context; [`WatchHandler::changed()`] follows.
    ///
    /// It is a hint to read again: each watch has one with its own path when it is made, and again
    /// after the guest was restored.
    fn note(&self, path: &[u8]);

    /// Acts on at least what was noted since the last call. Called in the kernel's one thread for the watches of all
    /// drivers, with its mutex held: process context that should not sleep for long, and must not drop
    /// the [`Watch`].
    fn changed(&self);
}

/// A watch on a path in xenstore.
///
/// Making and dropping it asks the xenstore daemon: process context; sleeps, and must not be done
/// while the guest is being suspended.
///
/// Dropping it waits for a running [`WatchHandler::changed()`], so it must not be dropped there, nor
/// while holding a lock that is taken there.
pub(crate) struct Watch<W: WatchHandler> {
    _registration: Pin<KBox<Registration<W>>>,
}

impl<W: WatchHandler> Watch<W> {
    /// Watches `path`, relative to this domain's home unless it begins with a slash, and all below it.
    ///
    /// `handler` may be called before this returns.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is not enough memory, and what the daemon returns: `ENOSPC` or `E2BIG` if this
    /// domain has too many watches, `EINVAL` if it does not like the path.
    pub(crate) fn new(path: &CStr, handler: Arc<W>) -> Result<Self> {
        super::check_path(path)?;
        let path = CString::try_from(path)?;
        Ok(Self {
            _registration: KBox::pin_init(Registration::new(path, handler), GFP_KERNEL)?,
        })
    }
}

/// The part of a [`Watch`] that must not move.
///
/// # Invariants
///
/// `watch` is registered, and is the `watch` of a `Self`.
#[pin_data(PinnedDrop)]
struct Registration<W: WatchHandler> {
    #[pin]
    watch: Opaque<bindings::xenbus_watch>,
    /// What `watch.node` points to.
    path: CString,
    handler: Arc<W>,
}

// SAFETY: A watch may be unregistered from any thread, and the handler is `Send` and `Sync`.
unsafe impl<W: WatchHandler> Send for Registration<W> {}
// SAFETY: A shared reference allows only calling the handler, which is `Sync`.
unsafe impl<W: WatchHandler> Sync for Registration<W> {}

impl<W: WatchHandler> Registration<W> {
    /// Registers a watch.
    fn new(path: CString, handler: Arc<W>) -> impl PinInit<Self, Error> {
        try_pin_init!(&this in Self {
            handler,
            watch <- Opaque::ffi_init(|slot| {
                let watch = bindings::xenbus_watch {
                    // The bytes of a `CString` do not move with it.
                    node: path.as_char_ptr(),
                    will_handle: Some(Self::will_handle),
                    callback: Some(Self::callback),
                    ..Default::default()
                };
                // SAFETY: `slot` is valid for writes.
                unsafe { core::ptr::write(slot, watch) }
            }),
            path,
            _: {
                // SAFETY:
                // - All that the callbacks use is initialised and stays where it is.
                // - Registered watches are told apart by their addresses; this one is new.
                // - Should this fail, the watch is as if it had never been registered.
                to_result(unsafe {
                    bindings::register_xenbus_watch(Opaque::cast_into(&raw const (*this.as_ptr()).watch))
                })?;
            },
        })
    }

    /// Whose `watch` it is.
    ///
    /// # Safety
    ///
    /// `watch` must be the `watch` of a `Self` that lives for `'a`.
    unsafe fn of<'a>(watch: *mut bindings::xenbus_watch) -> &'a Self {
        // SAFETY: By the safety requirements of this function.
        unsafe { &*container_of!(Opaque::cast_from(watch).cast_mut(), Self, watch) }
    }

    /// Notes the path, and says whether one more event is to be queued. Called with spinlocks held.
    ///
    /// One that waits already will make the handler act on this one, too: whoever can write to the
    /// path could otherwise fill our memory with events (XSA-349).
    ///
    /// # Safety
    ///
    /// `watch` must be registered, and the `watch` of a live `Self`; `path` must point to a string.
    unsafe extern "C" fn will_handle(
        watch: *mut bindings::xenbus_watch,
        path: *const c_char,
        _token: *const c_char,
    ) -> bool {
        // SAFETY: By the safety requirements of this function.
        let (this, path) = unsafe { (Self::of(watch), CStr::from_char_ptr(path)) };
        this.handler.note(path.to_bytes());
        // The thread that calls the handler decrements the number before it does so, under a lock that
        // we do not hold. If we still see the old number, the handler is yet to be called.
        //
        // SAFETY: `watch` is valid by the safety requirements of this function; the number is only
        // changed by aligned accesses of the machine's word size or less.
        let pending = unsafe { Atomic::from_ptr(&raw mut (*watch).nr_pending) };
        pending.load(Relaxed) == 0
    }

    /// Calls the handler.
    ///
    /// # Safety
    ///
    /// `watch` must be the `watch` of a live `Self`.
    unsafe extern "C" fn callback(
        watch: *mut bindings::xenbus_watch,
        _path: *const c_char,
        _token: *const c_char,
    ) {
        // SAFETY: By the safety requirements of this function.
        unsafe { Self::of(watch) }.handler.changed();
    }
}

#[pinned_drop]
impl<W: WatchHandler> PinnedDrop for Registration<W> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants the watch is registered. The call waits for a running callback
        // and drops the events that were not delivered, so none is called after this.
        unsafe { bindings::unregister_xenbus_watch(self.watch.get()) };
    }
}
