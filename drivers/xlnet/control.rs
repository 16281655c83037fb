// SPDX-License-Identifier: GPL-2.0

//! The control task: keeps what is there equal to what should be there.
//!
//! It runs when a watch fires, when the data path asks for a channel, when a peer's state word
//! changes, and when something has lasted too long. Whatever the reason, it does the same: read, feed
//! every peer's state machine with what is the case, perform what that says. So a repeated trigger
//! changes nothing.
//!
//! Locks: [`Control::state`] is held for a whole run. Below it are taken the RTNL, the locks of
//! what is stale and of the list, the peers' hold locks, and the channels' locks. The callbacks that
//! hold the RTNL only trigger a run.

mod arrival;
mod context;
mod deadline;
mod exchange;
mod link;
mod nodes;
mod session;
mod stale;
mod stall;

pub(crate) use arrival::Release;

use crate::{
    net::{
        device,
        work::{
            Task,
            Work, //
        },
    },
    peer::{
        list::List,
        table::Table, //
    },
    proto::schema::GuestState,
    shared::Shared,
    stats::Counters,
    xen::{
        random_u64,
        store::WatchHandler,
        DomId, //
    },
};
use arrival::ARRIVE_LOOK_MS;
use context::Context;
use deadline::Deadline;
use kernel::{
    new_mutex, new_spinlock,
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc,
        Mutex,
        SpinLock, //
    },
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    },
};
use session::Session;
use stale::Stale;

/// How long after a failure the control task tries again, in milliseconds.
const AGAIN_MS: u32 = 1_000;

/// How often [`Control::leave`] looks whether the channels are closed, in milliseconds.
const LEAVE_STEP: i64 = 20;

/// How long it does so at most, in milliseconds.
const LEAVE_MS: u32 = 3_000;

/// How long the uplink is given to send what was taken back, in milliseconds: a guest that is suspended
/// loses what its uplink has not sent.
const UPLINK_MS: i64 = 200;

/// What there is.
struct State {
    /// Names this instance of the driver; not zero.
    epoch: u64,
    /// Our own domain; `None` until it was read.
    domid: Option<DomId>,
    /// `data/xlnet/0/self` holds our epoch.
    announced: bool,
    /// Nothing new is to be made.
    leaving: bool,
    /// The guest goes on after it was suspended: nothing is done, and what would go by its uplink
    /// waits, before that carries frames, or this has passed.
    arriving: Option<Deadline>,
    sessions: KVVec<Session>,
    /// What the peers of sessions that are over did.
    forgotten: Counters,
    /// Bit n: transmit queue n belongs to a channel.
    queues: u64,
    /// The data path's table is not that of the sessions.
    outdated: bool,
    /// The device was up when the list was made.
    listed_up: bool,
    /// Counts the changes of the list of peers.
    generation: u64,
    /// That list has changed since it was last made.
    news: bool,
    /// The state of a channel has.
    path_news: bool,
}

/// The control task of a device, which it owns.
#[pin_data]
pub(crate) struct Control {
    shared: Arc<Shared>,
    device: device::Registration<Shared>,
    #[pin]
    state: Mutex<State>,
    /// What may have changed below `xlnet/0`.
    #[pin]
    stale: SpinLock<Stale>,
}

