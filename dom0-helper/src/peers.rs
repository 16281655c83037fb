// SPDX-License-Identifier: GPL-3.0-only

//! `xlnetd peers`: what every guest has been told about its peers, as it stands in xenstore.

use serde::Serialize;
use xlnet_proto::schema::PeerEntry;

use crate::cli::Output;
use crate::counts::Counts;
use crate::error::Error;
use crate::inventory::Domid;
use crate::model::Model;
use crate::status::{self, count_columns, Daemon, Running};

#[derive(Serialize)]
struct Listing {
    daemon: Daemon,
    peers: Vec<Row>,
}

/// One direction of a pair: what `guest` finds about `peer`.
#[derive(Serialize)]
struct Row {
    guest: Domid,
    guest_name: String,
    peer: Domid,
    peer_name: String,
    /// Whether the entry can be read, and is the one that follows from the host as it is.
    current: bool,
    epoch: Option<String>,
    mac: Option<String>,
    uplink_mac: Option<String>,
    addresses: Vec<String>,
    strict: bool,
    /// The channel the peer wants, 0 for none.
    want: u32,
    /// The channel the peer offers.
    offer: Option<u32>,
    /// What a running daemon has counted of the peer.
    counts: Option<Counts>,
}

fn rows(model: &Model, running: &Running) -> Vec<Row> {
    let told = model.plan().told;
    let name = |domid: &Domid| {
        model
            .guests
            .get(domid)
            .map(|guest| guest.name.clone())
            .unwrap_or_default()
    };
    let mut rows = Vec::new();
    for (guest, found) in &model.found {
        for (peer, text) in &found.peers {
            let entry = PeerEntry::parse(text.as_bytes()).ok();
            let wanted = told.get(guest).and_then(|told| told.peers.get(peer));
            rows.push(Row {
                guest: *guest,
                guest_name: name(guest),
                peer: *peer,
                peer_name: name(peer),
                current: entry.is_some() && entry.as_ref() == wanted,
                epoch: entry.map(|entry| format!("{:016x}", entry.epoch)),
                mac: entry.map(|entry| entry.mac.to_string()),
                uplink_mac: entry.map(|entry| entry.uplink_mac.to_string()),
                addresses: entry
                    .iter()
                    .flat_map(|e| e.prefixes.iter().map(|p| p.to_string()).collect::<Vec<_>>())
                    .collect(),
                strict: entry.is_some_and(|entry| entry.strict),
                want: entry.map_or(0, |entry| entry.want),
                offer: entry
                    .and_then(|entry| entry.offer)
                    .map(|offer| offer.number),
                counts: running.counts(*peer),
            });
        }
    }
    rows
}

/// Prints the peers of every guest.
///
/// # Errors
/// If standard output cannot be written.
pub fn show(model: &Model, running: &Running, output: &Output) -> Result<(), Error> {
    let listing = Listing {
        daemon: running.daemon.clone(),
        peers: rows(model, running),
    };
    if output.json {
        return status::print_json(&listing);
    }
    listing.daemon.warn();
    let header = [
        "GUEST",
        "PEER",
        "MAC",
        "ADDRESSES",
        "WANTS",
        "OFFERS",
        "STATE",
        "INVALID",
        "WAITS",
    ];
    let rows = listing.peers.iter().map(|row| {
        let [invalid, waits] = count_columns(row.counts);
        [
            format!("{} ({})", row.guest, row.guest_name),
            format!("{} ({})", row.peer, row.peer_name),
            row.mac.clone().unwrap_or_default(),
            row.addresses.join(","),
            if row.want == 0 {
                "-".into()
            } else {
                row.want.to_string()
            },
            row.offer
                .map_or_else(|| "-".into(), |offer| offer.to_string()),
            (if row.current { "current" } else { "outdated" }).into(),
            invalid,
            waits,
        ]
    });
    status::print_table(header, rows)
}
