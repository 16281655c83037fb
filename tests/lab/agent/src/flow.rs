// SPDX-License-Identifier: GPL-2.0
//! Sends numbered records at a rate, and tells of those that arrive which are lost, doubled or changed, and when they came.
//!
//! Native and paced, because a shell that does this fills an emulated guest's processor and measures itself.
//! Both ends run until SIGTERM and then print `key=value` lines. A record is its number and a pattern whose length follows
//! from the number; it fits any uplink as a datagram. Over TCP, records are lines of one connection; by `rr`, the next is sent
//! when the receiver has answered.

use std::{
    collections::HashMap,
    env, fs,
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    process::ExitCode,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    thread::sleep,
    time::{Duration, Instant},
};

use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};

const USAGE: &str = "usage: xlnet-lab-flow send udp|tcp|rr IP PORT PER_SECOND [DOMID]
       xlnet-lab-flow receive udp|tcp|rr PORT COUNT_FILE
With a DOMID, send begins at the moment the channel with that peer is not up any more.";

/// The driver's list of peers.
const PEERS: &str = "/sys/class/net/xlnet0/xlnet/peers";

/// Longest pattern, in bytes.
const LONGEST: u64 = 1390;

/// How often a waiting end looks whether it is to stop, and the receiver says how far it is.
const TICK: Duration = Duration::from_millis(100);

/// A time without a record that is worth telling.
const GAP: Duration = Duration::from_millis(100);

/// A time whose records are counted together: short beside a standstill, and long beside the pauses of a paced sender.
const BIN: Duration = Duration::from_millis(250);

/// Bytes the receiver's socket may hold: it may not get the processor for a while, and what it loses then is not the path's.
const BUFFER: usize = 16 << 20;

type Failure = Box<dyn std::error::Error>;

/// Sends a record.
type Sink = Box<dyn FnMut(&[u8]) -> io::Result<()>>;

/// Appends to a record what has arrived, and says whether it is whole.
type Source = Box<dyn FnMut(&mut Vec<u8>) -> io::Result<bool>>;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
        ["send", transport, ip, port, rate, rest @ ..] if rest.len() < 2 => send(
            transport,
            &format!("{ip}:{port}"),
            rate,
            rest.first().copied(),
        ),
        ["receive", transport, port, file] => receive(transport, port, file),
        _ => Err(USAGE.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xlnet-lab-flow: {error}");
            ExitCode::FAILURE
        }
    }
}

fn stopped() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, stop.clone())?;
    Ok(stop)
}

/// The record with this number, as a line.
fn record(number: u64) -> Vec<u8> {
    let mut line = format!("{number} ").into_bytes();
    let length = number.wrapping_mul(37) % LONGEST;
    line.extend(
        (b'a'..=b'z')
            .cycle()
            .take(usize::try_from(length).unwrap_or(0)),
    );
    line.push(b'\n');
    line
}

fn send(transport: &str, to: &str, rate: &str, domid: Option<&str>) -> Result<(), Failure> {
    let rate: f64 = rate.parse()?;
    let period = Duration::try_from_secs_f64(1.0 / rate)?;
    let mut put: Sink = match transport {
        "udp" => {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.connect(to)?;
            Box::new(move |line| socket.send(line).map(drop))
        }
        "tcp" | "rr" => {
            let mut stream = TcpStream::connect(to)?;
            stream.set_nodelay(true)?;
            let mut answer = vec![0; usize::from(transport == "rr")];
            Box::new(move |line| {
                stream.write_all(line)?;
                stream.read_exact(&mut answer)
            })
        }
        _ => return Err(USAGE.into()),
    };
    let stop = stopped()?;
    while domid.is_some_and(is_up) && !stop.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(5));
    }
    let (mut sent, mut refused, mut why) = (0, 0_u64, String::new());
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        match put(&record(sent)) {
            Ok(()) => sent += 1,
            Err(error) => {
                refused += 1;
                why = error.to_string();
            }
        }
        // Who is late does not catch up: a burst would be another test.
        next = (next + period).max(Instant::now());
        sleep(next.saturating_duration_since(Instant::now()));
    }
    println!("sent={sent}\nrefused={refused}\nwhy={why}");
    Ok(())
}

fn is_up(domid: &str) -> bool {
    let head = format!("peer domid={domid} ");
    fs::read_to_string(PEERS).is_ok_and(|list| {
        list.lines()
            .any(|line| line.starts_with(&head) && line.contains(" state=up "))
    })
}

/// What has arrived.
#[derive(Default)]
struct Judge {
    seen: HashMap<u64, u64>,
    top: Option<u64>,
    changed: u64,
}

impl Judge {
    fn take(&mut self, line: &[u8]) {
        let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = std::str::from_utf8(&line[..digits])
            .ok()
            .and_then(|digits| digits.parse().ok());
        match number {
            Some(number) if record(number) == line => {
                *self.seen.entry(number).or_default() += 1;
                self.top = self.top.max(Some(number));
            }
            _ => self.changed += 1,
        }
    }

