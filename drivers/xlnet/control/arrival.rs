// SPDX-License-Identifier: GPL-2.0

//! A guest that goes on after it was suspended: what it sends its peers has no channel yet, and no
//! uplink until that is connected again.

use super::{
    deadline::Deadline,
    stale::Stale,
    Control,
    State, //
};
use crate::{
    net::{
        ops::UPLINK_QUEUE,
        work::{
            Task,
            Work, //
        },
    },
    xen::random_u64, //
};
use kernel::sync::Arc;

/// How long a guest that goes on waits at most for its uplink, in milliseconds.
const ARRIVE_MS: u32 = 3_000;

/// How often it looks meanwhile.
pub(super) const ARRIVE_LOOK_MS: u32 = 20;

impl Control {
    /// Begins anew, as another instance and perhaps in another domain or on another host. Process
    /// context; the control task may still be frozen.
    pub(crate) fn arrive(&self) {
        let mut state = self.state.lock();
        state.epoch = random_u64().max(1);
        state.domid = None;
        state.announced = false;
        state.leaving = false;
        state.arriving = Some(Deadline::after(ARRIVE_MS));
        *self.stale.lock() = Stale::ALL;
        self.shared.claim.lock().1 = true;
        self.hold_for_uplink();
        drop(state);
        self.shared.release.restart_in(ARRIVE_MS);
        self.shared.control.trigger();
    }

    /// Whether the uplink is not connected again. What we and the routing script do to come back would
    /// take the processor and xenstore from it, while all traffic is to go by it.
    fn waits_for_uplink(&self) -> bool {
        self.shared
            .last_identity
            .get()
            .is_some_and(|identity| self.device.device().waits_for_carrier(&identity.uplink_mac))
    }

    /// Has what would go by the uplink wait, if that would throw it away; true if so.
    pub(super) fn hold_for_uplink(&self) -> bool {
        let waits = self.waits_for_uplink();
        if waits {
            self.device.device().stop_queue(UPLINK_QUEUE);
        }
        waits
    }

    /// Lets go what has waited for the uplink.
    pub(super) fn end_arrival(&self, state: &mut State) {
        if state.arriving.take().is_some() {
            self.device.device().wake_queue(UPLINK_QUEUE);
        }
    }
}

/// Has what waits for the uplink go in the end, whatever the control task waits for.
pub(crate) struct Release(pub(crate) Arc<Control>);

impl Task for Release {
    fn work(&self) -> &Work {
        &self.0.shared.release
    }

    fn run(&self) {
        self.0.device.device().wake_queue(UPLINK_QUEUE);
    }
}
