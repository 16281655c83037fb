// SPDX-License-Identifier: GPL-3.0-only

//! A host: its store, the truth about its domains, and what has happened on it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tokio::sync::oneshot;
use xlnet_proto::schema::{InHome, Node, PeerRequest};
use xlnetd::store::OnEvent;

use super::rules::Rules;
use super::script::{Change, Meanwhile, Words};
use super::toolstack::{home, Domain, Domid};
use super::tree::Tree;

/// A host, shared between its store and those who change it.
pub struct Host(pub RefCell<State>);

/// A watch of the helper.
pub struct Watcher {
    pub path: String,
    pub on_event: OnEvent,
    pub stop: oneshot::Receiver<()>,
}

/// All that is known of a host.
pub struct State {
    /// The nodes.
    pub tree: Tree,
    /// The helper's configuration.
    pub rules: &'static Rules,
    /// The domains, Dom0 excepted.
    pub domains: BTreeMap<Domid, Domain>,
    /// All that each has been since the helper was last at rest: it may act on any of it.
    pub were: BTreeMap<Domid, Vec<Domain>>,
    /// Domains that changed while the helper was looking. It may have read one half before and one
    /// after, and knows that it has to look again.
    pub torn: BTreeSet<Domid>,
    /// What guests have ever said to each other.
    pub said: Vec<(Domid, Domid, PeerRequest)>,
    /// Whether something has changed that no watch tells of.
    pub unwatched: bool,
    /// Nodes that the helper has written and removed.
    pub steps: u64,
    /// The helper's watches.
    pub watchers: Vec<Watcher>,
    /// Events that are on their way to it.
    pub events: VecDeque<(OnEvent, String)>,
    /// Whether it is making requests.
    pub looking: bool,
    /// How many it has made since it last began.
    pub requests: u32,
    /// What happens after some more of its requests.
    pub meanwhile: Option<(u8, Meanwhile)>,
    /// Whether the store has gone away.
    pub broken: bool,
    uuids: u64,
}

impl Host {
    /// A host without guests.
    pub fn new(rules: &'static Rules) -> Self {
        Self::of(Tree::default(), rules, BTreeMap::new())
    }

    /// A host with these domains, and with a store that describes them.
    pub fn of(tree: Tree, rules: &'static Rules, domains: BTreeMap<Domid, Domain>) -> Self {
        let mut state = State {
            tree,
            rules,
            domains,
            were: BTreeMap::new(),
            torn: BTreeSet::new(),
            said: Vec::new(),
            unwatched: false,
            steps: 0,
            watchers: Vec::new(),
            events: VecDeque::new(),
            looking: false,
            requests: 0,
            meanwhile: None,
            broken: false,
            uuids: 0,
        };
        state.tree.write("/local/domain/0/domid", b"0");
        state.forget();
        Self(RefCell::new(state))
    }

    /// Something happens.
    pub fn change(&self, change: Change) {
        self.0.borrow_mut().change(change);
    }

    /// A guest writes.
    pub fn say(&self, domid: Domid, node: &str, text: &str) {
        self.change(Change::Say(domid, node.into(), Words(text.into())));
    }

    /// The store is there again, and knows nothing of an earlier helper's watches.
    pub fn connect(&self) {
        let state = &mut *self.0.borrow_mut();
        state.watchers.clear();
        state.events.clear();
        state.broken = false;
    }

    /// The helper begins to make requests; after the given number of them something happens.
    pub fn begin_looking(&self, meanwhile: Option<(u8, Meanwhile)>) {
        let state = &mut *self.0.borrow_mut();
        (state.looking, state.requests, state.meanwhile) = (true, 0, meanwhile);
    }

    /// The helper waits again. What was to happen after more requests than it made happens now.
    pub fn done_looking(&self) {
        let state = &mut *self.0.borrow_mut();
        state.looking = false;
        if let Some((_, Meanwhile::Change(change))) = state.meanwhile.take() {
            state.change(change);
        }
    }

    /// Hands over the events of all watches but the last `late`.
    pub fn deliver(&self, late: usize) {
        let events: Vec<_> = {
            let mut state = self.0.borrow_mut();
            let ready = state.events.len().saturating_sub(late);
            state.events.drain(..ready).collect()
        };
        for (on_event, path) in events {
            on_event(&path);
        }
    }
}

impl State {
    /// Takes what is now for all that the helper can know of.
    pub fn forget(&mut self) {
        let now = self.domains.iter();
        self.were = now
            .map(|(domid, domain)| (*domid, vec![domain.clone()]))
            .collect();
        self.torn.clear();
        self.unwatched = false;
    }

