// SPDX-License-Identifier: GPL-3.0-only

//! The helper's connection to the store. What must hold of every single request is asserted here.

use tokio::sync::oneshot;
use xlnet_proto::schema::{HelperSelf, InHome, Node, PeerEntry, MAX_VALUE_LEN};
use xlnetd::error::StoreError;
use xlnetd::store::{OnEvent, Store, Watch};

use super::host::{Host, State, Watcher};
use super::script::Meanwhile;
use super::toolstack::{home, Domid};

/// Most bytes of an answer.
const PAYLOAD: usize = 4096;

/// Requests of the helper each time that it acts; many more than it takes with so few domains. What
/// guests write must not add to them.
const MAX_REQUESTS: u32 = 2000;

impl Host {
    /// What comes before each request is served.
    fn request(&self, verb: &str, path: &str) -> Result<(), StoreError> {
        let state = &mut *self.0.borrow_mut();
        state.requests += 1;
        assert!(state.requests < MAX_REQUESTS, "there is no end to it");
        match state.meanwhile.take() {
            Some((0, Meanwhile::Change(change))) => state.change(change),
            Some((0, Meanwhile::Break)) => state.broken = true,
            Some((after, what)) => state.meanwhile = Some((after - 1, what)),
            None => {}
        }
        match state.broken {
            true => Err(StoreError::Broken {
                request: format!("{verb} {path}"),
                reason: "it has gone away".into(),
            }),
            false => Ok(()),
        }
    }
}

impl Store for &Host {
    async fn read(&self, path: &str) -> Result<Option<String>, StoreError> {
        assert!(may_look(path), "{path} is read");
        self.request("read", path)?;
        let value = self.0.borrow().tree.read(path).map(<[u8]>::to_vec);
        let text = value.map(String::from_utf8).transpose();
        text.map_err(|error| unreadable(path, error))
    }

    async fn write(&self, path: &str, value: &str) -> Result<(), StoreError> {
        self.request("write", path)?;
        self.0.borrow_mut().helper_writes(path, value);
        Ok(())
    }

    async fn rm(&self, path: &str) -> Result<(), StoreError> {
        self.request("rm", path)?;
        self.0.borrow_mut().helper_removes(path);
        Ok(())
    }

    async fn list(&self, path: &str) -> Result<Option<Vec<String>>, StoreError> {
        assert!(may_look(path), "{path} is listed");
        self.request("list", path)?;
        let names = self.0.borrow().tree.list(path);
        let length = names.iter().flatten().map(|name| name.len() + 1);
        match length.sum::<usize>() > PAYLOAD {
            true => Err(unreadable(path, "too many names")),
            false => Ok(names),
        }
    }

    async fn watch(&self, path: &str, on_event: OnEvent) -> Result<Watch, StoreError> {
        self.request("watch", path)?;
        let (stop, stopped) = oneshot::channel();
        let state = &mut *self.0.borrow_mut();
        state.events.push_back((on_event.clone(), path.to_owned()));
        state.watchers.push(Watcher {
            path: path.to_owned(),
            on_event,
            stop: stopped,
        });
        Ok(Watch { stop })
    }
}

fn unreadable(path: &str, reason: impl ToString) -> StoreError {
    StoreError::Unreadable {
        request: path.to_owned(),
        reason: reason.to_string(),
    }
}

/// Whether the helper has any business with a node: with the toolstack's words, and in a guest's
/// home with what the protocol names. What a guest can write elsewhere, like its own device nodes,
/// must not be believed, so it is not even read.
fn may_look(path: &str) -> bool {
    let Some(rest) = path.strip_prefix("/local/domain/") else {
        return path == "/local/domain"
            || path.starts_with("/libxl/")
            || path.starts_with("/xapi/");
    };
    let (domid, node) = rest.split_once('/').unwrap_or((rest, ""));
    domid == "0" || ["", "vm", "name", "target"].contains(&node) || InHome::parse(path).is_some()
}

