// SPDX-License-Identifier: GPL-2.0
//! Measures a path between two guests with netperf and ping.
//!
//! Emulated times mean nothing by themselves. Only ratios between paths of one boot do.

use std::time::Duration;

use anyhow::{bail, Context, Result};
use serde::{Deserialize, Serialize};

use crate::agent::Agent;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "test", rename_all = "snake_case")]
pub enum Test {
    /// Round trip of flood-ping, ms.
    Ping,
    /// One TCP stream of messages of so many bytes, Mb/s.
    TcpStream {
        /// Bytes per send.
        size: u32,
    },
    /// One UDP stream of datagrams of so many bytes, Mb/s received.
    UdpStream {
        /// Bytes per datagram.
        size: u32,
    },
    /// One byte there and back over TCP, per second.
    TcpRr,
    /// One byte there and back over UDP, per second.
    UdpRr,
}

impl Test {
    /// As netperf calls it, with the message size.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Ping => "ping RTT".to_owned(),
            Self::TcpStream { size } => format!("TCP_STREAM {}", bytes(size)),
            Self::UdpStream { size } => format!("UDP_STREAM {}", bytes(size)),
            Self::TcpRr => "TCP_RR".to_owned(),
            Self::UdpRr => "UDP_RR".to_owned(),
        }
    }

    /// Unit of its figure.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Ping => "ms",
            Self::TcpStream { .. } | Self::UdpStream { .. } => "Mb/s",
            Self::TcpRr | Self::UdpRr => "/s",
        }
    }

    /// Whether a smaller figure is the better one.
    #[must_use]
    pub fn less_is_better(self) -> bool {
        matches!(self, Self::Ping)
    }

    /// The shell command that measures the path to `ip` for so many seconds of the guest's time.
    fn command(self, ip: &str, seconds: u32) -> String {
        let netperf = |test: &str, local: &str, output: &str| {
            // -R 1: netperf refuses to send UDP off-link unless told.
            format!("netperf -P 0 -H {ip} -l {seconds} -t {test} -- {local} -o {output}")
        };
        match self {
            Self::Ping => format!("ping -q -f -w {seconds} {ip}"),
            Self::TcpStream { size } => netperf("TCP_STREAM", &format!("-m {size}"), "THROUGHPUT"),
            Self::UdpStream { size } => netperf(
                "UDP_STREAM",
                &format!("-R 1 -m {size}"),
                "REMOTE_RECV_THROUGHPUT",
            ),
            Self::TcpRr => netperf("TCP_RR", "", "THROUGHPUT"),
            Self::UdpRr => netperf("UDP_RR", "", "THROUGHPUT"),
        }
    }

    fn figure(self, output: &str) -> Result<f64> {
        let text = match self {
            // "rtt min/avg/max/mdev = 0.1/0.2/0.3/0.1 ms, ipg/ewma 1/2 ms"
            Self::Ping => output.lines().find_map(|line| {
                line.strip_prefix("rtt ")?
                    .split(" = ")
                    .nth(1)?
                    .split('/')
                    .nth(1)
            }),
            _ => output.lines().map(str::trim).rfind(|line| !line.is_empty()),
        };
        text.and_then(|text| text.parse().ok())
            .filter(|figure: &f64| figure.is_finite())
            .with_context(|| format!("{}: no figure in {output:?}", self.name()))
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
    guest
        .sh("pgrep -x netserver >/dev/null || netserver >/dev/null")
        .map(drop)
}

/// Measures from `guest` to `ip`, where netperf's server must run, for so many seconds of the guest's time.
///
/// # Errors
/// If netperf fails or says nothing that is a figure.
pub fn measure(guest: &Agent, test: Test, ip: &str, seconds: u32) -> Result<f64> {
    let command = test.command(ip, seconds);
    // The emulated clock may be slower than the real one.
    let limit = Duration::from_secs(60 + 10 * u64::from(seconds));
    let output = guest.run(&["sh", "-c", &command], b"", limit)?;
    if !output.success() {
        bail!("{}: `{command}`: {output}", guest.name());
    }
    test.figure(&output.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found() {
        let ping = "PING x\n\n--- x ping statistics ---\n3 packets transmitted, 3 received\n\
                    rtt min/avg/max/mdev = 11.390/51.647/80.643/29.372 ms, pipe 2, ipg/ewma 1.0/2.0 ms\n";
        assert!((Test::Ping.figure(ping).unwrap() - 51.647).abs() < 1e-9);
        assert!((Test::TcpRr.figure("390.25\n").unwrap() - 390.25).abs() < 1e-9);
        assert!(Test::TcpRr.figure("recv_response: no response\n").is_err());
    }
}
