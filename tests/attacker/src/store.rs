// SPDX-License-Identifier: GPL-2.0
//! A guest's own xenstore connection, by the kernel's device: the wire protocol of Xen's `io/xs_wire.h`, one request at
//! a time. Relative paths are below the guest's home.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
};

use anyhow::{bail, ensure, Context, Result};

const DEVICE: &str = "/dev/xen/xenbus";

const XS_READ: u32 = 2;
const XS_WRITE: u32 = 11;
const XS_RM: u32 = 13;
const XS_ERROR: u32 = 16;

/// Most bytes of a message behind its header.
const PAYLOAD_MAX: u32 = 4096;

/// The error of a node that is not there.
const ENOENT: &[u8] = b"ENOENT\0";

/// A connection.
pub struct Store(File);

impl Store {
    /// Opens the device.
    ///
    /// # Errors
    /// If it is not there, or not root's to open.
    pub fn open() -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(DEVICE);
        Ok(Self(file.context(DEVICE)?))
    }

    /// The value of a node, if there is such a one.
    ///
    /// # Errors
    /// If it may not be read.
    pub fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>> {
        let answer = self.request(XS_READ, &[path.as_bytes(), b"\0"].concat())?;
        match answer {
            Ok(value) => Ok(Some(value)),
            Err(error) if error == ENOENT => Ok(None),
            Err(error) => bail!("reading {path}: {}", error.escape_ascii()),
        }
    }

    /// Writes a node, whatever bytes that are.
    ///
    /// # Errors
    /// If it may not be written.
    pub fn write(&mut self, path: &str, value: &[u8]) -> Result<()> {
        match self.request(XS_WRITE, &[path.as_bytes(), b"\0", value].concat())? {
            Ok(_) => Ok(()),
            Err(error) => bail!("writing {path}: {}", error.escape_ascii()),
        }
    }

    /// Removes a node, if there is such a one.
    ///
    /// # Errors
    /// If it may not be removed.
    pub fn remove(&mut self, path: &str) -> Result<()> {
        match self.request(XS_RM, &[path.as_bytes(), b"\0"].concat())? {
            Err(error) if error != ENOENT => bail!("removing {path}: {}", error.escape_ascii()),
            _ => Ok(()),
        }
    }

    /// The answer to a request, or the name of an error.
    fn request(&mut self, kind: u32, payload: &[u8]) -> Result<Result<Vec<u8>, Vec<u8>>> {
        let words = [kind, 0, 0, u32::try_from(payload.len())?];
        let mut message: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        message.extend_from_slice(payload);
        self.0.write_all(&message).context("asking xenstore")?;
        let mut header = [0; 16];
        self.0
            .read_exact(&mut header)
            .context("reading from xenstore")?;
        let word = |at: usize| -> u32 {
            let bytes = [header[at], header[at + 1], header[at + 2], header[at + 3]];
            u32::from_le_bytes(bytes)
        };
        let (answer, length) = (word(0), word(12));
        ensure!(length <= PAYLOAD_MAX, "xenstore answers {length} bytes");
        let mut body = vec![0; length as usize];
        self.0
            .read_exact(&mut body)
            .context("reading from xenstore")?;
        match answer {
            XS_ERROR => Ok(Err(body)),
            answer if answer == kind => Ok(Ok(body)),
            answer => bail!("xenstore answers {answer} to {kind}"),
        }
    }
}
