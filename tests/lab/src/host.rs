// SPDX-License-Identifier: GPL-2.0
//! A running Xen host: Dom0, its guests, and their logs.

use std::{
    fs::{self, File},
    net::SocketAddr,
    ops::Deref,
    path::{Path, PathBuf},
    process::Child,
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{bail, Context, Result};
use nix::{
    fcntl::Flock,
    sys::signal::{kill, Signal},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

use crate::{
    agent::Agent,
    cache::{remove_tree, Cache},
    guest::Guest,
    image::Images,
    logs::Reader,
    payload::Payload,
    qemu::{free_port, start, HostConfig},
};

mod collect;
mod guests;
mod migrate;

/// How long a machine may take to boot, in real time.
const BOOT: Duration = Duration::from_secs(180);

/// How long a run that ends by itself waits for another.
const PATIENCE: Duration = Duration::from_secs(900);

/// What others need to know to reach a host that runs in the background.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// Process of the emulator.
    pub pid: i32,
    /// Dom0's agent.
    pub dom0: Agent,
    /// What was booted.
    pub config: HostConfig,
    /// Its guests.
    pub guests: Vec<Guest>,
}

/// A Xen host. Unless it is detached it ends, with all its guests, when this is dropped.
pub struct Host {
    state: State,
    dir: PathBuf,
    child: Option<Child>,
    reader: Mutex<Reader>,
    /// The machine is ours as long as this or the emulator, which inherits it, lives.
    claim: Option<Flock<File>>,
}

/// Commands given to a host run in its Dom0.
impl Deref for Host {
    type Target = Agent;

    fn deref(&self) -> &Agent {
        &self.state.dom0
    }
}

impl Host {
    /// Boots a host and waits for its Dom0. The emulator dies with the calling thread.
    ///
    /// # Errors
    /// If another host runs already, or this one does not come up: then with the end of its console.
    pub fn boot(
        cache: &Cache,
        images: &Images,
        payload: &Payload,
        config: HostConfig,
    ) -> Result<Self> {
        Self::boot_as(cache, images, payload, config, false)
    }

    /// Boots a host that goes on when this process ends. [`Host::attach`] finds it again.
    ///
    /// # Errors
    /// As [`Host::boot`].
    pub fn boot_detached(
        cache: &Cache,
        images: &Images,
        payload: &Payload,
        config: HostConfig,
    ) -> Result<Self> {
        Self::boot_as(cache, images, payload, config, true)
    }

    fn boot_as(
        cache: &Cache,
        images: &Images,
        payload: &Payload,
        config: HostConfig,
        detached: bool,
    ) -> Result<Self> {
        // The second host of a pair runs beside the first, whose claim covers it.
        let claim = if config.number == 1 {
            Some(cache.claim_machine(if detached { Duration::ZERO } else { PATIENCE })?)
        } else {
            None
        };
        let dir = run_dir(cache, config.number);
        remove_tree(&dir)?;
        fs::create_dir_all(&dir)?;
        payload.pack(images, &dir)?;
        let config = config.fit(images);
        let port = free_port()?;
        let what = format!("boot Xen and Dom0 (host {})", config.number);
        cache.progress().step(&what, || {
            let child = start(&config, images, &dir, port, detached)?;
            let addr = SocketAddr::from(([127, 0, 0, 1], port));
            let dom0 = Agent::new("dom0", addr);
            let state = State {
                pid: child.id() as i32,
                dom0,
                config,
                guests: Vec::new(),
            };
            let mut host = Self {
                state,
                dir,
                child: Some(child),
                reader: Mutex::default(),
                claim,
            };
            if let Err(error) = host.await_dom0() {
                host.kill();
                return Err(error);
            }
            if detached {
                host.child = None;
                // To drop a lock is to release it for the emulator as well.
                std::mem::forget(host.claim.take());
                host.save()?;
            }
            Ok(host)
        })
    }

    /// The host that [`Host::boot_detached`] has left running.
    ///
    /// # Errors
    /// If none runs.
    pub fn attach(cache: &Cache) -> Result<Self> {
        let dir = run_dir(cache, 1);
        let file = dir.join("state.json");
        let none = "no lab is up: `cargo xtask lab up` starts one";
        let text = fs::read(&file).context(none)?;
        let state: State =
            serde_json::from_slice(&text).with_context(|| file.display().to_string())?;
        if !is_emulator(state.pid) {
            bail!(
                "{none} (the last one has ended; its logs are in {})",
                dir.display()
            );
        }
        Ok(Self {
            state,
            dir,
            child: None,
            reader: Mutex::default(),
            claim: None,
        })
    }

    fn await_dom0(&mut self) -> Result<()> {
        let deadline = Instant::now() + BOOT;
        loop {
            if let Ok(output) = self.run(&["true"], b"", Duration::from_secs(5)) {
                if output.success() {
                    return Ok(());
                }
            }
            if let Some(status) = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().transpose())
            {
                bail!("the emulator ended ({}); {}", status?, self.last_words());
            }
            if Instant::now() > deadline {
                bail!("Dom0 is not up after {BOOT:?}; {}", self.last_words());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn last_words(&self) -> String {
        let tail = |name: &str| {
            let text = fs::read(self.dir.join(name)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            let lines: Vec<_> = text.lines().collect();
            lines[lines.len().saturating_sub(15)..].join("\n")
        };
        format!(
            "{}\nits console ({}/xen.log) ends in\n{}",
            tail("qemu.log"),
            self.dir.display(),
            tail("xen.log")
        )
    }

    /// Starts `xlnetd` in Dom0, with its log beside Xen's own, and waits until it answers.
    ///
    /// # Errors
    /// If it ends at once.
    pub fn start_helper(&self) -> Result<()> {
        let script = "setsid -f sh -c 'exec xlnetd run >> /var/log/xen/xlnetd.log 2>&1 < /dev/null'
            for i in $(seq 50); do xlnetd status >/dev/null 2>&1 && exit 0; sleep 0.2; done
            tail -n 20 /var/log/xen/xlnetd.log >&2; exit 1";
        self.sh(script).context("starting xlnetd").map(drop)
    }

    /// What was booted.
    #[must_use]
    pub fn config(&self) -> &HostConfig {
        &self.state.config
    }

    /// Directory of the run: its logs are there.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn save(&self) -> Result<()> {
        let file = self.dir.join("state.json");
        fs::write(&file, serde_json::to_vec_pretty(&self.state)?)
            .with_context(|| file.display().to_string())
    }

    /// Ends the host, even a detached one, and keeps its logs.
    ///
    /// # Errors
    /// If the emulator does not end.
    pub fn shut_down(mut self) -> Result<()> {
        // A host that no longer answers has its console log all the same.
        let _ = self.collect_logs();
        self.kill();
        let deadline = Instant::now() + Duration::from_secs(10);
        while is_emulator(self.state.pid) {
            if Instant::now() > deadline {
                bail!("the emulator (process {}) does not end", self.state.pid);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn kill(&mut self) {
        if is_emulator(self.state.pid) {
            let _ = kill(Pid::from_raw(self.state.pid), Signal::SIGKILL);
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
        let _ = fs::remove_file(self.dir.join("payload.tar"));
        let _ = fs::remove_file(self.dir.join("state.json"));
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if self.child.is_some() {
            let _ = self.collect_logs();
            self.kill();
        }
    }
}

fn run_dir(cache: &Cache, number: u8) -> PathBuf {
    cache.run_dir().join(format!("host{number}"))
}

/// Whether this process is an emulator of the lab: the number alone may have been given to another by now.
fn is_emulator(pid: i32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|line| String::from_utf8_lossy(&line).contains("/lab/run/xen.log"))
}
