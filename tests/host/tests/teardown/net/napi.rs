// SPDX-License-Identifier: GPL-2.0

//! NAPI, as `net/core/dev.c` has it, of one instance: when it is scheduled it is polled until it is
//! complete, and once more if it was scheduled meanwhile; disabling it waits for that.
//!
//! It is polled where a processor would: when an interrupt ends, or bottom halves are enabled again.

use std::cell::Cell;
use std::marker::PhantomData;
use std::rc::Rc;

use loom::sync::{Condvar, Mutex, MutexGuard};

use crate::sync::Arc;

const BUDGET: u32 = 64;

pub(crate) trait Poll: 'static {
    fn napi(&self) -> &Napi<Self>
    where
        Self: Sized;

    fn poll(&self, turn: Turn<'_, Self>) -> u32
    where
        Self: Sized;
}

#[derive(Default)]
struct State {
    /// Polls; there is none before the instance was added, and after it was removed.
    poll: Option<Rc<dyn Fn()>>,
    /// `NAPI_STATE_DISABLE`: it cannot be scheduled.
    disabled: bool,
    /// `NAPI_STATE_SCHED`: it is polled, or about to be.
    scheduled: bool,
    /// `NAPI_STATE_MISSED`: it was scheduled while it was.
    missed: bool,
    /// Polls that were begun.
    begun: u32,
    /// The one that is not complete.
    current: Option<u32>,
    /// Polls that have not returned. After it is complete, one may go on beside the next.
    running: u32,
}

loom::lazy_static! {
    static ref STATE: Mutex<State> = Mutex::new(State::default());
    static ref RETURNED: Condvar = Condvar::new();
}

loom::thread_local! {
    /// This processor is at it.
    static BUSY: Cell<bool> = Cell::new(false);
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().expect("nobody panics")
}

/// Polls, if that is due and nobody does.
pub(crate) fn softirq() {
    // One that is raised within one runs when that is over.
    if BUSY.with(|busy| busy.replace(true)) {
        return;
    }
    while let Some((number, poll)) = begin() {
        poll();
        let mut now = state();
        now.running -= 1;
        if now.current == Some(number) {
            now.current = None;
        }
        RETURNED.notify_all();
    }
    BUSY.with(|busy| busy.set(false));
}

fn begin() -> Option<(u32, Rc<dyn Fn()>)> {
    let mut now = state();
    if !now.scheduled || now.current.is_some() {
        return None;
    }
    let poll = now.poll.clone()?;
    now.begun += 1;
    now.current = Some(now.begun);
    now.running += 1;
    Some((now.begun, poll))
}

pub(crate) struct Napi<T>(PhantomData<T>);

impl<T: Poll> Napi<T> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }

    pub(crate) fn schedule(&self) {
        let mut now = state();
        if now.poll.is_some() && !now.disabled {
            now.missed = now.scheduled;
            now.scheduled = true;
        }
    }
}

pub(crate) struct Turn<'a, T>(&'a Napi<T>);

impl<'a, T: Poll> Turn<'a, T> {
    pub(crate) fn budget(&self) -> u32 {
        BUDGET
    }

    pub(crate) fn complete(self, _done: u32) -> Option<Completed<'a, T>> {
        let mut now = state();
        if std::mem::take(&mut now.missed) {
            return None;
        }
        now.scheduled = false;
        now.current = None;
        Some(Completed(self.0))
    }
}

pub(crate) struct Completed<'a, T>(&'a Napi<T>);

impl<T: Poll> Completed<'_, T> {
    /// Time stands still: it is polled at once.
    pub(crate) fn schedule_in(self, _ns: u64) {
        self.0.schedule();
    }
}

/// Keeps the instance enabled.
pub(crate) struct Registration<T: Poll>(PhantomData<T>);

impl<T: Poll> Registration<T> {
    pub(crate) fn new(owner: &Arc<T>) -> Self {
        let owner = owner.clone();
        let poll = move || {
            owner.poll(Turn(owner.napi()));
        };
        state().poll = Some(Rc::new(poll));
        Self(PhantomData)
    }
}

impl<T: Poll> Drop for Registration<T> {
    fn drop(&mut self) {
        let mut now = state();
        now.disabled = true;
        while now.scheduled || now.running > 0 {
            now = RETURNED.wait(now).expect("nobody panics");
        }
        let poll = now.poll.take();
        drop(now);
        drop(poll);
    }
}

pub(crate) fn with_bh_disabled<R>(f: impl FnOnce() -> R) -> R {
    let result = f();
    softirq();
    result
}
