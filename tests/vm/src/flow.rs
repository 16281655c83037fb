// SPDX-License-Identifier: GPL-2.0
//! A flow of numbered records from one guest to another, as UDP datagrams or over one TCP connection, which tells every
//! one that is lost, doubled or changed, and when they arrived.

use std::{collections::HashMap, fmt, thread::sleep, time::Duration};

use anyhow::{ensure, Context, Result};
use xlnet_lab::{
    agent::{Background, Output},
    guest::Guest,
};

use crate::bed::eventually;

mod arrivals;

pub use arrivals::Arrivals;

/// The lab's program for both ends.
const PROGRAM: &str = "/lab/bin/xlnet-lab-flow";

/// When nothing has arrived for so long after the sender's end, nothing more will.
const QUIET: Duration = Duration::from_secs(2);

/// A flow under way. It ends when this is dropped.
pub struct Flow {
    name: String,
    tcp: bool,
    port: u16,
    /// Until it has ended.
    sender: Option<Background>,
    /// What it said then.
    ended: Option<Output>,
    receiver: Background,
    to: Guest,
}

/// What became of a flow.
pub struct Report {
    name: String,
    /// Records the sender's stack took.
    pub sent: u64,
    /// Attempts the sender's stack refused, and the last reason.
    refused: (u64, String),
    /// Different records that arrived.
    pub(crate) received: u64,
    /// Records that arrived more than once.
    pub(crate) doubled: u64,
    /// Records that arrived changed.
    changed: u64,
    /// The first numbers that are missing below the highest that arrived.
    missing: String,
    /// When the records arrived.
    pub arrivals: Arrivals,
}

impl Flow {
    /// Starts to send `rate` datagrams a second. `port` may belong to one flow of a receiver at a time.
    ///
    /// # Errors
    /// If an agent cannot be reached.
    pub fn start(from: &Guest, to: &Guest, port: u16, rate: u32) -> Result<Self> {
        Self::start_by("udp", from, to, &to.config.ip(), port, rate, "")
    }

    /// The same by the uplink, whatever routes there are.
    ///
    /// # Errors
    /// As [`Flow::start`].
    pub(crate) fn start_by_uplink(from: &Guest, to: &Guest, port: u16, rate: u32) -> Result<Self> {
        from.add_plain_ip()?;
        to.add_plain_ip()?;
        Self::start_by("udp", from, to, &to.config.plain_ip(), port, rate, "")
    }

    /// The same over one TCP connection.
    ///
    /// # Errors
    /// As [`Flow::start`].
    pub(crate) fn start_tcp(from: &Guest, to: &Guest, port: u16, rate: u32) -> Result<Self> {
        Self::start_by("tcp", from, to, &to.config.ip(), port, rate, "")
    }

    /// The same over one TCP connection, where each record waits for the answer to the one before.
    ///
    /// # Errors
    /// As [`Flow::start`].
    pub fn start_rr(from: &Guest, to: &Guest, port: u16, rate: u32) -> Result<Self> {
        Self::start_by("rr", from, to, &to.config.ip(), port, rate, "")
    }

    /// The same as [`Flow::start`], to begin at the moment the channel that stands now is closed.
    ///
    /// # Errors
    /// As [`Flow::start`].
    pub(crate) fn start_at_close(from: &Guest, to: &Guest, port: u16, rate: u32) -> Result<Self> {
        Self::start_by(
            "udp",
            from,
            to,
            &to.config.ip(),
            port,
            rate,
            &to.domid()?.to_string(),
        )
    }

    fn start_by(
        transport: &str,
        from: &Guest,
        to: &Guest,
        ip: &str,
        port: u16,
        rate: u32,
        peer: &str,
    ) -> Result<Self> {
        let receiver = to.spawn(&format!(
            "exec {PROGRAM} receive {transport} {port} /run/flow.{port}"
        ))?;
        let name = format!("{transport} flow {} to {}", from.name(), to.name());
        eventually(&format!("{name}: the receiver listens"), || {
            ensure!(!receiver.is_finished(), "it has ended");
            // The local address is the first; of TCP, a socket that listens has the state 0A.
            let (protocol, rest) = match transport {
                "udp" => ("udp", ""),
                _ => ("tcp", "[0-9A-F]+:0000 0A "),
            };
            let find =
                format!("grep -Eq '^ *[0-9]+: [0-9A-F]+:{port:04X} {rest}' /proc/net/{protocol}");
            Ok(to.try_sh(&find)?.success())
        })?;
        let sender = from.spawn(&format!(
            "exec {PROGRAM} send {transport} {ip} {port} {rate} {peer}"
        ))?;
        Ok(Self {
            name,
            tcp: transport != "udp",
            port,
            sender: Some(sender),
            ended: None,
            receiver,
            to: to.clone(),
        })
    }

