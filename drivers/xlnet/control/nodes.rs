// SPDX-License-Identifier: GPL-2.0

//! The nodes in xenstore, read and written. Process context; may sleep.
//!
//! Paths and values are `proto::schema`'s. A value that is not valid counts as absent, and is logged.

use crate::{
    peer::table::MAX_PEERS,
    proto::schema::{
        Claims,
        GuestSelf,
        HelperSelf,
        Node,
        PeerEntry,
        PeerRequest,
        MAX_VALUE_LEN, //
    },
    xen::{
        store::{
            self,
            StrBuf, //
        },
        DomId, //
    },
};
use core::fmt;
use kernel::prelude::*;

/// Bytes of the longest path, its terminating zero included.
type Path = StrBuf<64>;

/// Bytes of the longest value that is written: [`Claims`] of 16 IPv6 addresses.
type Value = StrBuf<768>;

fn path(node: Node) -> Result<Path> {
    Path::format(format_args!("{node}"))
}

fn write(node: Node, value: fmt::Arguments<'_>) -> Result {
    store::write(path(node)?.as_cstr(), Value::format(value)?.as_cstr())
}

/// Reads and parses a node; `None` if it is absent or not valid.
fn read<T, E: fmt::Display>(
    node: Node,
    parse: impl FnOnce(&[u8]) -> core::result::Result<T, E>,
) -> Result<Option<T>> {
    let mut buf = KVec::from_elem(0u8, MAX_VALUE_LEN, GFP_KERNEL)?;
    let why = match store::read(path(node)?.as_cstr(), &mut buf) {
        Ok(value) => match parse(value) {
            Ok(parsed) => return Ok(Some(parsed)),
            Err(error) => StrBuf::<96>::format(format_args!("{node}: {error}"))?,
        },
        Err(error) if error == ENOENT => return Ok(None),
        // No less invalid than what does not parse: to try again would keep all others waiting for it.
        Err(error) if error == E2BIG => StrBuf::format(format_args!("{node}: too long"))?,
        Err(error) => return Err(error),
    };
    pr_warn!("xenstore: {}\n", why.as_cstr());
    Ok(None)
}

fn domid(name: &[u8]) -> Option<DomId> {
    Node::parse_domid(core::str::from_utf8(name).ok()?).map(DomId)
}

/// Our own domain.
pub(super) fn own_domid() -> Result<DomId> {
    let mut buf = [0u8; 8];
    domid(store::read(c"domid", &mut buf)?).ok_or(EINVAL)
}

/// Writes who we are.
pub(super) fn write_self(own: &GuestSelf) -> Result {
    write(Node::GuestSelf, format_args!("{own}"))
}

/// Writes what we claim as our addresses.
pub(super) fn write_claims(claims: &Claims) -> Result {
    write(Node::GuestAddr, format_args!("{claims}"))
}

/// Writes what we ask of, or offer to, a peer.
pub(super) fn write_request(peer: DomId, request: &PeerRequest) -> Result {
    write(Node::GuestPeer(peer.0), format_args!("{request}"))
}

/// Removes what we asked of a peer.
pub(super) fn remove_request(peer: DomId) -> Result {
    store::remove(path(Node::GuestPeer(peer.0))?.as_cstr())
}

/// Removes all that we have written.
pub(super) fn remove_all() -> Result {
    store::remove(path(Node::GuestDir)?.as_cstr())
}

/// Reads what the helper calls us.
pub(super) fn read_identity() -> Result<Option<HelperSelf>> {
    read(Node::HelperSelf, HelperSelf::parse)
}

/// Lists the peers of which the helper has entries.
pub(super) fn list_peers() -> Result<KVVec<DomId>> {
    let mut peers: KVVec<DomId> = KVVec::with_capacity(MAX_PEERS, GFP_KERNEL)?;
    let listed = store::list(path(Node::HelperPeers)?.as_cstr(), MAX_PEERS, |name| {
        if let Some(peer) = domid(name) {
            // There is capacity for all that are listed.
            let _ = peers.push_within_capacity(peer);
        }
    });
    match listed {
        Err(error) if error != ENOENT => Err(error),
        _ => Ok(peers),
    }
}

/// Reads the helper's entry of one of them.
pub(super) fn read_entry(peer: DomId) -> Result<Option<PeerEntry>> {
    read(Node::HelperPeer(peer.0), PeerEntry::parse)
}
