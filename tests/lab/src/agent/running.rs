// SPDX-License-Identifier: GPL-2.0
//! Commands under way.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    thread::{self, JoinHandle},
};

use anyhow::{bail, Context, Result};
use xlnet_lab_agent::{receive, send, send_json, Control, Kind, Reply};

use super::Output;

/// A command under way, whose streams belong to the caller.
pub struct Running {
    pub(super) stream: TcpStream,
    /// For messages: whose agent, and the command.
    pub(super) what: String,
}

impl Running {
    /// Sends all of `input` to the command from a thread of its own, and then the end of input.
    ///
    /// # Errors
    /// If the stream cannot be shared.
    pub fn feed(&self, input: impl Into<Vec<u8>>) -> Result<()> {
        let mut stream = self.stream.try_clone()?;
        let input = input.into();
        thread::spawn(move || {
            for chunk in input.chunks(64 << 10) {
                send(&mut stream, Kind::Stdin, chunk)?;
            }
            send(&mut stream, Kind::Stdin, b"")
        });
        Ok(())
    }

    /// Copies `input` to the command as it comes, from a thread of its own.
    ///
    /// # Errors
    /// If the stream cannot be shared.
    pub fn feed_from(&self, mut input: impl Read + Send + 'static) -> Result<()> {
        let mut stream = self.stream.try_clone()?;
        thread::spawn(move || -> io::Result<()> {
            let mut buffer = [0; 4096];
            loop {
                let count = input.read(&mut buffer)?;
                send(
                    &mut stream,
                    Kind::Stdin,
                    buffer.get(..count).unwrap_or_default(),
                )?;
                if count == 0 {
                    return Ok(());
                }
            }
        });
        Ok(())
    }

    /// Waits for the end, with all output kept.
    ///
    /// # Errors
    /// If the agent is lost or refuses.
    pub fn wait(self) -> Result<Output> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let output = self.copy_to(&mut stdout, &mut stderr)?;
        Ok(Output {
            stdout,
            stderr,
            ..output
        })
    }

    /// Waits for the end, with the output copied as it comes.
    ///
    /// # Errors
    /// If the agent is lost or refuses, or the output cannot be written.
    pub fn copy_to(mut self, stdout: &mut impl Write, stderr: &mut impl Write) -> Result<Output> {
        loop {
            let (kind, bytes) = receive(&mut self.stream)
                .with_context(|| format!("the agent was lost during {}", self.what))?;
            match kind {
                Kind::Stdout => stdout.write_all(&bytes).and_then(|()| stdout.flush())?,
                Kind::Stderr => stderr.write_all(&bytes).and_then(|()| stderr.flush())?,
                Kind::Stdin => bail!("{}: the agent sent input", self.what),
                Kind::Json => match serde_json::from_slice(&bytes)? {
                    Reply::Exit {
                        code,
                        signal,
                        timed_out,
                    } => {
                        let (stdout, stderr) = (Vec::new(), Vec::new());
                        return Ok(Output {
                            code,
                            signal,
                            timed_out,
                            stdout,
                            stderr,
                        });
                    }
                    other => bail!("{}: {other:?}", self.what),
                },
            }
        }
    }
}

/// A command in the background.
pub struct Background {
    control: TcpStream,
    what: String,
    reader: Option<JoinHandle<Result<Output>>>,
}

impl Background {
    pub(super) fn new(running: Running) -> Result<Self> {
        Ok(Self {
            control: running.stream.try_clone()?,
            what: running.what.clone(),
            reader: Some(thread::spawn(move || running.wait())),
        })
    }

    /// Sends a signal to the command's process group.
    ///
    /// # Errors
    /// If the agent is lost.
    pub fn signal(&mut self, number: i32) -> Result<()> {
        Ok(send_json(&mut self.control, &Control::Signal(number))?)
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.reader.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If the agent is lost.
    pub fn wait(mut self) -> Result<Output> {
        let reader = self.reader.take().context("waited for twice")?;
        reader
            .join()
            .unwrap_or_else(|_| bail!("{}: the reading thread panicked", self.what))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // The agent kills the command when it sees the connection end.
        let _ = self.control.shutdown(Shutdown::Both);
    }
}
