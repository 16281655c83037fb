// SPDX-License-Identifier: GPL-2.0
//! Runs commands for the lab: listens on TCP, one connection per command.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc, Mutex, MutexGuard,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{killpg, Signal},
    unistd::Pid,
};
use xlnet_lab_agent::{
    receive, receive_json, send, send_json, Control, Kind, Reply, Request, PORT,
};

/// How long output is awaited once the command has ended. A daemon it left behind may hold the pipes open for ever.
const DRAIN: Duration = Duration::from_millis(300);

fn main() -> io::Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", PORT))?;
    for stream in listener.incoming() {
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                eprintln!("xlnet-lab-agent: accept: {error}");
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        thread::spawn(move || {
            if let Err(error) = serve(stream) {
                eprintln!("xlnet-lab-agent: {error}");
            }
        });
    }
    Ok(())
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    match receive_json(&mut stream)? {
        Request::Exec { argv, timeout_ms } => exec(stream, &argv, timeout_ms),
        Request::Relay { addr } => relay(stream, &addr),
    }
}

fn relay(mut near: TcpStream, addr: &str) -> io::Result<()> {
    let far = addr
        .parse()
        .map_err(io::Error::other)
        .and_then(|addr| TcpStream::connect_timeout(&addr, Duration::from_secs(5)));
    let far = match far {
        Ok(far) => far,
        Err(error) => return send_json(&mut near, &Reply::Failed(format!("{addr}: {error}"))),
    };
    far.set_nodelay(true)?;
    send_json(&mut near, &Reply::Ready)?;
    let (mut near_in, mut far_out) = (near.try_clone()?, far.try_clone()?);
    let upward = thread::spawn(move || {
        let _ = io::copy(&mut near_in, &mut far_out);
        // A client that has gone takes the far connection, and so the command behind it, with it.
        let _ = far_out.shutdown(Shutdown::Both);
    });
    let _ = io::copy(&mut &far, &mut near);
    let _ = near.shutdown(Shutdown::Both);
    let _ = upward.join();
    Ok(())
}

fn exec(mut stream: TcpStream, argv: &[String], timeout_ms: Option<u64>) -> io::Result<()> {
    let mut child = match spawn(argv) {
        Ok(child) => child,
        Err(error) => return send_json(&mut stream, &Reply::Failed(format!("{argv:?}: {error}"))),
    };
    let group = Pid::from_raw(child.id() as i32);
    let output = Output {
        stream: Arc::new(Mutex::new(stream.try_clone()?)),
        chunks: Arc::new(AtomicU64::new(0)),
    };
    let mut pumps = Vec::new();
    if let Some(out) = child.stdout.take() {
        pumps.push(output.clone().pump(out, Kind::Stdout));
    }
    if let Some(err) = child.stderr.take() {
        pumps.push(output.clone().pump(err, Kind::Stderr));
    }
    let stdin = child.stdin.take();
    let mut reader = stream.try_clone()?;
    thread::spawn(move || follow_client(&mut reader, stdin, group));

    let timed_out = match timeout_ms.map(Duration::from_millis) {
        None => false,
        Some(limit) => !ends_within(&mut child, limit)?,
    };
    if timed_out {
        let _ = killpg(group, Signal::SIGKILL);
    }
    let status = child.wait()?;
    output.drain(&pumps);
    let exit = Reply::Exit {
        code: status.code(),
        signal: status.signal(),
        timed_out,
    };
    send_json(&mut *output.lock()?, &exit)?;
    stream.shutdown(Shutdown::Both)
}

fn spawn(argv: &[String]) -> io::Result<Child> {
    let (program, args) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    Command::new(program)
        .args(args)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

fn ends_within(child: &mut Child, limit: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + limit;
    while child.try_wait()?.is_none() {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(true)
}

/// Where a command's output goes.
#[derive(Clone)]
struct Output {
    stream: Arc<Mutex<TcpStream>>,
    /// Counts what was sent, so that progress can be told from a pipe that only stays open.
    chunks: Arc<AtomicU64>,
}

impl Output {
    fn lock(&self) -> io::Result<MutexGuard<'_, TcpStream>> {
        self.stream
            .lock()
            .map_err(|_| io::Error::other("an output thread panicked"))
    }

    fn pump(self, mut pipe: impl Read + Send + 'static, kind: Kind) -> JoinHandle<io::Result<()>> {
        thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            loop {
                let count = pipe.read(&mut buffer)?;
                if count == 0 {
                    return Ok(());
                }
                send(
                    &mut *self.lock()?,
                    kind,
                    buffer.get(..count).unwrap_or_default(),
                )?;
                self.chunks.fetch_add(1, Ordering::Relaxed);
            }
        })
    }

    /// Waits for what the ended command has left in its pipes.
    fn drain(&self, pumps: &[JoinHandle<io::Result<()>>]) {
        let mut seen = self.chunks.load(Ordering::Relaxed);
        let mut since = Instant::now();
        while !pumps.iter().all(JoinHandle::is_finished) && since.elapsed() < DRAIN {
            thread::sleep(Duration::from_millis(2));
            let now = self.chunks.load(Ordering::Relaxed);
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
        }
    }
}

/// Feeds standard input and signals to the command until the client is gone, and then kills what is left of it.
fn follow_client(reader: &mut TcpStream, mut stdin: Option<ChildStdin>, group: Pid) {
    loop {
        match receive(reader) {
            Ok((Kind::Stdin, bytes)) if bytes.is_empty() => stdin = None,
            Ok((Kind::Stdin, bytes)) => {
                let written = stdin.as_mut().map(|pipe| pipe.write_all(&bytes));
                if matches!(written, Some(Err(_))) {
                    stdin = None;
                }
            }
            Ok((Kind::Json, json)) => {
                if let Ok(Control::Signal(number)) = serde_json::from_slice(&json) {
                    if let Ok(signal) = Signal::try_from(number) {
                        let _ = killpg(group, signal);
                    }
                }
            }
            Ok(_) | Err(_) => break,
        }
    }
    let _ = killpg(group, Signal::SIGKILL);
}
