// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What there can be between us and a peer.

/// Who began to close a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// We did.
    Us,
    /// The peer did.
    Peer,
}

/// What there is between us and a peer.
///
/// `number` is that of a channel, counted from 1 within the pair of epochs; `last` is the highest
/// number that we have closed or given up, 0 at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// No channel.
    Idle {
        /// Highest number used up.
        last: u32,
    },
    /// Connector: waits for an offer.
    Requested {
        /// Number asked for.
        number: u32,
        /// Highest number used up.
        last: u32,
    },
    /// Listener: [`super::Action::BuildOffer`] is under way.
    Building {
        /// Number of the channel to be.
        number: u32,
    },
    /// Listener: waits for the connector.
    Offered {
        /// Number offered.
        number: u32,
    },
    /// Connector: [`super::Action::Attach`] is under way.
    Attaching {
        /// Number of the channel to be.
        number: u32,
    },
    /// What is being built or attached is unwanted when it comes.
    Cancelling {
        /// Number of the channel that will not be.
        number: u32,
        /// Whether a fault was the reason.
        fault: bool,
    },
    /// Frames flow.
    Up {
        /// Number of the channel.
        number: u32,
    },
    /// We produce no more frames; those that arrived are still delivered.
    Draining {
        /// Number of the channel.
        number: u32,
        /// Who began.
        by: Side,
        /// All that the peer produced is consumed.
        drained: bool,
        /// The peer does not touch the channel any more.
        gone: bool,
    },
    /// The peer broke the protocol: no channel until its entry has been withdrawn.
    Fault {
        /// Highest number used up.
        last: u32,
    },
}

impl State {
    /// The state at the beginning of a pair of epochs.
    pub const NEW: State = State::Idle { last: 0 };

    /// Returns the number of the channel that stands, is being made or asked for.
    pub const fn number(self) -> Option<u32> {
        match self {
            State::Requested { number, .. }
            | State::Building { number }
            | State::Offered { number }
            | State::Attaching { number }
            | State::Cancelling { number, .. }
            | State::Up { number }
            | State::Draining { number, .. } => Some(number),
            State::Idle { .. } | State::Fault { .. } => None,
        }
    }

    /// Returns whether frames for the peer go into the channel.
    pub const fn is_up(self) -> bool {
        matches!(self, State::Up { .. })
    }

    /// Returns whether no channel can follow while the two epochs stand: the peer broke the protocol,
    /// or has used up the numbers.
    pub const fn is_spent(self) -> bool {
        matches!(self, State::Fault { .. } | State::Idle { last: u32::MAX })
    }

    /// Returns whether a [`super::Event::Timeout`] moves the state on, so that a timer is needed.
    pub const fn is_waiting(self) -> bool {
        matches!(
            self,
            State::Requested { .. } | State::Offered { .. } | State::Draining { .. }
        )
    }

    /// Returns what the state is for the data path and in the peer list.
    pub const fn path(self) -> Path {
        match self {
            State::Idle { .. } => Path::Idle,
            State::Requested { .. }
            | State::Building { .. }
            | State::Offered { .. }
            | State::Attaching { .. } => Path::Connecting,
            State::Up { .. } => Path::Up,
            State::Draining { .. } | State::Cancelling { fault: false, .. } => Path::Draining,
            State::Fault { .. } | State::Cancelling { fault: true, .. } => Path::Fault,
        }
    }
}

/// What is between us and the peer, as far as the data path and the peer list are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Path {
    /// No channel; the first frame asks for one.
    Idle = 0,
    /// A channel is being made: frames that the uplink cannot take are held.
    Connecting = 1,
    /// The channel carries the frames.
    Up = 2,
    /// The channel is being closed; a new one may follow at once.
    Draining = 3,
    /// The peer broke the protocol: uplink only.
    Fault = 4,
}

impl Path {
    /// Returns the path with this number, or [`Path::Idle`].
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            1 => Self::Connecting,
            2 => Self::Up,
            3 => Self::Draining,
            4 => Self::Fault,
            _ => Self::Idle,
        }
    }

    /// Returns the name in the peer list.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Up => "up",
            Self::Draining => "draining",
            Self::Fault => "fault",
        }
    }
}
