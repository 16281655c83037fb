// SPDX-License-Identifier: GPL-2.0
//! One attack: a guest that the victim takes for a peer, and how it ends.

use std::{
    fmt,
    net::Ipv4Addr,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{ensure, Result};
use xlnet_proto::layout::VirtioNetHdr;

use crate::{
    channel::Channel,
    frame::{echo_request, is_echo_reply, Ends},
    instance::Instance,
};

/// How long an answer or a reaction may take: much longer than it does, so that this ends a test and measures nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long one echo request waits for its answer.
const ECHO: Duration = Duration::from_secs(1);

/// How the victim took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It closed the channel.
    Closed,
    /// The channel stands, and the victim answers through it.
    Open,
    /// It never made one.
    Refused,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ending::Closed => "closed",
            Ending::Open => "open",
            Ending::Refused => "refused",
        })
    }
}

/// Whom to attack, and for how long if it is something that lasts.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The victim's domain.
    pub victim: u16,
    /// This guest's address, by what the toolstack knows.
    pub own_ip: Ipv4Addr,
    /// The victim's.
    pub victim_ip: Ipv4Addr,
    /// How long what lasts does so.
    pub lasting: Duration,
}

/// An attack under way.
pub struct Attack {
    /// Whom it is against.
    pub target: Target,
    /// As what.
    pub instance: Instance,
}

impl Attack {
    /// Has the victim take this guest for a peer.
    ///
    /// # Errors
    /// As [`Instance::announce`].
    pub fn begin(target: Target) -> Result<Self> {
        let instance = Instance::announce(target.victim)?;
        Ok(Self { target, instance })
    }

    /// The addresses of an honest frame.
    ///
    /// # Errors
    /// If the victim is no peer any more.
    pub fn ends(&mut self) -> Result<Ends> {
        Ok(Ends {
            src_mac: self.instance.mac,
            dst_mac: self.instance.known()?.mac,
            src: self.target.own_ip,
            dst: self.target.victim_ip,
        })
    }

    /// A channel through which the victim has answered.
    ///
    /// # Errors
    /// If it does not make one, or does not answer.
    pub fn proven(&mut self) -> Result<Channel> {
        let mut channel = Channel::make(&mut self.instance)?;
        ensure!(
            self.is_answered(&mut channel)?,
            "the victim has not answered through a channel that is as it should be"
        );
        Ok(channel)
    }

    /// Whether the victim answers an echo request through the channel.
    ///
    /// # Errors
    /// If the victim breaks the protocol.
    pub fn is_answered(&mut self, channel: &mut Channel) -> Result<bool> {
        let ends = self.ends()?;
        let deadline = Instant::now() + PATIENCE;
        let mut sequence = 0;
        while Instant::now() < deadline && channel.is_open() {
            sequence += 1;
            channel.send(&echo_request(&ends, sequence, 56), VirtioNetHdr::default())?;
            let (mut answered, until) = (false, Instant::now() + ECHO);
            while !answered && Instant::now() < until {
                channel.receive(ECHO, |frame| {
                    answered |= is_echo_reply(frame, &ends, sequence);
                })?;
            }
            if answered {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What became of a channel after a breach: nothing more is sent through it.
    pub fn after_breach(&self, channel: &Channel) -> Ending {
        let deadline = Instant::now() + PATIENCE;
        while channel.is_open() {
            if Instant::now() > deadline {
                return Ending::Open;
            }
            sleep(Duration::from_millis(20));
        }
        Ending::Closed
    }

    /// What became of it after something that should not end it.
    ///
    /// # Errors
    /// If it stands, and the victim does not answer.
    pub fn after_nuisance(&mut self, channel: &mut Channel) -> Result<Ending> {
        if self.is_answered(channel)? {
            return Ok(Ending::Open);
        }
        ensure!(
            !channel.is_open(),
            "the channel stands, and the victim does not answer any more"
        );
        Ok(Ending::Closed)
    }

    /// Calls `f` until what lasts is over, or it says that it is.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn meanwhile(&mut self, mut f: impl FnMut(&mut Self) -> Result<bool>) -> Result<()> {
        let end = Instant::now() + self.target.lasting;
        while Instant::now() < end && f(self)? {}
        Ok(())
    }
}
