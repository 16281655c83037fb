// SPDX-License-Identifier: GPL-2.0
//! Impossible counts: published by the producer and by the consumer.

use std::{thread::sleep, time::Duration};

use anyhow::Result;
use xlnet_proto::{
    layout::VirtioNetHdr,
    mem::{SharedMem, Word},
    sync::StoreOrder,
};

use super::Act;
use crate::{
    attack::{Attack, Ending},
    frame::echo_request,
};

pub(super) const ACTS: &[Act] = &[
    Act::new("prod-unaligned", |attack| produced(attack, |at, _| at + 1)),
    Act::new("prod-too-far", |attack| {
        produced(attack, |at, size| at + size + 32)
    }),
    Act::new("prod-back", |attack| produced(attack, |at, _| at - 32)),
    Act::new("prod-largest", |attack| produced(attack, |_, _| u32::MAX)),
    Act::new("cons-unaligned", |attack| consumed(attack, |at| at + 1)),
    Act::new("cons-too-far", |attack| {
        consumed(attack, |at| at + (1 << 24))
    }),
    Act::new("cons-back", |attack| {
        consumed(attack, |_| 0_u32.wrapping_sub(32))
    }),
];

/// Bytes of an answer of which a few fill a ring.
const LONG: usize = 60_000;

/// More of them than the largest ring holds.
const ANSWERS: u16 = 20;

/// Publishes as produced what follows from what is, and from the ring's size.
fn produced(attack: &mut Attack, wrong: fn(u32, u32) -> u32) -> Result<Ending> {
    let channel = attack.proven()?;
    let count = wrong(channel.produced(), channel.raw_tx.size());
    channel.raw_tx.store(Word::Prod, count, StoreOrder::Release);
    channel.port.kick();
    Ok(attack.after_breach(&channel))
}

/// Publishes as consumed what follows from what is. The victim looks at it when it wants space: it is made to answer until it does.
fn consumed(attack: &mut Attack, wrong: fn(u32) -> u32) -> Result<Ending> {
    let mut channel = attack.proven()?;
    let count = wrong(channel.consumed());
    channel.raw_rx.store(Word::Cons, count, StoreOrder::Release);
    let ends = attack.ends()?;
    let mut sequence = 0;
    while channel.is_open() && sequence < ANSWERS {
        let request = echo_request(&ends, sequence, LONG);
        match channel.send(&request, VirtioNetHdr::default())? {
            true => sequence += 1,
            false => sleep(Duration::from_millis(10)),
        }
    }
    channel.port.kick();
    Ok(attack.after_breach(&channel))
}
