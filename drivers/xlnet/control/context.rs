// SPDX-License-Identifier: GPL-2.0

//! What one run of the control task hands to each session.

use super::session::Session;
use crate::{
    net::device::Device,
    peer::channel::SHARED_QUEUE, //
    shared::Shared,
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// What a session works on.
pub(super) struct Context<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) dev: &'a Device,
    pub(super) epoch: u64,
    /// All that we have written is about to be removed.
    pub(super) leaving: bool,
    pub(super) queues: &'a mut u64,
    pub(super) sessions: &'a mut KVVec<Session>,
    /// What routes depend on has changed.
    pub(super) list_changed: bool,
    /// The state of a channel has changed.
    pub(super) path_changed: bool,
}

impl Context<'_> {
    /// Takes the sessions out, so that each can be given the context.
    pub(super) fn take_sessions(&mut self) -> KVVec<Session> {
        core::mem::replace(self.sessions, KVVec::new())
    }

    /// A transmit queue for a channel. More channels than queues share the last one.
    pub(super) fn take_queue(&mut self) -> u16 {
        let free = (1..SHARED_QUEUE).find(|queue| *self.queues & (1 << queue) == 0);
        let queue = free.unwrap_or(SHARED_QUEUE);
        *self.queues |= 1 << queue;
        queue
    }

    pub(super) fn put_queue(&mut self, queue: u16) {
        if queue != 0 && queue < SHARED_QUEUE {
            *self.queues &= !(1 << queue);
        }
    }
}
