// SPDX-License-Identifier: GPL-2.0
//! A guest: its configuration for `xl`, and the running thing.

use std::{ops::Deref, time::Duration};

use anyhow::{bail, Context, Result};
use serde::{Deserialize, Serialize};

use crate::{
    agent::Agent,
    image::{CHECKING_KERNEL, STOCK_KERNEL},
    qemu::HostConfig,
};

/// Memory that the checking kernel needs, in MiB: KASAN keeps an eighth for itself, and what was freed for a while.
const CHECKING_MEMORY: u32 = 640;

/// How long copying a guest's memory may take.
pub const COPY_LIMIT: Duration = Duration::from_secs(300);

/// How a guest is virtualised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Hardware-virtualised, without an emulated PC: what users run.
    #[default]
    Pvh,
    /// Paravirtualised.
    Pv,
}

/// What guest to make.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GuestConfig {
    /// From 1 to 99. Name, MACs and addresses follow from it.
    pub number: u8,
    /// How it is virtualised.
    pub kind: Kind,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Memory, in MiB, if its kernel does not need more.
    pub memory: u32,
    /// The physical CPUs it may run on, in `xl`'s notation. By default a PVH guest gets those that belong to its number
    /// alone, counted from 1 after Dom0's; a PV guest any.
    pub pcpus: Option<String>,
    /// Bridge of its uplink.
    pub bridge: String,
    /// Further words for its kernel's command line.
    pub cmdline: String,
    /// Further lines for its `xl` configuration.
    pub xl: String,
    /// Whether the toolstack is told the guest's addresses (`ip=` of the vif), so that `xlnetd` knows them.
    pub announce_ip: bool,
    /// Whether its agent has a vif of its own, so that commands are no traffic of the uplink's. A guest without goes on
    /// sooner after a suspend, as netfront connects one vif after the other.
    pub control_vif: bool,
}

impl GuestConfig {
    /// A PVH guest with one vCPU.
    #[must_use]
    pub fn new(number: u8) -> Self {
        Self {
            number,
            kind: Kind::Pvh,
            vcpus: 1,
            memory: 320,
            pcpus: None,
            bridge: "xenbr0".to_owned(),
            cmdline: String::new(),
            xl: String::new(),
            announce_ip: true,
            control_vif: true,
        }
    }

    /// The same, paravirtualised.
    #[must_use]
    pub fn pv(number: u8) -> Self {
        Self {
            kind: Kind::Pv,
            ..Self::new(number)
        }
    }

    /// Its name: `g1`, …
    #[must_use]
    pub fn name(&self) -> String {
        format!("g{}", self.number)
    }

    /// IPv4 address of its uplink.
    #[must_use]
    pub fn ip(&self) -> String {
        format!("10.77.0.{}", 100 + u32::from(self.number))
    }

    /// IPv6 address of its uplink.
    #[must_use]
    pub fn ip6(&self) -> String {
        format!("fd77::{}", 100 + u32::from(self.number))
    }

    /// Another IPv4 address for its uplink, of which nobody is told: what is sent to it takes no other way. See
    /// [`Guest::add_plain_ip`].
    #[must_use]
    pub fn plain_ip(&self) -> String {
        format!("10.79.0.{}", 100 + u32::from(self.number))
    }

    /// MAC of its uplink.
    #[must_use]
    pub fn mac(&self) -> String {
        format!("00:16:3e:77:00:{:02x}", self.number)
    }

    fn control_mac(&self) -> String {
        format!("00:16:3e:78:00:{:02x}", self.number)
    }

    /// Address at which its agent is reached.
    pub(crate) fn control_ip(&self) -> String {
        if !self.control_vif {
            return self.ip();
        }
        format!("10.78.0.{}", 100 + u32::from(self.number))
    }

    fn pcpus(&self, host_cpus: u32) -> Result<String> {
        if let Some(pcpus) = &self.pcpus {
            return Ok(pcpus.clone());
        }
        if self.kind == Kind::Pv {
            return Ok("all".to_owned());
        }
        let first = 1 + (u32::from(self.number).saturating_sub(1)) * self.vcpus;
        let last = first + self.vcpus - 1;
        if last >= host_cpus {
            bail!(
                "guest {} needs physical CPUs {first} to {last} for itself (PVH guests that share one fault under \
                 emulation), and the host has {host_cpus}: boot it with more",
                self.name()
            );
        }
        Ok(format!("{first}-{last}"))
    }

    /// Its file for `xl create` on `host`.
    pub(crate) fn xl_config(&self, host: &HostConfig) -> Result<String> {
        let kind = match self.kind {
            Kind::Pvh => "pvh",
            Kind::Pv => "pv",
        };
        let (kernel, least) = match self.kind {
            Kind::Pvh if host.checking => (CHECKING_KERNEL, CHECKING_MEMORY),
            _ => (STOCK_KERNEL, 0),
        };
        let ip = if self.announce_ip {
            format!(",ip={} {}", self.ip(), self.ip6())
        } else {
            String::new()
        };
        let (mac, control_mac) = (self.mac(), self.control_mac());
        let (control, control_vif) = if self.control_vif {
            (
                format!("lab.control={control_mac},{}/24", self.control_ip()),
                format!(", 'mac={control_mac},bridge=labbr0,script=vif-lab'"),
            )
        } else {
            (String::new(), String::new())
        };
        // A native TSC: otherwise Xen intercepts RDTSCP, and the emulator cannot tell it how long the instruction is.
        Ok(format!(
            "name = \"{name}\"\ntype = \"{kind}\"\nkernel = \"/lab/{kernel}\"\nramdisk = \"/lab/guest-initrd\"\n\
             cmdline = \"console=hvc0 loglevel=5 panic=1 kfence.sample_interval=100 \
             rdinit=/usr/lib/systemd/systemd systemd.unit=lab.target systemd.hostname={name} systemd.show_status=0 \
             lab.uplink={mac},{ip4}/24,{ip6}/64 {control} {cmdline}\"\n\
             memory = {memory}\nvcpus = {vcpus}\ncpus = \"{pcpus}\"\ntsc_mode = \"native\"\n\
             vif = [ 'mac={mac},bridge={bridge}{ip}'{control_vif} ]\n\
             on_crash = \"destroy\"\non_reboot = \"destroy\"\n{xl}\n",
            name = self.name(),
            ip4 = self.ip(),
            ip6 = self.ip6(),
            cmdline = self.cmdline,
            memory = self.memory.max(least),
            vcpus = self.vcpus,
            pcpus = self.pcpus(host.cpus)?,
            bridge = self.bridge,
            xl = self.xl,
        ))
    }
}

