// SPDX-License-Identifier: GPL-2.0
//! What the user reads of xlnet0 is true: `ethtool` and `ip -s link`.

use anyhow::{ensure, Context, Result};
use xlnet_lab::{guest::Guest, netperf::serve};

use crate::{
    figures::Figures,
    meter::{connect, Meter},
    policy::all_joined,
    traffic::queue_with,
    Bed, Scenario, Spec,
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("counters::ethtool-answers", Spec::mixed(), ethtool_answers),
    Scenario::new(
        "counters::agree-with-netperf",
        Spec::mixed(),
        agree_with_netperf,
    ),
];

/// Fails unless `guest`'s answer to `command` holds all of `lines`, trimmed and with single spaces.
fn says(guest: &Guest, command: &str, lines: &[&str]) -> Result<()> {
    let text = guest.sh(command)?;
    let has: Vec<String> = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for line in lines {
        ensure!(
            has.iter().any(|has| has == line),
            "{command} has no line {line:?}:\n{text}"
        );
    }
    Ok(())
}

fn ethtool_answers(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let g1 = bed.g(1)?;
    says(&g1, "ethtool xlnet0", &["Link detected: yes"])?;
    says(
        &g1,
        "ethtool -i xlnet0",
        &["driver: xlnet", "bus-info: xen"],
    )?;
    says(
        &g1,
        "ethtool -k xlnet0",
        &[
            "rx-checksumming: on",
            "tx-checksumming: on",
            "scatter-gather: on",
            "tcp-segmentation-offload: on",
            "tx-tcp-segmentation: on",
            "tx-tcp6-segmentation: on",
            "generic-segmentation-offload: on",
            "generic-receive-offload: on",
            "tx-udp-segmentation: on",
        ],
    )?;
    // One queue for each of 32 peers, and one for all others; both rings are 512 KiB.
    let queues = g1.sh("ls -d /sys/class/net/xlnet0/queues/tx-* | wc -l")?;
    let queues = format!("Combined: {}", queues.trim());
    says(&g1, "ethtool -l xlnet0", &[&queues])?;
    says(&g1, "ethtool -g xlnet0", &["RX: 524288", "TX: 524288"])?;
    let peers = format!("peers: {}", bed.spec.guests - 1);
    says(&g1, "ethtool -S xlnet0", &[&peers])?;
    // A frame to nobody is counted as such.
    let before = Figures::read(&g1)?;
    g1.sh(
        "ip neigh add 10.77.0.250 lladdr 02:00:00:00:02:50 dev xlnet0
        ! ping -q -c 3 -i 0.2 -W 1 -I xlnet0 10.77.0.250
        ip neigh del 10.77.0.250 dev xlnet0",
    )?;
    let lost = Figures::read(&g1)?.since(&before)?.get("tx_no_peer")?;
    ensure!(lost == 3, "of 3 frames to nobody, {lost} are counted");
    // What cannot be set is refused, not taken and forgotten.
    for command in ["ethtool -G xlnet0 rx 4096", "ethtool -L xlnet0 combined 1"] {
        ensure!(!g1.try_sh(command)?.success(), "{command} was taken");
    }
    // What can be is set for the stack as well.
    for feature in ["tso", "gso", "gro", "tx", "rx", "sg"] {
        g1.sh(&format!(
            "ethtool -K xlnet0 {feature} off && ethtool -K xlnet0 {feature} on"
        ))?;
    }
    g1.sh("ethtool -K xlnet0 tso on gso on gro on tx on rx on sg on")
        .map(drop)
}

/// Bytes before the payload of a UDP datagram over IPv4 in an Ethernet frame.
const UDP_HEADERS: u64 = 14 + 20 + 8;

/// Bytes of each datagram.
const DATAGRAM: u64 = 1400;

/// Datagrams without payload by which netperf ends, beside those it reports.
const EMPTY: u64 = 3;

/// Seconds of the guest's time that netperf sends.
const SECONDS: u32 = 3;

