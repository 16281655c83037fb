// SPDX-License-Identifier: GPL-3.0-only

//! The xenstore daemons of the distribution, each in a directory of its own, without Xen.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::wire::Wire;

/// Which of the two daemons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Xen's C daemon.
    Xenstored,
    /// Its OCaml sibling, which Debian and XCP-ng start by default.
    Oxenstored,
}

impl Kind {
    fn binary(self) -> PathBuf {
        let name = match self {
            Self::Xenstored => "xenstored",
            Self::Oxenstored => "oxenstored",
        };
        let variable = format!("XLNET_{}", name.to_uppercase());
        if let Some(path) = std::env::var_os(&variable) {
            return path.into();
        }
        let newest = glob::glob(&format!("/usr/lib/xen-*/bin/{name}"))
            .unwrap()
            .filter_map(Result::ok)
            .max();
        newest.unwrap_or_else(|| {
            panic!(
                "there is no {name} in /usr/lib/xen-*/bin; these tests need the real one:\n  \
                 apt-get install xen-utils-4.17   (Debian 12)\n  \
                 apt-get install xen-utils-4.20   (Debian 13)\nor say where it is with {variable}"
            )
        })
    }
}

/// The LD_PRELOAD library that stands in for the hypervisor, compiled once per run.
fn stub() -> &'static Path {
    static STUB: OnceLock<PathBuf> = OnceLock::new();
    STUB.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stub/xen_stub.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("xen_stub-{}.so", std::process::id()));
        let status = Command::new("cc")
            .args([
                "-shared",
                "-fPIC",
                "-O1",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-Wno-unused-parameter",
                "-o",
            ])
            .arg(&library)
            .args([source, "-ldl"])
            .status()
            .expect("a C compiler is needed: apt-get install gcc libc6-dev");
        assert!(status.success(), "cc could not compile {source}");
        library
    })
}

/// A running daemon; it is killed when dropped.
pub struct Daemon {
    child: Child,
    pub socket: PathBuf,
}

impl Daemon {
    /// Starts it in `dir` and waits until it answers.
    pub fn start(kind: Kind, dir: &Path) -> Self {
        std::fs::write(dir.join("xsd_kva"), [0; 4096]).unwrap();
        std::fs::write(dir.join("xsd_port"), "1").unwrap();
        let socket = dir.join("socket");
        let mut command = Command::new(kind.binary());
        match kind {
            Kind::Xenstored => command.args(["-N", "--pid-file"]).arg(dir.join("pid")),
            Kind::Oxenstored => {
                let at = |name: &str| dir.join(name).display().to_string();
                let config = format!(
                    "pid-file = {}\nxenstored-log-file = {}\naccess-log-file = {}\nxenstored-kva = {}\n\
                     xenstored-port = {}\npersistent = false\nperms-activate = true\nquota-activate = true\n",
                    at("pid"),
                    at("log"),
                    at("access-log"),
                    at("xsd_kva"),
                    at("xsd_port"),
                );
                std::fs::write(dir.join("oxenstored.conf"), config).unwrap();
                command
                    .args(["--no-fork", "--config-file"])
                    .arg(dir.join("oxenstored.conf"))
            }
        };
        let log = std::fs::File::create(dir.join("stderr")).unwrap();
        let child = command
            .env("LD_PRELOAD", stub())
            .env("XEN_STUB_DIR", dir)
            .env("XENSTORED_RUNDIR", dir)
            .env("XENSTORED_PATH", &socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", kind.binary().display()));
        let mut daemon = Self { child, socket };
        let deadline = Instant::now() + Duration::from_secs(30);
        while Wire::connect(&daemon.socket).is_err() {
            let ended = daemon.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "{kind:?} does not answer ({ended:?}): {}",
                std::fs::read_to_string(dir.join("stderr")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        daemon
    }

    /// Stops it without ending it: connections stay and nothing is answered.
    pub fn stop(&self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
