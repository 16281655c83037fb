// SPDX-License-Identifier: GPL-3.0-only

//! The real xlnetd as a process.

use std::fs::File;
use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

/// How a command ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A running `xlnetd run`; it is killed when dropped.
pub struct Helper {
    child: Child,
    log: PathBuf,
}

fn command(dir: &Path, socket: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xlnetd"));
    command
        .env("XENSTORED_PATH", socket)
        .env_remove("NOTIFY_SOCKET")
        .env_remove("JOURNAL_STREAM")
        .env_remove("RUST_LOG")
        .args(["--config".as_ref(), dir.join("xlnetd.toml").as_os_str()])
        .args(["--lock-file".as_ref(), dir.join("lock").as_os_str()])
        .stdin(Stdio::null());
    command
}

impl Helper {
    pub fn run(dir: &Path, socket: &Path) -> Self {
        let notify = dir.join("notify");
        std::fs::remove_file(&notify).ok();
        let listener = UnixDatagram::bind(&notify).unwrap();
        listener
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let log = dir.join("xlnetd.log");
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let child = command(dir, socket)
            .args(["run", "-v"])
            .env("NOTIFY_SOCKET", &notify)
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut helper = Self { child, log };
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut message = [0; 4096];
        loop {
            if let Ok(length) = listener.recv(&mut message) {
                if String::from_utf8_lossy(&message[..length])
                    .lines()
                    .any(|line| line == "READY=1")
                {
                    return helper;
                }
            }
            let ended = helper.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "xlnetd is not ready ({ended:?}):\n{}",
                helper.log()
            );
        }
    }

    pub fn command(dir: &Path, socket: &Path, args: &[&str]) -> Outcome {
        let mut child = command(dir, socket)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut stdout, mut stderr) = (String::new(), String::new());
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut stdout)
            .unwrap();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        Outcome {
            code: child.wait().unwrap().code(),
            stdout,
            stderr,
        }
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap());
        kill(pid, signal).unwrap();
    }

    /// `systemctl stop`; its exit code.
    pub fn terminate(mut self) -> Option<i32> {
        self.signal(Signal::SIGTERM);
        self.child.wait().unwrap().code()
    }

    /// `systemctl reload`.
    pub fn reload(&self) {
        self.signal(Signal::SIGHUP);
    }

    /// Waits for it to end by itself; its exit code. The limit only ends a test that would hang.
    pub fn wait(mut self) -> Option<i32> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "xlnetd goes on:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
