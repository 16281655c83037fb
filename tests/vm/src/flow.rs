// SPDX-License-Identifier: GPL-2.0
//! A flow of numbered records from one guest to another, as UDP datagrams or over one TCP connection, which tells every
//! one that is lost, doubled or changed.

use std::{collections::HashMap, fmt, thread::sleep, time::Duration};

use anyhow::{ensure, Context, Result};
use xlnet_lab::{
    agent::{Background, Output},
    guest::Guest,
};

use crate::bed::eventually;

/// The lab's program for both ends.
const PROGRAM: &str = "/lab/bin/xlnet-lab-flow";

/// When nothing has arrived for so long after the sender's end, nothing more will.
const QUIET: Duration = Duration::from_secs(2);

/// A flow under way. It ends when this is dropped.
pub(crate) struct Flow {
    name: String,
    tcp: bool,
    port: u16,
    sender: Background,
    receiver: Background,
    to: Guest,
}

/// What became of a flow.
pub(crate) struct Report {
    name: String,
    /// Records the sender's stack took.
    pub(crate) sent: u64,
    /// Attempts the sender's stack refused, and the last reason.
    refused: (u64, String),
    /// Different records that arrived.
    pub(crate) received: u64,
    /// Records that arrived more than once.
    doubled: u64,
    /// Records that arrived changed.
    changed: u64,
    /// The first numbers that are missing below the highest that arrived.
    missing: String,
}

impl Flow {
    /// Starts to send `rate` datagrams a second. `port` may belong to one flow of a receiver at a time.
    ///
    /// # Errors
    /// If an agent cannot be reached.
    pub(crate) fn start(from: &Guest, to: &Guest, port: u16, rate: u32) -> Result<Self> {
        Self::start_by("udp", from, to, port, rate, "")
    }

    /// The same over one TCP connection.
    ///
    /// # Errors
    /// As [`Flow::start`].
    pub(crate) fn start_tcp(from: &Guest, to: &Guest, port: u16, rate: u32) -> Result<Self> {
        Self::start_by("tcp", from, to, port, rate, "")
    }

    /// The same as [`Flow::start`], to begin at the moment the channel that stands now is closed.
    ///
    /// # Errors
    /// As [`Flow::start`].
    pub(crate) fn start_at_close(from: &Guest, to: &Guest, port: u16, rate: u32) -> Result<Self> {
        Self::start_by("udp", from, to, port, rate, &to.domid()?.to_string())
    }

    fn start_by(
        transport: &str,
        from: &Guest,
        to: &Guest,
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
            let find = format!("grep -q ':{port:04X} ' /proc/net/{transport}");
            Ok(to.try_sh(&find)?.success())
        })?;
        let ip = to.config.ip();
        let sender = from.spawn(&format!(
            "exec {PROGRAM} send {transport} {ip} {port} {rate} {peer}"
        ))?;
        Ok(Self {
            name,
            tcp: transport == "tcp",
            port,
            sender,
            receiver,
            to: to.clone(),
        })
    }

    /// Whether it is a TCP connection.
    pub(crate) fn is_tcp(&self) -> bool {
        self.tcp
    }

    /// Waits until at least `count` more datagrams have arrived.
    ///
    /// # Errors
    /// If they do not.
    pub(crate) fn await_more(&self, count: u64) -> Result<()> {
        let mut from = None;
        eventually(&format!("{}: {count} more datagrams", self.name), || {
            let now = progress(&self.to, self.port)?;
            Ok(now >= *from.get_or_insert(now) + count)
        })
    }

    /// Ends it, lets what is under way arrive, and says what became of it.
    ///
    /// # Errors
    /// If an end of it is gone.
    pub(crate) fn stop(mut self) -> Result<Report> {
        self.sender.signal(15)?;
        let sender = fields(&self.sender.wait()?).context("the flow's sender")?;
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
    pub(crate) fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }

    /// Fails unless datagrams were sent and every one of them arrived once, unchanged.
    ///
    /// # Errors
    /// If one did not.
    pub(crate) fn is_lossless(&self) -> Result<()> {
        ensure!(self.lost() == 0, "lost datagrams: {self}");
        self.is_sound()
    }

    /// Fails unless datagrams arrived, and none twice or changed. Some may be lost.
    ///
    /// # Errors
    /// If not so.
    pub(crate) fn is_sound(&self) -> Result<()> {
        ensure!(self.received > 0, "nothing arrived: {self}");
        ensure!(
            self.doubled == 0 && self.changed == 0 && self.refused.0 == 0,
            "datagrams were doubled, changed or refused: {self}"
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
