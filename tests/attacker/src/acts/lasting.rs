// SPDX-License-Identifier: GPL-2.0
//! What goes on for a while, as long as was asked for: silence, floods, storms, and channel after channel.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{ensure, Result};
use xlnet_proto::{
    layout::{ChannelState, VirtioNetHdr},
    mem::{SharedMem, Word},
    sync::LoadOrder,
};

use super::Act;
use crate::{
    attack::{Attack, Ending},
    channel::Channel,
    frame::{datagram, echo_request},
    instance::until,
};

pub(super) const ACTS: &[Act] = &[
    Act::new("deaf", deaf),
    Act::new("flood", flood),
    Act::new("storm", storm),
    Act::new("mute", mute),
    Act::new("unheard", unheard),
    Act::new("ask-anew", ask_anew),
    Act::new("reconnect", reconnect),
    Act::new("vanish", vanish),
    Act::new("late-events", late_events),
    Act::new("keep-mapped", keep_mapped),
];

/// A port on which nobody listens.
const DISCARD: u16 = 9;

/// Of what is done without pause: less would be none of that.
const MANY: u64 = 100;

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
    ensure!(sent >= MANY, "that is no flood");
    attack.after_nuisance(&mut channel)
}

/// Sends events for which there is no reason.
fn storm(attack: &mut Attack) -> Result<Ending> {
    let mut channel = attack.proven()?;
    let mut kicks = 0_u64;
    attack.meanwhile(|_| {
        channel.port.kick();
        kicks += 1;
        // What the victim sends to all must not lie there: it would mind that, and not the events.
        if kicks % MANY == 0 {
            channel.receive(Duration::ZERO, |_| {})?;
        }
        Ok(channel.is_open())
    })?;
    println!("kicks={kicks}");
    ensure!(kicks >= MANY, "that is no storm");
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
    ensure!(received > 0, "the victim has sent nothing");
    channel.port.mute(false);
    channel.port.kick();
    attack.after_nuisance(&mut channel)
}

/// How long a victim that has nothing more to send, or no space for it, is taken to be silent.
const SILENCE: Duration = Duration::from_secs(1);

/// The bytes that the victim says it has produced.
fn produced(channel: &Channel) -> u32 {
    channel.raw_rx.load(Word::Prod, LoadOrder::Relaxed)
}

/// Lets the victim fill its ring, takes all of that without an event, and has one frame lie there of which no event tells
/// either. The victim goes on by itself.
fn unheard(attack: &mut Attack) -> Result<Ending> {
    let mut channel = attack.proven()?;
    let frame = echo_request(&attack.ends()?, 1, 8000);
    let (mut last, mut since) = (produced(&channel), Instant::now());
    while channel.is_open() && since.elapsed() < SILENCE {
        channel.send(&frame, VirtioNetHdr::default())?;
        sleep(Duration::from_millis(10));
        let now = produced(&channel);
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    channel.port.mute(true);
    channel.send(&frame, VirtioNetHdr::default())?;
    // A victim that was woken a moment ago may still look by itself.
    sleep(SILENCE);
    let mut taken = 0_u64;
    channel.receive(Duration::ZERO, |_| taken += 1)?;
    let waited = Instant::now();
    until("the victim goes on without an event", || {
        let mut more = 0_u64;
        channel.receive(Duration::from_millis(20), |_| more += 1)?;
        Ok((more > 0).then_some(()))
    })?;
    println!(
        "taken={taken}\nmore_after_s={:.1}",
        waited.elapsed().as_secs_f64()
    );
    channel.port.mute(false);
    channel.port.kick();
    attack.after_nuisance(&mut channel)
}

/// Asks for channel after channel, and maps none. A connector's.
fn ask_anew(attack: &mut Attack) -> Result<Ending> {
    let mut want = 0;
    attack.meanwhile(|attack| {
        want += 1;
        attack.instance.say(want, None)?;
        sleep(Duration::from_millis(20));
        Ok(true)
    })?;
    println!("asked={want}");
    ensure!(u64::from(want) >= MANY, "that is not often");
    attack.instance.renew()?;
    let mut channel = attack.proven()?;
    attack.after_nuisance(&mut channel)
}

/// Calls `f` with channel after channel, each of another instance, and then sees whether the victim still makes one. Each
/// may be asked for so often, half a minute each time.
pub(super) fn again(
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
    ensure!(
        kept.len() >= 2,
        "that is not what the victim has to allow: {made:?}"
    );
    Ok(match made {
        Ok(()) => Ending::Open,
        Err(_) => Ending::Refused,
    })
}
