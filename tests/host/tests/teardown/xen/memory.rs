// SPDX-License-Identifier: GPL-2.0

//! The memory of a channel, and who still may touch it.

use std::cell::Cell;
use std::rc::Rc;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::sync::Arc as LoomArc;

use crate::prelude::Result;
use crate::proto::fault::PeerFault;
use crate::proto::layout::{ChannelState, Role, RING_SHIFT_MIN};
use crate::proto::mem::{Chunk, SharedMem, Word};
use crate::proto::sync::{LoadOrder, StoreOrder};
use crate::ring::{self, Flaw, Handle};
use crate::sync::Arc;

/// Bytes that loom checks as one: those of a record of ours.
pub(crate) const BLOCK: u32 = 32 << 10;

/// What one end has mapped. loom checks that each access is ordered before the end of that.
#[derive(Default)]
struct Mapping {
    pages: UnsafeCell<()>,
    ended: Cell<bool>,
}

impl Mapping {
    fn touch(&self) {
        assert!(!self.ended.get(), "memory is touched that was given up");
        self.pages.with(|_| ());
    }

    fn end(&self) {
        self.pages.with_mut(|_| ());
        self.ended.set(true);
    }
}

pub(crate) struct Memory {
    control: Control,
}

pub(crate) struct Control {
    states: [AtomicU32; 2],
    rings: [LoomArc<ring::Ring>; 2],
    mappings: [Rc<Mapping>; 2],
}

impl Memory {
    pub(crate) fn new() -> Self {
        let setting_up = || AtomicU32::new(ChannelState::SettingUp as u32);
        let ring = || ring::Ring::new(1 << RING_SHIFT_MIN, BLOCK, Flaw::None);
        Self {
            control: Control {
                states: [setting_up(), setting_up()],
                rings: [ring(), ring()],
                mappings: Default::default(),
            },
        }
    }

    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    pub(crate) fn rings(this: &Arc<Self>, us: Role) -> Result<(Ring, Ring)> {
        Ok(this.rings_of(us))
    }

    /// The rings that `us` produces into and consumes from.
    pub(crate) fn rings_of(&self, us: Role) -> (Ring, Ring) {
        let Control {
            rings, mappings, ..
        } = &self.control;
        let ring = |handle| Ring {
            handle,
            mapping: mappings[us.tx_ring()].clone(),
        };
        (
            ring(Handle::producer(&rings[us.tx_ring()])),
            ring(Handle::consumer(&rings[us.rx_ring()])),
        )
    }

    /// Ends what `us` has mapped.
    pub(crate) fn unmap(&self, us: Role) {
        self.control.mappings[us.tx_ring()].end();
    }
}

impl Control {
    pub(crate) fn set_state(&self, us: Role, state: ChannelState) {
        self.mappings[us.tx_ring()].touch();
        if state == ChannelState::Recalled {
            self.rings[us.tx_ring()].recall();
        }
        self.states[us.tx_ring()].store(state as u32, Ordering::Release);
    }

    pub(crate) fn peer_state(&self, us: Role) -> Result<ChannelState, PeerFault> {
        self.mappings[us.tx_ring()].touch();
        ChannelState::from_raw(self.states[us.rx_ring()].load(Ordering::Acquire))
    }
}

/// A ring as one end has it mapped.
pub(crate) struct Ring {
    handle: Handle,
    mapping: Rc<Mapping>,
}

impl SharedMem for Ring {
    fn load(&self, word: Word, order: LoadOrder) -> u32 {
        self.mapping.touch();
        self.handle.load(word, order)
    }

    fn store(&self, word: Word, value: u32, order: StoreOrder) {
        self.mapping.touch();
        self.handle.store(word, value, order);
    }

    fn barrier(&self) {
        self.handle.barrier();
    }

    fn size(&self) -> u32 {
        self.handle.size()
    }

    fn chunks<E>(
        &self,
        pos: u32,
        len: u32,
        f: impl FnMut(Chunk<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.mapping.touch();
        self.handle.chunks(pos, len, f)
    }
}