fn agree_with_netperf(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let (g1, g2) = (bed.g(1)?, bed.g(2)?);
    serve(&g2)?;
    queue_with(&g1, "pfifo")?;
    connect(bed, 1, 2)?;

    let meter = Meter::start(bed)?;
    let before = IpLink::read(&g1)?;
    let sent = netperf(
        &g1,
        &g2,
        "UDP_STREAM",
        &format!("-R 1 -m {DATAGRAM}"),
        "LOCAL_SEND_CALLS",
    )?;
    let moved = meter.moved()?;
    let link = IpLink::read(&g1)?;
    moved.carried(1, 2, sent * DATAGRAM)?;
    let (frames, bytes) = (
        link.tx_packets - before.tx_packets,
        link.tx_bytes - before.tx_bytes,
    );
    let expected = sent * (DATAGRAM + UDP_HEADERS) + EMPTY * UDP_HEADERS;
    ensure!(
        frames == sent + EMPTY && bytes == expected,
        "netperf sent {sent} datagrams, and ip -s link went from {before:?} to {link:?}"
    );
    ensure!(
        moved.peer(1, 2, "tx_frames")? == frames && moved.peer(1, 2, "tx_bytes")? == bytes,
        "ip -s link counts {frames} frames of {bytes} bytes, ethtool {} of {}",
        moved.peer(1, 2, "tx_frames")?,
        moved.peer(1, 2, "tx_bytes")?
    );
    for (name, of, other) in [
        ("tx_frames", 1, 3),
        ("rx_frames", 1, 3),
        ("rx_frames", 3, 1),
    ] {
        let count = moved.peer(of, other, name)?;
        ensure!(
            count == 0,
            "g{of} counts {count} {name} of g{other}, who took no part"
        );
    }
    ensure!(
        moved.link(2, "rx_packets")? == moved.peer(2, 1, "rx_frames")?,
        "the sums of g2 are not those of its peers"
    );

    let meter = Meter::start(bed)?;
    let before = IpLink::read(&g1)?;
    let sent = netperf(&g1, &g2, "TCP_STREAM", "-m 65536", "LOCAL_BYTES_SENT")?;
    let moved = meter.moved()?;
    let link = IpLink::read(&g1)?;
    moved.carried(1, 2, sent)?;
    let (tx, rx) = (
        link.tx_bytes - before.tx_bytes,
        link.rx_bytes - before.rx_bytes,
    );
    // Headers of frames of 64 KiB, and whatever was sent again.
    ensure!(
        tx >= sent && tx < sent + sent / 20 + 100_000 && rx < sent / 4 + 100_000,
        "netperf sent {sent} bytes, and ip -s link went from {before:?} to {link:?}"
    );
    ensure!(
        moved.link(1, "tx_bytes")? == tx
            && moved.peer(1, 2, "tx_bytes")? == tx
            && moved.peer(1, 2, "rx_bytes")? == rx,
        "ip -s link counts {tx} bytes out and {rx} in, ethtool {} and {}",
        moved.peer(1, 2, "tx_bytes")?,
        moved.peer(1, 2, "rx_bytes")?
    );
    queue_with(&g1, "fq_codel")
}

/// Runs a netperf test whose own talk goes over the lab's network, and returns the figure called `output`.
fn netperf(from: &Guest, to: &Guest, test: &str, options: &str, output: &str) -> Result<u64> {
    let control = to.config.ip().replace("10.77.", "10.78.");
    let text = from.sh(&format!(
        "netperf -P 0 -H {control} -l {SECONDS} -t {test} -- -H {} {options} -o {output}",
        to.config.ip()
    ))?;
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.and_then(|line| line.parse().ok())
        .with_context(|| format!("netperf's {output}: {text:?}"))
}

/// What `ip -s link show xlnet0` counts.
#[derive(Debug)]
struct IpLink {
    rx_bytes: u64,
    tx_bytes: u64,
    tx_packets: u64,
}

impl IpLink {
    fn read(guest: &Guest) -> Result<Self> {
        let text = guest.sh("ip -s link show xlnet0")?;
        // Below each heading, "RX: bytes packets …", is a line of figures.
        let under = |heading: &str| -> Option<Vec<u64>> {
            let mut lines = text
                .lines()
                .skip_while(|line| !line.trim().starts_with(heading));
            lines
                .nth(1)?
                .split_whitespace()
                .map(|word| word.parse().ok())
                .collect()
        };
        match (under("RX:").as_deref(), under("TX:").as_deref()) {
            (Some([rx_bytes, ..]), Some([tx_bytes, tx_packets, ..])) => Ok(Self {
                rx_bytes: *rx_bytes,
                tx_bytes: *tx_bytes,
                tx_packets: *tx_packets,
            }),
            _ => anyhow::bail!("ip -s link: {text:?}"),
        }
    }
}
