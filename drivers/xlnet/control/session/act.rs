// SPDX-License-Identifier: GPL-2.0

//! What the state machine of a session asks for, done.

use super::{
    Session,
    RETRY_MAX_MS, //
};
use crate::{
    control::{
        context::Context,
        deadline::Deadline,
        link::{
            Link,
            Place, //
        },
        nodes, //
    },
    net::{
        may_log,
        napi::with_bh_disabled, //
    },
    peer::channel::Channel,
    proto::{
        layout::ChannelState,
        peer_state::{
            Action,
            Event, //
        },
        schema::{
            Offer,
            PeerRequest, //
        },
    },
    tx,
    xen::memory::MapError, //
};
use kernel::prelude::*;

impl Session {
    /// Does one thing; returns what came of it.
    pub(super) fn perform(&mut self, cx: &mut Context<'_>, action: Action) -> Option<Event> {
        match action {
            Action::BeginDrain => self.stop_sending(),
            Action::SayClosing => self.say(ChannelState::Closing),
            Action::Release => self.release(cx),
            Action::Recall => self.recall(cx),
            Action::WithdrawNode => {
                if !cx.leaving {
                    let _ = nodes::remove_request(self.peer.domid);
                }
            }
            Action::PublishWant => {
                if self
                    .publish(cx, self.state.number().unwrap_or(0), None)
                    .is_err()
                {
                    self.failed();
                    return Some(Event::Timeout);
                }
            }
            Action::BuildOffer => return Some(self.build(cx)),
            Action::Attach => return Some(self.attach(cx)),
            Action::OpenQueue => self.open(cx),
            Action::Quarantine => self.report(),
            Action::Reread => cx.shared.control.trigger(),
        }
        None
    }

    fn say(&self, state: ChannelState) {
        if let Some(link) = &self.link {
            link.channel.say(state);
        }
    }

    fn publish(&self, cx: &Context<'_>, want: u32, offer: Option<Offer>) -> Result {
        let request = PeerRequest {
            from: cx.epoch,
            to: self.peer.epoch,
            want,
            offer,
        };
        nodes::write_request(self.peer.domid, &request)
    }

    fn place<'a>(&'a self, cx: &'a Context<'_>, queue: u16) -> Place<'a> {
        Place {
            shared: cx.shared,
            dev: cx.dev,
            peer: &self.peer,
            role: self.role,
            epoch: cx.epoch,
            queue,
            number: self.state.number().unwrap_or(0),
        }
    }

    /// Notes that an attempt failed, and has traffic wait before the next.
    pub(super) fn failed(&mut self) {
        self.peer.stats.setup_failed.add(1);
        self.wait_to_retry();
    }

    /// Has traffic wait before the next attempt, for twice as long as the last time.
    pub(super) fn wait_to_retry(&mut self) {
        self.retry = Some(Deadline::after(self.retry_ms));
        self.retry_ms = self.retry_ms.saturating_mul(2).min(RETRY_MAX_MS);
    }

    fn build(&mut self, cx: &mut Context<'_>) -> Event {
        let queue = cx.take_queue();
        let built = Link::offer(&self.place(cx, queue));
        let published = built.and_then(|(link, offer)| {
            self.publish(cx, 0, Some(offer))?;
            Ok(link)
        });
        match published {
            Ok(link) => {
                self.link = Some(link);
                Event::Built
            }
            Err(error) => {
                cx.put_queue(queue);
                self.failed();
                if may_log() {
                    pr_info!(
                        "domain {}: no channel could be offered: {:?}\n",
                        self.peer.domid,
                        error
                    );
                }
                Event::SetupFailed
            }
        }
    }

    fn attach(&mut self, cx: &mut Context<'_>) -> Event {
        let Some(offer) = self.entry.and_then(|entry| entry.offer) else {
            return Event::SetupFailed;
        };
        let queue = cx.take_queue();
        let attached = Link::attach(&self.place(cx, queue), &offer);
        match attached {
            Ok(link) => {
                self.link = Some(link);
                Event::Attached
            }
            // Not a breach of the protocol: grant references are used again, so an offer that was
            // relayed late may lead to a page that has become something else.
            Err(MapError::Fault(fault)) => {
                cx.put_queue(queue);
                self.failed();
                if may_log() {
                    pr_info!(
                        "domain {}: its offer leads to no channel: {}\n",
                        self.peer.domid,
                        fault.name()
                    );
                }
                Event::SetupFailed
            }
            Err(MapError::Kernel(error)) => {
                cx.put_queue(queue);
                self.failed();
                if may_log() {
                    pr_info!(
                        "domain {}: its channel could not be mapped: {:?}\n",
                        self.peer.domid,
                        error
                    );
                }
                Event::SetupFailed
            }
        }
    }

    fn open(&mut self, cx: &mut Context<'_>) {
        let Some(link) = &self.link else {
            return;
        };
        Channel::start_sending(&link.channel);
        self.peer.stats.channels.add(1);
        self.retry = None;
        self.shunned = false;
        let _ = self.peer.take_wanted();
        tx::flush_hold(cx.dev, &self.peer);
    }

    fn stop_sending(&self) {
        if let Some(link) = &self.link {
            link.channel.stop_sending();
        }
    }

    fn release(&mut self, cx: &mut Context<'_>) {
        self.stop_sending();
        self.say(ChannelState::Gone);
        self.let_go(cx);
    }

    /// Releases the channel, and sends by the uplink what the peer has left in it.
    pub(super) fn recall(&mut self, cx: &mut Context<'_>) {
        self.stop_sending();
        self.say(ChannelState::Recalled);
        if let Some(link) = &self.link {
            with_bh_disabled(|| link.channel.recall());
        }
        self.let_go(cx);
    }

    fn let_go(&mut self, cx: &mut Context<'_>) {
        drop(self.peer.channel.replace(None));
        self.unmapped = None;
        if let Some(link) = self.link.take() {
            let queue = link.channel.queue;
            drop(link);
            cx.put_queue(queue);
        }
    }

    fn report(&self) {
        if may_log() {
            pr_warn!(
                "domain {} broke the protocol ({}): no channel with it until the helper names it anew\n",
                self.peer.domid,
                self.fault.map_or("offer", |fault| fault.name()),
            );
        }
    }
}
