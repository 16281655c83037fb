// SPDX-License-Identifier: GPL-2.0
//! The lab's tests of itself: what every other test takes for granted.

use std::time::Duration;

use anyhow::{ensure, Context, Result};
use xlnet_lab::agent::Agent;

use crate::{figures::vif_frames, policy::all_joined, view::await_routing, Bed, Scenario, Spec};

const PVH: Spec = Spec::pvh(2);
const PAIR: Spec = Spec::pvh(0).bare().paired();
const PV: Spec = Spec::pv(3);

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("lab::pv-keeps-vector-registers", PV, keeps_registers).long(),
    Scenario::new("lab::pvh-keeps-vector-registers", PVH, keeps_registers).long(),
    Scenario::new("lab::exec-is-faithful", Spec::mixed(), exec_is_faithful),
    Scenario::new("lab::ping-over-the-uplink", PVH, ping_uplink).long(),
    Scenario::new("lab::two-hosts-are-joined", PAIR, two_hosts).long(),
];

/// Four processes at once on each single CPU, so that they preempt each other.
fn keeps_registers(bed: &mut Bed) -> Result<()> {
    let script = "for i in 1 2 3 4; do /lab/bin/xlnet-lab-fpu 100 & pids=\"$pids $!\"; done
        for pid in $pids; do wait $pid || exit 1; done";
    let (g1, g2) = (bed.g(1)?, bed.g(2)?);
    let places: [&Agent; 3] = [&bed.host, &g1, &g2];
    let running = places
        .iter()
        .map(|place| place.spawn(script))
        .collect::<Result<Vec<_>>>()?;
    for (place, running) in places.iter().zip(running) {
        let output = running.wait()?;
        ensure!(output.success(), "{}: {output}", place.name());
    }
    Ok(())
}

fn exec_is_faithful(bed: &mut Bed) -> Result<()> {
    let g1 = bed.g(1)?;
    let bytes: Vec<u8> = (0..1 << 20)
        .map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    g1.put("/root/bytes", &bytes)?;
    ensure!(g1.get("/root/bytes")? == bytes, "1 MiB came back changed");
    let output = g1.try_sh("echo out; echo err >&2; exit 7")?;
    ensure!(output.code == Some(7), "{output}");
    ensure!(
        output.stdout == b"out\n" && output.stderr == b"err\n",
        "{output}"
    );
    let output = g1.run(&["sleep", "1000"], b"", Duration::from_secs(1))?;
    ensure!(output.timed_out, "{output}");
    let mut background = g1.spawn("sleep 4242")?;
    background.signal(15)?;
    ensure!(
        background.wait()?.signal == Some(15),
        "the signal did not arrive"
    );
    ensure!(
        !g1.try_sh("pgrep -f 'sleep (1000|4242)'")?.success(),
        "a command was left running"
    );
    Ok(())
}

/// With the device down there is no other way than the uplink.
fn ping_uplink(bed: &mut Bed) -> Result<()> {
    let (g1, g2) = (bed.g(1)?, bed.g(2)?);
    for guest in [&g1, &g2] {
        guest.sh("ip link set xlnet0 down")?;
        await_routing(guest)?;
    }
    let before = vif_frames(&bed.host, &g1)?;
    for (from, to) in [(&g1, &g2), (&g2, &g1)] {
        for ip in [to.config.ip(), to.config.ip6()] {
            from.sh(&format!("ping -c 3 -i 0.2 -W 10 {ip}"))?;
        }
    }
    // Four pings, three requests each, and their answers.
    ensure!(
        vif_frames(&bed.host, &g1)? >= before + 24,
        "the pings did not pass Dom0"
    );
    for guest in [&g1, &g2] {
        guest.sh("ip link set xlnet0 up")?;
    }
    all_joined(bed)
}

fn two_hosts(bed: &mut Bed) -> Result<()> {
    let other = bed.other.as_ref().context("there is no second host")?;
    bed.host.sh("ping -c 3 -W 10 10.77.0.2")?;
    other.sh("ping -c 3 -W 10 fd77::1").map(drop)
}
