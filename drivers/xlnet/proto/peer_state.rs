// SPDX-License-Identifier: GPL-2.0 OR MIT

//! When channels to one peer are made and closed: a pure function of state and event.
//!
//! There is one [`State`] for each pair of (domid, epoch) of the peer and our own epoch. It outlives
//! channels, and must be kept as long as the two epochs stand, because it remembers which channel
//! numbers are used up. The rules are in `docs/protocol.md`, "Making a channel".
//!
//! The caller turns what it sees into [`Event`]s, calls [`step`], and performs the [`Actions`] in
//! the order of [`Action::ALL`]. What it reads (the peer's node, the peer's state word) it may
//! feed as often as it likes: a repetition changes nothing. How long to wait before a
//! [`Event::Timeout`], and how long to hold back [`Event::Traffic`] and [`Event::PeerWants`] after a
//! failure, is the caller's to decide.
//!
//! ```text
//!  listener:   Idle ──traffic, want──▶ Building ──built──▶ Offered ──ready──▶ Up
//!  connector:  Idle ──traffic──▶ Requested ──offer──▶ Attaching ──attached──▶ Up
//!                └──────────────offer──────────────────▲
//!  both:       Up ──idle, leave, closing──▶ Draining ──drained and gone, timeout──▶ Idle
//! ```

mod action;
mod state;

pub use action::{Action, Actions};
pub use state::{Path, Side, State};

use super::layout::Role;

/// Something that happened, or that was read and may be unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// There is a frame for the peer.
    Traffic,
    /// The peer's entry says `want`, read again. Means something to a listener.
    PeerWants(u32),
    /// The peer's entry says `offer`, read again. Means something to a connector.
    PeerOffers(u32),
    /// [`Action::BuildOffer`] succeeded.
    Built,
    /// [`Action::Attach`] succeeded.
    Attached,
    /// [`Action::BuildOffer`] or [`Action::Attach`] failed and left nothing behind.
    SetupFailed,
    /// The peer's state word says it is ready.
    PeerReady,
    /// The peer's state word says it is closing.
    PeerClosing,
    /// The peer's state word says it is gone or has recalled what it sent.
    PeerGone,
    /// No frame has passed for a while: both rings are empty, or the peer takes nothing.
    Idle,
    /// The set-up or the draining took too long.
    Timeout,
    /// Our receiving ring was found empty after the peer's state word was read as closing or gone, so
    /// that nothing more will come; or the peer has recalled what is in it.
    Drained,
    /// The peer did what no conforming peer does.
    Fault,
    /// We must let go: link down, suspend, unload. The caller feeds no more traffic and no more of
    /// the peer's entry after it, and the peer's state word just before it.
    Leave,
    /// `xlnetd` has removed the peer's entry. The same holds for what the caller feeds.
    Withdrawn,
}

/// Returns what follows when `event` happens in `state`, and what to do about it.
///
/// `role` is our role towards this peer.
pub fn step(role: Role, state: State, event: Event) -> (State, Actions) {
    match state {
        State::Idle { last } => idle(role, last, event),
        State::Requested { number, last } => requested(number, last, event),
        State::Building { number } => match event {
            Event::Built => (State::Offered { number }, Actions::NONE),
            _ => setting_up(state, number, event),
        },
        State::Attaching { number } => match event {
            Event::Attached => (State::Up { number }, Action::OpenQueue.into()),
            _ => setting_up(state, number, event),
        },
        State::Cancelling { number, fault } => cancelling(number, fault, event),
        State::Offered { number } => offered(number, event),
        State::Up { number } => up(role, number, event),
        State::Draining {
            number,
            by,
            drained,
            gone,
        } => draining(role, number, by, drained, gone, event),
        State::Fault { last } => match event {
            Event::Withdrawn => (State::Idle { last }, Actions::NONE),
            _ => (state, Actions::NONE),
        },
    }
}

fn idle(role: Role, last: u32, event: Event) -> (State, Actions) {
    let stay = (State::Idle { last }, Actions::NONE);
    match (role, event) {
        (Role::Listener, Event::Traffic) => match last.checked_add(1) {
            Some(number) => (State::Building { number }, Action::BuildOffer.into()),
            // A peer can use up the numbers at once. It needs a new epoch then.
            None => stay,
        },
        (Role::Listener, Event::PeerWants(number)) if number > last => {
            (State::Building { number }, Action::BuildOffer.into())
        }
        (Role::Connector, Event::Traffic) => match last.checked_add(1) {
            Some(number) => (
                State::Requested { number, last },
                Action::PublishWant.into(),
            ),
            None => stay,
        },
        (Role::Connector, Event::PeerOffers(number)) if number > last => {
            (State::Attaching { number }, Action::Attach.into())
        }
        (_, Event::Fault) => (State::Fault { last }, Action::Quarantine.into()),
        _ => stay,
    }
}

