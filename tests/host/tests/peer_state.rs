// SPDX-License-Identifier: GPL-2.0

//! Every state that a peer's events can lead to, and every event in it.

use std::collections::HashSet;

use xlnet_proto::layout::Role;
use xlnet_proto::peer_state::{step, Action, Actions, Event, Path, State};

/// Channel numbers that are tried; larger ones behave like these.
const NUMBERS: [u32; 6] = [0, 1, 2, 3, 4, u32::MAX];

/// One machine and what its caller holds for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Caller {
    role: Role,
    state: State,
    /// A build or attachment is under way.
    pending: bool,
    /// The channel that stands.
    held: Option<u32>,
    /// The highest number a channel was ever made for.
    highest: u32,
}

fn events(role: Role, pending: bool) -> Vec<Event> {
    let mut events = vec![
        Event::Traffic,
        Event::PeerReady,
        Event::PeerClosing,
        Event::PeerGone,
        Event::Idle,
        Event::Timeout,
        Event::Drained,
        Event::Fault,
        Event::Leave,
        Event::Withdrawn,
    ];
    events.extend(NUMBERS.map(Event::PeerWants));
    events.extend(NUMBERS.map(Event::PeerOffers));
    if pending {
        events.push(Event::SetupFailed);
        events.push(match role {
            Role::Listener => Event::Built,
            Role::Connector => Event::Attached,
        });
    }
    events
}

fn no_channel(state: State) -> bool {
    matches!(
        state,
        State::Idle { .. } | State::Requested { .. } | State::Fault { .. }
    )
}

impl Caller {
    fn new(role: Role) -> Self {
        Caller {
            role,
            state: State::NEW,
            pending: false,
            held: None,
            highest: 0,
        }
    }

    /// Feeds `event`, performs the actions, and checks that they can be performed.
    fn feed(&mut self, event: Event) -> Actions {
        let before = self.state;
        let (after, actions) = step(self.role, before, event);
        let context = format!(
            "{:?}: {before:?} --{event:?}--> {after:?} {actions:?}",
            self.role
        );

        match event {
            Event::Built | Event::Attached => {
                assert_eq!(self.held, None, "two channels: {context}");
                self.held = before.number();
                self.pending = false;
            }
            Event::SetupFailed => self.pending = false,
            _ => {}
        }
        for action in actions.iter() {
            match action {
                Action::Release | Action::Recall => {
                    assert!(self.held.is_some(), "nothing to release: {context}");
                    assert_eq!(self.held, before.number(), "{context}");
                    self.held = None;
                }
                Action::BuildOffer | Action::Attach => {
                    let role = match action {
                        Action::BuildOffer => Role::Listener,
                        _ => Role::Connector,
                    };
                    assert_eq!(self.role, role, "{context}");
                    assert!(self.held.is_none() && !self.pending, "{context}");
                    let number = after.number().expect("a number to use");
                    assert!(number > self.highest, "a number is used twice: {context}");
                    self.highest = number;
                    self.pending = true;
                }
                Action::PublishWant => {
                    assert!(matches!(after, State::Requested { .. }), "{context}");
                }
                Action::OpenQueue => assert!(after.is_up() && !before.is_up(), "{context}"),
                Action::BeginDrain => {
                    assert!(matches!(after, State::Draining { .. }), "{context}");
                    assert!(!matches!(before, State::Draining { .. }), "{context}");
                }
                Action::SayClosing => assert!(self.held.is_some(), "{context}"),
                Action::WithdrawNode => assert!(no_channel(after), "{context}"),
                Action::Quarantine => assert_eq!(event, Event::Fault, "{context}"),
                Action::Reread => assert!(matches!(after, State::Idle { .. }), "{context}"),
            }
        }

        if after.is_up() != before.is_up() {
            let expected = if after.is_up() {
                Action::OpenQueue
            } else {
                Action::BeginDrain
            };
            let faulted = matches!(after, State::Fault { .. });
            assert!(faulted || actions.contains(expected), "{context}");
        }
        let was_idle = matches!(before, State::Idle { .. } | State::Fault { .. });
        if matches!(after, State::Idle { .. }) && !was_idle {
            assert!(actions.contains(Action::Reread), "{context}");
            assert!(actions.contains(Action::WithdrawNode), "{context}");
        }
        match after {
            State::Idle { last } | State::Fault { last } => {
                assert!(self.held.is_none() && !self.pending, "{context}");
                assert!(
                    last >= self.highest,
                    "a number would be used twice: {context}"
                );
            }
            State::Requested { .. } => {
                assert!(self.held.is_none() && !self.pending, "{context}");
            }
            State::Building { .. } | State::Attaching { .. } | State::Cancelling { .. } => {
                assert!(self.held.is_none() && self.pending, "{context}");
            }
            State::Offered { .. } | State::Up { .. } | State::Draining { .. } => {
                assert!(!self.pending, "{context}");
                assert_eq!(self.held, after.number(), "{context}");
            }
        }
        self.state = after;
        actions
    }

