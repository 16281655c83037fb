// SPDX-License-Identifier: GPL-2.0

//! Two state machines on a host: xenstore that is relayed late, set-ups that fail, timeouts at any
//! moment. Whatever happened, they agree in the end, a channel that is closed in order loses no frame,
//! and of one that is not the sender takes back what the other has left.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;
use xlnet_proto::layout::{ChannelState, Role};
use xlnet_proto::peer_state::{step, Action, Event, State};

/// A channel's shared memory, as long as anyone may look at it.
struct Channel {
    /// State words, by role.
    word: [ChannelState; 2],
    /// Frames in the ring that each role produces into.
    queued: [u32; 2],
    /// The listener still grants it.
    granted: bool,
    /// Nobody gave it up before it was drained.
    orderly: bool,
}

struct Guest {
    role: Role,
    state: State,
    pending: bool,
    /// What our node says: a want or an offer, 0 for none.
    node: u32,
    /// What the peer's entry says, as last relayed.
    entry: u32,
    /// We were told to leave.
    left: bool,
}

struct Host {
    guests: [Guest; 2],
    channels: HashMap<u32, Channel>,
    setup_fails: bool,
}

const LISTENER: usize = 0;
const CONNECTOR: usize = 1;

fn is_gone(word: ChannelState) -> bool {
    matches!(word, ChannelState::Gone | ChannelState::Recalled)
}

impl Host {
    fn new() -> Self {
        let guest = |role| Guest {
            role,
            state: State::NEW,
            pending: false,
            node: 0,
            entry: 0,
            left: false,
        };
        Host {
            guests: [guest(Role::Listener), guest(Role::Connector)],
            channels: HashMap::new(),
            setup_fails: false,
        }
    }

    /// The channel that guest `me` holds.
    fn held(&mut self, me: usize) -> Option<&mut Channel> {
        match self.guests[me].state {
            State::Offered { number } | State::Up { number } | State::Draining { number, .. } => {
                self.channels.get_mut(&number)
            }
            _ => None,
        }
    }

    fn feed(&mut self, me: usize, event: Event) {
        let before = self.guests[me].state;
        let (after, actions) = step(self.guests[me].role, before, event);
        self.guests[me].state = after;
        for action in actions.iter() {
            self.perform(me, action, event, before, after);
        }
    }

    fn perform(&mut self, me: usize, action: Action, event: Event, before: State, after: State) {
        let old = before.number().unwrap_or(0);
        let new = after.number().unwrap_or(0);
        match action {
            Action::SayClosing => {
                if let Some(channel) = self.channels.get_mut(&old) {
                    channel.word[me] = ChannelState::Closing;
                }
            }
            Action::Release | Action::Recall => {
                let channel = self
                    .channels
                    .get_mut(&old)
                    .expect("released what never was");
                channel.word[me] = ChannelState::Gone;
                if action == Action::Recall {
                    channel.word[me] = ChannelState::Recalled;
                    channel.queued[me] = 0;
                }
                let drained = matches!(before, State::Draining { drained: true, .. });
                let in_time = event != Event::Timeout && event != Event::Fault;
                channel.orderly &= in_time && (drained || event == Event::Drained);
                if me == LISTENER {
                    assert!(channel.granted, "granted once, ended twice");
                    channel.granted = false;
                    let gone = is_gone(channel.word[CONNECTOR]);
                    let past = matches!(event, Event::PeerWants(_))
                        || matches!(before, State::Draining { gone: true, .. });
                    let early = channel.orderly && !gone && !past;
                    assert!(!early, "grants end before the connector is gone");
                }
            }
            Action::WithdrawNode => self.guests[me].node = 0,
            Action::PublishWant => self.guests[me].node = new,
            Action::BuildOffer | Action::Attach => self.guests[me].pending = true,
            Action::OpenQueue => {
                self.channels.get_mut(&new).expect("attached").word[me] = ChannelState::Ready;
            }
            Action::Reread => self.reread(me),
            Action::BeginDrain | Action::Quarantine => {}
        }
    }

    /// `xlnetd` copies what guest `me` says to the other.
    fn relay(&mut self, me: usize) {
        self.guests[1 - me].entry = self.guests[me].node;
    }

    fn reread(&mut self, me: usize) {
        let guest = &self.guests[me];
        if guest.left {
            return;
        }
        let event = match guest.role {
            Role::Listener => Event::PeerWants(guest.entry),
            Role::Connector => Event::PeerOffers(guest.entry),
        };
        self.feed(me, event);
    }

    /// The build or attachment of guest `me` comes to its end.
    fn finish(&mut self, me: usize) {
        if !self.guests[me].pending {
            return;
        }
        self.guests[me].pending = false;
        let number = self.guests[me].state.number().expect("pending");
        let event = match self.guests[me].role {
            _ if self.setup_fails => Event::SetupFailed,
            Role::Listener => {
                let channel = Channel {
                    word: [ChannelState::SettingUp; 2],
                    queued: [0; 2],
                    granted: true,
                    orderly: true,
                };
                let old = self.channels.insert(number, channel);
                assert!(old.is_none(), "number {number} was used twice");
                Event::Built
            }
            Role::Connector => match self.channels.get(&number) {
                Some(channel) if channel.granted => Event::Attached,
                _ => Event::SetupFailed,
            },
        };
        self.feed(me, event);
        if event == Event::Built && matches!(self.guests[me].state, State::Offered { .. }) {
            self.guests[me].node = number;
        }
    }

