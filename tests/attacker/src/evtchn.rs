// SPDX-License-Identifier: GPL-2.0
//! Event channels from user space: `include/uapi/xen/evtchn.h`.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::fd::{AsFd, AsRawFd},
    time::Duration,
};

use anyhow::{Context, Result};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};

const DEVICE: &str = "/dev/xen/evtchn";

/// What the kernel's `_IOC()` makes of no direction, a size, a letter and a number.
const fn request(size: usize, letter: u8, number: u8) -> u64 {
    (size as u64) << 16 | (letter as u64) << 8 | number as u64
}

#[repr(C)]
struct BindInterdomain {
    remote_domain: u32,
    remote_port: u32,
}

#[repr(C)]
struct BindUnbound {
    remote_domain: u32,
}

#[repr(C)]
struct Notify {
    port: u32,
}

nix::ioctl_readwrite_bad!(
    bind_interdomain,
    request(size_of::<BindInterdomain>(), b'E', 1),
    BindInterdomain
);
nix::ioctl_readwrite_bad!(
    bind_unbound,
    request(size_of::<BindUnbound>(), b'E', 2),
    BindUnbound
);
nix::ioctl_readwrite_bad!(notify, request(size_of::<Notify>(), b'E', 4), Notify);

/// One end of an event channel. It is closed when this is dropped.
pub struct Port {
    file: File,
    port: u32,
    muted: bool,
}

impl Port {
    /// An end to which domain `remote` may connect.
    ///
    /// # Errors
    /// What Xen says.
    pub fn listen(remote: u16) -> Result<Self> {
        let file = open()?;
        let mut bind = BindUnbound {
            remote_domain: remote.into(),
        };
        // SAFETY: The structure is the one that this request of this device reads.
        let port = unsafe { bind_unbound(file.as_raw_fd(), &mut bind) };
        let port = port.with_context(|| format!("an event channel for domain {remote}"))?;
        Ok(Self {
            file,
            port: port.try_into()?,
            muted: false,
        })
    }

    /// The other end of one that domain `remote` listens on.
    ///
    /// # Errors
    /// What Xen says.
    pub fn connect(remote: u16, port: u32) -> Result<Self> {
        let file = open()?;
        let mut bind = BindInterdomain {
            remote_domain: remote.into(),
            remote_port: port,
        };
        // SAFETY: The structure is the one that this request of this device reads.
        let own = unsafe { bind_interdomain(file.as_raw_fd(), &mut bind) };
        let own = own.with_context(|| format!("port {port} of domain {remote}"))?;
        Ok(Self {
            file,
            port: own.try_into()?,
            muted: false,
        })
    }

    /// Its number in this domain.
    pub fn number(&self) -> u32 {
        self.port
    }

    /// Sends no more events, or sends them again.
    pub fn mute(&mut self, muted: bool) {
        self.muted = muted;
    }

    /// Sends an event, unless muted. One that cannot be sent has nobody to get it.
    pub fn kick(&self) {
        if self.muted {
            return;
        }
        let mut data = Notify { port: self.port };
        // SAFETY: The structure is the one that this request of this device reads.
        let _ = unsafe { notify(self.file.as_raw_fd(), &mut data) };
    }

    /// Waits for an event, at most for `limit`, and takes those that have come.
    ///
    /// # Errors
    /// If the device fails.
    pub fn wait(&mut self, limit: Duration) -> Result<()> {
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        let mut wanted = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
        if poll(&mut wanted, timeout).context(DEVICE)? == 0 {
            return Ok(());
        }
        let mut ports = [0; 256];
        let read = self.file.read(&mut ports).context(DEVICE)?;
        // What is written back is open for the next event.
        self.file.write_all(&ports[..read]).context(DEVICE)
    }
}

fn open() -> Result<File> {
    let file = OpenOptions::new().read(true).write(true).open(DEVICE);
    file.with_context(|| format!("{DEVICE}: is xen-evtchn loaded?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_those_of_the_header() {
        assert_eq!(request(8, b'E', 1), 0x0008_4501);
        assert_eq!(request(4, b'E', 2), 0x0004_4502);
        assert_eq!(request(4, b'E', 4), 0x0004_4504);
    }
}
