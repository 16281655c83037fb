// SPDX-License-Identifier: GPL-2.0

//! One event channel. Who sends an event runs the handler itself, so that the interrupt comes at any
//! moment of all the others; the next comes only when the last was ended.

mod line;

pub(crate) use line::Line;

use std::rc::Rc;

use loom::sync::{Condvar, Mutex, MutexGuard, Notify};

use crate::net::napi::softirq;
use crate::sync::{rcu, Arc};

#[derive(Clone, Copy)]
pub(crate) struct Port(pub(crate) u32);

pub(crate) trait Handler: 'static {
    fn line(&self) -> &Line;
    fn handle(&self);
}

impl<H: Handler> Handler for Arc<H> {
    fn line(&self) -> &Line {
        (**self).line()
    }

    fn handle(&self) {
        (**self).handle();
    }
}

/// Our end of the channel.
const PORT: Port = Port(7);

/// The number of the interrupt.
const IRQ: u32 = 5;

#[derive(Default)]
struct State {
    handler: Option<Rc<dyn Handler>>,
    /// Calls of the handler that have not returned.
    running: u32,
    /// An interrupt was not ended yet.
    in_service: bool,
    /// An event has come.
    pending: bool,
    /// The channel was closed.
    closed: bool,
    /// The number of the interrupt may be another's.
    given_up: bool,
}

loom::lazy_static! {
    static ref STATE: Mutex<State> = Mutex::new(State::default());
    static ref RETURNED: Condvar = Condvar::new();
    static ref TO_PEER: Notify = Notify::new();
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().expect("nobody panics")
}

/// Sends the peer an event, which Xen refuses to who has closed the channel.
pub(crate) fn notify_peer(port: u32) {
    if port == PORT.0 && !state().closed {
        TO_PEER.notify();
    }
}

/// Waits for one, as the peer.
pub(crate) fn await_event() {
    TO_PEER.wait();
}

/// The peer sends an event.
pub(crate) fn raise() {
    state().pending = true;
    deliver();
}

/// Runs the handler for an event that waits.
fn deliver() {
    let mut now = state();
    // Until a handler is bound, and while one runs or its work is not done, it waits.
    while now.pending && !now.in_service && now.running == 0 {
        let Some(handler) = now.handler.clone() else {
            return;
        };
        now.pending = false;
        now.in_service = true;
        now.running += 1;
        drop(now);
        handler.line().opened(IRQ);
        handler.handle();
        now = state();
        now.running -= 1;
        RETURNED.notify_all();
    }
    drop(now);
    softirq();
}

/// An interrupt is ended.
pub(crate) fn end(irq: u32) {
    let mut now = state();
    assert!(irq == IRQ && !now.given_up, "another's interrupt was ended");
    assert!(now.in_service, "an interrupt was ended twice");
    now.in_service = false;
    drop(now);
    deliver();
}

/// Keeps the handler bound.
pub(crate) struct BoundChannel<H: Handler>(Arc<H>);

impl<H: Handler> BoundChannel<H> {
    pub(crate) fn new(handler: &Arc<H>) -> Self {
        assert!(handler.line().begin(PORT), "it is bound already");
        state().handler = Some(Rc::new(handler.clone()));
        deliver();
        handler.line().opened(IRQ);
        Self(handler.clone())
    }
}

impl<H: Handler> Drop for BoundChannel<H> {
    fn drop(&mut self) {
        self.0.line().close();
        let mut now = state();
        let handler = now.handler.take();
        while now.running > 0 {
            now = RETURNED.wait(now).expect("nobody panics");
        }
        now.closed = true;
        drop(now);
        drop(handler);
        rcu::synchronize();
        state().given_up = true;
    }
}