impl State {
    /// The helper writes: only what is its own, of a domain there is or has just been, and nothing
    /// that the guest's own parser would not take as it was meant.
    fn helper_writes(&mut self, path: &str, value: &str) {
        let at = InHome::parse(path).unwrap_or_else(|| panic!("{path} is written"));
        assert!(self.were.contains_key(&at.domid), "no domain has {path}");
        assert!(value.len() <= MAX_VALUE_LEN);
        let meant = match at.node {
            Node::HelperSelf => HelperSelf::parse(value.as_bytes()).map(|own| own.to_string()),
            Node::HelperPeer(peer) => {
                assert!(
                    self.may_meet(at.domid, peer),
                    "{} is told of {peer}, which is denied, gone or itself",
                    at.domid
                );
                PeerEntry::parse(value.as_bytes()).map(|entry| entry.to_string())
            }
            _ => panic!("{path} is written"),
        };
        assert_eq!(meant.as_deref(), Ok(value), "{path}");
        self.write(path, value.as_bytes());
        self.steps += 1;
        self.is_not_misled(at);
    }

    /// The helper removes: what is its own, or the home of a domain that is gone, in which a write
    /// of its own that came too late is all there is.
    fn helper_removes(&mut self, path: &str) {
        let at = InHome::parse(path);
        match at.map(|at| at.node) {
            Some(Node::HelperDir | Node::HelperPeers | Node::HelperPeer(_)) => {
                let known = at.is_some_and(|at| self.were.contains_key(&at.domid));
                assert!(known, "no domain has {path}");
            }
            _ => {
                let gone =
                    |domid: &Domid| home(*domid) == path && !self.domains.contains_key(domid);
                assert!((1..=6).any(|domid| gone(&domid)), "{path} is removed");
                assert_eq!(self.tree.list(path), Some(vec!["xlnet".to_owned()]));
            }
        }
        self.remove(path);
        self.steps += 1;
    }

    /// Whether the policy lets two guests know of each other, going by anything that they have been
    /// since the helper was last at rest.
    fn may_meet(&self, reader: Domid, peer: Domid) -> bool {
        let (Some(readers), Some(peers)) = (self.were.get(&reader), self.were.get(&peer)) else {
            return false;
        };
        if reader == peer {
            return false;
        }
        let mut pairs = readers
            .iter()
            .flat_map(|reader| peers.iter().map(move |peer| (reader, peer)));
        self.torn.contains(&reader)
            || self.torn.contains(&peer)
            || pairs.any(|(reader, peer)| self.rules.permits(reader, peer))
    }

    /// At no moment does a guest find what a peer has not said, or said to another instance than the
    /// one that its `self` answers, or said in another instance than the one that is named. Only what
    /// is written, at `at`, can make it so.
    fn is_not_misled(&self, InHome { domid, node: at }: InHome) {
        let told = self.told(domid);
        let own = told
            .get("self")
            .map(|text| HelperSelf::parse(text.as_bytes()));
        let Some(Ok(own)) = own else { return };
        for (node, text) in &told {
            let Some(peer) = node.strip_prefix("peer/").and_then(Node::parse_domid) else {
                continue;
            };
            if ![Node::HelperSelf, Node::HelperPeer(peer)].contains(&at) {
                continue;
            }
            let Ok(entry) = PeerEntry::parse(text.as_bytes()) else {
                continue;
            };
            let silent = entry.want == 0 && entry.offer.is_none();
            let said = self.said.iter().any(|(speaker, listener, request)| {
                (*speaker, *listener) == (peer, domid)
                    && (request.from, request.to) == (entry.epoch, own.epoch)
                    && request.want == entry.want
                    && request.offer.filter(|_| peer < domid) == entry.offer
            });
            assert!(silent || said, "{domid} is told that {peer} said {text}");
        }
    }
}
