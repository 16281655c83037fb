// SPDX-License-Identifier: GPL-2.0

//! One peer as the control task sees it: the state machine of its channels, fed and obeyed.

mod act;
mod feed;

use super::{
    context::Context,
    deadline::Deadline,
    link::Link,
    stall::{
        Stall,
        STALL_MS, //
    },
};
use crate::{
    net::napi::with_bh_disabled,
    peer::Peer,
    proto::{
        fault::PeerFault,
        layout::Role,
        peer_state::{
            step,
            Event,
            Path,
            State, //
        },
        schema::PeerEntry, //
    },
    tx, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// How long a peer may take to answer a request or an offer, in milliseconds.
const SETUP_MS: u32 = 5_000;

/// How long it may take to drain a channel.
const DRAIN_MS: u32 = 1_000;

/// How often the rings of a draining channel are looked at.
const DRAIN_LOOK_MS: u32 = 10;

/// How long a peer that has gone still gets its frames, by the uplink, while routes are withdrawn.
const LINGER_MS: u32 = 15_000;

/// How long traffic, or a peer that asks, waits after a first failure to make a channel; doubled with each.
const RETRY_MIN_MS: u32 = 500;

/// The longest such wait.
const RETRY_MAX_MS: u32 = 30_000;

/// A peer of one (domid, epoch), and the channel to it.
pub(super) struct Session {
    peer: Arc<Peer>,
    role: Role,
    state: State,
    /// The helper's entry; `None` once it is withdrawn.
    entry: Option<PeerEntry>,
    link: Option<Link>,
    /// When waiting ends, in a state that waits.
    deadline: Option<Deadline>,
    /// When traffic, or the peer, may ask for a channel again.
    retry: Option<Deadline>,
    retry_ms: u32,
    /// The last channel went because the peer took nothing: that it was up does not shorten the wait.
    shunned: bool,
    /// What the peer takes of what we send.
    stall: Stall,
    /// When the channel has been idle for long enough.
    idle: Option<Deadline>,
    /// When a peer that said it is gone has unmapped the channel.
    unmapped: Option<Deadline>,
    /// When a peer whose entry is gone is forgotten.
    linger: Option<Deadline>,
    /// It was one of an instance of ours that is no more.
    abandoned: bool,
    /// Its last channel ended before we found it idle.
    interrupted: bool,
    /// What the peer did wrong: it is reported when the channel is gone already.
    fault: Option<PeerFault>,
}

impl Session {
    /// Makes a session without a channel.
    pub(super) fn new(peer: Arc<Peer>, role: Role, entry: PeerEntry) -> Self {
        Self {
            peer,
            role,
            state: State::NEW,
            entry: Some(entry),
            link: None,
            deadline: None,
            retry: None,
            retry_ms: RETRY_MIN_MS,
            shunned: false,
            stall: Stall::new(),
            idle: None,
            unmapped: None,
            linger: None,
            abandoned: false,
            interrupted: false,
            fault: None,
        }
    }

    pub(super) fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// Whether the helper's entry of the peer stands.
    pub(super) fn is_listed(&self) -> bool {
        self.entry.is_some()
    }

    /// Whether `entry` of domain `domid` is about this peer.
    pub(super) fn is_for(&self, domid: crate::xen::DomId, entry: &PeerEntry) -> bool {
        !self.abandoned
            && self.peer.domid == domid
            && self.peer.epoch == entry.epoch
            && self.peer.mac == entry.mac
            && self.peer.uplink_mac == entry.uplink_mac
    }

    /// Whether it is what is left of `peer`, and had a channel until one of us was suspended: we know
    /// when it was us, and a peer that comes back from elsewhere is another domain.
    pub(super) fn is_to_resume(&self, peer: &Peer) -> bool {
        self.interrupted
            && self.entry.is_none()
            && self.peer.mac == peer.mac
            && (self.abandoned || self.peer.domid != peer.domid)
    }

    /// Ends at once if it is what is left of `peer`, which has let go of everything as it began anew, and
    /// whose frames find the session that follows. Else one that begins anew all the time would leave
    /// one after the other.
    pub(super) fn make_way(&mut self, peer: &Peer) {
        let earlier = (self.peer.mac, self.peer.uplink_mac) == (peer.mac, peer.uplink_mac);
        if self.entry.is_none() && earlier {
            self.linger = Some(Deadline::after(0));
            if matches!(self.state, State::Up { .. } | State::Draining { .. }) {
                self.deadline = Some(Deadline::after(0));
            }
        }
    }

    /// Whether there is no channel, nor one being made.
    pub(super) fn is_closed(&self) -> bool {
        self.link.is_none() && matches!(self.state, State::Idle { .. } | State::Fault { .. })
    }

    /// Whether the session can be forgotten.
    pub(super) fn is_over(&self) -> bool {
        self.is_closed() && self.linger.is_some_and(|linger| linger.passed())
    }

    /// Milliseconds until the session wants to be looked at again.
    pub(super) fn next_look(&self) -> Option<u32> {
        // Until then, what closes the channel says when to look.
        let linger = self.linger.filter(|_| self.is_closed());
        let next = [self.deadline, self.retry, self.idle, linger]
            .iter()
            .flatten()
            .map(|deadline| deadline.left().max(1))
            .min();
        match self.state {
            State::Draining { .. } => Some(next.unwrap_or(DRAIN_LOOK_MS).min(DRAIN_LOOK_MS)),
            // Nobody else tells that a peer takes nothing.
            State::Up { .. } => Some(next.unwrap_or(STALL_MS).min(STALL_MS)),
            _ => next,
        }
    }

    /// Takes over what the helper says now; true if the list of peers changes by it.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn set_entry(&mut self, entry: Option<&PeerEntry>) -> Result<bool> {
        let Some(entry) = entry else {
            let news = self.entry.is_some();
            if news {
                self.depart();
            }
            return Ok(news);
        };
        let back = self.entry.is_none();
        let news = self
            .entry
            .as_ref()
            .is_none_or(|old| old.prefixes != entry.prefixes || old.strict != entry.strict);
        if news {
            let entry = Arc::new(*entry, GFP_KERNEL)?;
            drop(self.peer.entry.replace(Some(entry)));
        }
        if back {
            self.peer.set_departed(false);
            self.linger = None;
            if !self.state.is_up() {
                with_bh_disabled(|| self.peer.hold.lock().set_open(true));
            }
        }
        self.entry = Some(*entry);
        Ok(news)
    }

    /// Has the peer be one that has gone.
    fn depart(&mut self) {
        self.entry = None;
        self.retry = None;
        self.peer.set_departed(true);
        self.linger = Some(Deadline::after(LINGER_MS));
    }

    /// Feeds what is the case and does what follows. `may_open` says that channels are wanted.
    pub(super) fn reconcile(&mut self, cx: &mut Context<'_>, may_open: bool) {
        self.feed_channel(cx);
        if self.entry.is_none() {
            tx::discard_hold(cx.dev, &self.peer, false);
            // No traffic may ask again, and a moment that has passed would have the session looked at all
            // the time.
            self.retry = None;
            self.feed(cx, Event::Withdrawn);
        } else if !may_open {
            // A moment that has passed would have the session looked at all the time.
            self.may_retry();
            self.feed(cx, Event::Leave);
        } else {
            self.feed_entry(cx);
            self.feed_traffic(cx);
        }
        if self.deadline.is_some_and(|deadline| deadline.passed()) {
            self.deadline = None;
            if matches!(self.state, State::Requested { .. } | State::Offered { .. }) {
                self.failed();
            }
            self.feed(cx, Event::Timeout);
        }
        self.show(cx);
    }

    /// Lets go of everything at once, and for good: whoever the peer is to the instance that follows,
    /// this is one that has gone.
    pub(super) fn abandon(&mut self, cx: &mut Context<'_>) {
        self.recall(cx);
        tx::discard_hold(cx.dev, &self.peer, false);
        self.peer.set_path(Path::Idle);
        self.state = State::NEW;
        self.deadline = None;
        self.idle = None;
        self.abandoned = true;
        self.depart();
    }

    /// Makes one step of the state machine, and those that follow from its actions.
    fn feed(&mut self, cx: &mut Context<'_>, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            let before = self.state;
            let (after, actions) = step(self.role, before, event);
            self.state = after;
            for action in actions.iter() {
                next = self.perform(cx, action).or(next);
            }
            // It has not answered an offer and asks for another, or closes what it has never opened.
            if matches!(
                (before, after),
                (
                    State::Offered { .. },
                    State::Building { .. } | State::Draining { .. }
                )
            ) {
                self.failed();
            }
            if before != after {
                if before.is_up() {
                    self.interrupted = event != Event::Idle;
                    if !self.shunned {
                        self.retry_ms = RETRY_MIN_MS;
                    }
                }
                self.entered(cx, before);
            }
        }
    }

    /// Starts the clock of the state that was entered.
    fn entered(&mut self, cx: &mut Context<'_>, before: State) {
        self.deadline = match self.state {
            State::Draining { .. } => {
                let limit = Deadline::after(DRAIN_MS);
                // That of the set-up ends later, and that of a peer which begins anew at once.
                let earlier = self.deadline.filter(|other| other.left() < limit.left());
                Some(earlier.unwrap_or(limit))
            }
            state if state.is_waiting() => Some(Deadline::after(SETUP_MS)),
            _ => None,
        };
        // What waited for a channel did so in vain. What came while one drained waits for the next.
        let drained = matches!(before, State::Draining { .. });
        match self.state {
            State::Idle { .. } if !drained => {
                tx::discard_hold(cx.dev, &self.peer, self.retry.is_none());
            }
            State::Fault { .. } => tx::discard_hold(cx.dev, &self.peer, false),
            _ => {}
        }
    }

    /// Shows the state to the data path and the user.
    fn show(&mut self, cx: &mut Context<'_>) {
        let path = self.state.path();
        let before = self.peer.path();
        if self.peer.set_path(path) {
            cx.path_changed = true;
            cx.list_changed |= (before == Path::Fault) != (path == Path::Fault);
        }
    }
}
