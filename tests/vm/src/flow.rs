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

/// When records arrived, by the receiver's time since its boot, in seconds.
pub struct Arrivals {
    /// Begin and end of every time of 0.1 s or more without a record.
    gaps: Vec<(f64, f64)>,
    /// The middle of each short time until the last record, and records a second in it.
    rate: Vec<(f64, f64)>,
}

impl Arrivals {
    fn parse(fields: &HashMap<String, String>) -> Result<Self> {
        let field = |key: &str| fields.get(key).with_context(|| format!("no {key}"));
        let begun: f64 = field("begun")?.parse().context("begun")?;
        let gap = |word: &str| -> Option<(f64, f64)> {
            let (from, to) = word.split_once('-')?;
            let at = |ms: &str| Some(begun + ms.parse::<f64>().ok()? / 1000.0);
            Some((at(from)?, at(to)?))
        };
        let length = field("bin_ms")?.parse::<f64>().context("bin_ms")? / 1000.0;
        let bin = |(index, word): (usize, &str)| -> Result<(f64, f64)> {
            let count: u32 = word.parse().with_context(|| format!("bin {word:?}"))?;
            let middle = begun + (index as f64 + 0.5) * length;
            Ok((middle, f64::from(count) / length))
        };
        Ok(Self {
            gaps: field("gaps")?
                .split_whitespace()
                .map(|word| gap(word).with_context(|| format!("gap {word:?}")))
                .collect::<Result<_>>()?,
            rate: field("bins")?
                .split_whitespace()
                .enumerate()
                .map(bin)
                .collect::<Result<_>>()?,
        })
    }

    /// As if so many had arrived in each quarter of a second since the boot.
    #[cfg(test)]
    pub(crate) fn of_quarters(counts: impl IntoIterator<Item = u32>) -> Self {
        let bin =
            |(index, count): (usize, u32)| ((index as f64 + 0.5) / 4.0, 4.0 * f64::from(count));
        Self {
            gaps: Vec::new(),
            rate: counts.into_iter().enumerate().map(bin).collect(),
        }
    }

    /// Records a second over time: of each quarter of a second the middle, in seconds since the receiver's boot, and the rate.
    #[must_use]
    pub fn rate(&self) -> &[(f64, f64)] {
        &self.rate
    }

    /// The longest time without a record, in seconds, of those that lie in `window` to some part; 0 if there is none of 0.1 s.
    #[must_use]
    pub fn longest_gap(&self, window: (f64, f64)) -> f64 {
        self.gaps
            .iter()
            .filter(|(from, to)| *from < window.1 && *to > window.0)
            .map(|(from, to)| to - from)
            .fold(0.0, f64::max)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(gaps: &str, bins: &str) -> Result<Arrivals> {
        let fields = [
            ("begun", "100.5"),
            ("gaps", gaps),
            ("bin_ms", "250"),
            ("bins", bins),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
        Arrivals::parse(&fields.into())
    }

    #[test]
    fn gaps_are_found_where_they_lie() {
        let arrivals = parse("200-700 5000-5150", "").unwrap();
        for (window, gap) in [
            ((100.0, 101.0), 0.5),
            ((101.0, 102.0), 0.5),
            ((102.0, 104.0), 0.0),
        ] {
            assert!(
                (arrivals.longest_gap(window) - gap).abs() < 1e-6,
                "{window:?}"
            );
        }
    }

    #[test]
    fn bins_become_a_rate_over_time() {
        let arrivals = parse("", "3 0 10").unwrap();
        assert_eq!(
            arrivals.rate(),
            [(100.625, 12.0), (100.875, 0.0), (101.125, 40.0)]
        );
        assert!(parse("", "").unwrap().rate().is_empty());
        assert!(parse("", "3 many").is_err());
    }
}
