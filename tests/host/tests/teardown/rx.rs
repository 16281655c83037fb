// SPDX-License-Identifier: GPL-2.0

//! From a record to a frame in the stack.

use crate::net::device::Device;
use crate::net::napi::Turn;
use crate::net::skb::SkBuff;
use crate::peer::channel::Channel;
use crate::peer::Peer;
use crate::prelude::Result;
use crate::proto::fifo::{Consumer, Record};
use crate::xen::memory::Ring;

pub(crate) struct Rx {
    pub(crate) fifo: Consumer<Ring>,
}

impl Rx {
    pub(crate) fn new(_dev: &Device, ring: Ring) -> Result<Self> {
        Ok(Self {
            fifo: Consumer::new(ring),
        })
    }
}

pub(crate) fn take(
    _turn: &Turn<'_, Channel>,
    _dev: &Device,
    _peer: &Peer,
    rx: &mut Rx,
    record: &Record,
) -> Option<SkBuff> {
    let len = record.header().len;
    let mut skb = SkBuff::empty(len);
    rx.fifo
        .payload(record, 0, len, |offset, chunk| {
            skb.copy_from(offset, &chunk)
        })
        .ok()?;
    Some(skb)
}

pub(crate) fn deliver(
    _turn: &Turn<'_, Channel>,
    dev: &Device,
    _peer: &Peer,
    _queue: u16,
    skb: SkBuff,
) {
    dev.delivered(skb.serial());
}
