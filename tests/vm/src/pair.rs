// SPDX-License-Identifier: GPL-2.0
//! Two guests and the channel between them.

use anyhow::{ensure, Result};
use xlnet_lab::guest::Guest;

use crate::{
    bed::eventually,
    view::{await_status, state_of},
    Bed,
};

/// An end of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The lower domid, whose pages they are.
    Listener,
    /// The other.
    Connector,
}

/// Two guests, the listener first.
pub(crate) struct Pair(pub(crate) [Guest; 2]);

impl Pair {
    /// The first two of a bed, as what they are now.
    ///
    /// # Errors
    /// If one of them is not there.
    pub(crate) fn of(bed: &Bed) -> Result<Self> {
        Self::between(bed.g(1)?, bed.g(2)?)
    }

    /// These two.
    ///
    /// # Errors
    /// If one of them is not there.
    pub(crate) fn between(a: Guest, b: Guest) -> Result<Self> {
        Ok(Self(if a.domid()? < b.domid()? {
            [a, b]
        } else {
            [b, a]
        }))
    }

    /// The guest at this end, and the other.
    pub(crate) fn get(&self, side: Side) -> (&Guest, &Guest) {
        let [listener, connector] = &self.0;
        match side {
            Side::Listener => (listener, connector),
            Side::Connector => (connector, listener),
        }
    }

    /// Waits until the channel is in this state at this end.
    ///
    /// # Errors
    /// If it never is.
    pub(crate) fn await_state(&self, side: Side, state: &str) -> Result<()> {
        let (own, other) = self.get(side);
        let domid = other.domid()?;
        eventually(&format!("the {side:?}'s channel is {state}"), || {
            let is = state_of(own, domid)?;
            ensure!(is.as_deref() == Some(state), "it is {is:?}");
            Ok(true)
        })
    }

    /// Closes the channel, and leaves both able to make another.
    ///
    /// # Errors
    /// If it does not close at both ends.
    pub(crate) fn part(&self) -> Result<()> {
        let [listener, _] = &self.0;
        listener.sh("ip link set xlnet0 down")?;
        for side in [Side::Listener, Side::Connector] {
            self.await_state(side, "idle")?;
        }
        listener.sh("ip link set xlnet0 up")?;
        self.0.iter().try_for_each(await_status)
    }

    /// Has `work` done while neither sends anything by itself, which would make a channel.
    ///
    /// # Errors
    /// If `work` fails, or what it takes.
    pub(crate) fn in_silence<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        // Below the least MTU of IPv6 there is no multicast.
        self.set_mtu(1279)?;
        let done = work();
        self.set_mtu(65535)?;
        done
    }

    fn set_mtu(&self, mtu: u32) -> Result<()> {
        self.0.iter().try_for_each(|guest| {
            guest.sh(&format!("ip link set xlnet0 mtu {mtu}"))?;
            await_status(guest)
        })
    }
}
