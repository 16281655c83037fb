// SPDX-License-Identifier: GPL-2.0
//! Where a scenario runs: a booted host with guests.

use std::{
    ops::Deref,
    time::{Duration, Instant},
};

use anyhow::{bail, Context, Result};
use xlnet_lab::{
    cache::Cache,
    guest::{Guest, GuestConfig, Kind},
    host::Host,
    image::{self, GuestKernel, Images},
    patience,
    payload::Payload,
    product::Project,
    qemu::{HostConfig, Link, Xenstored},
};

/// What a bed is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// How the guests are virtualised.
    pub kind: Kind,
    /// How many there are: g1, g2, …
    pub guests: u8,
    /// Virtual CPUs of each.
    pub vcpus: u32,
    /// Physical CPUs, on any of which guests may run that are not apart; if there are none, each guest's vCPUs have some of their own.
    pub shared: Option<u32>,
    /// Which xenstore daemon Dom0 runs.
    pub xenstored: Xenstored,
    /// Whether xlnetd runs and xlnet is loaded in every guest.
    pub xlnet: bool,
    /// Whether time is counted in instructions instead of passing: one nanosecond each.
    pub counted: bool,
    /// Whether a second host, without guests, is joined to the first by a cable between their bridges.
    pub paired: bool,
    /// So many of the last guests are PVH ones, on physical CPUs of their own, whatever the others are.
    pub apart: u8,
}

impl Spec {
    /// PVH guests with xlnet, under xenstored.
    #[must_use]
    pub const fn pvh(guests: u8) -> Self {
        Self {
            kind: Kind::Pvh,
            guests,
            vcpus: 1,
            shared: None,
            xenstored: Xenstored::C,
            xlnet: true,
            counted: false,
            paired: false,
            apart: 0,
        }
    }

    /// PV guests with xlnet, under xenstored.
    #[must_use]
    pub const fn pv(guests: u8) -> Self {
        Self {
            kind: Kind::Pv,
            ..Self::pvh(guests)
        }
    }

    /// Two PV guests and a PVH one with xlnet, under xenstored: every kind of pair in the time of one boot.
    #[must_use]
    pub const fn mixed() -> Self {
        Self::pv(3).apart(1)
    }

    /// The same where so many of the last guests are PVH ones, on physical CPUs of their own.
    #[must_use]
    pub const fn apart(self, apart: u8) -> Self {
        Self { apart, ..self }
    }

    /// Whether there is a PVH guest, whose kernel can be the one that checks itself.
    #[must_use]
    pub fn has_pvh(&self) -> bool {
        self.kind == Kind::Pvh || self.apart > 0
    }

    /// The same with so many vCPUs for each guest.
    #[must_use]
    pub const fn vcpus(self, vcpus: u32) -> Self {
        Self { vcpus, ..self }
    }

    /// The same where all domains share so many physical CPUs, which PV guests can.
    #[must_use]
    pub const fn sharing(self, cpus: u32) -> Self {
        Self {
            shared: Some(cpus),
            ..self
        }
    }

    /// The same under oxenstored.
    #[must_use]
    pub const fn oxen(self) -> Self {
        Self {
            xenstored: Xenstored::Oxen,
            ..self
        }
    }

    /// The same without xlnet.
    #[must_use]
    pub const fn bare(self) -> Self {
        Self {
            xlnet: false,
            ..self
        }
    }

    /// The same where time is counted in instructions.
    #[must_use]
    pub const fn counted(self) -> Self {
        Self {
            counted: true,
            ..self
        }
    }

    /// The same with a second host beside it.
    #[must_use]
    pub const fn paired(self) -> Self {
        Self {
            paired: true,
            ..self
        }
    }

    /// How many physical CPUs there are before those of the guests that are apart. PVH guests must not share one, and PV
    /// guests are quicker where they need not.
    fn common(self) -> u32 {
        let guests = u32::from(self.guests.max(1)).saturating_sub(self.apart.into());
        self.shared.unwrap_or(1 + self.vcpus * guests)
    }

    fn host(self) -> HostConfig {
        HostConfig {
            cpus: self.common() + self.vcpus * u32::from(self.apart),
            memory: 1280 + 352 * u32::from(self.guests.max(2)),
            xenstored: self.xenstored,
            counted: self.counted,
            ..HostConfig::default()
        }
    }
}

/// What beds are made from: built once per run.
pub struct Maker {
    cache: Cache,
    images: Images,
    payload: Payload,
}

impl Maker {
    /// Builds the images, with that kernel for the PVH guests, and what is under test.
    ///
    /// # Errors
    /// If something cannot be built.
    pub fn new(cache: &Cache, project: &Project, guests: GuestKernel) -> Result<Self> {
        let images = image::images(cache, guests)?;
        let product = project.build(cache, &images)?;
        let payload = project.payload(cache, Some(&product))?;
        Ok(Self {
            cache: cache.clone(),
            images,
            payload,
        })
    }

