// SPDX-License-Identifier: GPL-2.0
//! `cargo xtask lab …`: a Xen host in the background, for people.

use std::{
    io::{stderr, stdin, stdout, IsTerminal},
    process::{Command as Process, ExitCode, Stdio},
};

use anyhow::{bail, Result};
use clap::{Subcommand, ValueEnum};
use serde_json::json;
use xlnet_lab::{
    agent::{Agent, Output},
    cache::Cache,
    guest::{GuestConfig, Kind},
    host::Host,
    image::{self, GuestKernel},
    needs,
    product::Project,
    progress::Progress,
    qemu::{HostConfig, Xenstored},
};

/// What to do with the lab.
#[derive(Subcommand)]
pub enum Command {
    /// Boot a Xen host with guests, with xlnet built from this tree, and leave it running
    Up(Up),
    /// Run a command in Dom0 or a guest; one word is a shell's line
    Exec {
        /// dom0, g1, g2, …
        place: String,
        /// The command
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Open a shell in Dom0 or a guest
    Shell {
        /// dom0, g1, g2, …
        place: String,
    },
    /// Add a guest
    Add {
        /// Its number
        number: u8,
        /// How it is virtualised
        #[arg(long, value_enum, default_value_t)]
        kind: KindArg,
        /// Load xlnet there
        #[arg(long)]
        load: bool,
    },
    /// Say what runs and where its logs are
    Status {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Fetch all logs and print what no kernel should have logged; exit 1 if there is such a line
    Logs,
    /// End the host and all its guests
    Down,
}

/// What to boot.
#[derive(clap::Args)]
pub struct Up {
    /// How many guests
    #[arg(long, default_value_t = 2)]
    guests: u8,
    /// How they are virtualised
    #[arg(long, value_enum, default_value_t)]
    kind: KindArg,
    /// Which xenstore daemon Dom0 runs
    #[arg(long, value_enum, default_value_t)]
    xenstored: XenstoredArg,
    /// Virtual CPUs of each guest
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8))]
    vcpus: u32,
    /// Physical CPUs; by default one for Dom0 and one for each vCPU of a PVH guest
    #[arg(long)]
    cpus: Option<u32>,
    /// PVH guests run a kernel that checks itself (KASAN, lockdep, …), which is built first if need be
    #[arg(long)]
    checking: bool,
    /// Leave xlnet out: only the host and plain guests
    #[arg(long)]
    bare: bool,
    /// Start xlnetd and load xlnet in the guests
    #[arg(long, conflicts_with = "bare")]
    load: bool,
}

/// How guests are virtualised.
#[derive(Clone, Copy, Default, ValueEnum)]
pub enum KindArg {
    /// Hardware-virtualised without an emulated PC
    #[default]
    Pvh,
    /// Paravirtualised
    Pv,
}

/// Which xenstore daemon.
#[derive(Clone, Copy, Default, ValueEnum)]
pub enum XenstoredArg {
    /// xenstored
    #[default]
    C,
    /// oxenstored
    Oxen,
}

impl KindArg {
    fn guest(self, number: u8) -> GuestConfig {
        let kind = match self {
            Self::Pvh => Kind::Pvh,
            Self::Pv => Kind::Pv,
        };
        GuestConfig {
            kind,
            ..GuestConfig::new(number)
        }
    }
}

/// Carries out `command`. Of a command run in the lab it passes on the exit status.
pub fn run(command: &Command) -> Result<ExitCode> {
    let cache = Cache::open(Progress::default())?;
    match command {
        Command::Up(options) => up(&cache, options)?,
        Command::Exec { place, command } => {
            let host = Host::attach(&cache)?;
            let agent = place_of(&host, place)?;
            let mut argv: Vec<&str> = command.iter().map(String::as_str).collect();
            if let [line] = argv[..] {
                argv = vec!["sh", "-c", line];
            }
            return exec(agent, &argv);
        }
        Command::Shell { place } => {
            let host = Host::attach(&cache)?;
            return shell(place_of(&host, place)?);
        }
        Command::Add { number, kind, load } => {
            let mut host = Host::attach(&cache)?;
            let guest = host.create_guest(kind.guest(*number))?;
            if *load {
                guest.sh("modprobe xlnet")?;
            }
        }
        Command::Status { json } => status(&Host::attach(&cache)?, *json),
        Command::Logs => {
            let host = Host::attach(&cache)?;
            let found = host.findings()?;
            println!("{}", host.dir().display());
            for finding in &found {
                println!("{finding}");
            }
            return Ok(ExitCode::from(u8::from(!found.is_empty())));
        }
        Command::Down => Host::attach(&cache)?.shut_down()?,
    }
    Ok(ExitCode::SUCCESS)
}

