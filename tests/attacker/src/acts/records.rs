// SPDX-License-Identifier: GPL-2.0
//! Impossible records, and impossible states.

use anyhow::Result;
use xlnet_proto::{
    frame::MAX_FRAME_LEN,
    layout::{RecordHeader, Role, VirtioNetHdr},
};

use super::Act;
use crate::attack::{Attack, Ending};

pub(super) const ACTS: &[Act] = &[
    Act::new("length-zero", |attack| length(attack, 0)),
    Act::new("length-below-a-header", |attack| length(attack, 13)),
    Act::new("length-above-a-frame", |attack| {
        length(attack, MAX_FRAME_LEN + 1)
    }),
    Act::new("length-half-of-all", |attack| length(attack, 1 << 31)),
    Act::new("length-largest", |attack| length(attack, u32::MAX)),
    Act::new("flags", |attack| changed(attack, 4, &2_u16.to_le_bytes())),
    Act::new("buffers", |attack| changed(attack, 6, &1_u16.to_le_bytes())),
    Act::new("truncated", truncated),
    Act::new("state", |attack| state(attack, 7)),
    Act::new("state-back", |attack| state(attack, 0)),
];

/// Bytes of the frame in a record that is wrong otherwise.
const FRAME: [u8; 64] = [0; 64];

fn header(len: u32) -> [u8; 32] {
    let header = RecordHeader {
        len,
        unhurried: false,
        virtio: VirtioNetHdr::default(),
    };
    header.to_bytes()
}

/// Sends a record whose header has these bytes in place of its own.
fn changed(attack: &mut Attack, at: usize, bytes: &[u8]) -> Result<Ending> {
    let channel = attack.proven()?;
    let mut header = header(FRAME.len() as u32);
    header[at..][..bytes.len()].copy_from_slice(bytes);
    channel.send_raw(&header, &FRAME, 32 + FRAME.len() as u32);
    Ok(attack.after_breach(&channel))
}

fn length(attack: &mut Attack, len: u32) -> Result<Ending> {
    changed(attack, 0, &len.to_le_bytes())
}

/// A record that is longer than what is published.
fn truncated(attack: &mut Attack) -> Result<Ending> {
    let channel = attack.proven()?;
    channel.send_raw(&header(1000), &FRAME, 64);
    Ok(attack.after_breach(&channel))
}

/// Where each end's state word is in the control page, by `docs/protocol.md`.
const fn state_word(role: Role) -> u32 {
    match role {
        Role::Listener => 0x040,
        Role::Connector => 0x080,
    }
}

fn state(attack: &mut Attack, value: u8) -> Result<Ending> {
    let channel = attack.proven()?;
    channel.scribble(state_word(channel.role), value);
    channel.port.kick();
    Ok(attack.after_breach(&channel))
}
