// SPDX-License-Identifier: GPL-2.0

//! One delayed work item that calls its owner, can be triggered from any context and is stopped for
//! good when its registration is dropped.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::bindings;
use core::ptr::{
    null_mut,
    NonNull, //
};
use kernel::{
    ffi,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Release, //
        },
        Arc, //
    },
    types::Opaque, //
};

/// What a [`Work`] calls: process context, never concurrently with itself.
pub(crate) trait Task: Send + Sync + 'static {
    /// The work item inside the task.
    fn work(&self) -> &Work;

    /// Does the work. May sleep.
    fn run(&self);
}

/// A delayed work item, to be embedded in the [`Task`] it runs.
///
/// # Invariants
///
/// While `owner` is not null and the C work item not disabled, a [`Registration`] keeps the task it points
/// at alive.
#[pin_data(PinnedDrop)]
pub(crate) struct Work {
    #[pin]
    inner: Opaque<bindings::delayed_work>,
    owner: Atomic<*mut ffi::c_void>,
    run: Atomic<usize>,
}

// SAFETY: The C work item is made to be queued from any thread.
unsafe impl Send for Work {}
// SAFETY: As above; the other fields are atomic.
unsafe impl Sync for Work {}

#[pinned_drop]
impl PinnedDrop for Work {
    fn drop(self: Pin<&mut Self>) {
        // Somebody may have triggered it who had no registration, or none any more.
        // SAFETY: The item was initialised by `new()`; it does not run, as a task that runs is alive.
        unsafe { bindings::disable_delayed_work_sync(self.inner.get()) };
    }
}

impl Work {
    /// Makes an item that nothing has registered yet.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // INVARIANT: `owner` is null.
            inner <- Opaque::ffi_init(|slot| {
                // SAFETY: `slot` is valid for writes, and the item is pinned.
                unsafe { bindings::xlnet_init_delayed_work(slot, Some(Self::thunk)) }
            }),
            owner: Atomic::new(null_mut()),
            run: Atomic::new(0),
        })
    }

    /// Runs the task as soon as possible, once more if it is running now. Any context.
    pub(crate) fn trigger(&self) {
        // SAFETY: `inner` was initialised by `new()` and is pinned.
        unsafe { bindings::xlnet_work_trigger(self.inner.get()) };
    }

    /// Runs the task after `ms` milliseconds unless it is due before. Any context.
    pub(crate) fn trigger_in(&self, ms: u32) {
        // SAFETY: As in `trigger()`.
        unsafe { bindings::xlnet_work_trigger_in(self.inner.get(), ms) };
    }

    /// Runs the task after `ms` milliseconds, and not at what was the time before. Any context.
    pub(crate) fn restart_in(&self, ms: u32) {
        // SAFETY: As in `trigger()`.
        unsafe { bindings::xlnet_work_restart_in(self.inner.get(), ms) };
    }

    /// Runs the task soon, in a thread that it may keep for long. Any context.
    pub(crate) fn trigger_long(&self) {
        // SAFETY: As in `trigger()`.
        unsafe { bindings::xlnet_work_trigger_long(self.inner.get()) };
    }

    unsafe extern "C" fn thunk(work: *mut bindings::work_struct) {
        // SAFETY: `work` is the first field of the delayed work, which is the `inner` of a `Work`.
        let this = unsafe {
            let inner = kernel::container_of!(work, bindings::delayed_work, work);
            &*kernel::container_of!(Opaque::cast_from(inner), Self, inner)
        };
        let run = this.run.load(Acquire);
        let owner = this.owner.load(Acquire);
        if owner.is_null() || run == 0 {
            return;
        }
        // SAFETY: `run` is only ever stored from a function of exactly this type.
        let run: unsafe fn(*mut ffi::c_void) = unsafe { core::mem::transmute(run) };
        // SAFETY: By the type invariants `owner` is alive, and it is of the type that `run` takes.
        unsafe { run(owner) };
    }
}

