// SPDX-License-Identifier: GPL-2.0
//! The emulator that runs Xen.

use std::{
    fs::File,
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::image::Images;

/// Which xenstore daemon Dom0 runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Xenstored {
    /// `xenstored`, in C.
    #[default]
    C,
    /// `oxenstored`, in OCaml: what Debian starts.
    Oxen,
}

/// One end of the cable between two hosts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Link {
    /// Unix socket both ends name.
    pub socket: PathBuf,
    /// Whether this end makes the socket. That host boots first.
    pub listen: bool,
}

/// What to emulate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HostConfig {
    /// Number of this host: 1, or 2 for the other end of a link.
    pub number: u8,
    /// Physical CPUs. Each vCPU of Dom0 and of a PVH guest needs one of its own; PV guests share.
    pub cpus: u32,
    /// Memory of the machine, in MiB.
    pub memory: u32,
    /// Memory of Dom0, in MiB.
    pub dom0_memory: u32,
    /// Whether its PVH guests run the checking kernel.
    pub checking: bool,
    /// Which xenstore daemon.
    pub xenstored: Xenstored,
    /// CPU model and flags.
    pub cpu: String,
    /// Whether its clock counts instructions, one a nanosecond, instead of following the machine's. Slow, and with one
    /// physical CPU a measurement finds nearly the same each time.
    pub counted: bool,
    /// The cable to another host.
    pub link: Option<Link>,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            number: 1,
            cpus: 3,
            memory: 3072,
            dom0_memory: 768,
            checking: false,
            xenstored: Xenstored::default(),
            // With either of these features the kernel copies by `rep movsb`, which the emulator runs byte by byte.
            cpu: "max,-erms,-fsrm".to_owned(),
            counted: false,
            link: None,
        }
    }
}

/// Options of Xen. `eager-fpu`: with lazy FPU switching this emulator loses the vector registers of Dom0 and PV guests.
const XEN: &str = "console=com1 com1=115200,8n1 dom0_max_vcpus=1 dom0_vcpus_pin loglvl=warning guest_loglvl=warning spec-ctrl=eager-fpu";

impl HostConfig {
    /// The same for guests with what kernels `images` has for them.
    pub(crate) fn fit(self, images: &Images) -> Self {
        match &images.checking {
            None => self,
            Some(_) => Self {
                memory: self.memory.saturating_mul(2),
                checking: true,
                ..self
            },
        }
    }

    fn xen_options(&self) -> String {
        format!("{XEN} dom0_mem={0}M,max:{0}M", self.dom0_memory)
    }

    fn dom0_options(&self) -> String {
        let xenstored = match self.xenstored {
            Xenstored::C => "c",
            Xenstored::Oxen => "oxen",
        };
        let mut options = format!(
            "console=hvc0 loglevel=5 net.ifnames=0 panic=5 lab.xenstored={xenstored} lab.host={}",
            self.number
        );
        if self.link.is_some() {
            options += &format!(" lab.link={}", self.link_mac());
        }
        options
    }

    /// IPv4 address of its Dom0 on the guests' segment.
    #[must_use]
    pub fn ip(&self) -> String {
        format!("10.77.0.{}", self.number)
    }

    fn link_mac(&self) -> String {
        format!("52:54:00:77:00:{:02x}", self.number)
    }

    /// The emulator's arguments. Images are at `/lab/images`, the run's own files at `/lab/run`.
    fn arguments(&self, port: u16) -> Vec<String> {
        let number = |value: u32| value.to_string();
        let mut args: Vec<String> = Vec::new();
        let mut option = |name: &str, value: String| args.extend([format!("-{name}"), value]);
        let threads = if self.counted { "single" } else { "multi" };
        option("accel", format!("tcg,thread={threads}"));
        if self.counted {
            option("icount", "shift=0".to_owned());
            // What writes to these registers sets a timer, for which the emulator reads the count where it must not.
            option("cpu", format!("{},-x2apic,-tsc-deadline", self.cpu));
        } else {
            option("cpu", self.cpu.clone());
        }
        option("smp", number(self.cpus));
        option("m", number(self.memory));
        option("display", "none".to_owned());
        option("serial", "file:/lab/run/xen.log".to_owned());
        option(
            "monitor",
            "unix:/lab/run/monitor.sock,server=on,wait=off".to_owned(),
        );
        option("kernel", "/lab/images/xen".to_owned());
        option("append", self.xen_options());
        option(
            "initrd",
            format!(
                "/lab/images/vmlinuz {},/lab/images/dom0-initrd.gz",
                self.dom0_options()
            ),
        );
        option(
            "drive",
            "file=/lab/images/dom0.ext4,if=virtio,format=raw,snapshot=on,cache=unsafe".to_owned(),
        );
        option(
            "drive",
            "file=/lab/run/payload.tar,if=virtio,format=raw,readonly=on".to_owned(),
        );
        option(
            "netdev",
            format!(
                "user,id=agent,restrict=on,hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:{}",
                xlnet_lab_agent::PORT
            ),
        );
        // The first card is eth0, which Dom0's init gives the agent's address.
        option(
            "device",
            "virtio-net-pci,netdev=agent,mac=52:54:00:77:01:01".to_owned(),
        );
        if let Some(link) = &self.link {
            let role = if link.listen { "on" } else { "off" };
            option(
                "netdev",
                format!(
                    "stream,id=link,server={role},addr.type=unix,addr.path={}",
                    link.socket.display()
                ),
            );
            option(
                "device",
                format!("virtio-net-pci,netdev=link,mac={}", self.link_mac()),
            );
        }
        args.extend(["-no-reboot".to_owned(), "-nodefaults".to_owned()]);
        args
    }
}

/// A free TCP port of the loopback.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("looking for a free port")?;
    Ok(listener.local_addr()?.port())
}

/// Starts the emulator. If it is not `detached`, it dies with the calling thread.
pub(crate) fn start(
    config: &HostConfig,
    images: &Images,
    run: &Path,
    port: u16,
    detached: bool,
) -> Result<Child> {
    let mut root = images
        .build
        .root
        .clone()
        .bind(&images.dir, "/lab/images")
        .bind(run, "/lab/run");
    if let Some(dir) = config.link.as_ref().and_then(|link| link.socket.parent()) {
        root = root.bind(dir, dir);
    }
    let mut inner = root.command("qemu-system-x86_64");
    inner.args(config.arguments(port)).env("TMPDIR", "/lab/run");
    // Whatever else this machine does: an emulator that waits for a processor measures that, and its guests fault.
    let mut command = wrap(&["nice", "-n", "-15"], &inner);
    if detached {
        command.process_group(0);
    } else {
        command = wrap(&["setpriv", "--pdeathsig", "KILL", "--"], &command);
    }
    let log = File::create(run.join("qemu.log"))?;
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("starting the emulator")
}

/// `inner` as run by `program`, which takes a command line.
fn wrap(program: &[&str], inner: &Command) -> Command {
    let mut words = program.iter();
    let mut command = Command::new(words.next().copied().unwrap_or_default());
    command
        .args(words)
        .arg(inner.get_program())
        .args(inner.get_args());
    for (name, value) in inner.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_the_emulation_needs_are_there() {
        let config = HostConfig::default();
        let line = config.arguments(1).join(" ");
        assert!(line.contains("-cpu max,-erms,-fsrm") && line.contains("tcg,thread=multi"));
        assert!(line.contains("spec-ctrl=eager-fpu") && line.contains("dom0_vcpus_pin"));
        assert!(!line.contains("lab.link"));
    }
}
