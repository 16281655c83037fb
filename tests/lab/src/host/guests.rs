// SPDX-License-Identifier: GPL-2.0
//! A host's guests.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{bail, Context, Result};

use super::{Host, BOOT};
use crate::{
    guest::{Guest, GuestConfig, Kind},
    patience,
};

impl Host {
    /// Creates a guest and waits until commands can be run in it.
    ///
    /// # Errors
    /// If `xl` fails or the guest does not come up: then with the end of its console.
    pub fn create_guest(&mut self, config: GuestConfig) -> Result<Guest> {
        let guest = self.start_guest(config)?;
        self.await_guest(&guest)?;
        Ok(guest)
    }

    /// The same of several. The PV guests boot at once, and then the PVH guests one after the other, as they fault here
    /// otherwise.
    ///
    /// # Errors
    /// As [`Host::create_guest`].
    pub fn create_guests(&mut self, configs: &[GuestConfig]) -> Result<()> {
        let (pv, others): (Vec<_>, Vec<_>) =
            configs.iter().partition(|config| config.kind == Kind::Pv);
        let started = pv
            .into_iter()
            .map(|config| self.start_guest(config.clone()))
            .collect::<Result<Vec<_>>>()?;
        started
            .iter()
            .try_for_each(|guest| self.await_guest(guest))?;
        for config in others {
            self.create_guest(config.clone())?;
        }
        Ok(())
    }

    fn start_guest(&mut self, config: GuestConfig) -> Result<Guest> {
        let name = config.name();
        let file = format!("/etc/xen/{name}.cfg");
        self.put(&file, config.xl_config(&self.state.config)?.as_bytes())?;
        self.sh(&format!("xl create {file}"))?;
        self.enlist(config)
    }

    /// Makes a guest of this host known, in place of one with the same number.
    pub(super) fn enlist(&mut self, config: GuestConfig) -> Result<Guest> {
        let agent = self.state.dom0.behind(config.name(), &config.control_ip());
        let guest = Guest {
            config,
            agent,
            dom0: self.state.dom0.clone(),
        };
        self.strike(&guest);
        self.state.guests.push(guest.clone());
        self.save()?;
        Ok(guest)
    }

    /// Forgets a guest.
    pub(super) fn strike(&mut self, guest: &Guest) {
        self.state
            .guests
            .retain(|other| other.config.number != guest.config.number);
    }

    /// Waits until commands can be run in `guest`.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn await_guest(&self, guest: &Guest) -> Result<()> {
        let limit = patience::with(BOOT);
        let deadline = Instant::now() + limit;
        let name = guest.config.name();
        loop {
            if let Ok(output) = guest.run(&["true"], b"", Duration::from_secs(5)) {
                if output.success() {
                    return Ok(());
                }
            }
            let console = format!("tail -n 15 /var/log/xen/console/guest-{name}.log");
            if !self.try_sh(&format!("xl domid {name}"))?.success() {
                let words = self.try_sh(&console)?.text();
                bail!(
                    "guest {name} has ended; {}; its console ends in\n{words}",
                    self.fault_hint()
                );
            }
            if Instant::now() > deadline {
                let words = self.try_sh(&console)?.text();
                bail!("guest {name} is not up after {limit:?}; its console ends in\n{words}");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn fault_hint(&self) -> &'static str {
        let log = fs::read(self.dir.join("xen.log")).unwrap_or_default();
        if String::from_utf8_lossy(&log).contains("riple fault") {
            "Xen reports a triple fault: the emulator's known fault, run it again on an idle machine"
        } else {
            "Xen reports no fault"
        }
    }

    /// The guests made so far, destroyed ones included.
    #[must_use]
    pub fn guests(&self) -> &[Guest] {
        &self.state.guests
    }

    /// The guest of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn guest(&self, name: &str) -> Result<&Guest> {
        let names: Vec<_> = self
            .state
            .guests
            .iter()
            .map(|guest| guest.config.name())
            .collect();
        self.state
            .guests
            .iter()
            .find(|guest| guest.config.name() == name)
            .with_context(|| format!("no guest {name}: there are {}", names.join(", ")))
    }
}
