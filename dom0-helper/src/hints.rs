// SPDX-License-Identifier: GPL-3.0-only

//! What the watches have said since it was last asked: bounded by the number of domains, whatever
//! guests do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use xlnet_proto::schema::{InHome, Node};

use crate::inventory::{number, Domid, DEVICE_NODES};
use crate::store::OnEvent;

/// More peers than this in one hint become one hint about the whole guest.
const MAX_PEERS: usize = 64;

/// What may have changed about one guest.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct GuestHint {
    /// Its devices, as the toolstack describes them.
    pub devices: bool,
    /// What the helper has told it, in case somebody else changed that.
    pub told: bool,
    /// Any node it writes.
    pub nodes: bool,
    /// Its nodes about these peers; empty where `nodes` is set.
    pub peers: BTreeSet<Domid>,
}

impl GuestHint {
    /// Everything about a guest.
    pub fn all() -> Self {
        Self {
            devices: true,
            told: true,
            nodes: true,
            peers: BTreeSet::new(),
        }
    }

    /// Adds what another hint says.
    pub fn merge(&mut self, other: Self) {
        self.devices |= other.devices;
        self.told |= other.told;
        self.nodes |= other.nodes;
        self.peers.extend(other.peers);
        if self.nodes || self.peers.len() > MAX_PEERS {
            self.nodes = true;
            self.peers.clear();
        }
    }
}

/// Whether `<number>/<node>` is one that says what a device is, or a whole device.
///
/// The two ends of a device write some thirty more while they connect. To look at a guest takes a dozen requests, of a
/// Dom0 that has the guest's uplink to set up just then.
fn says_what_it_is(path: &str) -> bool {
    path.split('/')
        .nth(1)
        .is_none_or(|node| DEVICE_NODES.contains(&node))
}

/// What may have changed on the host.
#[derive(Debug, Default)]
pub struct Pending {
    /// Domains came or went.
    pub domains: bool,
    /// Single guests.
    pub guests: BTreeMap<Domid, GuestHint>,
}

/// Collects the events of all watches; shared between their tasks and the daemon.
#[derive(Default)]
pub struct Hints {
    pending: Mutex<Pending>,
    wake: Notify,
}

impl Hints {
    fn add(&self, change: impl FnOnce(&mut Pending)) {
        change(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.notify_one();
    }

    /// Everything since the last call.
    pub fn take(&self) -> Pending {
        std::mem::take(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns once something has been added since the last return.
    pub async fn wait(&self) {
        self.wake.notified().await;
    }

    /// For the special watches: any event means that domains came or went.
    pub fn on_domains(self: &Arc<Self>) -> OnEvent {
        let hints = Arc::clone(self);
        Arc::new(move |_| hints.add(|pending| pending.domains = true))
    }

    /// For the watch on all backends of network devices in one domain.
    pub fn on_backends(self: &Arc<Self>, root: &str) -> OnEvent {
        let hints = Arc::clone(self);
        let root = format!("{root}/");
        Arc::new(move |path| {
            let below = path.strip_prefix(&root).unwrap_or_default();
            let (domid, device) = below.split_once('/').unwrap_or((below, ""));
            if says_what_it_is(device) {
                hints.add(|pending| match number(domid) {
                    Some(domid) => pending.guests.entry(domid).or_default().devices = true,
                    None => pending.domains = true,
                });
            }
        })
    }

    /// For the watch on the toolstack's description of one guest's devices.
    pub fn on_devices(self: &Arc<Self>, root: &str, domid: Domid) -> OnEvent {
        let hints = Arc::clone(self);
        let root = format!("{root}/");
        Arc::new(move |path| {
            if says_what_it_is(path.strip_prefix(&root).unwrap_or_default()) {
                hints.add(|pending| pending.guests.entry(domid).or_default().devices = true);
            }
        })
    }

    /// For the watch on what one guest writes.
    pub fn on_guest(self: &Arc<Self>, domid: Domid) -> OnEvent {
        let hints = Arc::clone(self);
        Arc::new(move |path| {
            // The path of any other node, wherever below, is a reason to look at all of them.
            let hint = match InHome::parse(path).map(|at| at.node) {
                Some(Node::GuestPeer(peer)) => GuestHint {
                    peers: [peer].into(),
                    ..GuestHint::default()
                },
                _ => GuestHint {
                    nodes: true,
                    ..GuestHint::default()
                },
            };
            hints.add(|pending| pending.guests.entry(domid).or_default().merge(hint));
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_become_hints_about_the_right_guest() {
        let hints = Arc::new(Hints::default());
        let on_backends = hints.on_backends("/local/domain/0/backend/vif");
        on_backends("/local/domain/0/backend/vif/7/0/mac");
        on_backends("/local/domain/0/backend/vif/8");
        hints.on_devices("/libxl/9/device/vif", 9)("/libxl/9/device/vif/0");
        hints.on_guest(3)("/local/domain/3/data/xlnet/0/peer/9");
        hints.on_guest(4)("/local/domain/4/data");
        let pending = hints.take();
        assert!(!pending.domains);
        for domid in [7, 8, 9] {
            assert!(pending.guests[&domid].devices, "{domid}");
        }
        assert_eq!(
            pending.guests[&3],
            GuestHint {
                peers: [9].into(),
                ..GuestHint::default()
            }
        );
        assert!(pending.guests[&4].nodes);
        assert!(hints.take().guests.is_empty());
    }

    #[test]
    fn how_a_device_connects_is_no_hint() {
        let hints = Arc::new(Hints::default());
        let on_backends = hints.on_backends("/local/domain/0/backend/vif");
        let on_devices = hints.on_devices("/libxl/9/device/vif", 9);
        for node in ["state", "hotplug-status", "queue-0/event-channel-tx"] {
            on_backends(&format!("/local/domain/0/backend/vif/9/1/{node}"));
            on_devices(&format!("/libxl/9/device/vif/1/{node}"));
        }
        let pending = hints.take();
        assert!(!pending.domains && pending.guests.is_empty());
    }

    #[test]
    fn a_flood_of_events_takes_bounded_memory() {
        let hints = Arc::new(Hints::default());
        let on_event = hints.on_guest(3);
        for n in 0..100_000 {
            on_event(&format!("/local/domain/3/data/xlnet/0/peer/{n}"));
            on_event(&format!("/local/domain/3/data/xlnet/0/peer/x{n}"));
        }
        let pending = hints.take();
        assert_eq!(pending.guests.len(), 1);
        assert!(pending.guests[&3].nodes);
        assert!(pending.guests[&3].peers.is_empty());
    }
}
