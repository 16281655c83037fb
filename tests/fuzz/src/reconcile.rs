// SPDX-License-Identifier: GPL-3.0-only

//! A host on which anything happens, and `xlnetd` on it.
//!
//! The daemon is the real one, on a store in memory and with a clock that stands still unless it
//! waits. [`run`] reads from its input what toolstack and guests do, when the helper acts, what
//! happens between two of its requests, and when it or its store ends. [`dom0`] asserts what must
//! hold of each request; [`expect`] what must be there when nothing is left to do; and
//! [`compare`] what must be the same on two hosts.

mod compare;
mod dom0;
mod expect;
mod host;
mod rules;
mod script;
mod toolstack;
mod tree;
mod words;

use std::collections::BTreeSet;
use std::net::IpAddr;

use tokio::runtime::{Builder, Runtime};
use tokio::time::{advance, Instant};
use xlnetd::daemon::Daemon;
use xlnetd::error::StoreError;
use xlnetd::store::Watch;

use host::Host;
use script::{Change, Meanwhile, Script, Step, NAMES};
use toolstack::{Domid, Vif, DOM0};

/// Longer scripts find nothing that shorter ones do not.
const MAX_STEPS: usize = 300;

/// Times that the helper acts before it is at rest; many more than it takes.
const MAX_ROUNDS: usize = 1000;

/// If this variable is set, the script is printed, so that a finding can be understood.
const TRACE: &str = "XLNET_FUZZ_TRACE";

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
}

fn dom0_addresses() -> BTreeSet<IpAddr> {
    DOM0.parse().into_iter().collect()
}

/// Plays a script and asserts on the way that the helper does what it should.
pub fn run(input: &[u8]) {
    RUNTIME.with(|runtime| runtime.block_on(play(Script::new(input))));
}

async fn play(mut script: Script<'_>) {
    let trace = std::env::var_os(TRACE).is_some();
    let host = Host::new(script.rules());
    if trace {
        eprintln!("{}", host.0.borrow().rules.text());
    }
    for domid in 1..=script.guests().into() {
        make_plain(&host, domid);
    }
    let mut helper = Helper::start(&host, None).await;
    let mut steps = 0;
    while steps < MAX_STEPS {
        let Some(step) = script.step() else { break };
        steps += 1;
        if trace {
            eprintln!("{step:?}");
        }
        match step {
            Step::Change(change) => host.change(change),
            Step::Act(late, meanwhile) => {
                host.deliver(late);
                helper.act(meanwhile).await;
            }
            Step::Restart(meanwhile) => {
                drop(helper);
                helper = Helper::start(&host, meanwhile).await;
            }
            Step::Rest => helper.rest().await,
            Step::Flap(domid, times) => {
                steps += usize::from(times);
                for epoch in 0..times {
                    let ready = words::ready(domid, epoch % 3);
                    host.say(domid, "self", &ready);
                    host.deliver(0);
                    helper.act(None).await;
                }
            }
        }
    }
    helper.rest().await;
    drop(helper);
    compare::a_new_helper_leaves_all_as_it_is(&host).await;
    compare::garbage_is_as_good_as_nothing(&host).await;
    let domids: Vec<_> = host.0.borrow().domains.keys().copied().collect();
    for domid in domids.into_iter().take(1) {
        compare::nobody_else_gains_by_what_one_says(&host, domid).await;
    }
}

/// A guest that behaves. Those of even number have an address from the toolstack; the others claim
/// one.
fn make_plain(host: &Host, domid: Domid) {
    let (name, mut vif) = (NAMES[usize::from(domid - 1)], Vif::plain(domid));
    let address = toolstack::ADDRESSES[usize::from(domid - 1)];
    if domid % 2 == 0 {
        vif.ip = address.into();
    }
    host.change(Change::Create {
        domid,
        name,
        moves: None,
        xapi: false,
        vif: Some(vif),
    });
    host.say(domid, "addr", address);
    host.say(domid, "self", &words::ready(domid, 0));
}

/// A running daemon.
struct Helper<'a> {
    host: &'a Host,
    daemon: Daemon<&'a Host>,
    _watches: Vec<Watch>,
}

impl<'a> Helper<'a> {
    /// Starts one, again and again until its store stays.
    async fn start(host: &'a Host, mut meanwhile: Option<(u8, Meanwhile)>) -> Self {
        loop {
            host.connect();
            let config = host.0.borrow().rules.text().parse();
            let config = config.expect("a configuration");
            let mut daemon = Daemon::new(host, config, dom0_addresses);
            host.begin_looking(meanwhile.take());
            let started = daemon.start().await;
            host.done_looking();
            match started {
                Ok(watches) => {
                    return Self {
                        host,
                        daemon,
                        _watches: watches,
                    }
                }
                Err(error) => assert!(host.0.borrow().broken, "{error}"),
            }
        }
    }

    /// Lets it act once. If its store goes away while it does, another one starts.
    async fn act(&mut self, meanwhile: Option<(u8, Meanwhile)>) {
        self.host.begin_looking(meanwhile);
        let acted = self.daemon.act().await;
        self.host.done_looking();
        self.or_start(acted).await;
    }

    async fn or_start(&mut self, result: Result<(), StoreError>) {
        if let Err(error) = result {
            assert!(self.host.0.borrow().broken, "{error}");
            *self = Self::start(self.host, None).await;
        }
    }

    /// Lets it act until there is nothing left to do, however long it has to wait for that.
    async fn settle(&mut self) {
        for _ in 0..MAX_ROUNDS {
            self.host.deliver(0);
            self.act(None).await;
            let now = Instant::now();
            match self.daemon.next_budget() {
                Some(at) => advance(at - now).await,
                None if self.host.0.borrow().events.is_empty() => return,
                None => {}
            }
        }
        panic!("it never comes to rest");
    }

    /// Lets it do all there is to do, and asserts that what came of it is right, and that it leaves
    /// it alone from then on.
    async fn rest(&mut self) {
        self.settle().await;
        let (before, unwatched) = {
            let state = self.host.0.borrow();
            if !state.unwatched {
                state.is_as_expected();
            }
            (state.steps, state.unwatched)
        };
        self.host.begin_looking(None);
        let again = self.daemon.look_again().await;
        self.host.done_looking();
        self.or_start(again).await;
        self.settle().await;
        let state = &mut *self.host.0.borrow_mut();
        assert!(
            unwatched || state.steps == before,
            "a second look finds something to do"
        );
        state.is_as_expected();
        state.forget();
    }
}
