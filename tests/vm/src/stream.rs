// SPDX-License-Identifier: GPL-2.0
//! Streams whose content is known arrive unchanged: with offloads and without, at every MTU, and several at once.

use std::time::Duration;

use anyhow::{ensure, Context, Result};
use xlnet_lab::guest::Guest;

use crate::{
    meter::{connect, pairs, Meter},
    policy::all_joined,
    transfer::{give_block, send, sender, Receiver, Transfer, BLOCK},
    Bed, Scenario, Spec,
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("stream::offloads-and-mtu", Spec::pv(3), offloads_and_mtu).long(),
    Scenario::new("stream::four-at-once", Spec::mixed(), four_at_once),
];

/// 200 MB, and a bit more.
const LONG: usize = 48;

/// Bytes of an Ethernet header.
const ETH_HLEN: u64 = 14;

/// How the device is set for one of the long streams.
#[derive(Clone, Copy, Debug)]
struct Setting {
    mtu: u32,
    offloads: bool,
}

impl Setting {
    /// As the driver starts.
    const DEFAULT: Self = Self {
        mtu: 65535,
        offloads: true,
    };

    fn apply(self, guest: &Guest) -> Result<()> {
        let state = if self.offloads { "on" } else { "off" };
        guest
            .sh(&format!(
                "ip link set xlnet0 mtu {mtu} && ethtool -K xlnet0 sg {state} tx {state} rx {state} tso {state} gso {state} gro {state}
                ethtool -k xlnet0 | grep -Eq '^tcp-segmentation-offload: {state}' &&
                ethtool -k xlnet0 | grep -Eq '^tx-checksumming: {state}' &&
                grep -qx {mtu} /sys/class/net/xlnet0/mtu",
                mtu = self.mtu,
            ))
            .map(drop)
    }
}

/// Each setting with another ordered pair.
fn offloads_and_mtu(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let mut pairs = pairs(bed).into_iter();
    for offloads in [true, false] {
        for mtu in [1500, 9000, 65535] {
            let (from, to) = pairs.next().context("too few guests")?;
            let setting = Setting { mtu, offloads };
            long_stream(bed, from, to, setting)
                .with_context(|| format!("200 MB from g{from} to g{to} with {setting:?}"))?;
        }
    }
    Ok(())
}

fn long_stream(bed: &Bed, from: u8, to: u8, setting: Setting) -> Result<()> {
    let (sender, receiver) = (bed.g(from)?, bed.g(to)?);
    setting.apply(&sender)?;
    setting.apply(&receiver)?;
    connect(bed, from, to)?;
    let meter = Meter::start(bed)?;
    send(&sender, &receiver, &receiver.config.ip(), LONG)?;
    let moved = meter.moved()?;
    moved.carried(from, to, (LONG * BLOCK) as u64)?;
    // What the setting means is seen in the length of the frames.
    let (bytes, frames) = (
        moved.peer(from, to, "tx_bytes")?,
        moved.peer(from, to, "tx_frames")?,
    );
    let limit = u64::from(setting.mtu) + ETH_HLEN;
    if setting.offloads && setting.mtu < Setting::DEFAULT.mtu {
        ensure!(
            bytes > frames * limit,
            "{frames} frames of {bytes} bytes were segmented before xlnet0 got them"
        );
    } else {
        ensure!(
            bytes <= frames * limit,
            "{frames} frames of {bytes} bytes are longer than the MTU allows"
        );
    }
    Setting::DEFAULT.apply(&sender)?;
    Setting::DEFAULT.apply(&receiver)
}

fn four_at_once(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let (from, to) = (1, bed.spec.guests);
    let (sending, receiving) = (bed.g(from)?, bed.g(to)?);
    give_block(&sending)?;
    connect(bed, from, to)?;
    let meter = Meter::start(bed)?;
    let transfer = Transfer::Tcp { blocks: 4 };
    let ports = 5001..5005;
    let receivers = ports
        .clone()
        .map(|port| Receiver::start(&receiving, transfer, port))
        .collect::<Result<Vec<_>>>()?;
    let senders: Vec<_> = ports
        .map(|port| format!("{} &", sender(transfer, &receiving.config.ip(), port)))
        .collect();
    sending.sh_within(
        &format!("{}\nwait", senders.join("\n")),
        Duration::from_secs(300),
    )?;
    for receiver in receivers {
        receiver.check()?;
    }
    meter
        .moved()?
        .carried(from, to, (4 * transfer.bytes()) as u64)
}
