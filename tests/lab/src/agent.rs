// SPDX-License-Identifier: GPL-2.0
//! Runs commands in Dom0 and in guests through the agent there.

use std::{
    fmt,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{bail, Context, Result};
use serde::{Deserialize, Serialize};
use xlnet_lab_agent::{receive_json, send_json, Reply, Request};

use crate::patience;

mod running;

pub use running::{Background, Running};

/// How long a command may take unless told otherwise. The emulator is slow.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);

/// What an agent may need beyond a command's own time to answer.
const GRACE: Duration = Duration::from_secs(60);

/// A place commands can be run in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Agent {
    name: String,
    addr: SocketAddr,
    /// The agent behind the one at `addr`.
    relay: Option<String>,
}

/// How a command ended, and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Exit status; none if a signal or the timeout ended it.
    pub code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// Whether it was killed because its time was up.
    pub timed_out: bool,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Whether it exited with status 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }

    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.timed_out, self.code, self.signal) {
            (true, ..) => write!(f, "timed out")?,
            (_, Some(code), _) => write!(f, "exit status {code}")?,
            (.., signal) => write!(f, "killed by signal {}", signal.unwrap_or_default())?,
        }
        for (name, bytes) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !bytes.is_empty() {
                write!(f, "\n{name}: {}", String::from_utf8_lossy(bytes).trim_end())?;
            }
        }
        Ok(())
    }
}

impl Agent {
    /// The agent at `addr`.
    #[must_use]
    pub fn new(name: impl Into<String>, addr: SocketAddr) -> Self {
        Self {
            name: name.into(),
            addr,
            relay: None,
        }
    }

    /// The agent at `ip`, reached through this one.
    #[must_use]
    pub fn behind(&self, name: impl Into<String>, ip: &str) -> Self {
        let relay = format!("{ip}:{}", xlnet_lab_agent::PORT);
        Self {
            name: name.into(),
            addr: self.addr,
            relay: Some(relay),
        }
    }

    /// Whose agent this is.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn connect(&self) -> Result<TcpStream> {
        let limit = Duration::from_secs(20);
        let mut stream = TcpStream::connect_timeout(&self.addr, limit)
            .with_context(|| format!("reaching the agent of {}: is the host up?", self.name))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(limit))?;
        if let Some(addr) = &self.relay {
            send_json(&mut stream, &Request::Relay { addr: addr.clone() })?;
            match receive_json(&mut stream)
                .with_context(|| format!("reaching {} through Dom0", self.name))?
            {
                Reply::Ready => {}
                other => bail!("reaching {} through Dom0: {other:?}", self.name),
            }
        }
        stream.set_read_timeout(None)?;
        Ok(stream)
    }

    /// Starts `argv`. It runs until its handle is dropped, at most `timeout`, or [more](patience::with).
    ///
    /// # Errors
    /// If the agent cannot be reached.
    pub fn start(&self, argv: &[&str], timeout: Option<Duration>) -> Result<Running> {
        let timeout = timeout.map(patience::with);
        let mut stream = self.connect()?;
        let request = Request::Exec {
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            timeout_ms: timeout.map(|limit| limit.as_millis() as u64),
        };
        send_json(&mut stream, &request)?;
        stream.set_read_timeout(timeout.map(|limit| limit + GRACE))?;
        let what = format!("{}: {}", self.name, argv.join(" "));
        Ok(Running { stream, what })
    }

    /// Runs `argv` with `stdin` as its input, and waits for it.
    ///
    /// # Errors
    /// If it cannot be run. A command that fails is no error here.
    pub fn run(&self, argv: &[&str], stdin: &[u8], timeout: Duration) -> Result<Output> {
        let running = self.start(argv, Some(timeout))?;
        running.feed(stdin.to_vec())?;
        running.wait()
    }

    /// Runs a shell command within [`DEFAULT_TIMEOUT`].
    ///
    /// # Errors
    /// If it cannot be run. A command that fails is no error here.
    pub fn try_sh(&self, script: &str) -> Result<Output> {
        self.run(&["sh", "-c", script], b"", DEFAULT_TIMEOUT)
    }

    /// Runs a shell command within [`DEFAULT_TIMEOUT`] and returns its standard output.
    ///
    /// # Errors
    /// If it cannot be run or does not exit with 0: then with what it said.
    pub fn sh(&self, script: &str) -> Result<String> {
        self.sh_within(script, DEFAULT_TIMEOUT)
    }

    /// As [`Agent::sh`], within `timeout`.
    ///
    /// # Errors
    /// As [`Agent::sh`].
    pub fn sh_within(&self, script: &str, timeout: Duration) -> Result<String> {
        let output = self.run(&["sh", "-c", script], b"", timeout)?;
        if !output.success() {
            bail!("{}: `{script}`: {output}", self.name);
        }
        Ok(output.text())
    }

    /// Starts a shell command in the background. Dropping the handle kills it.
    ///
    /// # Errors
    /// If the agent cannot be reached.
    pub fn spawn(&self, script: &str) -> Result<Background> {
        Background::new(self.start(&["sh", "-c", script], None)?)
    }

    /// Writes a file there.
    ///
    /// # Errors
    /// If that fails.
    pub fn put(&self, path: &str, content: &[u8]) -> Result<()> {
        let output = self.run(
            &["sh", "-c", "cat > \"$0\"", path],
            content,
            DEFAULT_TIMEOUT,
        )?;
        if !output.success() {
            bail!("{}: writing {path}: {output}", self.name);
        }
        Ok(())
    }

    /// Reads a file there.
    ///
    /// # Errors
    /// If that fails.
    pub fn get(&self, path: &str) -> Result<Vec<u8>> {
        let output = self.run(&["cat", path], b"", DEFAULT_TIMEOUT)?;
        if !output.success() {
            bail!("{}: reading {path}: {output}", self.name);
        }
        Ok(output.stdout)
    }
}
