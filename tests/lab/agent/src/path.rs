// SPDX-License-Identifier: GPL-2.0
//! Watches whether xlnet0 has a peer, whether a channel with any stands, whether the uplink has a carrier, and when the guest goes
//! on after it was suspended.
//!
//! Native, because a shell that looks as often fills an emulated guest's processor. Usage: `xlnet-lab-path`. It runs until
//! SIGTERM, and then prints `begun AT` with the milliseconds since boot, and a line `up AT` or `down AT` for the first look and each
//! change, with the milliseconds since it began, without those that the system was suspended. `resumed AT` is when the kernel went
//! on after that, `connected AT` the first look that finds the uplink's carrier again, `listed AT` the first that finds a peer again,
//! `carried AT` the first that finds that xlnet0 has received a frame, which only a channel brings, and `ended AT` the end of the last.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read, Seek, SeekFrom, Write},
    mem,
    os::unix::fs::OpenOptionsExt,
    process::ExitCode,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, Mutex,
    },
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use nix::{
    libc::O_NONBLOCK,
    time::{clock_gettime, ClockId},
};

/// The driver's list of peers.
const PEERS: &str = "/sys/class/net/xlnet0/xlnet/peers";

/// Whether the uplink has a carrier, as `1` or `0`.
const CARRIER: &str = "/sys/class/net/enX0/carrier";

/// How many frames xlnet0 has received.
const RECEIVED: &str = "/sys/class/net/xlnet0/statistics/rx_packets";

/// The kernel's log. A record is `priority,number,microseconds,flags;text`.
const KMSG: &str = "/dev/kmsg";

/// What Linux logs when it goes on, before any device does (`gnttab_resume()`).
const RESUMED: &str = "Grant tables using version";

/// What this program logs to find out by how much the log's clock and its own differ.
const MARK: &str = "xlnet-lab-path: a guest goes on";

/// How often it looks. Every 20 ms, an emulated guest's uplink was connected a third later.
const TICK: Duration = Duration::from_millis(100);

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    match watch() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xlnet-lab-path: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What was seen so far, and whether that is enough.
struct Watch {
    clock: Instant,
    changes: Mutex<Vec<(&'static str, Duration)>>,
    /// The guest has gone on: the channel is another one, also if nobody saw it without.
    anew: AtomicBool,
    stop: Arc<AtomicBool>,
}

impl Watch {
    fn note(&self, word: &'static str, at: Duration) {
        if let Ok(mut changes) = self.changes.lock() {
            changes.push((word, at));
        }
    }

    /// Calls `look` again and again.
    fn often(&self, mut look: impl FnMut(Duration) -> Result<(), Failure>) -> Result<(), Failure> {
        while !self.stop.load(Ordering::Relaxed) {
            look(self.clock.elapsed())?;
            sleep(TICK);
        }
        Ok(())
    }

    fn peers(&self) -> Result<(), Failure> {
        let (mut was_up, mut was_listed) = (None, true);
        let (mut received, mut carried) = (u64::MAX, false);
        self.often(|at| {
            if self.anew.swap(false, Ordering::Relaxed) {
                (was_up, carried) = (Some(false), false);
            }
            let peers = fs::read_to_string(PEERS).unwrap_or_default();
            let listed = peers.contains("peer domid=");
            if listed && !was_listed {
                self.note("listed", at);
            }
            was_listed = listed;
            let up = peers.contains(" state=up ");
            if was_up.replace(up) != Some(up) {
                self.note(if up { "up" } else { "down" }, at);
            }
            let before = mem::replace(&mut received, number(RECEIVED));
            if received > before && !mem::replace(&mut carried, true) {
                self.note("carried", at);
            }
            Ok(())
        })
    }

    /// In a thread of its own: the file waits for a lock that netfront, too, holds for long.
    fn carrier(&self) -> Result<(), Failure> {
        let mut was_connected = true;
        self.often(|_| {
            let connected = fs::read_to_string(CARRIER).is_ok_and(|text| text.trim() == "1");
            if connected && !was_connected {
                self.note("connected", self.clock.elapsed());
            }
            was_connected = connected;
            Ok(())
        })
    }

    /// By the log and not by looking, as user space goes on much later than the kernel.
    fn resumes(&self) -> Result<(), Failure> {
        let mut log = open_log()?;
        let (mut resumed, mut marked) = (None, Duration::ZERO);
        self.often(|_| {
            while let Some((at, text)) = record(&mut log)? {
                if text.contains(RESUMED) {
                    resumed = Some(at);
                    self.anew.store(true, Ordering::Relaxed);
                    marked = self.clock.elapsed();
                    log.write_all(MARK.as_bytes())?;
                } else if text.contains(MARK) {
                    let since = resumed.take().map(|from| at.saturating_sub(from));
                    if let Some(since) = since {
                        self.note("resumed", marked.saturating_sub(since));
                    }
                }
            }
            Ok(())
        })
    }
}

/// The number in a file of sysfs; 0 if there is none, as where the module is not loaded.
fn number(path: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

fn open_log() -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    let mut log = options
        .read(true)
        .write(true)
        .custom_flags(O_NONBLOCK)
        .open(KMSG)?;
    log.seek(SeekFrom::End(0))?;
    Ok(log)
}

/// The next record of the log, if there is one: its time and its text.
fn record(log: &mut File) -> Result<Option<(Duration, String)>, Failure> {
    let mut buf = [0; 8192];
    loop {
        match log.read(&mut buf) {
            Ok(len) => {
                let line = String::from_utf8_lossy(buf.get(..len).unwrap_or_default());
                let (head, text) = line.split_once(';').ok_or("a record without text")?;
                let micros = head.split(',').nth(2).ok_or("a record without a time")?;
                let at = Duration::from_micros(micros.parse()?);
                return Ok(Some((at, text.to_owned())));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            // It was overwritten before it was read.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn watch() -> Result<(), Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, stop.clone())?;
    let begun = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME)?);
    let watch = Watch {
        clock: Instant::now(),
        changes: Mutex::default(),
        anew: AtomicBool::new(false),
        stop,
    };
    scope(|scope| {
        let others = [
            scope.spawn(|| watch.carrier()),
            scope.spawn(|| watch.resumes()),
        ];
        watch.peers()?;
        for other in others {
            other.join().map_err(|_| "a thread has panicked")??;
        }
        Ok::<(), Failure>(())
    })?;
    let ended = watch.clock.elapsed();
    let mut changes = watch.changes.into_inner()?;
    changes.sort_by_key(|(_, at)| *at);
    changes.push(("ended", ended));
    println!("begun {}", begun.as_millis());
    for (word, at) in changes {
        println!("{word} {}", at.as_millis());
    }
    Ok(())
}
