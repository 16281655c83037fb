// SPDX-License-Identifier: GPL-2.0
//! A guest that breaks the protocol harms nobody but itself: the victim sees it, says so, and goes on with everybody else.
//!
//! The attacker is `tests/attacker` in the driver's place, over real grants and event channels; the cases are those of
//! `docs/threat-model.md`.

use anyhow::{ensure, Context, Result};

use crate::{bed::eventually, Bed, Scenario, Spec};
use arena::{Arena, Attacker};

mod arena;
mod campaign;
mod garbage;
mod lasting;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("hostile::pv-breaches-by-a-listener", Spec::pv(3), |bed| {
        breaches(bed, Attacker::Listener)
    })
    .long(),
    Scenario::new("hostile::pv-breaches-by-a-connector", Spec::pv(3), |bed| {
        breaches(bed, Attacker::Connector)
    })
    .long(),
    Scenario::new("hostile::pv-lies-by-a-listener", Spec::pv(3), |bed| {
        lies(bed, Attacker::Listener)
    })
    .long(),
    Scenario::new("hostile::pv-lies-by-a-connector", Spec::pv(3), |bed| {
        lies(bed, Attacker::Connector)
    })
    .long(),
    Scenario::new("hostile::pv-bad-offers", Spec::pv(3), bad_offers).long(),
    Scenario::new("hostile::pv-lasting-by-a-listener", Spec::pv(3), |bed| {
        lasting::all(bed, Attacker::Listener)
    })
    .long(),
    Scenario::new("hostile::pv-lasting-by-a-connector", Spec::pv(3), |bed| {
        lasting::all(bed, Attacker::Connector)
    })
    .long(),
    Scenario::new("hostile::pv-garbage", Spec::pv(3), garbage::all).long(),
    Scenario::new("hostile::breaches-by-a-listener", Spec::mixed(), |bed| {
        breaches(bed, Attacker::Listener)
    })
    .long(),
    Scenario::new("hostile::breaches-by-a-connector", Spec::mixed(), |bed| {
        breaches(bed, Attacker::Connector)
    })
    .long(),
    Scenario::new("hostile::lies-by-a-listener", Spec::mixed(), |bed| {
        lies(bed, Attacker::Listener)
    })
    .long(),
    Scenario::new("hostile::lies-by-a-connector", Spec::mixed(), |bed| {
        lies(bed, Attacker::Connector)
    })
    .long(),
    Scenario::new("hostile::bad-offers", Spec::mixed(), bad_offers).long(),
    Scenario::new("hostile::lasting-by-a-listener", Spec::mixed(), |bed| {
        lasting::all(bed, Attacker::Listener)
    })
    .long(),
    Scenario::new("hostile::lasting-by-a-connector", Spec::mixed(), |bed| {
        lasting::all(bed, Attacker::Connector)
    })
    .long(),
    Scenario::new("hostile::garbage", Spec::mixed(), garbage::all).long(),
];

/// What the victim must close the channel for, and how it calls that (`proto/fault.rs`).
const BREACHES: &[(&str, &str)] = &[
    ("prod-unaligned", "misaligned"),
    ("prod-too-far", "index-jump"),
    ("prod-back", "index-backwards"),
    ("prod-largest", "misaligned"),
    ("cons-unaligned", "misaligned"),
    ("cons-too-far", "index-jump"),
    ("cons-back", "index-backwards"),
    ("length-zero", "bad-length"),
    ("length-below-a-header", "bad-length"),
    ("length-above-a-frame", "bad-length"),
    ("length-half-of-all", "bad-length"),
    ("length-largest", "bad-length"),
    ("flags", "bad-flags"),
    ("buffers", "bad-buffers"),
    ("truncated", "truncated"),
    ("state", "bad-state"),
    ("state-back", "bad-state"),
];

/// What the victim must throw away, and count, without closing the channel; nothing if there is nothing to throw away.
const LIES: &[(&str, Option<&str>)] = &[
    ("source-mac", Some("rx_spoofed")),
    ("source-ip", Some("rx_spoofed")),
    ("source-unspecified", Some("rx_spoofed")),
    ("arp-sender", Some("rx_spoofed")),
    ("source-ipv6", Some("rx_spoofed")),
    ("router", None),
    ("to-a-bridge", Some("rx_reserved")),
    ("offload-unknown", Some("rx_bad_offload")),
    ("offload-of-no-size", Some("rx_bad_offload")),
    ("checksum-behind-the-frame", Some("rx_bad_offload")),
    ("header-rewritten", None),
];

/// What the victim says of those that it has counted, with the attacker's number.
const SAID: [&str; 3] = [
    "frames whose source is not its own",
    "frames that only a switch sends",
    "frames whose offloads do not fit",
];

/// How often the attacker sends each lie.
const TIMES: u64 = 3;

