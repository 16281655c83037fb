// SPDX-License-Identifier: GPL-3.0-only

//! The daemon: keeps what guests are told equal to what follows from the host.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{signal, Signal, SignalKind};
use tokio::time::{interval_at, sleep, sleep_until, Instant, MissedTickBehavior};
use tracing::{debug, info, warn};

use crate::addresses::Warning;
use crate::apply::apply;
use crate::budget::{COMPARED_A_REQUEST, COMPARISON_AT_MOST};
use crate::care::Care;
use crate::config::Config;
use crate::counts::{self, ByGuest};
use crate::error::{Error, StoreError};
use crate::hints::{GuestHint, Hints};
use crate::inventory::{Domid, BACKENDS};
use crate::lock::Lock;
use crate::model::Model;
use crate::notify;
use crate::report::Garbage;
use crate::store::{Store, Watch};

mod domains;

/// Events that follow each other within this time are one.
const COALESCE: Duration = Duration::from_millis(5);

/// How often the store is asked for a sign of life, and systemd given one.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How often everything is looked at without being asked, which mends whatever no watch reported.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// The guests that have something follow.
#[derive(Debug, Default)]
struct Causes {
    /// Those of which anything has changed.
    all: Vec<Domid>,
    /// Those of them that say something else of themselves.
    renewed: Vec<Domid>,
}

/// The daemon's state.
pub struct Daemon<S> {
    store: S,
    model: Model,
    hints: Arc<Hints>,
    care: BTreeMap<Domid, Care>,
    /// Guests to be looked at, those that wait for their budget included.
    due: BTreeMap<Domid, GuestHint>,
    warnings: BTreeSet<Warning>,
    /// What was counted of each guest, as it stands in the file.
    saved: Option<ByGuest>,
    /// That it could not be written has been said.
    unsaved: bool,
    /// Says which addresses are Dom0's own.
    dom0: fn() -> BTreeSet<IpAddr>,
}

/// Serves until SIGTERM or SIGINT. What guests were told stays, so that their channels go on. SIGHUP
/// has `load` read the configuration again.
///
/// # Errors
/// Those of `load` the first time, [`Error::Locked`] if another one runs, [`Error::NotDom0`], and
/// [`Error::Store`] once the store is gone.
pub async fn run(
    store: impl Store,
    load: impl Fn() -> Result<Config, Error>,
    lock_file: &Path,
) -> Result<(), Error> {
    let config = load()?;
    let _lock = Lock::take(lock_file)?;
    let counts = counts::path(lock_file);
    counts::forget(&counts);
    crate::dom0::require(&store).await?;
    let on = |kind| {
        signal(kind).map_err(|source| Error::System {
            doing: "watch for signals".into(),
            source,
        })
    };
    let mut terminate = on(SignalKind::terminate())?;
    let mut interrupt = on(SignalKind::interrupt())?;
    let mut hangup = on(SignalKind::hangup())?;

    let mut daemon = Daemon::new(store, config, crate::dom0::addresses);
    let work = async {
        let _watches = daemon.start().await?;
        notify::ready();
        info!(guests = daemon.model.guests.len(), "serving");
        daemon.serve(&counts, &mut hangup, load).await
    };
    tokio::select! {
        ended = work => ended?,
        _ = terminate.recv() => info!("told to stop; channels go on without xlnetd"),
        _ = interrupt.recv() => info!("told to stop; channels go on without xlnetd"),
    }
    notify::stopping();
    Ok(())
}

impl<S: Store> Daemon<S> {
    /// A daemon that has not looked at anything yet.
    pub fn new(store: S, config: Config, dom0: fn() -> BTreeSet<IpAddr>) -> Self {
        Self {
            store,
            model: Model::new(config),
            hints: Arc::new(Hints::default()),
            care: BTreeMap::new(),
            due: BTreeMap::new(),
            warnings: BTreeSet::new(),
            saved: None,
            unsaved: false,
            dom0,
        }
    }

