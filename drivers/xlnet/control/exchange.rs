// SPDX-License-Identifier: GPL-2.0

//! What we tell the helper, and what it tells us: who we are, and who our peers.

use super::{
    nodes,
    session::Session,
    stale::Stale,
    Control,
    State, //
};
use crate::{
    peer::Peer,
    proto::{
        layout::Role,
        schema::{
            GuestSelf,
            GuestState,
            HelperSelf,
            PeerEntry, //
        },
    },
    xen::DomId, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    },
};

impl Control {
    /// What we say of ourselves.
    pub(super) fn own(&self, state: &State, said: GuestState) -> GuestSelf {
        GuestSelf {
            epoch: state.epoch,
            features: 0,
            state: said,
        }
    }

    /// Makes ourselves known to the helper.
    pub(super) fn announce(&self, state: &mut State) -> Result {
        if state.domid.is_none() {
            state.domid = Some(nodes::own_domid()?);
        }
        if !state.announced {
            nodes::remove_all()?;
            nodes::write_self(&self.own(state, GuestState::Ready))?;
            state.announced = true;
        }
        let mut claim = self.shared.claim.lock();
        if claim.1 {
            nodes::write_claims(&claim.0)?;
            claim.1 = false;
        }
        Ok(())
    }

    /// Reads who we are.
    pub(super) fn read_identity(&self, state: &mut State) -> Result {
        let told = nodes::read_identity()?.filter(|told| told.epoch == state.epoch);
        let known = self.shared.identity();
        let same = match (&told, &known) {
            (Some(told), Some(known)) => *told == **known,
            (None, None) => true,
            _ => false,
        };
        if same {
            return Ok(());
        }
        state.news = true;
        let Some(told) = told else {
            self.shared.named.store(0, Relaxed);
            return Ok(());
        };
        let new_mac = known.is_none_or(|known: Arc<HelperSelf>| known.mac != told.mac);
        if new_mac {
            self.device.device().set_mac(&told.mac);
        }
        let told = Arc::new(told, GFP_KERNEL)?;
        drop(self.shared.last_identity.replace(Some(told)));
        self.shared.named.store(1, Relaxed);
        Ok(())
    }

    /// Reads those of the helper's entries that are stale into the sessions, and those of which there is
    /// none: the list may have had no room for them. What could not be read is left as it is.
    pub(super) fn read_entries(&self, state: &mut State, stale: &Stale) -> Result {
        let domid = state.domid.ok_or(EAGAIN)?;
        let listed = match self.shared.identity() {
            Some(_) => nodes::list_peers()?,
            None => KVVec::new(),
        };
        let mut entries: KVVec<(DomId, PeerEntry)> = KVVec::new();
        let is_known = |peer: DomId| {
            let mut sessions = state.sessions.iter();
            sessions.any(|session| session.is_listed() && session.peer().domid == peer)
        };
        for peer in listed
            .iter()
            .filter(|peer| stale.has(**peer) || !is_known(**peer))
        {
            if let Some(entry) = nodes::read_entry(*peer)? {
                entries.push((*peer, entry), GFP_KERNEL)?;
            }
        }
        for session in state.sessions.iter_mut() {
            let domid = session.peer().domid;
            if session.is_listed() && !stale.has(domid) && listed.contains(&domid) {
                continue;
            }
            let entry = entries
                .iter()
                .find(|(peer, entry)| session.is_for(*peer, entry));
            state.news |= session.set_entry(entry.map(|(_, entry)| entry))?;
        }
        for (peer, entry) in entries.iter() {
            if state
                .sessions
                .iter()
                .any(|session| session.is_for(*peer, entry))
            {
                continue;
            }
            let Some(role) = Role::of(domid.0, peer.0) else {
                continue;
            };
            let earlier = state
                .sessions
                .iter()
                .map(Session::peer)
                .find(|other| other.domid == *peer && other.mac == entry.mac);
            let peer = Peer::new(*peer, *entry, earlier)?;
            // What talked before one of us was suspended goes on, so that the channel need not wait for
            // the routes and the first frame.
            if state
                .sessions
                .iter()
                .any(|session| session.is_to_resume(&peer))
            {
                peer.want();
            }
            for session in state.sessions.iter_mut() {
                session.make_way(&peer);
            }
            state
                .sessions
                .push(Session::new(peer, role, *entry), GFP_KERNEL)?;
            state.news = true;
        }
        Ok(())
    }
}