/// What the victim says of an offer that leads to a control page that is wrong, and of one that leads to none, or to no port.
const WRONG: &str = "its offer leads to no channel";
const NONE: &str = "its channel could not be mapped";

/// Offers of which the victim must make no channel, and why it cannot.
const BAD_OFFERS: &[(&str, &str)] = &[
    ("offer-magic", WRONG),
    ("offer-version", WRONG),
    ("offer-small-rings", WRONG),
    ("offer-large-rings", WRONG),
    ("offer-channel", WRONG),
    ("offer-epoch", WRONG),
    ("offer-features", WRONG),
    ("offer-no-grant", NONE),
    ("offer-half-a-directory", NONE),
    ("offer-no-port", NONE),
    ("offer-grant-of-another", NONE),
    ("offer-grant-read-only", NONE),
    ("offer-grant-revoked", NONE),
    ("offer-port-of-another", NONE),
];

/// Each breach ends the channel, is counted once, and is named in one line of the log with the attacker's number.
fn breaches(bed: &mut Bed, part: Attacker) -> Result<()> {
    let mut arena = Arena::enter(bed, part)?;
    let pinned = arena.pinned()?;
    for (act, fault) in BREACHES {
        let line = format!("broke the protocol ({fault})");
        let before = (arena.count("faults")?, arena.said(&line)?);
        let ending = arena.attack(act, 0)?;
        let after = (arena.count("faults")?, arena.said(&line)?);
        ensure!(
            ending == "closed" && after == (before.0 + 1, before.1 + 1),
            "{act}: the channel is {ending}; faults and lines that say {fault} went from {before:?} to {after:?}"
        );
        arena.await_unpinned(pinned)?;
    }
    arena.leave(bed)
}

fn lies(bed: &mut Bed, part: Attacker) -> Result<()> {
    let mut arena = Arena::enter(bed, part)?;
    let faults = arena.count("faults")?;
    for (act, counter) in LIES {
        let counted = |arena: &Arena| counter.map_or(Ok(0), |name| arena.count(name));
        let before = counted(&arena)?;
        let ending = arena.attack(act, 0)?;
        let more = counted(&arena)? - before;
        let wanted = counter.map_or(0, |_| TIMES);
        ensure!(
            ending == "open" && more == wanted,
            "{act}: the channel is {ending}, {more} frames were counted and {wanted} sent"
        );
    }
    let more = arena.count("faults")? - faults;
    ensure!(more == 0, "{more} lies were taken for breaches");
    for words in SAID {
        ensure!(arena.said(words)? > 0, "the log has no '{words}'");
    }
    no_router(&mut arena)?;
    arena.leave(bed)
}

/// The network of which the attacker says that it is the router.
const ADVERTISED: &str = "2001:db8:bad:";

/// A peer's router advertisement, which the victim has had by now, changes none of its addresses and routes. It would, did
/// xlnet-route not tell Linux to ignore it.
fn no_router(arena: &mut Arena) -> Result<()> {
    const LOOK: &str = "ip -6 addr show; ip -6 route show table all";
    let victim = arena.victim.clone();
    let seen = victim.sh(LOOK)?;
    ensure!(
        !seen.contains(ADVERTISED),
        "a peer has become a router: {seen}"
    );
    let accept = |value: u8| {
        let to = "/proc/sys/net/ipv6/conf/xlnet0/accept_ra";
        victim.sh(&format!("echo {value} > {to}")).map(drop)
    };
    accept(1)?;
    arena.attack("router", 0)?;
    eventually("a router that is let be one is one", || {
        Ok(victim.sh(LOOK)?.contains(ADVERTISED))
    })?;
    accept(0)?;
    victim
        .sh("ip -6 addr flush dev xlnet0; ip -6 route flush proto ra; ip -6 route flush dev xlnet0 table main")
        .map(drop)
}

/// An offer that leads to no channel is a failed attempt, and no more than that: the two talk over the uplink.
fn bad_offers(bed: &mut Bed) -> Result<()> {
    let mut arena = Arena::enter(bed, Attacker::Listener)?;
    let ip = arena.victim.config.ip();
    for (act, why) in BAD_OFFERS {
        let before = (arena.count("setup_failed")?, arena.said(why)?);
        let ending = arena.attack(act, 5)?;
        let after = (arena.count("setup_failed")?, arena.said(why)?);
        ensure!(
            ending == "refused" && after.0 > before.0 && after.1 > before.1,
            "{act}: {ending}; attempts that failed, and lines that say '{why}', went from {before:?} to {after:?}"
        );
        arena
            .attacker
            .sh(&format!("ping -q -c 1 -W 10 {ip}"))
            .with_context(|| format!("by the uplink after {act}"))?;
    }
    let ending = arena.attack("offer-one-page-for-all", 5)?;
    eprintln!("of one page for all pages: {ending}");
    arena.leave(bed)
}
