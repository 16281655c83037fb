// SPDX-License-Identifier: GPL-2.0
//! Transfers of known content between guests, by socat, judged by the SHA-256 of what arrives.

use std::{
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{ensure, Context, Result};
use xlnet_lab::{
    agent::{Agent, Background},
    guest::Guest,
};

/// Bytes of the block that streams repeat: more than is ever under way, so that nothing can be swapped unnoticed.
pub(crate) const BLOCK: usize = 4 << 20;

/// Its place in a guest.
const FILE: &str = "/root/block";

/// The block's bytes: each run gives the same, and no part of it is like another.
fn block() -> Vec<u8> {
    // Marsaglia's xorshift64.
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut bytes = Vec::with_capacity(BLOCK);
    while bytes.len() < BLOCK {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes
}

/// SHA-256 of the first `bytes` bytes of the repeated block, by this machine's `sha256sum`.
fn expected(bytes: usize) -> Result<String> {
    let mut child = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting sha256sum")?;
    let mut stdin = child.stdin.take().context("no pipe to sha256sum")?;
    let block = block();
    let mut left = bytes;
    while left > 0 {
        let part = block.get(..left.min(BLOCK)).unwrap_or_default();
        stdin.write_all(part).context("feeding sha256sum")?;
        left -= part.len();
    }
    drop(stdin);
    let output = child.wait_with_output()?;
    sum(&String::from_utf8_lossy(&output.stdout))
}

/// The sum in a line of `sha256sum`.
fn sum(line: &str) -> Result<String> {
    let word = line.split_whitespace().next().unwrap_or_default();
    ensure!(word.len() == 64, "no SHA-256 in {line:?}");
    Ok(word.to_owned())
}

/// Brings the block into a guest, unless it is there.
pub(crate) fn give_block(guest: &Guest) -> Result<()> {
    if !guest.try_sh(&format!("test -e {FILE}"))?.success() {
        guest.put(FILE, &block())?;
    }
    Ok(())
}

/// What is transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// So many whole blocks over TCP.
    Tcp {
        /// Blocks.
        blocks: usize,
    },
    /// So many bytes, less than a block, in datagrams of 1,400.
    Udp {
        /// Bytes.
        bytes: usize,
    },
}

impl Transfer {
    /// Payload, in bytes.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Tcp { blocks } => blocks * BLOCK,
            Self::Udp { bytes } => bytes,
        }
    }
}

/// A receiver that listens, and prints the SHA-256 of what it got.
pub(crate) struct Receiver {
    running: Background,
    transfer: Transfer,
    port: u16,
}

impl Receiver {
    /// Starts it, and waits until it can be sent to.
    pub(crate) fn start(at: &Agent, transfer: Transfer, port: u16) -> Result<Self> {
        let bytes = transfer.bytes();
        let (listen, sockets) = match transfer {
            Transfer::Tcp { .. } => (format!("TCP6-LISTEN:{port},ipv6only=0"), "-tl"),
            Transfer::Udp { .. } => (
                format!("UDP6-RECV:{port},ipv6only=0,rcvbuf=8388608,readbytes={bytes}"),
                "-ul",
            ),
        };
        // Where a datagram is lost, socat waits in vain, and the sum of what arrived tells.
        let running = at.spawn(&format!(
            "timeout 600 socat -u -b 262144 {listen} - | sha256sum"
        ))?;
        at.sh(&format!(
            "for i in $(seq 100); do ss -Hn {sockets} sport = :{port} | grep -q . && exit 0; sleep 0.1; done; exit 1"
        ))
        .with_context(|| format!("waiting for socat to listen on {listen}"))?;
        Ok(Self {
            running,
            transfer,
            port,
        })
    }

    /// Fails unless it received what was to be sent.
    pub(crate) fn check(self) -> Result<()> {
        let output = self.running.wait()?;
        let (is, should) = (sum(&output.text())?, expected(self.transfer.bytes())?);
        ensure!(
            is == should,
            "{:?} to port {} arrived with SHA-256 {is} instead of {should}: {output}",
            self.transfer,
            self.port
        );
        Ok(())
    }
}

/// The shell command that sends a transfer to `ip`.
pub(crate) fn sender(transfer: Transfer, ip: &str, port: u16) -> String {
    let ip = if ip.contains(':') {
        format!("[{ip}]")
    } else {
        ip.to_owned()
    };
    match transfer {
        Transfer::Tcp { blocks } => format!(
            "{{ i=0; while [ $i -lt {blocks} ]; do cat {FILE}; i=$((i+1)); done; }} | socat -u -b 262144 - TCP:{ip}:{port}"
        ),
        Transfer::Udp { bytes } => {
            format!("head -c {bytes} {FILE} | socat -u -b 1400 - UDP-SENDTO:{ip}:{port}")
        }
    }
}

/// Sends `blocks` over TCP from one guest to an address of another, and fails unless they arrive.
pub(crate) fn send(from: &Guest, to: &Guest, ip: &str, blocks: usize) -> Result<()> {
    give_block(from)?;
    let transfer = Transfer::Tcp { blocks };
    let receiver = Receiver::start(to, transfer, 5001)?;
    from.sh_within(&sender(transfer, ip, 5001), Duration::from_secs(300))?;
    receiver.check()
}
