// SPDX-License-Identifier: GPL-2.0
//! What goes on for a while, and has the victim read what changes meanwhile.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread::scope,
    time::Duration,
};

use anyhow::Result;
use xlnet_proto::{
    layout::{VirtioNetHdr, RECORD_ALIGN},
    mem::{SharedMem, Word},
    sync::{LoadOrder, StoreOrder},
};

use super::{lasting::again, Act};
use crate::{
    attack::{Attack, Ending},
    channel::{put, Ring},
    frame::echo_request,
};

pub(super) const ACTS: &[Act] = &[
    Act::new("race", race),
    Act::new("race-counts", race_counts),
    Act::new("race-lengths", race_lengths),
    Act::new("scribble", scribble),
];

/// The tries of whom the victim closes at once: it has to get back first what was mapped then, before it grants more.
const OF_A_FAULT: u32 = 6;

/// A generator of numbers (Marsaglia's xorshift), so that a run can be had again by its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u32) -> u32 {
        (self.next() % u64::from(limit.max(1))) as u32
    }
}

/// Sends good frames through channel after channel, and meanwhile has `change` do something to the ring, in another thread and
/// again and again. It is told at which count the last record begins that was sent.
fn racing(
    attack: &mut Attack,
    change: impl Fn(&Ring, &mut Random, u32) + Copy + Send,
) -> Result<Ending> {
    println!("seed={:#x}", attack.instance.epoch);
    let mut random = Random(attack.instance.epoch);
    again(attack, OF_A_FAULT, |attack, mut channel| {
        let ends = attack.ends()?;
        let ring = channel.another_tx()?;
        let mut random = Random(random.next() | 1);
        let mut at = channel.produced();
        channel.send(&echo_request(&ends, 1, 1000), VirtioNetHdr::default())?;
        let (stop, last) = (AtomicBool::new(false), AtomicU32::new(at));
        scope(|scope| {
            let (stop, last) = (&stop, &last);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    change(&ring, &mut random, last.load(Ordering::Relaxed));
                }
            });
            let frame = echo_request(&ends, 1, 1000);
            let sent = attack.meanwhile(|_| {
                at = channel.produced();
                if channel.send(&frame, VirtioNetHdr::default())? {
                    last.store(at, Ordering::Relaxed);
                } else {
                    channel.receive(Duration::from_millis(1), |_| {})?;
                }
                Ok(channel.is_open())
            });
            stop.store(true, Ordering::Relaxed);
            sent
        })
    })
}

/// Any byte.
fn race(attack: &mut Attack) -> Result<Ending> {
    racing(attack, |ring, random, _| {
        put(ring, random.below(ring.size()), &[random.next() as u8]);
    })
}

/// The count of what was produced: more than the ring holds, and what it was, in turn.
fn race_counts(attack: &mut Attack) -> Result<Ending> {
    racing(attack, |ring, _, _| {
        let good = ring.load(Word::Prod, LoadOrder::Relaxed);
        let bad = good.wrapping_add(ring.size()).wrapping_add(RECORD_ALIGN);
        ring.store(Word::Prod, bad, StoreOrder::Release);
        ring.store(Word::Prod, good, StoreOrder::Release);
    })
}

/// A length that no frame has.
const BAD_LENGTH: [u8; 4] = [0xff; 4];

/// The length of the frame that lies there: more than the ring holds, and what it was, in turn.
fn race_lengths(attack: &mut Attack) -> Result<Ending> {
    racing(attack, |ring, _, last| {
        let mut good = [0; BAD_LENGTH.len()];
        // It is what a record begins with, which lies in one piece.
        let _ = ring.chunks(last, good.len() as u32, |chunk| {
            chunk.copy_to(&mut good);
            Ok::<(), ()>(())
        });
        put(ring, last, &BAD_LENGTH);
        put(ring, last, &good);
    })
}

/// Stores anything in any word and byte, until the victim has had enough; then again as another instance.
fn scribble(attack: &mut Attack) -> Result<Ending> {
    println!("seed={:#x}", attack.instance.epoch);
    let mut random = Random(attack.instance.epoch);
    again(attack, OF_A_FAULT, |attack, channel| {
        attack.meanwhile(|_| {
            let value = match random.below(4) {
                0 => random.next() as u32,
                1 => channel.produced().wrapping_add(32 * random.below(8)),
                2 => channel.consumed().wrapping_add(32 * random.below(8)),
                _ => 32 * random.below(1 << 27),
            };
            match random.below(6) {
                0 => channel.raw_tx.store(Word::Prod, value, StoreOrder::Release),
                1 => channel.raw_rx.store(Word::Cons, value, StoreOrder::Release),
                2 => channel
                    .raw_rx
                    .store(Word::ProdEvent, value, StoreOrder::Relaxed),
                3 => channel
                    .raw_tx
                    .store(Word::ConsEvent, value, StoreOrder::Relaxed),
                4 => channel.scribble(random.below(0x1000), random.next() as u8),
                _ => put(&channel.raw_tx, value, &random.next().to_le_bytes()),
            }
            channel.port.kick();
            Ok(channel.is_open())
        })
    })
}