    /// Registers the watches on the host, reads all of it, and brings what guests were told up to
    /// date.
    ///
    /// # Errors
    /// Those of the store that are fatal.
    pub async fn start(&mut self) -> Result<Vec<Watch>, StoreError> {
        let watches = vec![
            self.store
                .watch("@introduceDomain", self.hints.on_domains())
                .await?,
            self.store
                .watch("@releaseDomain", self.hints.on_domains())
                .await?,
            self.store
                .watch(BACKENDS, self.hints.on_backends(BACKENDS))
                .await?,
        ];
        self.model.dom0 = (self.dom0)();
        self.follow_domains().await?;
        let domids = std::mem::take(&mut self.due).into_keys();
        for (domid, garbage) in self.model.look_at_all(&self.store, domids).await? {
            self.count(domid, garbage);
        }
        self.settle(&Causes::default()).await?;
        Ok(watches)
    }

    /// Serves until the store fails. `counts` is the file for what is counted; at each hangup the
    /// configuration is loaded again.
    async fn serve(
        &mut self,
        counts: &Path,
        hangup: &mut Signal,
        load: impl Fn() -> Result<Config, Error>,
    ) -> Result<(), StoreError> {
        let every = |period| {
            let mut timer = interval_at(Instant::now() + period, period);
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
            timer
        };
        let (mut heartbeat, mut look_again) = (every(HEARTBEAT), every(LOOK_AGAIN));
        self.save_counts(counts);
        loop {
            let waiting = self.next_budget();
            tokio::select! {
                () = self.hints.wait() => sleep(COALESCE).await,
                () = sleep_until(waiting.unwrap_or_else(Instant::now)), if waiting.is_some() => {}
                _ = heartbeat.tick() => {
                    self.store.read("/local/domain/0/domid").await?;
                    notify::alive();
                    self.save_counts(counts);
                }
                _ = look_again.tick() => self.look_again().await?,
                Some(()) = hangup.recv() => self.reload(load()).await?,
            }
            self.act().await?;
        }
    }

    /// Leaves what was counted for the commands that look, if it has changed.
    fn save_counts(&mut self, path: &Path) {
        let counts: ByGuest = self
            .care
            .iter()
            .map(|(domid, care)| (*domid, care.counts()))
            .collect();
        if self.saved.as_ref() == Some(&counts) {
            return;
        }
        match counts::save(path, &counts) {
            Ok(()) => self.saved = Some(counts),
            Err(error) => {
                if !self.unsaved {
                    warn!(%error, "cannot write {}: status and peers show earlier counts", path.display());
                }
                self.unsaved = true;
            }
        }
    }

    /// Takes up another configuration. One that is wrong changes nothing.
    ///
    /// # Errors
    /// Those of the store that are fatal.
    pub async fn reload(&mut self, config: Result<Config, Error>) -> Result<(), StoreError> {
        match config {
            Ok(config) => {
                info!("the configuration was read again");
                self.model.adopt(config);
                // Who may not talk any more is parted at once. What new peers say to each other is yet to
                // be read.
                self.settle(&Causes::default()).await?;
                self.look_again().await
            }
            Err(error) => {
                warn!("{error}; the one before still holds");
                Ok(())
            }
        }
    }

    /// Makes everything due to be looked at, without having been asked.
    ///
    /// # Errors
    /// Those of the store that are fatal.
    pub async fn look_again(&mut self) -> Result<(), StoreError> {
        self.model.dom0 = (self.dom0)();
        self.follow_domains().await?;
        for domid in self.care.keys() {
            self.due.entry(*domid).or_default().merge(GuestHint::all());
        }
        Ok(())
    }

    /// Acts once on what has been hinted at and on what is due, as far as budgets go.
    ///
    /// # Errors
    /// Those of the store that are fatal.
    pub async fn act(&mut self) -> Result<(), StoreError> {
        let pending = self.hints.take();
        if pending.domains {
            self.follow_domains().await?;
        }
        for (domid, hint) in pending.guests {
            if self.care.contains_key(&domid) {
                self.due.entry(domid).or_default().merge(hint);
            }
        }
        self.look_at_due().await
    }

