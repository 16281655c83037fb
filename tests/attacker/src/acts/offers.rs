// SPDX-License-Identifier: GPL-2.0
//! Offers that lead to no channel, or to one of pages that are not what they should be. Only a listener makes them.

use std::{thread::sleep, time::Duration};

use anyhow::Result;
use xlnet_proto::layout::ChannelState;

use super::Act;
use crate::{
    attack::{Attack, Ending},
    channel::{Channel, Draft},
    evtchn::Port,
    grant::Pages,
};

pub(super) const ACTS: &[Act] = &[
    Act::new("offer-magic", |attack| {
        header(attack, |draft| draft.header.magic = 0)
    }),
    Act::new("offer-version", |attack| {
        header(attack, |draft| draft.header.version = 2)
    }),
    Act::new("offer-small-rings", |attack| {
        header(attack, |draft| draft.header.ring_shift = 16)
    }),
    Act::new("offer-large-rings", |attack| {
        header(attack, |draft| draft.header.ring_shift = 31)
    }),
    Act::new("offer-channel", |attack| {
        header(attack, |draft| draft.header.channel = 9)
    }),
    Act::new("offer-epoch", |attack| {
        header(attack, |draft| draft.header.listener_epoch ^= 1)
    }),
    Act::new("offer-features", |attack| {
        header(attack, |draft| draft.header.features = 1 << 31)
    }),
    Act::new("offer-no-grant", |attack| {
        header(attack, |draft| draft.offer.gref = NO_GRANT)
    }),
    Act::new("offer-half-a-directory", |attack| {
        header(attack, |draft| {
            let half = draft.directory.len() / 2;
            draft.directory[half..].fill(NO_GRANT);
        })
    }),
    Act::new("offer-no-port", |attack| {
        header(attack, |draft| draft.offer.evtchn = NO_PORT)
    }),
    Act::new("offer-grant-of-another", |attack| {
        control(attack, |_| granted(DOM0, true))
    }),
    Act::new("offer-grant-read-only", |attack| {
        control(attack, |victim| granted(victim, false))
    }),
    Act::new("offer-grant-revoked", |attack| {
        control(attack, |victim| Ok((granted(victim, true)?.0, None)))
    }),
    Act::new("offer-port-of-another", foreign_port),
    Act::new("offer-one-page-for-all", one_page),
];

/// A grant reference that no guest of the lab gets to.
const NO_GRANT: u32 = 0x00ff_ffff;

/// A port that none gets to.
const NO_PORT: u32 = 100_000;

/// The domain that is neither of the two.
const DOM0: u16 = 0;

/// Waits for what the victim makes of an offer.
fn outcome(attack: &mut Attack, mut channel: Channel) -> Result<Ending> {
    channel.say(ChannelState::Ready);
    attack.meanwhile(|_| {
        sleep(Duration::from_millis(50));
        Ok(!channel.is_open())
    })?;
    match channel.is_open() {
        true => attack.after_nuisance(&mut channel),
        false => Ok(Ending::Refused),
    }
}

/// Makes an offer of which something was changed.
fn header(attack: &mut Attack, change: fn(&mut Draft)) -> Result<Ending> {
    let mut draft = Draft::new(&mut attack.instance)?;
    change(&mut draft);
    let channel = draft.publish(&mut attack.instance)?;
    outcome(attack, channel)
}

/// Makes an offer whose control page is another one; it is kept as long as the offer stands, if there is one.
fn control(attack: &mut Attack, page: fn(u16) -> Result<(u32, Option<Pages>)>) -> Result<Ending> {
    let mut draft = Draft::new(&mut attack.instance)?;
    // After the others, which would get a reference that has just been given back.
    let (gref, page) = page(attack.target.victim)?;
    draft.offer.gref = gref;
    let channel = draft.publish(&mut attack.instance)?;
    let ending = outcome(attack, channel);
    drop(page);
    ending
}

fn granted(to: u16, writable: bool) -> Result<(u32, Option<Pages>)> {
    let page = Pages::grant(to, 1, writable)?;
    Ok((page.refs[0], Some(page)))
}

fn foreign_port(attack: &mut Attack) -> Result<Ending> {
    let port = Port::listen(DOM0)?;
    let mut draft = Draft::new(&mut attack.instance)?;
    draft.offer.evtchn = port.number();
    let channel = draft.publish(&mut attack.instance)?;
    outcome(attack, channel)
}

/// Both rings are one page, over and over: the victim reads what it writes itself.
fn one_page(attack: &mut Attack) -> Result<Ending> {
    let mut draft = Draft::new(&mut attack.instance)?;
    let first = draft.directory[0];
    draft.directory.fill(first);
    let channel = draft.publish(&mut attack.instance)?;
    channel.say(ChannelState::Ready);
    attack.meanwhile(|_| {
        sleep(Duration::from_millis(50));
        Ok(true)
    })?;
    Ok(if channel.is_open() {
        Ending::Open
    } else {
        Ending::Closed
    })
}