    /// Boots a bed.
    ///
    /// # Errors
    /// If the host or a guest does not come up, or xlnet does not load.
    pub fn boot(&self, spec: Spec) -> Result<Bed> {
        let socket = self.cache.run_dir().join("link.sock");
        let link = |listen| {
            let socket = socket.clone();
            spec.paired.then_some(Link { socket, listen })
        };
        let boot = |config| Host::boot(&self.cache, &self.images, &self.payload, config);
        let host = boot(HostConfig {
            link: link(true),
            ..spec.host()
        })?;
        let second = HostConfig {
            number: 2,
            link: link(false),
            ..spec.host()
        };
        let other = spec.paired.then(|| boot(second)).transpose()?;
        let mut bed = Bed {
            host,
            other,
            spec,
            cache: self.cache.clone(),
        };
        if spec.xlnet {
            bed.host.start_helper()?;
            if let Some(other) = &bed.other {
                other.start_helper()?;
            }
        }
        bed.add_guests(&(1..=spec.guests).collect::<Vec<_>>())?;
        Ok(bed)
    }

    /// Whether PVH guests run the checking kernel.
    #[must_use]
    pub fn is_checking(&self) -> bool {
        self.images.checking.is_some()
    }

    /// The cache the bed's logs are in.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.cache
    }
}

/// A booted host with guests. What is not found here is [`Host`]'s.
pub struct Bed {
    /// The host, whose commands run in Dom0.
    pub host: Host,
    /// The second host, if there is one.
    pub other: Option<Host>,
    /// What was asked for.
    pub spec: Spec,
    cache: Cache,
}

impl Deref for Bed {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

impl Bed {
    /// Guest `g<number>`.
    ///
    /// # Errors
    /// If there is none.
    pub fn g(&self, number: u8) -> Result<Guest> {
        Ok(self.host.guest(&format!("g{number}"))?.clone())
    }

    /// Fails if a log of a host got a line that no test may leave, and names it.
    ///
    /// # Errors
    /// Those lines.
    pub fn check_logs(&self) -> Result<()> {
        self.host.check_logs()?;
        self.other.as_ref().map_or(Ok(()), Host::check_logs)
    }

    /// Makes guest `g<number>` of the bed's kind, with xlnet if the bed has it.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn add_guest(&mut self, number: u8) -> Result<Guest> {
        self.add_guests(&[number])?;
        self.g(number)
    }

    fn add_guests(&mut self, numbers: &[u8]) -> Result<()> {
        if numbers.is_empty() {
            return Ok(());
        }
        let configs: Vec<_> = numbers
            .iter()
            .map(|&number| self.guest_config(number))
            .collect();
        let names: Vec<_> = configs.iter().map(GuestConfig::name).collect();
        let progress = self.cache.progress().clone();
        progress.step(&format!("create guest {}", names.join(", ")), || {
            self.host.create_guests(&configs)
        })?;
        if self.spec.xlnet {
            for &number in numbers {
                self.g(number)?.sh("modprobe xlnet")?;
            }
        }
        Ok(())
    }

    fn guest_config(&self, number: u8) -> GuestConfig {
        let spec = self.spec;
        let together = spec.guests.saturating_sub(spec.apart);
        let apart = number > together && number <= spec.guests;
        let pcpus = if apart {
            let first = spec.common() + spec.vcpus * u32::from(number - together - 1);
            Some((first, first + spec.vcpus - 1))
        } else {
            let shared = spec.apart > 0 || spec.shared.is_some();
            shared.then(|| (0, spec.common().saturating_sub(1)))
        };
        GuestConfig {
            kind: if apart { Kind::Pvh } else { spec.kind },
            vcpus: spec.vcpus,
            pcpus: pcpus.map(|(first, last)| format!("{first}-{last}")),
            // Where guests move, what it takes them to go on is looked at.
            control_vif: !spec.paired,
            ..GuestConfig::new(number)
        }
    }
}

/// Asks again until `holds` says so; an error counts as "not yet".
///
/// # Errors
/// If it never does: then with its last error, if it had one.
pub fn eventually(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    // Much longer than anything takes: this ends a test that hangs, and measures nothing.
    let limit = patience::with(Duration::from_secs(120));
    let deadline = Instant::now() + limit;
    // To ask takes processor time from what is waited for: ever less often.
    let mut pause = Duration::from_millis(100);
    loop {
        let last = holds();
        if matches!(last, Ok(true)) {
            return Ok(());
        }
        if Instant::now() > deadline {
            last.with_context(|| format!("{what}: not within {limit:?}"))?;
            bail!("{what}: not within {limit:?}");
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(400));
    }
}
