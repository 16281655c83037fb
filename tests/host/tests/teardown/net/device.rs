// SPDX-License-Identifier: GPL-2.0

//! The device: its one transmit queue of a channel, and where frames have gone.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use loom::sync::atomic::{fence, AtomicBool, Ordering};
use loom::sync::Notify;

use crate::bed::QUEUE;

#[derive(Clone)]
pub(crate) struct Device(Rc<Inner>);

struct Inner {
    /// Of the queue of the channel; the others always run.
    stopped: AtomicBool,
    woken: Notify,
    uplink: RefCell<Vec<u8>>,
    delivered: RefCell<Vec<u8>>,
    delivery: Notify,
    lost: Cell<u32>,
}

impl Device {
    pub(crate) fn new() -> Self {
        Self(Rc::new(Inner {
            stopped: AtomicBool::new(false),
            woken: Notify::new(),
            uplink: RefCell::default(),
            delivered: RefCell::default(),
            delivery: Notify::new(),
            lost: Cell::default(),
        }))
    }

    pub(crate) fn stop_queue(&self, queue: u16) {
        assert_eq!(queue, QUEUE);
        self.0.stopped.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    pub(crate) fn wake_queue(&self, _queue: u16) {
        if self.0.stopped.swap(false, Ordering::AcqRel) {
            self.0.woken.notify();
        }
    }

    pub(crate) fn queue_stopped(&self, queue: u16) -> bool {
        queue == QUEUE && self.0.stopped.load(Ordering::Relaxed)
    }

    /// Waits while the queue is stopped, as the stack does.
    pub(crate) fn wait_for_queue(&self, queue: u16) {
        while self.queue_stopped(queue) {
            self.0.woken.wait();
        }
    }

    pub(crate) fn count_tx(&self, _len: u32) {}

    pub(crate) fn count_tx_dropped(&self) {
        self.0.lost.set(self.0.lost.get() + 1);
    }

    pub(crate) fn by_uplink(&self, serial: u8) {
        self.0.uplink.borrow_mut().push(serial);
    }

    pub(crate) fn delivered(&self, serial: u8) {
        self.0.delivered.borrow_mut().push(serial);
        self.0.delivery.notify();
    }

    pub(crate) fn await_delivery(&self) {
        self.0.delivery.wait();
    }

    /// The frames that the uplink was given, those that the stack was, and how many were lost.
    pub(crate) fn gone(&self) -> (Vec<u8>, Vec<u8>, u32) {
        let inner = &self.0;
        (
            inner.uplink.borrow().clone(),
            inner.delivered.borrow().clone(),
            inner.lost.get(),
        )
    }
}
