// SPDX-License-Identifier: GPL-2.0
//! xlnet0 is an Ethernet segment: VLANs, and frames of any type.

use std::collections::BTreeSet;

use anyhow::{ensure, Context, Result};
use xlnet_lab::guest::Guest;

use crate::{
    bed::eventually,
    meter::{pairs, round, Meter},
    policy::all_joined,
    traffic, transfer, Bed, Scenario, Spec,
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("segment::raw-ethertype", Spec::mixed(), raw_ethertype),
    Scenario::new("segment::vlan", Spec::mixed(), vlan),
];

/// The type of the raw frames: IEEE's first one for local experiments.
const ETHERTYPE: u16 = 0x88b5;

/// Lengths of the raw frames, in bytes: the least, more than an uplink takes, and the most a record carries.
const LENGTHS: [usize; 3] = [60, 9000, 65_549];

const BROADCAST: [u8; 6] = [0xff; 6];

/// Every guest sends frames to each of the others and to all. Each must see exactly those meant for it.
fn raw_ethertype(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let guests: Vec<_> = bed.guests().iter().collect();
    let macs = guests
        .iter()
        .map(|guest| mac(guest))
        .collect::<Result<Vec<_>>>()?;
    let mut sent = Vec::new();
    for (from, &source) in macs.iter().enumerate() {
        for &destination in macs
            .iter()
            .filter(|mac| **mac != source)
            .chain([&BROADCAST])
        {
            for length in LENGTHS {
                sent.push((from, frame(destination, source, length)));
            }
        }
    }
    let meant_for = |mac: [u8; 6]| -> BTreeSet<&[u8]> {
        sent.iter()
            .map(|(_, frame)| frame.as_slice())
            .filter(|frame| {
                let (to, from) = (&frame[..6], &frame[6..12]);
                from != mac && (to == mac || to == BROADCAST)
            })
            .collect()
    };
    let mut captures = Vec::new();
    for guest in &guests {
        captures.push(capture(guest)?);
    }
    let meter = Meter::start(bed)?;
    for (from, frame) in &sent {
        // From a file, as a pipe would hand a long frame over in pieces.
        guests[*from].put("/tmp/frame", frame)?;
        guests[*from].sh("socat -u -b 65560 OPEN:/tmp/frame INTERFACE:xlnet0")?;
    }
    for (guest, &mac) in guests.iter().zip(&macs) {
        let wanted = meant_for(mac);
        eventually(&format!("{} has all its frames", guest.name()), || {
            Ok(received(guest, mac)?.len() >= wanted.len())
        })?;
        let got = received(guest, mac)?;
        let set: BTreeSet<_> = got.iter().map(Vec::as_slice).collect();
        ensure!(
            set == wanted && got.len() == wanted.len(),
            "{} received frames of {:?} bytes instead of {:?}",
            guest.name(),
            got.iter().map(Vec::len).collect::<Vec<_>>(),
            wanted.iter().map(|frame| frame.len()).collect::<Vec<_>>()
        );
    }
    drop(captures);
    let moved = meter.moved()?;
    // To each peer its own and those to all.
    let bytes = 2 * LENGTHS.iter().sum::<usize>() as u64;
    for (from, to) in pairs(bed) {
        moved.carried(from, to, bytes)?;
    }
    Ok(())
}

fn mac(guest: &Guest) -> Result<[u8; 6]> {
    let text = guest.sh("cat /sys/class/net/xlnet0/address")?;
    let bytes: Vec<u8> = text
        .trim()
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16))
        .collect::<Result<_, _>>()
        .with_context(|| format!("MAC {text:?}"))?;
    bytes
        .try_into()
        .map_err(|_| anyhow::anyhow!("MAC {text:?}"))
}

/// A frame whose content tells it from all others.
fn frame(destination: [u8; 6], source: [u8; 6], length: usize) -> Vec<u8> {
    let mut frame = [destination, source].concat();
    frame.extend(ETHERTYPE.to_be_bytes());
    let seed = destination[5] ^ source[5].rotate_left(3);
    frame.extend((frame.len()..length).map(|i| (i as u8).wrapping_mul(31) ^ (i >> 8) as u8 ^ seed));
    frame
}

const CAPTURE: &str = "/tmp/raw.pcap";

/// Starts to capture raw frames in `guest`.
fn capture(guest: &Guest) -> Result<xlnet_lab::agent::Background> {
    let running = guest.spawn(&format!(
        "rm -f {CAPTURE}; exec tcpdump -i xlnet0 -U -w {CAPTURE} ether proto {ETHERTYPE} 2>/tmp/raw.err"
    ))?;
    eventually("tcpdump listens", || {
        Ok(guest
            .try_sh("grep -q 'listening on' /tmp/raw.err")?
            .success())
    })?;
    Ok(running)
}

/// The frames captured so far that `mac` has not sent itself.
fn received(guest: &Guest, mac: [u8; 6]) -> Result<Vec<Vec<u8>>> {
    let frames = frames(&guest.get(CAPTURE)?).context("reading tcpdump's file")?;
    Ok(frames
        .into_iter()
        .filter(|frame| frame.get(6..12) != Some(&mac))
        .collect())
}

/// The frames of a file of libpcap's classic format, little-endian. The last may be half written.
fn frames(file: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut rest = file.get(24..)?;
    let mut frames = Vec::new();
    while let Some((header, after)) = rest.split_at_checked(16) {
        let length = u32::from_le_bytes(header.get(8..12)?.try_into().ok()?);
        let Some((frame, after)) = after.split_at_checked(length as usize) else {
            break;
        };
        frames.push(frame.to_vec());
        rest = after;
    }
    Some(frames)
}

/// The VLAN's device in every guest.
const VLAN: &str = "xlnet0.77";

/// Addresses that only exist on the VLAN, in every pair; and a stream whose segments are cut behind a tag.
fn vlan(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    for guest in bed.guests() {
        let number = guest.config.number;
        guest.sh(&format!(
            "ip link add link xlnet0 name {VLAN} type vlan id 77 && ip link set {VLAN} up &&
            ip addr add 10.99.0.{number}/24 dev {VLAN} && ip addr add fd99::{number}/64 dev {VLAN} nodad"
        ))?;
    }
    for (from, to) in round(bed) {
        let ips = [format!("10.99.0.{to}"), format!("fd99::{to}")];
        traffic::ping(bed, from, to, &ips)
            .with_context(|| format!("in the VLAN from g{from} to g{to}"))?;
    }
    let (g1, g2) = (bed.g(1)?, bed.g(2)?);
    let meter = Meter::start(bed)?;
    transfer::send(&g1, &g2, "10.99.0.2", 4)?;
    meter.moved()?.carried(1, 2, 4 * transfer::BLOCK as u64)?;
    for guest in bed.guests() {
        let bytes = guest.sh(&format!(
            "cat /sys/class/net/{VLAN}/statistics/rx_bytes; ip link del {VLAN}"
        ))?;
        ensure!(
            bytes.trim().parse::<u64>()? > 65_000,
            "{VLAN} of {} received {bytes} bytes",
            guest.name()
        );
    }
    Ok(())
}