unsafe fn call<T: Task>(owner: *mut ffi::c_void) {
    // SAFETY: The caller passes a pointer to a live `T`.
    unsafe { &*owner.cast::<T>() }.run();
}

/// Keeps a [`Task`] alive for as long as its [`Work`] may run.
///
/// # Invariants
///
/// `work` is part of what `_task` keeps, and calls that.
pub(crate) struct Registration<T: Task> {
    work: NonNull<Work>,
    _task: Arc<T>,
}

// SAFETY: An item may be disabled by any thread in process context.
unsafe impl<T: Task> Send for Registration<T> {}
// SAFETY: Nothing can be done with a shared registration.
unsafe impl<T: Task> Sync for Registration<T> {}

impl<T: Task> Registration<T> {
    /// Lets `task` run from now on.
    ///
    /// # Errors
    ///
    /// `EBUSY` if its item was registered before.
    pub(crate) fn new(task: Arc<T>) -> Result<Self> {
        let work = task.work();
        let owner = Arc::as_ptr(&task).cast_mut().cast();
        // INVARIANT: The registration being made holds a reference to `task`, and is the only one of this
        // item there ever is.
        if work.owner.cmpxchg(null_mut(), owner, Full).is_err() {
            return Err(EBUSY);
        }
        let run: unsafe fn(*mut ffi::c_void) = call::<T>;
        work.run.store(run as usize, Release);
        // INVARIANT: As above.
        Ok(Self {
            work: NonNull::from(work),
            _task: task,
        })
    }
}

impl<T: Task> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the item is initialised; this waits for a running task and makes
        // every later trigger a no-op, so that the reference may go.
        unsafe { bindings::disable_delayed_work_sync(self.work.as_ref().inner.get()) };
    }
}

/// Whether this CPU has nothing to run but the calling thread. Process context.
#[inline]
pub(crate) fn is_alone() -> bool {
    // SAFETY: No requirements.
    unsafe { bindings::single_task_running() }
}

/// How many CPUs this guest has online. Any context; it may be out of date at once.
pub(crate) fn online_cpus() -> u32 {
    // SAFETY: No requirements.
    unsafe { bindings::xlnet_online_cpus() }
}

/// Looks less often, and lets the scheduler and RCU have their say. Process context.
pub(crate) fn relax() {
    // SAFETY: No requirements but the context.
    unsafe { bindings::xlnet_cond_resched() };
    core::hint::spin_loop();
}

/// Has the other threads of this CPU run first; returns whether any did. Process context.
pub(crate) fn give_way() -> bool {
    // SAFETY: No requirements but the context.
    unsafe {
        let before = bindings::xlnet_switches();
        bindings::xlnet_yield();
        bindings::xlnet_switches() != before
    }
}

/// A stretch of a thread's time in which it did not sleep.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    task: usize,
    sleeps: ffi::c_ulong,
}

impl Stretch {
    /// Makes one that nothing else equals.
    pub(crate) const fn none() -> Self {
        Self { task: 0, sleeps: 0 }
    }

    /// Whether both are of one thread.
    pub(crate) const fn is_same_thread(&self, other: &Self) -> bool {
        self.task == other.task
    }

    /// The one that is now, of the thread that runs or was interrupted; [`Self::none`] if the CPU has
    /// nothing to do. Any context.
    #[inline]
    pub(crate) fn now() -> Self {
        // SAFETY: No requirements.
        unsafe {
            if bindings::xlnet_is_idle() {
                return Self::none();
            }
            Self {
                task: bindings::xlnet_current().addr(),
                sleeps: bindings::xlnet_sleeps(),
            }
        }
    }
}

/// The timer ticks since the system was started, modulo the type. Any context.
#[inline]
pub(crate) fn ticks() -> ffi::c_ulong {
    // SAFETY: No requirements.
    unsafe { bindings::xlnet_jiffies() }
}

/// Whether this CPU had nothing to do when it was interrupted. Hard interrupt context.
pub(crate) fn was_idle() -> bool {
    // SAFETY: No requirements.
    unsafe { bindings::xlnet_is_idle() }
}