fn up(cache: &Cache, options: &Up) -> Result<()> {
    needs::ensure(cache)?;
    let project = Project::find()?;
    let images = image::images(cache, GuestKernel::new(options.checking))?;
    let product = if options.bare {
        None
    } else {
        Some(project.build(cache, &images)?)
    };
    let payload = project.payload(cache, product.as_ref())?;
    let own = match options.kind {
        KindArg::Pvh => options.vcpus.saturating_mul(options.guests.into()),
        KindArg::Pv => 1,
    };
    let config = HostConfig {
        cpus: options.cpus.unwrap_or(own.saturating_add(1)),
        memory: 1280 + 352 * u32::from(options.guests.max(2)),
        xenstored: match options.xenstored {
            XenstoredArg::C => Xenstored::C,
            XenstoredArg::Oxen => Xenstored::Oxen,
        },
        ..HostConfig::default()
    };
    let mut host = Host::boot_detached(cache, &images, &payload, config)?;
    if options.load {
        host.start_helper()?;
    }
    let configs: Vec<_> = (1..=options.guests)
        .map(|number| GuestConfig {
            vcpus: options.vcpus,
            ..options.kind.guest(number)
        })
        .collect();
    cache
        .progress()
        .step("create guests", || host.create_guests(&configs))?;
    if options.load {
        for guest in host.guests() {
            guest.sh("modprobe xlnet")?;
        }
    }
    status(&host, false);
    Ok(())
}

fn place_of<'a>(host: &'a Host, place: &str) -> Result<&'a Agent> {
    match place {
        "dom0" => Ok(host),
        name => Ok(host.guest(name)?),
    }
}

fn status(host: &Host, json: bool) {
    if json {
        let guests: Vec<_> = host
            .guests()
            .iter()
            .map(|guest| json!({ "name": guest.config.name(), "ip": guest.config.ip(), "ip6": guest.config.ip6() }))
            .collect();
        println!(
            "{}",
            json!({ "dir": host.dir(), "host": host.config(), "guests": guests })
        );
        return;
    }
    println!("logs in {}", host.dir().display());
    for guest in host.guests() {
        println!(
            "{}  {}  {}",
            guest.config.name(),
            guest.config.ip(),
            guest.config.ip6()
        );
    }
    println!("cargo xtask lab exec <dom0|g1|…> -- CMD");
}

fn exec(agent: &Agent, argv: &[&str]) -> Result<ExitCode> {
    let running = agent.start(argv, None)?;
    if stdin().is_terminal() {
        running.feed(Vec::new())?;
    } else {
        running.feed_from(stdin())?;
    }
    Ok(exit_code(&running.copy_to(&mut stdout(), &mut stderr())?))
}

fn exit_code(output: &Output) -> ExitCode {
    // As a shell reports it: 128 and the signal's number.
    let signal = 128 + output.signal.unwrap_or(0);
    ExitCode::from(u8::try_from(output.code.unwrap_or(signal)).unwrap_or(u8::MAX))
}

fn shell(agent: &Agent) -> Result<ExitCode> {
    if !stdin().is_terminal() {
        bail!("a shell needs a terminal: use `cargo xtask lab exec`");
    }
    let stty = |args: &[&str]| -> Result<String> {
        let output = Process::new("stty")
            .args(args)
            .stdin(Stdio::inherit())
            .output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let saved = stty(&["-g"])?;
    let size = stty(&["size"])?;
    let (rows, columns) = size.split_once(' ').unwrap_or(("24", "80"));
    let inner = format!(
        "EXEC:'sh -c \"stty rows {rows} cols {columns}; TERM=xterm exec bash -l\"',pty,setsid,ctty,stderr,sane"
    );
    let running = agent.start(&["socat", "STDIO", &inner], None)?;
    running.feed_from(stdin())?;
    stty(&["raw", "-echo"])?;
    let result = running.copy_to(&mut stdout(), &mut stderr());
    stty(&[&saved])?;
    Ok(exit_code(&result?))
}
