// SPDX-License-Identifier: GPL-2.0
//! Watches whether xlnet0 has a peer, whether a channel with any stands, and whether the uplink has a carrier.
//!
//! Native, because a shell that looks as often fills an emulated guest's processor. Usage: `xlnet-lab-path`. It runs until
//! SIGTERM, and then prints `begun AT` with the milliseconds since boot, and a line `up AT` or `down AT` for the first look and each
//! change, with the milliseconds since it began, without those that the system was suspended. `resumed AT` is the first look after
//! the system was, `connected AT` the first that finds the uplink's carrier again, `listed AT` the first that finds a peer again, and
//! `ended AT` the end of the last.

use std::{
    fs,
    process::ExitCode,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    thread::sleep,
    time::{Duration, Instant},
};

use nix::time::{clock_gettime, ClockId};

/// The driver's list of peers.
const PEERS: &str = "/sys/class/net/xlnet0/xlnet/peers";

/// Whether the uplink has a carrier, as `1` or `0`.
const CARRIER: &str = "/sys/class/net/enX0/carrier";

/// How often it looks.
const TICK: Duration = Duration::from_millis(50);

/// What the two clocks that are read one after the other may differ by, if the system was not suspended.
const APART: Duration = Duration::from_millis(100);

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match watch() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xlnet-lab-path: {error}");
            ExitCode::FAILURE
        }
    }
}

/// How long the system has been suspended since its boot, and a little less or more.
fn suspended() -> Result<Duration, Failure> {
    // The other way round, what lies between the two readings would look like a suspend.
    let with = clock_gettime(ClockId::CLOCK_BOOTTIME)?;
    let without = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(Duration::from(with).saturating_sub(without.into()))
}

fn watch() -> Result<(), Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, stop.clone())?;
    let begun = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME)?);
    let clock = Instant::now();
    let (mut was_up, mut was_connected, mut was_listed) = (None, true, true);
    let (mut was_suspended, mut changes) = (suspended()?, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let at = clock.elapsed();
        let suspended = suspended()?;
        if suspended > was_suspended + APART {
            was_suspended = suspended;
            changes.push(("resumed", at));
        }
        let connected = fs::read_to_string(CARRIER).is_ok_and(|text| text.trim() == "1");
        if connected && !was_connected {
            changes.push(("connected", at));
        }
        was_connected = connected;
        let peers = fs::read_to_string(PEERS).unwrap_or_default();
        let listed = peers.contains("peer domid=");
        if listed && !was_listed {
            changes.push(("listed", at));
        }
        was_listed = listed;
        let up = peers.contains(" state=up ");
        if was_up.replace(up) != Some(up) {
            changes.push((if up { "up" } else { "down" }, at));
        }
        sleep(TICK);
    }
    changes.push(("ended", clock.elapsed()));
    println!("begun {}", begun.as_millis());
    for (word, at) in changes {
        println!("{word} {}", at.as_millis());
    }
    Ok(())
}