impl Control {
    /// Makes a device and its control task, which does nothing before it is registered.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or what registering the device says.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let shared = Shared::new()?;
        let device = device::Registration::new(shared.clone())?;
        let state = State {
            epoch: random_u64().max(1),
            domid: None,
            announced: false,
            leaving: false,
            arriving: None,
            sessions: KVVec::new(),
            forgotten: Counters::new(),
            queues: 1,
            outdated: false,
            listed_up: false,
            generation: 0,
            news: false,
            path_news: false,
        };
        Arc::pin_init(
            pin_init!(Self {
                shared,
                device,
                state <- new_mutex!(state, "xlnet_control"),
                stale <- new_spinlock!(Stale::ALL, "xlnet_stale"),
            }),
            GFP_KERNEL,
        )
    }

    /// Closes every channel, in bounded time, and withdraws from the segment: for good when the module
    /// goes, until [`Control::arrive`] when the guest is suspended. Process context.
    pub(crate) fn leave(&self) {
        let begun = Instant::<Monotonic>::now();
        self.shared.recalled.store(0, Relaxed);
        {
            let mut state = self.state.lock();
            state.leaving = true;
            self.end_arrival(&mut state);
            if state.announced {
                let _ = nodes::write_self(&self.own(&state, GuestState::Leaving));
            }
        }
        let limit = Deadline::after(LEAVE_MS);
        loop {
            self.run();
            if limit.passed() || self.state.lock().sessions.iter().all(Session::is_closed) {
                break;
            }
            fsleep(Delta::from_millis(LEAVE_STEP));
        }
        let mut state = self.state.lock();
        let mut cx = self.context(&mut state);
        let mut sessions = cx.take_sessions();
        for session in sessions.iter_mut() {
            session.abandon(&mut cx);
        }
        // The peers stay in the data path's table: as long as there are routes, frames for them go by
        // the uplink.
        state.sessions = sessions;
        state.news |= self.publish_list(&mut state).is_err();
        let _ = nodes::remove_all();
        drop(state);
        if self.shared.recalled.load(Relaxed) != 0 {
            fsleep(Delta::from_millis(UPLINK_MS));
        }
        let took = u32::try_from(begun.elapsed().as_millis()).unwrap_or(u32::MAX);
        self.shared.last_leave_ms.store(took, Relaxed);
    }

    /// What the data path and the callbacks share with this.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn context<'a>(&'a self, state: &'a mut State) -> Context<'a> {
        Context {
            shared: &self.shared,
            dev: self.device.device(),
            epoch: state.epoch,
            leaving: state.leaving,
            queues: &mut state.queues,
            sessions: &mut state.sessions,
            list_changed: false,
            path_changed: false,
        }
    }

    /// Puts the present peers, and those that have just gone, before the data path.
    fn publish_table(&self, state: &State) -> Result {
        let table = Table::new(state.sessions.iter().map(Session::peer), &state.forgotten)?;
        drop(self.shared.table.replace(Some(table)));
        // Without a carrier the stack throws frames away, also those for peers that have just gone,
        // which go by the uplink until there is no route any more.
        self.device.device().set_carrier(!state.sessions.is_empty());
        Ok(())
    }

    /// Makes the list of peers that user space reads anew.
    fn publish_list(&self, state: &mut State) -> Result {
        let (identity, table) = (self.shared.identity(), self.shared.table.get());
        let generation = state.generation.wrapping_add(1);
        let list = List {
            generation,
            identity: identity.as_deref(),
            up: state.listed_up,
            peers: table.iter().flat_map(|table| table.iter()),
        };
        *self.shared.list.lock() = list.text()?;
        state.generation = generation;
        Ok(())
    }

    /// Says who we are, and reads who our peers are.
    fn exchange(&self, state: &mut State) -> Result {
        self.announce(state)?;
        let stale = self.stale.lock().take();
        if stale.is_empty() {
            return Ok(());
        }
        self.read_identity(state)
            .and_then(|()| self.read_entries(state, &stale))
            .inspect_err(|_| *self.stale.lock() = Stale::ALL)
    }

    /// One comparison of what should be with what is.
    fn reconcile(&self) -> Result {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        match state.arriving {
            Some(limit) if limit.passed() => self.end_arrival(state),
            Some(_) if self.hold_for_uplink() => {
                // The helper can list us and our peers meanwhile. What fails is tried again at once.
                let _ = self.announce(state);
                self.shared.control.trigger_in(ARRIVE_LOOK_MS);
                return Ok(());
            }
            _ => {}
        }
        // Channels that stand are served also where xenstore takes or tells nothing.
        let exchanged = match state.leaving {
            true => Ok(()),
            false => self.exchange(state),
        };
        let up = self.shared.is_up();
        state.news |= core::mem::replace(&mut state.listed_up, up) != up;

        let may_open = up && !state.leaving;
        let mut cx = self.context(state);
        let mut sessions = cx.take_sessions();
        for session in sessions.iter_mut() {
            session.reconcile(&mut cx, may_open);
        }
        let (list_changed, path_changed) = (cx.list_changed, cx.path_changed);
        let before = sessions.len();
        while let Some(over) = sessions.iter().position(Session::is_over) {
            let Ok(over) = sessions.remove(over) else {
                break;
            };
            let mut others = sessions.iter().map(Session::peer);
            if !others.any(|other| other.shares_stats(over.peer())) {
                state.forgotten.absorb(&over.peer().stats);
            }
        }
        let next = sessions.iter().filter_map(Session::next_look).min();
        let gone = before != sessions.len();
        state.sessions = sessions;
        state.news |= list_changed;
        state.path_news |= path_changed;
        state.outdated |= state.news || gone;
        if state.outdated {
            self.publish_table(state)?;
            state.outdated = false;
        }
        // Not earlier, as a channel that is up by now loses nothing, and a bridge may not forward yet what
        // an uplink sends as soon as it can.
        self.end_arrival(state);
        if state.news || state.path_news {
            self.publish_list(state)?;
        }
        let leaving = state.leaving;
        let news = core::mem::take(&mut state.news);
        let path_news = core::mem::take(&mut state.path_news);
        drop(guard);

        if news {
            // What routes is told at once; a uevent gets to it by way of udev's queue and workers.
            self.device.device().announce_change();
            self.device.device().uevent(c"XLNET_EVENT=peers");
        } else if path_news {
            // For a guest that is suspended, udev would work on it as the guest goes on, when its uplink
            // needs the processor.
            if !leaving {
                self.device.device().uevent(c"XLNET_EVENT=channel");
            }
        }
        // What waits already is not moved to an earlier time.
        let next = match exchanged {
            Ok(()) => next,
            Err(_) => Some(next.unwrap_or(AGAIN_MS).min(AGAIN_MS)),
        };
        if let Some(ms) = next {
            self.shared.control.trigger_in(ms);
        }
        exchanged
    }
}

impl Task for Control {
    fn work(&self) -> &Work {
        &self.shared.control
    }

    fn run(&self) {
        if let Err(error) = self.reconcile() {
            pr_debug!("control task: {:?}, again in a second\n", error);
            self.shared.control.trigger_in(AGAIN_MS);
        }
    }
}

impl WatchHandler for Control {
    fn note(&self, path: &[u8]) {
        self.stale.lock().add(path);
    }

    fn changed(&self) {
        self.shared.control.trigger();
    }
}
