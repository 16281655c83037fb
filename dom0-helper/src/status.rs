// SPDX-License-Identifier: GPL-3.0-only

//! `xlnetd status`: the guests, their groups and addresses, and what is wrong.

use std::io::{ErrorKind, Write};
use std::path::Path;

use comfy_table::{presets, Table};
use serde::Serialize;
use xlnet_proto::schema::GuestState;

use crate::addresses::Source;
use crate::cli::Output;
use crate::counts::{self, ByGuest, Counts};
use crate::error::Error;
use crate::inventory::Domid;
use crate::lock::Lock;
use crate::model::Model;
use crate::report::{Driver, Report};

/// Whether the daemon runs.
#[derive(Clone, Serialize)]
pub struct Daemon {
    running: bool,
    pid: Option<String>,
}

/// The daemon that runs, if one does, and what it has counted.
pub struct Running {
    /// Itself.
    pub daemon: Daemon,
    counts: ByGuest,
}

impl Running {
    /// The one that holds this lock.
    pub fn find(lock_file: &Path) -> Self {
        let pid = Lock::holder(lock_file);
        // What one that has ended has counted is about guests of then.
        let counts = pid
            .as_ref()
            .and_then(|_| counts::load(&counts::path(lock_file)));
        Self {
            daemon: Daemon {
                running: pid.is_some(),
                pid,
            },
            counts: counts.unwrap_or_default(),
        }
    }

    /// Whether one runs.
    pub fn is_any(&self) -> bool {
        self.daemon.running
    }

    /// What it has counted of a guest, if it has.
    pub fn counts(&self, domid: Domid) -> Option<Counts> {
        self.counts.get(&domid).copied()
    }
}

/// Two columns of a table: invalid nodes, and waits.
pub fn count_columns(counts: Option<Counts>) -> [String; 2] {
    let column = |get: fn(Counts) -> u64| {
        counts.map_or_else(|| "-".into(), |counts| get(counts).to_string())
    };
    [
        column(|counts| counts.invalid),
        column(|counts| counts.waits),
    ]
}

impl Daemon {
    /// Says on standard error that no daemon runs, if none does.
    pub fn warn(&self) {
        if !self.running {
            eprintln!("xlnetd is not running: what follows is what it left, and nothing keeps it up to date");
        }
    }
}

#[derive(Serialize)]
struct Status {
    daemon: Daemon,
    /// Nodes that differ from what they should be; not zero for long only if no daemon runs.
    outdated_nodes: usize,
    guests: Vec<Row>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    domid: Domid,
    name: String,
    uuid: String,
    group: Option<String>,
    bridge: Option<String>,
    uplink_mac: Option<String>,
    mac: Option<String>,
    driver: &'static str,
    epoch: Option<String>,
    addresses: Vec<String>,
    address_source: Option<Source>,
    peers: Vec<Domid>,
    /// What a running daemon has counted of it.
    counts: Option<Counts>,
}

/// How the driver of a guest stands, in one word.
pub fn driver(report: Option<&Report>) -> &'static str {
    match report.map(|report| &report.driver) {
        None | Some(Driver::Absent) => "none",
        Some(Driver::Invalid) => "invalid",
        Some(Driver::Valid(own)) => match own.state {
            GuestState::Ready => "ready",
            GuestState::Leaving => "leaving",
        },
    }
}

fn status(model: &Model, running: &Running) -> Status {
    let plan = model.plan();
    let row = |(domid, guest): (&Domid, &crate::inventory::Guest)| {
        let place = model.places.get(domid);
        let report = model.reports.get(domid);
        let addresses = plan.addresses.get(domid);
        let told = plan.told.get(domid);
        Row {
            domid: *domid,
            name: guest.name.clone(),
            uuid: guest.uuid.clone(),
            group: place.map(|place| place.group.to_string()),
            bridge: place.and_then(|place| place.segment.bridge.clone()),
            uplink_mac: place.map(|place| place.uplink.to_string()),
            mac: place.map(|place| place.mac.to_string()),
            driver: driver(report),
            epoch: report
                .and_then(Report::ready)
                .map(|own| format!("{:016x}", own.epoch)),
            addresses: addresses
                .iter()
                .flat_map(|of| &of.prefixes)
                .map(ToString::to_string)
                .collect(),
            address_source: addresses.and_then(|of| of.source),
            peers: told
                .iter()
                .flat_map(|told| told.peers.keys().copied())
                .collect(),
            counts: running.counts(*domid),
        }
    };
    Status {
        daemon: running.daemon.clone(),
        outdated_nodes: plan.actions.len(),
        guests: model.guests.iter().map(row).collect(),
        warnings: plan
            .warnings
            .iter()
            .map(|warning| warning.text.clone())
            .collect(),
    }
}

/// Prints the state of the host.
///
/// # Errors
/// If standard output cannot be written.
pub fn show(model: &Model, running: &Running, output: &Output) -> Result<(), Error> {
    let status = status(model, running);
    if output.json {
        return print_json(&status);
    }
    status.daemon.warn();
    if let Some(pid) = &status.daemon.pid {
        print(&format!(
            "xlnetd runs as pid {pid}; {} nodes to be brought up to date",
            status.outdated_nodes
        ))?;
    }
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    let header = [
        "DOMID",
        "NAME",
        "GROUP",
        "BRIDGE",
        "DRIVER",
        "MAC",
        "ADDRESSES",
        "PEERS",
        "INVALID",
        "WAITS",
    ];
    let rows = status.guests.iter().map(|row| {
        let source = match row.address_source {
            Some(Source::Config) => " (config)",
            Some(Source::Toolstack) => " (toolstack)",
            Some(Source::Claim) => " (claimed)",
            None => "",
        };
        let [invalid, waits] = count_columns(row.counts);
        [
            row.domid.to_string(),
            row.name.clone(),
            or_dash(&row.group),
            or_dash(&row.bridge),
            row.driver.to_owned(),
            or_dash(&row.mac),
            if row.addresses.is_empty() {
                "-".into()
            } else {
                row.addresses.join(",") + source
            },
            row.peers.len().to_string(),
            invalid,
            waits,
        ]
    });
    print_table(header, rows)?;
    for warning in &status.warnings {
        print(&format!("warning: {warning}"))?;
    }
    Ok(())
}

/// Prints a line, or lines. A reader that has left has seen enough.
///
/// # Errors
/// If standard output cannot be written.
pub fn print(text: &str) -> Result<(), Error> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(source) if source.kind() != ErrorKind::BrokenPipe => Err(Error::System {
            doing: "write to standard output".into(),
            source,
        }),
        _ => Ok(()),
    }
}

/// Prints a value as JSON.
///
/// # Errors
/// If standard output cannot be written.
pub fn print_json(value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value);
    print(&text.map_err(|error| Error::System {
        doing: "write JSON".into(),
        source: error.into(),
    })?)
}

/// Prints a table without lines, one row per line.
///
/// # Errors
/// If standard output cannot be written.
pub fn print_table<const N: usize>(
    header: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> Result<(), Error> {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(header)
        .add_rows(rows);
    print(&table.trim_fmt())
}
