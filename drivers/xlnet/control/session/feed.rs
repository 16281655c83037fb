// SPDX-License-Identifier: GPL-2.0

//! What is the case, as events for the state machine.

use super::Session;
use crate::{
    control::{
        context::Context,
        deadline::Deadline,
        stall::{
            Stall,
            STALL_MS, //
        },
    },
    net::{
        may_log,
        napi::with_bh_disabled, //
    },
    proto::{
        layout::ChannelState,
        peer_state::{
            Event,
            State, //
        },
    },
    tx, //
};
use kernel::prelude::*;

/// How long a peer takes to unmap a channel, as a rule.
const UNMAP_MS: u32 = 50;

/// How long a channel stands without a frame.
const IDLE_MS: u32 = 30_000;

impl Session {
    pub(super) fn feed_channel(&mut self, cx: &mut Context<'_>) {
        let Some(channel) = self.link.as_ref().map(|link| link.channel.clone()) else {
            return;
        };
        if channel.fault().is_none() {
            match channel.peer_state() {
                Ok(ChannelState::SettingUp) => {}
                Ok(ChannelState::Ready) => self.feed(cx, Event::PeerReady),
                Ok(ChannelState::Closing) => self.feed(cx, Event::PeerClosing),
                Ok(ChannelState::Gone | ChannelState::Recalled) => self.feed_gone(cx),
                Err(fault) => channel.set_fault(fault),
            }
        }
        // Once the peer has said that it closes, it produces nothing more: an empty ring stays so.
        let closing = matches!(
            channel.peer_state(),
            Ok(ChannelState::Closing | ChannelState::Gone | ChannelState::Recalled)
        );
        let draining = matches!(self.state, State::Draining { .. }) && closing;
        // A peer may put something in, or make space, and send no event for it. A queue that waits for
        // that waits until this look at the longest.
        if draining || self.state.is_up() {
            with_bh_disabled(|| channel.schedule());
        }
        if draining && with_bh_disabled(|| channel.rx_empty()) {
            self.feed(cx, Event::Drained);
        }
        if let Some(fault) = channel.fault() {
            self.fault = Some(fault);
            self.feed(cx, Event::Fault);
        }
        self.feed_idle(cx);
        self.feed_stall(cx);
    }

    /// The peer says that it is gone just before it unmaps: what we end a moment later need not go by
    /// the kernel's list of grants that are still in use.
    fn feed_gone(&mut self, cx: &mut Context<'_>) {
        self.feed(cx, Event::PeerClosing);
        let unmapped = *self.unmapped.get_or_insert(Deadline::after(UNMAP_MS));
        if unmapped.passed() {
            self.feed(cx, Event::PeerGone);
        }
    }

    fn feed_idle(&mut self, cx: &mut Context<'_>) {
        let (State::Up { .. }, Some(link)) = (self.state, &self.link) else {
            self.idle = None;
            return;
        };
        let channel = &link.channel;
        let quiet =
            !channel.take_active() && with_bh_disabled(|| channel.rx_empty() && channel.tx_empty());
        match self.idle {
            Some(idle) if quiet => {
                if idle.passed() {
                    self.idle = None;
                    self.feed(cx, Event::Idle);
                }
            }
            _ => self.idle = Some(Deadline::after(IDLE_MS)),
        }
    }

    /// A peer that takes nothing keeps its queue stopped, and the sockets waiting that have sent to
    /// it, perhaps to others too. What it has left goes by the uplink, and so does what follows, for
    /// longer each time.
    fn feed_stall(&mut self, cx: &mut Context<'_>) {
        let (State::Up { .. }, Some(link)) = (self.state, &self.link) else {
            self.stall = Stall::new();
            return;
        };
        let progress = with_bh_disabled(|| link.channel.progress());
        if !self.stall.note(progress) {
            return;
        }
        self.peer.stats.stalls.add(1);
        if may_log() {
            pr_info!(
                "domain {}: it has taken nothing for {} ms, so its channel is closed\n",
                self.peer.domid,
                STALL_MS
            );
        }
        self.wait_to_retry();
        self.shunned = true;
        self.feed(cx, Event::Idle);
    }

    pub(super) fn feed_entry(&mut self, cx: &mut Context<'_>) {
        // What a peer asks for or offers anew all the time waits as our own traffic does.
        if self.retry.is_some_and(|retry| !retry.passed()) {
            return;
        }
        let Some(entry) = self.entry else {
            return;
        };
        self.feed(cx, Event::PeerWants(entry.want));
        if let Some(offer) = entry.offer {
            self.feed(cx, Event::PeerOffers(offer.number));
        }
    }

    pub(super) fn feed_traffic(&mut self, cx: &mut Context<'_>) {
        if !self.may_retry() || !matches!(self.state, State::Idle { .. }) {
            return;
        }
        if !self.peer.take_wanted() {
            return;
        }
        if self.state.is_spent() {
            tx::discard_hold(cx.dev, &self.peer, false);
        } else {
            self.feed(cx, Event::Traffic);
        }
    }

    /// Whether traffic need not wait before it asks for a channel, or not any more.
    pub(super) fn may_retry(&mut self) -> bool {
        if self.retry.is_some_and(|retry| !retry.passed()) {
            return false;
        }
        if self.retry.take().is_some() {
            self.shunned = false;
            // Where there can be no channel, a frame would wait for ever, and its socket for that.
            if !self.state.is_spent() {
                with_bh_disabled(|| self.peer.hold.lock().set_open(true));
            }
        }
        true
    }
}
