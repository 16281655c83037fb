// SPDX-License-Identifier: GPL-2.0
//! A flow of numbered UDP datagrams from one guest to another, which tells every one that is lost, doubled or changed.

use std::{collections::HashMap, fmt, thread::sleep, time::Duration};

use anyhow::{ensure, Context, Result};
use xlnet_lab::{
    agent::{Background, Output},
    guest::Guest,
};

use crate::bed::eventually;

/// A datagram is its number and a pattern whose length follows from the number: it fits any uplink. With a domid, it
/// waits until the channel with that peer is not up any more before it begins. In builtins of bash alone, as processes
/// are dear in a small guest: to pause is to read from the standard input, where nothing ever comes.
const SEND: &str = r#"
ip=$1 port=$2 pause=$3 domid=$4 stop= sent=0 refused=0
trap stop=1 TERM
is_up() {
    while read -r line; do
        [[ $line == "peer domid=$domid "*" state=up "* ]] && return
    done < /sys/class/net/xlnet0/xlnet/peers
    return 1
}
await_close() {
    exec 4< <(exec udevadm monitor --kernel --property --subsystem-match=net)
    while [ -z "$stop" ] && is_up; do
        while read -rt 2 -u 4 event && [[ $event != XLNET_EVENT=* ]]; do :; done
    done
    exec 4<&-
}
pattern=0123456789abcdefghijklmnopqrstuvwxyz
while [ ${#pattern} -lt 1390 ]; do pattern=$pattern$pattern; done
exec 3> "/dev/udp/$ip/$port"
[ "$domid" = 0 ] || await_close
while [ -z "$stop" ]; do
    if printf '%d %s\n' $sent "${pattern:0:sent*37%1390}" >&3; then sent=$((sent+1)); else refused=$((refused+1)); fi
    read -rt "$pause"
done
echo "sent=$sent"
echo "refused=$refused"
"#;

/// Judges what has arrived, a line for each datagram. It has no single quote.
const JUDGE: &str = r#"
BEGIN {
    pattern = "0123456789abcdefghijklmnopqrstuvwxyz"
    while (length(pattern) < 1390) pattern = pattern pattern
}
{
    if ($0 != $1 " " substr(pattern, 1, $1 * 37 % 1390)) changed++
    if (seen[$1]++) doubled++; else received++
    if ($1 + 0 > top) top = $1 + 0
}
END {
    for (i = 0; i <= top; i++)
        if (!(i in seen) && missing++ < 20) list = list " " i
    printf "received=%d\nchanged=%d\ndoubled=%d\nmissing=%s\n", received, changed, doubled, list
}
"#;

/// When nothing has arrived for so long after the sender's end, nothing more will.
const QUIET: Duration = Duration::from_secs(2);

/// A flow under way. It ends when this is dropped.
pub(crate) struct Flow {
    name: String,
    port: u16,
    sender: Background,
    receiver: Background,
    to: Guest,
}

/// What became of a flow.
pub(crate) struct Report {
    name: String,
    /// Datagrams the sender's stack took.
    pub(crate) sent: u64,
    /// Attempts the sender's stack refused, and the last reason.
    refused: (u64, String),
    /// Different datagrams that arrived.
    pub(crate) received: u64,
    /// Datagrams that arrived more than once.
    doubled: u64,
    /// Datagrams that arrived changed.
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
        Self::start_by(from, to, port, rate, None)
    }

    /// The same, to begin at the moment the channel that stands now is closed.
    ///
    /// # Errors
    /// As [`Flow::start`].
    pub(crate) fn start_at_close(from: &Guest, to: &Guest, port: u16, rate: u32) -> Result<Self> {
        Self::start_by(from, to, port, rate, Some(to.domid()?))
    }

    fn start_by(from: &Guest, to: &Guest, port: u16, rate: u32, peer: Option<u32>) -> Result<Self> {
        // The receiver may not get the processor for a while, and what it loses then is not the path's.
        let receiver = to.spawn(&format!(
            "echo 16777216 > /proc/sys/net/core/rmem_max; : > /run/flow.{port}
            exec socat -u UDP4-RECV:{port},rcvbuf=16777216 OPEN:/run/flow.{port},append"
        ))?;
        let name = format!("flow {} to {}", from.name(), to.name());
        eventually(&format!("{name}: the receiver listens"), || {
            ensure!(!receiver.is_finished(), "it has ended");
            let find = format!("grep -q ':{port:04X} ' /proc/net/udp");
            Ok(to.try_sh(&find)?.success())
        })?;
        let pause = 1.0 / f64::from(rate);
        let ip = to.config.ip();
        let peer = peer.unwrap_or(0);
        let sender = from.spawn(&format!(
            "exec bash -c \"$(cat <<'END'\n{SEND}\nEND\n)\" flow-send {ip} {port} {pause} {peer}"
        ))?;
        Ok(Self {
            name,
            port,
            sender,
            receiver,
            to: to.clone(),
        })
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
        let ended = self.sender.wait()?;
        let mut sender = fields(&ended).context("the flow's sender")?;
        sender.insert(
            "why".to_owned(),
            String::from_utf8_lossy(&ended.stderr).into_owned(),
        );
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
        drop(self.receiver);
        let file = format!("/run/flow.{}", self.port);
        let judged = self
            .to
            .try_sh(&format!("awk '{JUDGE}' {file} && rm {file}"))?;
        let receiver = fields(&judged).context("the flow's receiver")?;
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
    let text = to.sh(&format!("wc -l < /run/flow.{port}"))?;
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
