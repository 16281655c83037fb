// SPDX-License-Identifier: GPL-2.0
//! Measures a path between two guests with netperf and ping.
//!
//! Emulated times mean nothing by themselves. Only ratios between paths of one boot do.

use std::time::Duration;

use anyhow::{bail, ensure, Result};
use serde::{Deserialize, Serialize};

use crate::agent::Agent;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "test", rename_all = "snake_case")]
pub enum Test {
    /// Round trips of a ping that sends as soon as it has its answer, ms each.
    Ping,
    /// One TCP stream of messages of so many bytes, Mb/s.
    TcpStream {
        /// Bytes per send.
        size: u32,
    },
    /// TCP streams side by side, Mb/s together.
    TcpStreams {
        /// Bytes per send.
        size: u32,
        /// How many.
        count: u32,
    },
    /// One TCP stream each way at once, Mb/s together.
    TcpBothWays {
        /// Bytes per send.
        size: u32,
    },
    /// One UDP stream of datagrams of so many bytes, Mb/s received.
    UdpStream {
        /// Bytes per datagram.
        size: u32,
    },
    /// A message there and one back over TCP, per second.
    TcpRr {
        /// Bytes of each.
        size: u32,
    },
    /// A message there and one back over UDP, per second.
    UdpRr {
        /// Bytes of each.
        size: u32,
    },
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Milliseconds: less is better.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Millions of bits a second.
    #[serde(rename = "Mb/s")]
    Megabits,
    /// Transactions a second.
    #[serde(rename = "/s")]
    Transactions,
}

impl Unit {
    /// As written behind a figure.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Megabits => "Mb/s",
            Self::Transactions => "/s",
        }
    }
}

impl Test {
    /// As netperf calls it, with the message size.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Ping => "ping RTT".to_owned(),
            Self::TcpStream { size } => format!("TCP_STREAM {}", bytes(size)),
            Self::TcpStreams { size, count } => format!("{count} x TCP_STREAM {}", bytes(size)),
            Self::TcpBothWays { size } => format!("TCP both ways {}", bytes(size)),
            Self::UdpStream { size } => format!("UDP_STREAM {}", bytes(size)),
            Self::TcpRr { size } => format!("TCP_RR {}", bytes(size)),
            Self::UdpRr { size } => format!("UDP_RR {}", bytes(size)),
        }
    }

    /// Unit of its figure.
    #[must_use]
    pub fn unit(self) -> Unit {
        match self {
            Self::Ping => Unit::Milliseconds,
            Self::TcpRr { .. } | Self::UdpRr { .. } => Unit::Transactions,
            _ => Unit::Megabits,
        }
    }

    /// The shell command that measures the path to `ip` for so many seconds of the guest's time. Each line of its output
    /// that is a number is a figure.
    fn command(self, ip: &str, seconds: u32) -> String {
        let netperf = |test: &str, options: &str, output: &str| {
            format!("netperf -P 0 -H {ip} -l {seconds} -t {test} -- {options} -o {output}")
        };
        let stream = |test: &str, size| netperf(test, &format!("-m {size}"), "THROUGHPUT");
        // What runs in the background must not fail unseen.
        let together = |commands: &[String]| {
            let begun: String = commands
                .iter()
                .map(|command| format!("{command} & pids=\"$pids $!\"\n"))
                .collect();
            format!("{begun}for pid in $pids; do wait $pid || exit 1; done")
        };
        match self {
            Self::Ping => {
                // An interval of 0 is a flood, each request sent at the answer to the one before. What ping prints goes
                // into a file: who reads it meanwhile wants the CPU between two of them.
                format!(
                    "out=$(mktemp) && ping -i 0 -w {seconds} {ip} >\"$out\"; status=$?; \
                     sed -n 's/.* time=\\([0-9.]*\\) ms$/\\1/p' \"$out\"; rm -f \"$out\"; exit $status"
                )
            }
            Self::TcpStream { size } => stream("TCP_STREAM", size),
            Self::TcpStreams { size, count } => {
                together(&vec![stream("TCP_STREAM", size); count as usize])
            }
            Self::TcpBothWays { size } => {
                together(&[stream("TCP_STREAM", size), stream("TCP_MAERTS", size)])
            }
            // -R 1: netperf refuses to send UDP off-link unless told.
            Self::UdpStream { size } => netperf(
                "UDP_STREAM",
                &format!("-R 1 -m {size}"),
                "REMOTE_RECV_THROUGHPUT",
            ),
            Self::TcpRr { size } => netperf("TCP_RR", &format!("-r {size},{size}"), "THROUGHPUT"),
            Self::UdpRr { size } => netperf("UDP_RR", &format!("-r {size},{size}"), "THROUGHPUT"),
        }
    }

    /// How many figures a run has at least.
    fn least(self) -> usize {
        match self {
            Self::TcpStreams { count, .. } => count as usize,
            Self::TcpBothWays { .. } => 2,
            _ => 1,
        }
    }

    /// One figure; of a ping, each round trip.
    fn figures(self, output: &str) -> Result<Vec<f64>> {
        let figures: Vec<f64> = output
            .lines()
            .filter_map(|line| line.trim().parse().ok())
            .filter(|figure: &f64| figure.is_finite())
            .collect();
        ensure!(
            figures.len() >= self.least(),
            "{}: too few figures in {output:?}",
            self.name()
        );
        Ok(match self {
            Self::Ping => figures,
            _ => vec![figures.iter().sum()],
        })
    }
}

fn bytes(size: u32) -> String {
    if size >= 1024 && size % 1024 == 0 {
        format!("{} KiB", size / 1024)
    } else {
        format!("{size} B")
    }
}

/// Starts netperf's server, unless it runs.
///
/// # Errors
/// If it does not start.
pub fn serve(guest: &Agent) -> Result<()> {
    // The agent kills what is left of a command's process group, which the server leaves only after its parent has ended.
    guest
        .sh("pgrep -x netserver >/dev/null || setsid -w netserver >/dev/null")
        .map(drop)
}

/// Measures from `guest` to `ip`, where netperf's server must run, for so many seconds of the guest's time. Returns one
/// figure, or of a ping each round trip.
///
/// # Errors
/// If netperf fails or says nothing that is a figure.
pub fn measure(guest: &Agent, test: Test, ip: &str, seconds: u32) -> Result<Vec<f64>> {
    let command = test.command(ip, seconds);
    // The emulated clock may be slower than the real one.
    let limit = Duration::from_secs(60 + 10 * u64::from(seconds));
    let output = guest.run(&["sh", "-c", &command], b"", limit)?;
    if !output.success() {
        bail!("{}: `{command}`: {output}", guest.name());
    }
    test.figures(&output.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found() {
        assert_eq!(Test::Ping.figures("1.5\n0.25\n").unwrap(), [1.5, 0.25]);
        let rr = Test::TcpRr { size: 1 };
        assert_eq!(rr.figures("390.25\n").unwrap(), [390.25]);
        assert!(rr.figures("recv_response: no response\n").is_err());
        let both = Test::TcpBothWays { size: 64 };
        assert_eq!(both.figures("100\n20.5\n").unwrap(), [120.5]);
        assert!(both.figures("100\n").is_err());
    }
}
