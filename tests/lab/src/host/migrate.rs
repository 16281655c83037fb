// SPDX-License-Identifier: GPL-2.0
//! Moves a running guest from one host to another.

use anyhow::{ensure, Context, Result};

use super::Host;
use crate::guest::{Guest, COPY_LIMIT};

/// TCP port of the receiver.
const PORT: u16 = 5000;

/// Bytes that are passed on at once: each time costs an emulated processor.
const BUFFER: u32 = 1 << 20;

impl Host {
    /// Migrates a guest to the host at the other end of the cable, and returns it as it is reached there. Its memory is
    /// copied while it runs, and goes on there. A PV guest cannot be migrated while it runs on Debian's Xen.
    ///
    /// # Errors
    /// If `xl` fails at either end, or the guest does not answer there.
    pub fn migrate(&mut self, guest: &Guest, to: &mut Self) -> Result<Guest> {
        let name = guest.config.name();
        let receiver = to.spawn(&format!(
            "exec socat -b {BUFFER} TCP-LISTEN:{PORT},reuseaddr EXEC:'xl migrate-receive'"
        ))?;
        to.sh(&format!(
            "for i in $(seq 100); do ss -Hltn | grep -q ':{PORT} ' && exit 0; sleep 0.2; done; exit 1"
        ))
        .context("waiting for the receiver")?;
        let there = to.config().ip();
        self.sh_within(
            &format!("xl migrate -s '' {name} 'exec socat -b {BUFFER} - TCP:{there}:{PORT}'"),
            COPY_LIMIT,
        )?;
        let received = receiver.wait()?;
        ensure!(received.success(), "receiving {name}: {received}");
        self.strike(guest);
        self.save()?;
        let arrived = to.enlist(guest.config.clone())?;
        to.await_guest(&arrived)?;
        Ok(arrived)
    }
}