    /// When the first of the waiting guests may be looked at; `None` if none waits.
    pub fn next_budget(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let when = |(domid, care): (&Domid, &mut Care)| {
            let waits = self.due.contains_key(domid);
            waits.then(|| care.available(now).err().unwrap_or(now))
        };
        self.care.iter_mut().filter_map(when).min()
    }

    /// Looks once at every guest that is due and has budget left, and then does what follows: to find
    /// that takes a comparison of all guests with all, however many have changed.
    async fn look_at_due(&mut self) -> Result<(), StoreError> {
        let (mut causes, mut told) = (Causes::default(), false);
        for domid in self.due.keys().copied().collect::<Vec<_>>() {
            let Some(care) = self.care.get_mut(&domid) else {
                self.due.remove(&domid);
                continue;
            };
            if !care.may_be_looked_at() {
                continue;
            }
            let Some(hint) = self.due.remove(&domid) else {
                continue;
            };
            let looked = self.model.look(&self.store, domid, &hint).await?;
            self.charge(domid, looked.requests);
            self.count(domid, looked.garbage);
            for (other, peers) in looked.widened {
                let hint = GuestHint {
                    peers,
                    ..GuestHint::default()
                };
                self.due.entry(other).or_default().merge(hint);
            }
            if looked.changed {
                causes.all.push(domid);
            }
            if looked.renewed {
                causes.renewed.push(domid);
            }
            told |= hint.told;
        }
        if told || !causes.all.is_empty() {
            self.settle(&causes).await?;
        }
        Ok(())
    }

    /// Does what follows from the model. A step is charged to the guest that it is about, if that has
    /// changed; the others, and the comparison that found them, to all that have, in equal parts.
    async fn settle(&mut self, causes: &Causes) -> Result<(), StoreError> {
        let plan = self.model.plan();
        for cause in &causes.renewed {
            let mut others = plan
                .actions
                .iter()
                .filter(|action| action.at().domid != *cause);
            if others.any(|action| action.is_news(&self.model.found)) {
                if let Some(care) = self.care.get_mut(cause) {
                    care.charge_news();
                }
            }
        }
        let counts = apply(&self.store, &plan.actions, &mut self.model.found).await?;
        let causes = &causes.all;
        let compared: usize = plan.told.values().map(|told| told.peers.len()).sum();
        let mut others = (compared / COMPARED_A_REQUEST).min(COMPARISON_AT_MOST);
        for action in &plan.actions {
            match causes.iter().find(|cause| action.concerns(**cause)) {
                Some(cause) => self.charge(*cause, 1),
                None => others += 1,
            }
        }
        let part = others.div_ceil(causes.len().max(1));
        for cause in causes {
            self.charge(*cause, part.try_into().unwrap_or(u32::MAX));
        }
        if !plan.actions.is_empty() {
            debug!(?causes, ?counts, "brought up to date");
        }
        for warning in plan.warnings.difference(&self.warnings) {
            if let Some(care) = self.care.get_mut(&warning.domid) {
                if care.may_be_spoken_of() {
                    warn!(domid = warning.domid, "{}", warning.text);
                }
            }
        }
        self.warnings = plan.warnings;
        let taking_part = plan.told.values().filter(|told| told.own.is_some()).count();
        notify::status(
            self.model.guests.len(),
            taking_part,
            compared / 2,
            self.warnings.len(),
        );
        Ok(())
    }

    fn charge(&mut self, domid: Domid, used: u32) {
        if let Some(care) = self.care.get_mut(&domid) {
            care.charge(used);
        }
    }

    fn count(&mut self, domid: Domid, garbage: Garbage) {
        if let Some(care) = self.care.get_mut(&domid) {
            care.count(garbage);
        }
    }
}

#[cfg(test)]
mod tests;