    fn finish_pending(&mut self) {
        if self.pending {
            self.feed(match self.role {
                Role::Listener => Event::Built,
                Role::Connector => Event::Attached,
            });
        }
    }
}

/// Calls `check` for every caller that can be reached, with every event that can come then.
fn for_every_state_and_event(mut check: impl FnMut(Caller, Event)) {
    for role in [Role::Listener, Role::Connector] {
        let mut seen = HashSet::new();
        let mut next = vec![Caller::new(role)];
        while let Some(caller) = next.pop() {
            if !seen.insert(caller) {
                continue;
            }
            for event in events(role, caller.pending) {
                check(caller, event);
                let mut after = caller;
                after.feed(event);
                let number = match after.state {
                    State::Idle { last } | State::Fault { last } => last,
                    state => state.number().unwrap_or(0),
                };
                if NUMBERS.contains(&number) {
                    next.push(after);
                }
            }
        }
        assert!(seen.len() > 50, "only {} states were reached", seen.len());
    }
}

#[test]
fn channels_are_made_and_released_one_at_a_time() {
    // `Caller::feed` asserts it.
    for_every_state_and_event(|mut caller, event| {
        caller.feed(event);
    });
}

#[test]
fn a_repetition_changes_nothing() {
    for_every_state_and_event(|mut caller, event| {
        let actions = caller.feed(event);
        // What was said too early is asked for again, and means something now.
        let reread = actions.contains(Action::Reread);
        if reread || matches!(event, Event::Built | Event::Attached | Event::SetupFailed) {
            return;
        }
        let state = caller.state;
        let actions = caller.feed(event);
        assert_eq!(caller.state, state, "{event:?} repeated");
        assert!(
            actions.is_empty(),
            "{event:?} repeated in {state:?}: {actions:?}"
        );
    });
}

#[test]
fn leaving_ends_without_a_channel() {
    for reason in [Event::Leave, Event::Withdrawn] {
        for_every_state_and_event(|mut caller, event| {
            caller.feed(event);
            caller.feed(reason);
            caller.finish_pending();
            caller.feed(Event::Timeout);
            assert!(caller.held.is_none() && !caller.pending);
            let state = caller.state;
            let at_rest = matches!(state, State::Idle { .. } | State::Fault { .. });
            assert!(at_rest, "{reason:?} ended in {state:?}");
        });
    }
}

#[test]
fn a_fault_ends_in_quarantine_until_the_entry_goes() {
    for_every_state_and_event(|mut caller, event| {
        let before = caller.state;
        let already = before.path() == Path::Fault;
        let actions = caller.feed(Event::Fault);
        assert_eq!(
            actions.contains(Action::Quarantine),
            !already,
            "in {before:?}"
        );
        caller.finish_pending();
        assert!(
            matches!(caller.state, State::Fault { .. }),
            "from {before:?}"
        );
        if matches!(event, Event::Built | Event::Attached | Event::SetupFailed) {
            return;
        }
        caller.feed(event);
        let released = matches!(caller.state, State::Idle { .. });
        assert_eq!(released, event == Event::Withdrawn, "by {event:?}");
    });
}

#[test]
fn where_there_can_be_no_channel_none_is_made() {
    for_every_state_and_event(|mut caller, event| {
        if !caller.state.is_spent() || event == Event::Withdrawn {
            return;
        }
        caller.feed(event);
        assert!(caller.state.is_spent(), "{:?} by {event:?}", caller.state);
    });
}

#[test]
fn numbers_are_used_up_without_overflow() {
    let mut listener = Caller::new(Role::Listener);
    listener.feed(Event::PeerWants(u32::MAX));
    listener.feed(Event::Built);
    listener.feed(Event::Timeout);
    assert!(listener.state.is_spent());
    let actions = listener.feed(Event::Traffic);
    assert!(actions.is_empty(), "there is no number left: {actions:?}");
}