fn requested(number: u32, last: u32, event: Event) -> (State, Actions) {
    match event {
        Event::PeerOffers(offer) if offer > last => {
            (State::Attaching { number: offer }, Action::Attach.into())
        }
        // The number is given up: the listener may have offered it in vain and closed it already,
        // and would never answer to it again.
        Event::Timeout | Event::Leave | Event::Withdrawn => (
            State::Idle { last: number },
            Action::WithdrawNode | Action::Reread,
        ),
        Event::Fault => (
            State::Fault { last: number },
            Action::WithdrawNode | Action::Quarantine,
        ),
        _ => (State::Requested { number, last }, Actions::NONE),
    }
}

/// Building and attaching, but for their success.
fn setting_up(state: State, number: u32, event: Event) -> (State, Actions) {
    match event {
        // The number is given up, so that the same offer is not tried again.
        Event::SetupFailed => (
            State::Idle { last: number },
            Action::WithdrawNode | Action::Reread,
        ),
        Event::Leave | Event::Withdrawn => {
            let fault = false;
            (State::Cancelling { number, fault }, Actions::NONE)
        }
        Event::Fault => {
            let fault = true;
            (
                State::Cancelling { number, fault },
                Action::Quarantine.into(),
            )
        }
        _ => (state, Actions::NONE),
    }
}

fn cancelling(number: u32, fault: bool, event: Event) -> (State, Actions) {
    let (end, reread) = if fault {
        (State::Fault { last: number }, Actions::NONE)
    } else {
        (State::Idle { last: number }, Action::Reread.into())
    };
    match event {
        Event::Built | Event::Attached => (end, Action::Release | Action::WithdrawNode | reread),
        Event::SetupFailed => (end, Action::WithdrawNode | reread),
        Event::Fault if !fault => {
            let fault = true;
            (
                State::Cancelling { number, fault },
                Action::Quarantine.into(),
            )
        }
        _ => (State::Cancelling { number, fault }, Actions::NONE),
    }
}

fn offered(number: u32, event: Event) -> (State, Actions) {
    match event {
        Event::PeerReady => (State::Up { number }, Action::OpenQueue.into()),
        // It was ready in between, and there may be frames.
        Event::PeerClosing => begin_drain(number, Side::Peer, false),
        Event::PeerGone => begin_drain(number, Side::Peer, true),
        // The connector has given this offer up and asks for the next.
        Event::PeerWants(want) if want > number => (
            State::Building { number: want },
            Action::Release | Action::BuildOffer,
        ),
        Event::Timeout | Event::Leave | Event::Withdrawn => close(number),
        Event::Fault => fault(number),
        _ => (State::Offered { number }, Actions::NONE),
    }
}

fn up(role: Role, number: u32, event: Event) -> (State, Actions) {
    match (role, event) {
        (_, Event::Idle | Event::Leave | Event::Withdrawn) => {
            let (state, actions) = begin_drain(number, Side::Us, false);
            (state, actions | Action::SayClosing)
        }
        (_, Event::PeerClosing) => begin_drain(number, Side::Peer, false),
        (_, Event::PeerGone) => begin_drain(number, Side::Peer, true),
        // The peer is past this channel.
        (Role::Listener, Event::PeerWants(next)) | (Role::Connector, Event::PeerOffers(next))
            if next > number =>
        {
            begin_drain(number, Side::Peer, true)
        }
        (_, Event::Fault) => fault(number),
        _ => (State::Up { number }, Actions::NONE),
    }
}

fn draining(
    role: Role,
    number: u32,
    by: Side,
    drained: bool,
    gone: bool,
    event: Event,
) -> (State, Actions) {
    let (now_drained, now_gone) = match (role, event) {
        (_, Event::Timeout) => return close_deserted(number),
        (_, Event::Fault) => return fault(number),
        (_, Event::Drained) => (true, gone),
        (_, Event::PeerGone) => (drained, true),
        (Role::Listener, Event::PeerWants(next)) | (Role::Connector, Event::PeerOffers(next))
            if next > number =>
        {
            (drained, true)
        }
        _ => (drained, gone),
    };
    // The peer's closing word is answered when all it sent has been taken.
    let mut actions = Actions::NONE;
    if by == Side::Peer && now_drained && !drained {
        actions = Action::SayClosing.into();
    }
    // The listener's memory goes last. The listener reads what the connector left there without it.
    if now_drained && (now_gone || role == Role::Connector) {
        let (state, closing) = if now_gone {
            close_deserted(number)
        } else {
            close(number)
        };
        return (state, actions | closing);
    }
    let state = State::Draining {
        number,
        by,
        drained: now_drained,
        gone: now_gone,
    };
    (state, actions)
}

fn begin_drain(number: u32, by: Side, gone: bool) -> (State, Actions) {
    let drained = false;
    let state = State::Draining {
        number,
        by,
        drained,
        gone,
    };
    (state, Action::BeginDrain.into())
}

fn close(number: u32) -> (State, Actions) {
    (
        State::Idle { last: number },
        Action::Release | Action::WithdrawNode | Action::Reread,
    )
}

/// Closes a channel that the peer does not read any more, or not in time.
fn close_deserted(number: u32) -> (State, Actions) {
    (
        State::Idle { last: number },
        Action::Recall | Action::WithdrawNode | Action::Reread,
    )
}

fn fault(number: u32) -> (State, Actions) {
    (
        State::Fault { last: number },
        Action::Release | Action::WithdrawNode | Action::Quarantine,
    )
}
