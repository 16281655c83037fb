// SPDX-License-Identifier: GPL-2.0
//! The frames between the lab and its agent.
//!
//! A connection starts with one [`Request`]. After [`Request::Relay`] was answered by [`Reply::Ready`] the stream is
//! joined to the far one and belongs to it. After [`Request::Exec`] both sides send frames until the agent's
//! [`Reply::Exit`]. A client that closes the connection early kills the command.

use std::io::{self, Read, Write};

use serde::{de::DeserializeOwned, Deserialize, Serialize};

/// TCP port of the agent in Dom0 and in every guest.
pub const PORT: u16 = 7777;

/// Largest payload of a frame, in bytes.
pub const MAX_FRAME: usize = 1 << 20;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A [`Request`], [`Reply`] or [`Control`] as JSON.
    Json = b'J',
    /// Bytes for the command's standard input; an empty frame closes it.
    Stdin = b'0',
    /// Bytes of the command's standard output.
    Stdout = b'1',
    /// Bytes of the command's standard error.
    Stderr = b'2',
}

impl Kind {
    fn from_byte(byte: u8) -> io::Result<Self> {
        match byte {
            b'J' => Ok(Self::Json),
            b'0' => Ok(Self::Stdin),
            b'1' => Ok(Self::Stdout),
            b'2' => Ok(Self::Stderr),
            other => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a frame of unknown kind {other:#x}"),
            )),
        }
    }
}

/// First frame of a connection.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Run a command in a process group of its own.
    Exec {
        /// Program and arguments.
        argv: Vec<String>,
        /// Kill the group after so many milliseconds.
        timeout_ms: Option<u64>,
    },
    /// Join this stream to the agent at `addr` (`ip:port`).
    Relay {
        /// Where to connect to.
        addr: String,
    },
}

/// What the client sends while a command runs, besides standard input.
#[derive(Debug, Serialize, Deserialize)]
pub enum Control {
    /// Send this signal to the command's process group.
    Signal(i32),
}

/// The agent's answers.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The relay is joined.
    Ready,
    /// The command has ended.
    Exit {
        /// Exit status, if it ended by itself.
        code: Option<i32>,
        /// Signal that ended it, if one did.
        signal: Option<i32>,
        /// Whether it was killed because its time was up.
        timed_out: bool,
    },
    /// The request could not be carried out.
    Failed(String),
}

/// Writes one frame.
///
/// # Errors
/// Whatever the stream reports; a payload over [`MAX_FRAME`] bytes is `InvalidInput`.
pub fn send(stream: &mut impl Write, kind: Kind, payload: &[u8]) -> io::Result<()> {
    if payload.len() > MAX_FRAME {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut frame = Vec::with_capacity(5 + payload.len());
    frame.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    frame.push(kind as u8);
    frame.extend_from_slice(payload);
    stream.write_all(&frame)?;
    stream.flush()
}

/// Writes `value` as one JSON frame.
///
/// # Errors
/// As [`send`].
pub fn send_json<T: Serialize>(stream: &mut impl Write, value: &T) -> io::Result<()> {
    send(stream, Kind::Json, &serde_json::to_vec(value)?)
}

/// Reads one frame.
///
/// # Errors
/// `UnexpectedEof` when the stream has ended, `InvalidData` for what is no frame.
pub fn receive(stream: &mut impl Read) -> io::Result<(Kind, Vec<u8>)> {
    let mut header = [0; 5];
    stream.read_exact(&mut header)?;
    let [a, b, c, d, kind] = header;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    let kind = Kind::from_byte(kind)?;
    if length > MAX_FRAME {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a frame of {length} bytes"),
        ));
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload)?;
    Ok((kind, payload))
}

/// Reads one JSON frame.
///
/// # Errors
/// As [`receive`], and `InvalidData` if the frame is another.
pub fn receive_json<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<T> {
    match receive(stream)? {
        (Kind::Json, payload) => Ok(serde_json::from_slice(&payload)?),
        (kind, _) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a {kind:?} frame where JSON was due"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_as_it_was_sent() {
        let mut stream = Vec::new();
        send(&mut stream, Kind::Stdout, b"a\0b").unwrap();
        send_json(&mut stream, &Reply::Failed("x".into())).unwrap();
        let mut rest = stream.as_slice();
        assert_eq!(
            receive(&mut rest).unwrap(),
            (Kind::Stdout, b"a\0b".to_vec())
        );
        assert_eq!(
            receive_json::<Reply>(&mut rest).unwrap(),
            Reply::Failed("x".into())
        );
        assert_eq!(
            receive(&mut rest).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }

    #[test]
    fn noise_is_an_error_and_allocates_nothing() {
        let noise = [0xff, 0xff, 0xff, 0xff, b'1'];
        assert_eq!(
            receive(&mut noise.as_slice()).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        let unknown = [0, 0, 0, 0, b'?'];
        assert_eq!(
            receive(&mut unknown.as_slice()).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }
}
