// SPDX-License-Identifier: GPL-2.0
//! Moves a guest from one host to another.

use anyhow::{ensure, Context, Result};

use super::Host;
use crate::guest::{Guest, Kind, COPY_LIMIT};

/// TCP port of the receiver.
const PORT: u16 = 5000;

/// Bytes that are passed on at once: each time costs an emulated processor.
const BUFFER: u32 = 1 << 20;

impl Host {
    /// Moves a guest to the host at the other end of the cable, and returns it as it is reached there. The memory of a PVH guest
    /// is copied while it runs; a PV guest, which Debian's Xen does not migrate while it runs, is saved and restored there.
    ///
    /// # Errors
    /// If `xl` fails at either end, or the guest does not answer there.
    pub fn migrate(&mut self, guest: &Guest, to: &mut Self) -> Result<Guest> {
        let name = guest.config.name();
        let listener = format!("TCP-LISTEN:{PORT},reuseaddr");
        let there = format!("TCP:{}:{PORT}", to.config().ip());
        let [receive, send] = match guest.config.kind {
            Kind::Pvh => [
                format!("exec socat -b {BUFFER} {listener} EXEC:'xl migrate-receive'"),
                format!("xl migrate -s '' {name} 'exec socat -b {BUFFER} - {there}'"),
            ],
            Kind::Pv => [
                format!("socat -u -b {BUFFER} {listener} - | xl restore /proc/self/fd/0"),
                format!("xl save {name} /proc/self/fd/1 | socat -u -b {BUFFER} - {there}"),
            ]
            .map(|pipe| format!("exec bash -o pipefail -c '{pipe}'")),
        };
        let receiver = to.spawn(&receive)?;
        to.sh(&format!(
            "for i in $(seq 100); do ss -Hltn | grep -q ':{PORT} ' && exit 0; sleep 0.2; done; exit 1"
        ))
        .context("waiting for the receiver")?;
        self.sh_within(&send, COPY_LIMIT)?;
        let received = receiver.wait()?;
        ensure!(received.success(), "receiving {name}: {received}");
        self.strike(guest);
        self.save()?;
        let arrived = to.enlist(guest.config.clone())?;
        to.await_guest(&arrived)?;
        Ok(arrived)
    }
}
