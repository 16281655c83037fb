// SPDX-License-Identifier: GPL-3.0-only

//! What a guest may write: what its driver would, that with an error in it, and anything.

use xlnet_proto::layout::VERSION;

use super::script::Choices;
use super::toolstack::{Domid, ADDRESSES};

/// Paths below `data/xlnet/0` where no driver writes. The long names do not fit in one answer.
const ODD: [&str; 10] = [
    "",
    "peer",
    "self/0/1",
    "peer/2/3",
    "peer/02",
    "peer/-1",
    "peer/99999",
    "peer/x*1",
    "peer/x*2",
    "peer/x*3",
];

/// A node below `data/xlnet/0`, by its path from there.
pub fn node(choices: &mut Choices<'_>) -> String {
    match choices.below(16) {
        0..=4 => "self".into(),
        5..=7 => "addr".into(),
        8..=14 => format!("peer/{}", choices.below(8)),
        _ => choices.pick(&ODD).replace('*', &"x".repeat(1500)),
    }
}

/// The epochs that a guest may use: two of its own, one that others use too, and none.
pub fn epoch(domid: Domid, choice: u8) -> u64 {
    match choice % 4 {
        0 => 0xa0 + u64::from(domid),
        1 => 0xb0 + u64::from(domid),
        2 => 0xabc,
        _ => 0,
    }
}

/// What the driver of a guest that takes part says of itself.
pub fn ready(domid: Domid, choice: u8) -> String {
    let epoch = epoch(domid, choice);
    format!("version={VERSION} epoch={epoch:016x} features=00000003 state=ready")
}

/// Addresses, separated by spaces.
pub fn addresses(mask: u16) -> String {
    let chosen = (0..).zip(ADDRESSES).filter(|(bit, _)| mask >> bit & 1 != 0);
    let chosen: Vec<_> = chosen.map(|(_, address)| address).collect();
    chosen.join(" ")
}

/// What guest `domid` writes to `node`.
pub fn value(domid: Domid, node: &str, choices: &mut Choices<'_>) -> Vec<u8> {
    let kind = choices.below(12);
    if kind == 11 {
        let length = choices.below(40);
        return (0..length).map(|_| choices.byte()).collect();
    }
    let mut value = proper(domid, node, choices).into_bytes();
    match kind {
        8 => value.truncate(choices.byte().into()),
        9 => {
            let (at, byte) = (usize::from(choices.byte()), choices.byte());
            if let Some(old) = value.get_mut(at) {
                *old = byte;
            }
        }
        10 => value.extend([b" x=".as_slice(), &[b'y'; 2040]].concat()),
        _ => {}
    }
    value
}

/// A value of the form that belongs there.
fn proper(domid: Domid, node: &str, choices: &mut Choices<'_>) -> String {
    match node.strip_prefix("peer/") {
        Some(peer) => {
            let (epochs, numbers) = (choices.byte(), choices.byte());
            let from = epoch(domid, epochs);
            let to = epoch(peer.parse().unwrap_or_default(), epochs / 4);
            let (want, offer) = (numbers % 4, numbers / 4 % 4);
            let mut text = format!("from={from:016x} to={to:016x} want={want}");
            if offer != 0 {
                text += &format!(" offer={offer} gref={} evtchn={domid}", 8 + offer);
            }
            text
        }
        None if node == "addr" => {
            let claims = addresses(choices.word());
            match choices.below(8) {
                7 => format!("{claims} {claims}"),
                _ => claims,
            }
        }
        None => {
            let choice = choices.byte();
            let text = ready(domid, choice);
            match choice / 4 % 8 {
                6 => text.replace("ready", "leaving"),
                7 => text.replace("ready", "gone"),
                features => text.replace("003", &format!("00{features}")),
            }
        }
    }
}
