// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the state machine asks its caller to do.

use core::fmt;
use core::ops::BitOr;

/// One thing to do, on the channel [`super::State::number`] of the state before or after the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Put no more frames into the channel: they go to the uplink. Go on receiving.
    BeginDrain,
    /// Write closing into our state word, and kick.
    SayClosing,
    /// Write gone into our state word, kick, and let go of the channel of the state *before* the
    /// step: unmap it or end its grants, and close the event channel.
    Release,
    /// The same of a peer that has not taken all we sent: write recalled in place of gone, and send what
    /// it left by another way.
    Recall,
    /// Remove our node for this peer.
    WithdrawNode,
    /// Publish `want`, the number of the new state.
    PublishWant,
    /// Allocate and grant a channel with the number of the new state, publish the offer, and answer
    /// with [`super::Event::Built`] or, with nothing left, [`super::Event::SetupFailed`].
    BuildOffer,
    /// Map the offer with the number of the new state, check its header, bind its event channel, and
    /// answer with [`super::Event::Attached`] or, with nothing left, [`super::Event::SetupFailed`].
    Attach,
    /// Write ready into our state word, kick, and begin to use the channel.
    OpenQueue,
    /// Count and log the fault, and make nothing more with this peer until it is withdrawn.
    Quarantine,
    /// Feed what the peer's entry says once more: it may have been said too early.
    Reread,
}

impl Action {
    /// Every action, in the order to perform those of one step in.
    pub const ALL: [Action; 11] = [
        Action::BeginDrain,
        Action::SayClosing,
        Action::Release,
        Action::Recall,
        Action::WithdrawNode,
        Action::PublishWant,
        Action::BuildOffer,
        Action::Attach,
        Action::OpenQueue,
        Action::Quarantine,
        Action::Reread,
    ];
}

/// A set of [`Action`]s.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Actions(u16);

impl Actions {
    /// The empty set.
    pub const NONE: Actions = Actions(0);

    /// Returns whether there is nothing to do.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns whether `action` is to be done.
    pub const fn contains(self, action: Action) -> bool {
        self.0 & (1 << action as u16) != 0
    }

    /// Returns the actions in the order to perform them in.
    pub fn iter(self) -> impl Iterator<Item = Action> {
        Action::ALL
            .into_iter()
            .filter(move |action| self.contains(*action))
    }
}

impl From<Action> for Actions {
    fn from(action: Action) -> Self {
        Actions(1 << action as u16)
    }
}

impl<T: Into<Actions>> BitOr<T> for Actions {
    type Output = Actions;

    fn bitor(self, other: T) -> Actions {
        Actions(self.0 | other.into().0)
    }
}

impl<T: Into<Actions>> BitOr<T> for Action {
    type Output = Actions;

    fn bitor(self, other: T) -> Actions {
        Actions::from(self) | other
    }
}

impl fmt::Debug for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