    fn report(&self) {
        let doubled: u64 = self.seen.values().map(|times| times - 1).sum();
        let missing: Vec<String> = (0..self.top.unwrap_or(0))
            .filter(|number| !self.seen.contains_key(number))
            .take(20)
            .map(|number| number.to_string())
            .collect();
        println!("received={}\ndoubled={doubled}", self.seen.len());
        println!("changed={}\nmissing={}", self.changed, missing.join(" "));
    }
}

/// When records arrived.
struct Arrivals {
    /// The system's time since boot, in seconds, when `clock` stood at zero.
    begun: String,
    clock: Instant,
    last: Option<Duration>,
    /// Begin and end of every time without a record.
    gaps: Vec<(Duration, Duration)>,
    /// How many came in each [`BIN`] since `begun`, up to the last that came.
    bins: Vec<u64>,
}

impl Arrivals {
    fn begin() -> io::Result<Self> {
        let uptime = fs::read_to_string("/proc/uptime")?;
        Ok(Self {
            begun: uptime.split(' ').next().unwrap_or_default().to_owned(),
            clock: Instant::now(),
            last: None,
            gaps: Vec::new(),
            bins: Vec::new(),
        })
    }

    /// Notes a record that came `now`, by `clock`.
    fn note(&mut self, now: Duration) {
        let bin = (now.as_millis() / BIN.as_millis()) as usize;
        // It grows with time, not with what is sent.
        self.bins.resize(self.bins.len().max(bin + 1), 0);
        self.bins[bin] += 1;
        if let Some(last) = self.last.replace(now) {
            if now - last >= GAP {
                self.gaps.push((last, now));
            }
        }
    }

    fn report(&self) {
        let gaps: Vec<_> = self
            .gaps
            .iter()
            .map(|(from, to)| format!("{}-{}", from.as_millis(), to.as_millis()))
            .collect();
        println!("begun={}\ngaps={}", self.begun, gaps.join(" "));
        let bins: Vec<_> = self.bins.iter().map(u64::to_string).collect();
        println!("bin_ms={}\nbins={}", BIN.as_millis(), bins.join(" "));
    }
}

fn receive(transport: &str, port: &str, file: &str) -> Result<(), Failure> {
    let port: u16 = port.parse()?;
    let stop = stopped()?;
    let mut get: Source = match transport {
        "udp" => {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
            setsockopt(&socket, RcvBufForce, &BUFFER)?;
            socket.set_read_timeout(Some(TICK))?;
            Box::new(move |line| {
                line.resize(1 << 16, 0);
                let result = socket.recv(line);
                line.truncate(*result.as_ref().unwrap_or(&0));
                result.map(|_| true)
            })
        }
        "tcp" => tcp_source(port, false)?,
        "rr" => tcp_source(port, true)?,
        _ => return Err(USAGE.into()),
    };
    let mut judge = Judge::default();
    let mut arrivals = Arrivals::begin()?;
    let mut line = Vec::new();
    let mut told = Instant::now();
    tell(file, &judge)?;
    while !stop.load(Ordering::Relaxed) {
        match get(&mut line) {
            Ok(true) => {
                judge.take(&line);
                arrivals.note(arrivals.clock.elapsed());
                line.clear();
            }
            Ok(false) => sleep(TICK),
            Err(error) if is_pause(&error) => {}
            Err(error) => return Err(error.into()),
        }
        if told.elapsed() >= TICK {
            told = Instant::now();
            tell(file, &judge)?;
        }
    }
    judge.report();
    arrivals.report();
    Ok(())
}

/// Replaces the file at once, for who reads it meanwhile.
fn tell(file: &str, judge: &Judge) -> io::Result<()> {
    let new = format!("{file}.new");
    fs::write(&new, format!("{}\n", judge.seen.len()))?;
    fs::rename(new, file)
}

fn is_pause(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

/// Reads lines of the first connection to `port`, and answers each if asked to; nothing any more once that has ended.
fn tcp_source(port: u16, answers: bool) -> Result<Source, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
    listener.set_nonblocking(true)?;
    let mut reader: Option<BufReader<TcpStream>> = None;
    Ok(Box::new(move |line| match &mut reader {
        Some(reader) => {
            reader.read_until(b'\n', line)?;
            let whole = line.ends_with(b"\n");
            if whole && answers {
                reader.get_mut().write_all(b"\n")?;
            }
            Ok(whole)
        }
        None => match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(TICK))?;
                reader = Some(BufReader::new(stream));
                Ok(false)
            }
            Err(error) if is_pause(&error) => Ok(false),
            Err(error) => Err(error),
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_by_time() {
        let mut arrivals = Arrivals::begin().unwrap();
        for ms in [10, 249, 250, 1010] {
            arrivals.note(Duration::from_millis(ms));
        }
        assert_eq!(arrivals.bins, [2, 1, 0, 0, 1]);
        assert_eq!(arrivals.gaps.len(), 2);
    }
}