/// A guest of a running host. It goes with the host, or by [`Guest::destroy`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Guest {
    /// What it was made from.
    pub config: GuestConfig,
    pub(crate) agent: Agent,
    pub(crate) dom0: Agent,
}

impl Deref for Guest {
    type Target = Agent;

    fn deref(&self) -> &Agent {
        &self.agent
    }
}

impl Guest {
    /// Its domid.
    ///
    /// # Errors
    /// If it is not running.
    pub fn domid(&self) -> Result<u32> {
        let text = self.dom0.sh(&format!("xl domid {}", self.config.name()))?;
        text.trim()
            .parse()
            .with_context(|| format!("domid {text:?}"))
    }

    /// Interface of Dom0 that is the other end of its uplink.
    ///
    /// # Errors
    /// If it is not running.
    pub fn vif(&self) -> Result<String> {
        Ok(format!("vif{}.0", self.domid()?))
    }

    /// Name of the uplink inside the guest.
    ///
    /// # Errors
    /// If no interface has its MAC.
    pub fn uplink(&self) -> Result<String> {
        let script = format!(
            "for dev in /sys/class/net/*; do [ \"$(cat $dev/address)\" = {} ] && [ -e $dev/device ] && echo ${{dev##*/}}; done; true",
            self.config.mac()
        );
        let text = self.sh(&script)?;
        match text.lines().next() {
            Some(name) => Ok(name.to_owned()),
            None => bail!("{}: no interface has the uplink's MAC", self.config.name()),
        }
    }

    /// Gives its uplink the address [`GuestConfig::plain_ip`], unless it has it.
    ///
    /// # Errors
    /// If that fails.
    pub fn add_plain_ip(&self) -> Result<()> {
        let (uplink, ip) = (self.uplink()?, self.config.plain_ip());
        self.sh(&format!("ip addr replace {ip}/24 dev {uplink}"))
            .map(drop)
    }

    /// Ends it at once, without its knowing.
    ///
    /// # Errors
    /// If `xl` fails.
    pub fn destroy(&self) -> Result<()> {
        self.dom0
            .sh(&format!("xl destroy {}", self.config.name()))
            .map(drop)
    }

    /// Saves it to a file in Dom0, from which [`Guest::restore`] makes it again.
    ///
    /// # Errors
    /// If `xl` fails.
    pub fn save(&self, file: &str) -> Result<()> {
        self.xl(&format!("save {} {file}", self.config.name()))
    }

    /// Saves it to a file in Dom0 and lets it go on.
    ///
    /// # Errors
    /// If `xl` fails.
    pub fn checkpoint(&self, file: &str) -> Result<()> {
        self.xl(&format!("save -c {} {file}", self.config.name()))
    }

    /// Saves it to a file in Dom0 and makes it again from that soon, as a domain of the same number. `xl` by itself uses
    /// no number twice within a minute, and may refuse to within a second even if told not to wait.
    ///
    /// # Errors
    /// If `xl` fails.
    pub fn be_reborn(&self, file: &str) -> Result<()> {
        let name = self.config.name();
        self.dom0
            .sh_within(
                &format!("export LIBXL_DOMID_REUSE_TIMEOUT=0; xl save -D {name} {file} && sleep 2 && xl restore {file}"),
                2 * COPY_LIMIT,
            )
            .map(drop)
    }

    /// Makes it again from a file in Dom0, as a domain of another number. [`Host::await_guest`](crate::host::Host) waits
    /// until it answers.
    ///
    /// # Errors
    /// If `xl` fails.
    pub fn restore(&self, file: &str) -> Result<()> {
        self.xl(&format!("restore {file}"))
    }

    /// Migrates it to the host it is on, where it becomes a domain of another number.
    ///
    /// # Errors
    /// If `xl` fails, as it does for a PV guest: they cannot be migrated while they run on Debian's Xen.
    pub fn migrate_locally(&self) -> Result<()> {
        let name = self.config.name();
        self.xl(&format!("migrate -s '' {name} 'xl migrate-receive'"))
    }

    /// Runs `xl` for as long as copying a guest's memory may take.
    fn xl(&self, words: &str) -> Result<()> {
        self.dom0
            .sh_within(&format!("xl {words}"), COPY_LIMIT)
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pvh_guests_get_cpus_of_their_own() {
        assert_eq!(GuestConfig::new(2).pcpus(3).unwrap(), "2-2");
        let two = GuestConfig {
            vcpus: 2,
            ..GuestConfig::new(2)
        };
        assert_eq!(two.pcpus(5).unwrap(), "3-4");
        assert!(two.pcpus(4).is_err());
        assert_eq!(GuestConfig::pv(9).pcpus(2).unwrap(), "all");
    }
}