    /// Something happens.
    pub fn change(&mut self, change: Change) {
        match change {
            Change::Create {
                domid,
                name,
                moves,
                xapi,
                vif,
            } => {
                // Xen counts domains up: a number comes again when all that had it is long forgotten, never between
                // two requests.
                let fresh =
                    !self.were.contains_key(&domid) && self.tree.read(&home(domid)).is_none();
                if self.domains.contains_key(&domid) || (self.looking && !fresh) {
                    return;
                }
                self.uuids += 1;
                let uuid = format!("00000000-0000-4000-8000-{:012x}", self.uuids);
                let moving = moves.and_then(|other| self.domains.get(&other));
                let domain = Domain {
                    domid,
                    name,
                    uuid: moving.map_or(uuid, |moving| moving.uuid.clone()),
                    xapi,
                    vifs: BTreeMap::new(),
                };
                self.remove(&domain.home());
                domain.write(&mut self.tree);
                self.domains.insert(domid, domain);
                self.fire("@introduceDomain");
                self.changed(domid);
                if let Some(vif) = vif {
                    self.change(Change::Plug(domid, 0, vif));
                }
            }
            Change::Destroy(domid) => {
                let Some(domain) = self.domains.remove(&domid) else {
                    return;
                };
                for directory in domain.directories() {
                    self.remove(&directory);
                }
                self.fire("@releaseDomain");
                self.changed(domid);
            }
            Change::Plug(domid, index, mut vif) => self.edit(domid, |domain, state| {
                domain.unwrite_device(index, state);
                if domain.xapi {
                    vif.segment.0 = 0;
                }
                domain.vifs.insert(index, vif);
                domain.write_device(index, &mut state.tree);
                state.fire(&format!("{}/mac", domain.device(index)));
            }),
            Change::Unplug(domid, index) => self.edit(domid, |domain, state| {
                domain.vifs.remove(&index);
                domain.unwrite_device(index, state);
            }),
            Change::Rename(domid, name) => self.edit(domid, |domain, state| {
                domain.name = name;
                state.write(&format!("{}/name", domain.home()), name.as_bytes());
                state.unwatched = true;
            }),
            Change::Say(domid, node, Words(value)) if self.domains.contains_key(&domid) => {
                let path = below(domid, &node);
                self.write(&path, &value);
                let peer = InHome::parse(&path).map(|at| at.node);
                if let (Some(Node::GuestPeer(peer)), Ok(request)) =
                    (peer, PeerRequest::parse(&value))
                {
                    self.said.push((domid, peer, request));
                }
            }
            Change::Unsay(domid, node) if self.domains.contains_key(&domid) => {
                self.remove(&below(domid, &node));
            }
            Change::Say(..) | Change::Unsay(..) => {}
            Change::Meddle(domid, node, value) => {
                self.write(&format!("{}/xlnet/0/{node}", home(domid)), value.as_bytes());
                self.unwatched = true;
            }
        }
    }

    /// Changes a domain, if there is such a one.
    fn edit(&mut self, domid: Domid, edit: impl FnOnce(&mut Domain, &mut Self)) {
        if let Some(mut domain) = self.domains.remove(&domid) {
            edit(&mut domain, self);
            self.domains.insert(domid, domain);
            self.changed(domid);
        }
    }

    fn changed(&mut self, domid: Domid) {
        if self.looking {
            self.torn.insert(domid);
        }
        let domain = self.domains.get(&domid).cloned();
        self.were.entry(domid).or_default().extend(domain);
    }

    /// Writes a node.
    pub fn write(&mut self, path: &str, value: &[u8]) {
        self.tree.write(path, value);
        self.fire(path);
    }

    /// Removes a node and all below it.
    pub fn remove(&mut self, path: &str) {
        if self.tree.read(path).is_none() {
            return;
        }
        self.tree.remove(path);
        self.fire(path);
        let watchers = self.watchers.iter();
        let below = watchers.filter(|watcher| is_below(&watcher.path, path));
        self.events
            .extend(below.map(|watcher| (watcher.on_event.clone(), watcher.path.clone())));
    }

    /// Sets off the watches at a node and above it.
    fn fire(&mut self, path: &str) {
        let closed = |watcher: &mut Watcher| {
            watcher.stop.try_recv() == Err(oneshot::error::TryRecvError::Closed)
        };
        self.watchers.retain_mut(|watcher| !closed(watcher));
        let watchers = self.watchers.iter();
        let above =
            watchers.filter(|watcher| watcher.path == path || is_below(path, &watcher.path));
        self.events
            .extend(above.map(|watcher| (watcher.on_event.clone(), path.to_owned())));
    }
}

fn is_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root)
        .is_some_and(|rest| rest.starts_with('/'))
}

fn below(domid: Domid, node: &str) -> String {
    let own = format!("{}/data/xlnet/0", home(domid));
    match node {
        "" => own,
        node => format!("{own}/{node}"),
    }
}
