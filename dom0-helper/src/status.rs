// SPDX-License-Identifier: GPL-3.0-only

//! `xlnetd status`: the guests, their groups and addresses, and what is wrong.

use std::io::{ErrorKind, Write};

use comfy_table::{presets, Table};
use serde::Serialize;
use xlnet_proto::schema::GuestState;

use crate::addresses::Source;
use crate::cli::Output;
use crate::error::Error;
use crate::inventory::Domid;
use crate::model::Model;
use crate::report::{Driver, Report};

/// Whether the daemon runs.
#[derive(Serialize)]
pub struct Daemon {
    running: bool,
    pid: Option<String>,
}

impl Daemon {
    /// From the holder of the lock.
    pub fn of(holder: Option<String>) -> Self {
        Self {
            running: holder.is_some(),
            pid: holder,
        }
    }

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

fn status(model: &Model, holder: Option<String>) -> Status {
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
        }
    };
    Status {
        daemon: Daemon::of(holder),
        outdated_nodes: plan.actions.len(),
        guests: model.guests.iter().map(row).collect(),
        warnings: plan
            .warnings
            .iter()
            .map(|warning| warning.text.clone())
            .collect(),
    }
}

/// Prints the state of the host. `holder` is the process that runs the daemon, if one does.
///
/// # Errors
/// If standard output cannot be written.
pub fn show(model: &Model, holder: Option<String>, output: &Output) -> Result<(), Error> {
    let status = status(model, holder);
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
    ];
    let rows = status.guests.iter().map(|row| {
        let source = match row.address_source {
            Some(Source::Config) => " (config)",
            Some(Source::Toolstack) => " (toolstack)",
            Some(Source::Claim) => " (claimed)",
            None => "",
        };
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