    /// Whether it is a TCP connection.
    pub(crate) fn is_tcp(&self) -> bool {
        self.tcp
    }

    /// Notes that a guest has come to another host. If it is the receiver, it is asked there from now on.
    pub fn follow(&mut self, guest: &Guest) {
        if guest.config.number == self.to.config.number {
            self.to = guest.clone();
        }
    }

    /// Waits until at least `count` more datagrams have arrived.
    ///
    /// # Errors
    /// If they do not.
    pub fn await_more(&self, count: u64) -> Result<()> {
        let mut from = None;
        eventually(&format!("{}: {count} more datagrams", self.name), || {
            let now = progress(&self.to, self.port)?;
            Ok(now >= *from.get_or_insert(now) + count)
        })
    }

    /// Has the sender end. What it has sent may still arrive.
    ///
    /// # Errors
    /// If it is gone.
    pub fn end_sending(&mut self) -> Result<()> {
        if let Some(mut sender) = self.sender.take() {
            sender.signal(15)?;
            self.ended = Some(sender.wait()?);
        }
        Ok(())
    }

    /// Ends it, lets what is under way arrive, and says what became of it.
    ///
    /// # Errors
    /// If an end of it is gone.
    pub fn stop(mut self) -> Result<Report> {
        self.end_sending()?;
        let sender = self.ended.take().context("the sender said nothing")?;
        let sender = fields(&sender).context("the flow's sender")?;
        let number = |fields: &HashMap<String, String>, key: &str| -> Result<u64> {
            let text = fields.get(key).with_context(|| format!("no {key}"))?;
            text.parse().with_context(|| format!("{key}={text:?}"))
        };
        let sent = number(&sender, "sent")?;
        let mut arrived = None;
        loop {
            let now = progress(&self.to, self.port)?;
            if now >= sent || arrived.replace(now) == Some(now) {
                break;
            }
            sleep(QUIET);
        }
        self.receiver.signal(15)?;
        let receiver = fields(&self.receiver.wait()?).context("the flow's receiver")?;
        Ok(Report {
            name: self.name,
            sent,
            refused: (
                number(&sender, "refused")?,
                sender.get("why").cloned().unwrap_or_default(),
            ),
            received: number(&receiver, "received")?,
            doubled: number(&receiver, "doubled")?,
            changed: number(&receiver, "changed")?,
            missing: receiver.get("missing").cloned().unwrap_or_default(),
            arrivals: Arrivals::parse(&receiver)?,
        })
    }
}

/// How many datagrams have arrived.
fn progress(to: &Guest, port: u16) -> Result<u64> {
    let text = to.sh(&format!("cat /run/flow.{port}"))?;
    text.trim().parse().with_context(|| format!("{text:?}"))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (refused, why) = &self.refused;
        write!(
            f,
            "{}: {} sent, {refused} refused ({why}), {} received, {} doubled, {} changed, missing: {}",
            self.name, self.sent, self.received, self.doubled, self.changed, self.missing
        )
    }
}

impl Report {
    /// How many datagrams were lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }

    /// Fails unless datagrams were sent and every one of them arrived once, unchanged.
    ///
    /// # Errors
    /// If one did not.
    pub fn is_lossless(&self) -> Result<()> {
        ensure!(self.lost() == 0, "lost datagrams: {self}");
        self.is_sound()
    }

    /// Fails unless datagrams arrived, and none twice or changed, and the sender's stack took all. Some may be lost.
    ///
    /// # Errors
    /// If not so.
    pub fn is_sound(&self) -> Result<()> {
        ensure!(self.refused.0 == 0, "datagrams were refused: {self}");
        self.is_intact()
    }

    fn is_intact(&self) -> Result<()> {
        self.is_intact_but_for(0)
    }

    /// As [`Report::is_sound`], where the stack may have had no way to the receiver for a while, and so many datagrams may have
    /// arrived twice.
    ///
    /// # Errors
    /// If not so.
    pub(crate) fn is_intact_but_for(&self, doubled: u64) -> Result<()> {
        ensure!(self.received > 0, "nothing arrived: {self}");
        ensure!(
            self.doubled <= doubled && self.changed == 0,
            "datagrams were doubled or changed: {self}"
        );
        Ok(())
    }
}

fn fields(output: &Output) -> Result<HashMap<String, String>> {
    ensure!(output.success(), "{output}");
    Ok(output
        .text()
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect())
}
