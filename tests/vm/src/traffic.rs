// SPDX-License-Identifier: GPL-2.0
//! IP between every ordered pair of guests: ping, TCP and UDP both ways at once, multicast.

use std::time::Duration;

use anyhow::{ensure, Context, Result};
use xlnet_lab::guest::Guest;

use crate::{
    bed::eventually,
    meter::{connect, pairs, round, Meter},
    policy::all_joined,
    transfer::{give_block, sender, Receiver, Transfer},
    Bed, Scenario, Spec,
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("traffic::ping", Spec::mixed(), ping_all),
    Scenario::new("traffic::both-ways-at-once", Spec::pv(3), both_ways_all).long(),
    Scenario::new("traffic::multicast", Spec::pv(3), multicast).long(),
];

/// Bytes of echo data: the least, the usual, just what an uplink takes, just what it does not, jumbo, and the longest
/// round number below the largest IP packet.
const SIZES: [u32; 6] = [1, 56, 1452, 1473, 8972, 65_000];

/// Echo requests of each size.
const PINGS: u32 = 3;

fn ping_all(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    for (from, to) in round(bed) {
        let peer = bed.g(to)?.config;
        ping(bed, from, to, &[peer.ip(), peer.ip6()])?;
    }
    Ok(())
}

/// Pings `ips`, addresses of guest `to`, with every size, and fails unless all answers came through shared memory.
pub(crate) fn ping(bed: &Bed, from: u8, to: u8, ips: &[String]) -> Result<()> {
    connect(bed, from, to)?;
    let meter = Meter::start(bed)?;
    let sizes = SIZES.map(|size| size.to_string()).join(" ");
    // ping tells of echo data that came back changed, and does not fail by it.
    bed.g(from)?.sh(&format!(
        "for ip in {}; do for size in {sizes}; do
            out=$(ping -c {PINGS} -i 0.02 -W 20 -p c0ffee -s $size $ip) || {{ echo \"$out\"; exit 1; }}
            case $out in *wrong*) echo \"$out\"; exit 1 ;; esac
        done; done",
        ips.join(" ")
    ))?;
    let bytes = u64::from(SIZES.iter().sum::<u32>() * PINGS) * ips.len() as u64;
    let moved = meter.moved()?;
    moved.carried(from, to, bytes)?;
    moved.carried(to, from, bytes)
}

fn both_ways_all(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    for (a, b) in pairs(bed).into_iter().filter(|(a, b)| a < b) {
        both_ways(bed, a, b).with_context(|| format!("between g{a} and g{b}"))?;
    }
    Ok(())
}

/// Four flows at once: TCP and UDP, one by IPv4 and one by IPv6, in both directions.
fn both_ways(bed: &Bed, a: u8, b: u8) -> Result<()> {
    let tcp = Transfer::Tcp { blocks: 2 };
    let udp = Transfer::Udp { bytes: 1_400_000 };
    let (ga, gb) = (bed.g(a)?, bed.g(b)?);
    for guest in [&ga, &gb] {
        give_block(guest)?;
        queue_with(guest, "pfifo")?;
        guest.sh("sysctl -qw net.core.rmem_max=16777216")?;
    }
    connect(bed, a, b)?;
    let meter = Meter::start(bed)?;
    let mut receivers = Vec::new();
    for guest in [&ga, &gb] {
        receivers.push(Receiver::start(guest, tcp, 5001)?);
        receivers.push(Receiver::start(guest, udp, 5002)?);
    }
    let scripts = [
        (&ga, gb.config.ip(), gb.config.ip6()),
        (&gb, ga.config.ip6(), ga.config.ip()),
    ]
    .map(|(guest, tcp_ip, udp_ip)| {
        let (tcp, udp) = (sender(tcp, &tcp_ip, 5001), sender(udp, &udp_ip, 5002));
        (guest, format!("{tcp} &\n{udp} || exit 1\nwait $!"))
    });
    let running = scripts
        .iter()
        .map(|(guest, script)| guest.spawn(script))
        .collect::<Result<Vec<_>>>()?;
    for running in running {
        let output = running.wait()?;
        ensure!(output.success(), "sending: {output}");
    }
    for receiver in receivers {
        receiver.check()?;
    }
    let moved = meter.moved()?;
    let bytes = (tcp.bytes() + udp.bytes()) as u64;
    moved.carried(a, b, bytes)?;
    moved.carried(b, a, bytes)?;
    queue_with(&ga, "fq_codel")?;
    queue_with(&gb, "fq_codel")
}

/// Sets what queues for xlnet0 in a guest. The kernel's `fq_codel` drops packets of a flow that fills its queue, and then
/// it is not the device that loses them; `pfifo` holds more than a sender's socket lets wait.
pub(crate) fn queue_with(guest: &Guest, qdisc: &str) -> Result<()> {
    guest
        .sh(&format!(
            "sysctl -qw net.core.default_qdisc={qdisc}
            tc qdisc add dev xlnet0 root pfifo && tc qdisc del dev xlnet0 root && tc qdisc show dev xlnet0 | grep -q '^qdisc {qdisc} '"
        ))
        .map(drop)
}

/// Bytes of a datagram to a group: more than an uplink takes.
const DATAGRAM: usize = 20_000;

/// Every guest sends to a group that all have joined on xlnet0.
fn multicast(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    for (a, b) in pairs(bed) {
        connect(bed, a, b)?;
    }
    for (from, _) in pairs(bed).into_iter().step_by(2) {
        let sender = bed.g(from)?;
        let meter = Meter::start(bed)?;
        multicast_from(bed, &sender)?;
        let moved = meter.moved()?;
        for to in (1..=bed.spec.guests).filter(|&to| to != from) {
            moved.carried(from, to, 2 * DATAGRAM as u64)?;
        }
    }
    Ok(())
}

fn multicast_from(bed: &Bed, sender: &Guest) -> Result<()> {
    let receivers: Vec<_> = bed
        .guests()
        .iter()
        .filter(|guest| guest.config.number != sender.config.number)
        .collect();
    let mut running = Vec::new();
    for guest in &receivers {
        guest.sh("rm -f /tmp/group4 /tmp/group6")?;
        running.push(guest.spawn(
            "socat -u -b 65536 UDP4-RECV:5007,ip-add-membership=239.77.0.1:xlnet0 CREATE:/tmp/group4 &
            socat -u -b 65536 UDP6-RECV:5008,ipv6-join-group=[ff15::77]:xlnet0 CREATE:/tmp/group6 & wait",
        )?);
        eventually("the groups are joined", || {
            Ok(guest
                .sh("ip maddress show dev xlnet0")?
                .lines()
                .filter(|line| line.contains("239.77.0.1") || line.contains("ff15::77"))
                .count()
                == 2)
        })?;
    }
    let config = &sender.config;
    sender.sh_within(
        &format!(
            "data() {{ head -c {DATAGRAM} /dev/zero | tr '\\0' x; }}
            data | socat -u -b 65536 - UDP4-DATAGRAM:239.77.0.1:5007,bind={},so-bindtodevice=xlnet0 &&
            data | socat -u -b 65536 - UDP6-DATAGRAM:[ff15::77]:5008,bind=[{}],so-bindtodevice=xlnet0",
            config.ip(),
            config.ip6()
        ),
        Duration::from_secs(60),
    )?;
    for guest in &receivers {
        for file in ["/tmp/group4", "/tmp/group6"] {
            eventually(
                &format!("{} has the datagram in {file}", guest.name()),
                || Ok(guest.get(file)?.len() >= DATAGRAM),
            )?;
            let got = guest.get(file)?;
            ensure!(
                got == vec![b'x'; DATAGRAM],
                "{} received {} bytes, or others",
                guest.name(),
                got.len()
            );
        }
    }
    Ok(())
}