    /// Guest `me` looks at the other's state word, and into its ring.
    fn poll(&mut self, me: usize) {
        let Some(channel) = self.held(me) else {
            return;
        };
        let word = channel.word[1 - me];
        match word {
            ChannelState::SettingUp => {}
            ChannelState::Ready => self.feed(me, Event::PeerReady),
            ChannelState::Closing => self.feed(me, Event::PeerClosing),
            ChannelState::Gone | ChannelState::Recalled => self.feed(me, Event::PeerGone),
        }
        let receiving = matches!(
            self.guests[me].state,
            State::Up { .. } | State::Draining { .. }
        );
        if !receiving {
            return;
        }
        if let Some(channel) = self.held(me) {
            if word == ChannelState::Recalled {
                assert_eq!(channel.queued[1 - me], 0, "recalled, and yet there");
            }
            channel.queued[1 - me] = 0;
            if word == ChannelState::Closing || is_gone(word) {
                self.feed(me, Event::Drained);
            }
        }
    }

    fn traffic(&mut self, me: usize) {
        if self.guests[me].left {
            return;
        }
        if self.guests[me].state.is_up() {
            let channel = self.held(me).expect("up");
            assert_ne!(
                channel.word[me],
                ChannelState::Closing,
                "produced after closing"
            );
            channel.queued[me] += 1;
        }
        self.feed(me, Event::Traffic);
    }

    fn leave(&mut self, me: usize) {
        self.poll(me);
        self.guests[me].left = true;
        self.feed(me, Event::Leave);
    }

    /// One thing that can happen at any time.
    fn chaos(&mut self, choice: u8) {
        let me = usize::from(choice & 1);
        self.setup_fails = choice & 0xc0 == 0xc0;
        match choice >> 1 & 0xf {
            0 | 1 => self.traffic(me),
            2 | 3 => self.relay(me),
            4 | 5 => self.reread(me),
            6..=8 => self.finish(me),
            9..=11 => self.poll(me),
            12 => self.feed(me, Event::Timeout),
            13 => {
                let quiet = |channel: &mut Channel| channel.queued == [0, 0];
                if self.held(me).is_some_and(quiet) {
                    self.feed(me, Event::Idle);
                }
            }
            _ => {}
        }
        self.setup_fails = false;
    }

    /// Everything happens that is due, and timeouts when nothing else moves, until `done`.
    fn settle(&mut self, traffic: [bool; 2], done: impl Fn(&Host) -> bool) {
        for _ in 0..200 {
            if done(self) {
                return;
            }
            let before = self.guests.each_ref().map(|guest| guest.state);
            for me in [LISTENER, CONNECTOR] {
                if traffic[me] {
                    self.traffic(me);
                }
                self.relay(me);
                self.reread(1 - me);
                self.finish(me);
                self.poll(me);
            }
            if self.guests.each_ref().map(|guest| guest.state) == before {
                for me in [LISTENER, CONNECTOR] {
                    self.feed(me, Event::Timeout);
                }
            }
        }
        let [listener, connector] = self.guests.each_ref().map(|guest| guest.state);
        panic!("not settled: listener {listener:?}, connector {connector:?}");
    }

    fn both_up(&self) -> bool {
        let [listener, connector] = self.guests.each_ref().map(|guest| guest.state);
        listener.is_up() && connector.is_up() && listener.number() == connector.number()
    }

    fn both_idle(&self) -> bool {
        let idle = |guest: &Guest| matches!(guest.state, State::Idle { .. }) && !guest.pending;
        self.guests.iter().all(idle)
    }

    fn assert_nothing_left(&self) {
        for (number, channel) in &self.channels {
            assert!(!channel.granted, "channel {number} is still granted");
            if channel.word.into_iter().all(is_gone) {
                // Only the connector goes without waiting for the other, to read what it has left.
                assert_eq!(channel.queued[LISTENER], 0, "lost in channel {number}");
                if channel.orderly {
                    assert_eq!(channel.queued[CONNECTOR], 0, "lost in channel {number}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn traffic_from_either_side_brings_both_up(
        choices in vec(any::<u8>(), 0..150),
        traffic in prop_oneof![Just([true, false]), Just([false, true]), Just([true, true])],
    ) {
        let mut host = Host::new();
        for choice in choices {
            host.chaos(choice);
        }
        host.settle(traffic, Host::both_up);
    }

    #[test]
    fn when_one_leaves_both_end_idle(
        choices in vec(any::<u8>(), 0..150),
        leaver in 0usize..2,
        after in vec(any::<u8>(), 0..50),
    ) {
        let mut host = Host::new();
        for choice in choices {
            host.chaos(choice);
        }
        host.leave(leaver);
        for choice in after {
            host.chaos(choice);
        }
        // In time xlnetd withdraws the leaver's entry from the other.
        host.guests[1 - leaver].left = true;
        host.feed(1 - leaver, Event::Withdrawn);
        host.settle([false, false], Host::both_idle);
        host.assert_nothing_left();
    }
}

#[test]
fn a_quiet_channel_is_closed_in_order_and_made_again() {
    let mut host = Host::new();
    for number in 1..=3 {
        host.settle([false, true], Host::both_up);
        assert_eq!(host.guests[LISTENER].state, State::Up { number });
        for me in [LISTENER, CONNECTOR] {
            host.traffic(me);
        }
        host.feed(number as usize % 2, Event::Idle);
        for me in [CONNECTOR, LISTENER, CONNECTOR, LISTENER] {
            host.poll(me);
        }
        assert!(host.both_idle(), "closed without a timeout");
        assert!(host.channels[&number].orderly);
        host.assert_nothing_left();
    }
}
