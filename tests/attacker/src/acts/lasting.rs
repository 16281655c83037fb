// SPDX-License-Identifier: GPL-2.0
//! What goes on for a while, as long as was asked for: silence, floods, storms, and writing wherever the victim reads.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread::{scope, sleep},
    time::Duration,
};

use anyhow::Result;
use xlnet_proto::{
    layout::{ChannelState, VirtioNetHdr},
    mem::{SharedMem, Word},
    sync::StoreOrder,
};

use super::Act;
use crate::{
    attack::{Attack, Ending},
    channel::{put, Channel, Ring},
    frame::{datagram, echo_request},
};

pub(super) const ACTS: &[Act] = &[
    Act::new("deaf", deaf),
    Act::new("flood", flood),
    Act::new("storm", storm),
    Act::new("mute", mute),
    Act::new("reconnect", reconnect),
    Act::new("vanish", vanish),
    Act::new("late-events", late_events),
    Act::new("keep-mapped", keep_mapped),
    Act::new("race", race),
    Act::new("scribble", scribble),
];

/// A port on which nobody listens.
const DISCARD: u16 = 9;

/// Takes nothing that the victim sends, and has it answer as long as there is space for that.
fn deaf(attack: &mut Attack) -> Result<Ending> {
    let mut channel = attack.proven()?;
    let ends = attack.ends()?;
    let mut sequence = 0;
    attack.meanwhile(|_| {
        sequence += 1;
        channel.send(
            &echo_request(&ends, sequence, 8000),
            VirtioNetHdr::default(),
        )?;
        sleep(Duration::from_millis(20));
        Ok(channel.is_open())
    })?;
    attack.after_nuisance(&mut channel)
}

/// Sends datagrams as fast as it can.
fn flood(attack: &mut Attack) -> Result<Ending> {
    let mut channel = attack.proven()?;
    let frame = datagram(&attack.ends()?, DISCARD, 1400);
    let mut sent = 0_u64;
    attack.meanwhile(|_| {
        if channel.send(&frame, VirtioNetHdr::default())? {
            sent += 1;
        } else {
            channel.receive(Duration::from_millis(1), |_| {})?;
        }
        Ok(channel.is_open())
    })?;
    println!("sent={sent}");
    attack.after_nuisance(&mut channel)
}

/// Sends events for which there is no reason.
fn storm(attack: &mut Attack) -> Result<Ending> {
    let mut channel = attack.proven()?;
    let mut kicks = 0_u64;
    attack.meanwhile(|_| {
        channel.port.kick();
        kicks += 1;
        Ok(true)
    })?;
    println!("kicks={kicks}");
    attack.after_nuisance(&mut channel)
}

/// Sends frames and takes what comes, and never sends an event.
fn mute(attack: &mut Attack) -> Result<Ending> {
    let mut channel = attack.proven()?;
    let frame = echo_request(&attack.ends()?, 1, 8000);
    channel.port.mute(true);
    let (mut sent, mut received) = (0_u64, 0_u64);
    attack.meanwhile(|_| {
        sent += u64::from(channel.send(&frame, VirtioNetHdr::default())?);
        channel.receive(Duration::from_millis(20), |_| received += 1)?;
        Ok(channel.is_open())
    })?;
    println!("sent={sent}\nreceived={received}");
    channel.port.mute(false);
    channel.port.kick();
    attack.after_nuisance(&mut channel)
}

/// Calls `f` with channel after channel, each of another instance, and then sees whether the victim still makes one. Each
/// may be asked for so often, half a minute each time.
fn again(
    attack: &mut Attack,
    tries: u32,
    mut f: impl FnMut(&mut Attack, Channel) -> Result<()>,
) -> Result<Ending> {
    let mut channels = 0_u64;
    attack.meanwhile(|attack| {
        let channel = ask(attack, tries)?;
        channels += 1;
        f(attack, channel)?;
        attack.instance.renew()?;
        Ok(true)
    })?;
    println!("channels={channels}");
    let mut channel = ask(attack, tries)?;
    attack.after_nuisance(&mut channel)
}

/// A proven channel.
fn ask(attack: &mut Attack, tries: u32) -> Result<Channel> {
    for _ in 1..tries {
        match attack.proven() {
            Ok(channel) => return Ok(channel),
            Err(error) => println!("refusal={error:#}"),
        }
        attack.instance.renew()?;
    }
    attack.proven()
}

/// The tries of whom the victim closes at once: it has to get back first what was mapped then, before it grants more.
const OF_A_FAULT: u32 = 6;

/// Makes a channel and is gone, again and again.
fn reconnect(attack: &mut Attack) -> Result<Ending> {
    again(attack, 1, |_, channel| {
        channel.say(ChannelState::Gone);
        Ok(())
    })
}

/// Lets go of a channel's pages and port without a word, again and again.
fn vanish(attack: &mut Attack) -> Result<Ending> {
    again(attack, 1, |_, channel| {
        drop(channel);
        Ok(())
    })
}

/// How many events follow the end of a channel.
const LATE: u32 = 1000;

/// Sends events after the channel has ended, to a port that the victim may have closed or use for another one.
fn late_events(attack: &mut Attack) -> Result<Ending> {
    again(attack, 1, |_, channel| {
        channel.say(ChannelState::Gone);
        let port = channel.into_port();
        for _ in 0..LATE {
            port.kick();
        }
        Ok(())
    })
}

/// Makes channels and is gone, without letting go of what the victim has granted, or what was granted to it.
fn keep_mapped(attack: &mut Attack) -> Result<Ending> {
    let mut kept = Vec::new();
    let made = attack.meanwhile(|attack| {
        let channel = attack.proven()?;
        channel.say(ChannelState::Gone);
        kept.push(channel);
        attack.instance.renew()?;
        Ok(true)
    });
    println!("channels={}", kept.len());
    Ok(match made {
        Ok(()) => Ending::Open,
        Err(_) => Ending::Refused,
    })
}

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

/// Sends good frames, and meanwhile changes bytes of them and of their headers.
fn race(attack: &mut Attack) -> Result<Ending> {
    println!("seed={:#x}", attack.instance.epoch);
    let mut random = Random(attack.instance.epoch);
    again(attack, OF_A_FAULT, |attack, mut channel| {
        let ends = attack.ends()?;
        let ring = channel.another_tx()?;
        let seed = random.next() | 1;
        let stop = AtomicBool::new(false);
        scope(|scope| {
            let stop = &stop;
            scope.spawn(move || change_bytes(&ring, seed, stop));
            let frame = echo_request(&ends, 1, 1000);
            let sent = attack.meanwhile(|_| {
                if !channel.send(&frame, VirtioNetHdr::default())? {
                    channel.receive(Duration::from_millis(1), |_| {})?;
                }
                Ok(channel.is_open())
            });
            stop.store(true, Ordering::Relaxed);
            sent
        })
    })
}

/// Bytes of a ring whose records are being written, changed until told to stop.
fn change_bytes(ring: &Ring, seed: u64, stop: &AtomicBool) {
    let mut random = Random(seed);
    while !stop.load(Ordering::Relaxed) {
        let at = random.below(ring.size());
        put(ring, at, &[random.next() as u8]);
    }
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
