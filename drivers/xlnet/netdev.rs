// SPDX-License-Identifier: GPL-2.0

//! The device as the stack and the user see it: the callbacks.

use crate::{
    net::{
        device::Device,
        ops::{
            Driver,
            QueueStats,
            UPLINK_QUEUE, //
        },
        skb::SkBuff,
        sysfs::Text, //
    },
    proto::{
        frame::EthernetHeader,
        layout::{
            RING_SHIFT_MAX,
            RING_SHIFT_MIN, //
        },
        schema::Claims, //
    },
    shared::{
        Shared,
        DELAY_USECS_MAX,
        POLL_USECS_MAX, //
    },
    stats::Counters,
    tx,
    xen::grant, //
};
use core::fmt;
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        rcu,
        Arc, //
    },
};

/// The counters of the peers with this queue; [`UPLINK_QUEUE`] stands for those without one, and for
/// those that are no more.
fn of_queue(shared: &Shared, queue: u16, get: impl Fn(&Counters) -> QueueStats) -> QueueStats {
    let Some(table) = shared.table.get() else {
        return (0, 0);
    };
    let (mut frames, mut bytes) = match queue {
        UPLINK_QUEUE => get(table.forgotten()),
        _ => (0, 0),
    };
    for peer in table.all().filter(|peer| peer.queue() == queue) {
        let more = get(&peer.stats);
        frames = frames.wrapping_add(more.0);
        bytes = bytes.wrapping_add(more.1);
    }
    (frames, bytes)
}

/// The same of a queue whose frames count as those of the device.
fn of_channels(shared: &Shared, queue: u16, get: impl Fn(&Counters) -> QueueStats) -> QueueStats {
    match queue {
        UPLINK_QUEUE => (0, 0),
        _ => of_queue(shared, queue, get),
    }
}

fn tx_stats(stats: &Counters) -> QueueStats {
    (stats.tx_frames.get(), stats.tx_bytes.get())
}

fn rx_stats(stats: &Counters) -> QueueStats {
    (stats.rx_frames.get(), stats.rx_bytes.get())
}

impl Driver for Shared {
    const NAME: &'static CStr = c"xlnet%d";

    fn open(&self, _dev: &Device) {
        self.up.store(1, Relaxed);
        self.control.trigger();
    }

    fn stop(&self, _dev: &Device) {
        self.up.store(0, Relaxed);
        self.control.trigger();
    }

    fn select_queue(&self, skb: &SkBuff) -> u16 {
        let Some(header) = EthernetHeader::parse(skb.head()) else {
            return UPLINK_QUEUE;
        };
        let guard = rcu::read_lock();
        self.table
            .load(&guard)
            .and_then(|table| table.find(&header.dst).map(|peer| peer.queue()))
            .unwrap_or(UPLINK_QUEUE)
    }

    fn xmit(&self, dev: &Device, skb: SkBuff, queue: u16, more: bool) {
        tx::transmit(self, dev, skb, queue, more);
    }

    fn freeze(&self) {
        let sleeper = self.sleeper.lock().clone();
        if let Some(control) = sleeper {
            control.leave();
        }
    }

    fn thaw(&self) {
        let sleeper = self.sleeper.lock().clone();
        if let Some(control) = sleeper {
            control.arrive();
        }
    }

    fn stat_rows(&self) -> u32 {
        let table = self.table.get();
        let old = core::mem::replace(&mut *self.rows.lock(), table);
        drop(old);
        let mut rows = 0u32;
        self.stats(&mut |_, _| rows = rows.saturating_add(1));
        rows
    }

    fn stats(&self, row: &mut dyn FnMut(fmt::Arguments<'_>, u64)) {
        let table = self.rows.lock().clone();
        let peers = table.as_ref().map_or(0, |table| table.iter().count());
        row(
            format_args!("peers"),
            u64::try_from(peers).unwrap_or(u64::MAX),
        );
        row(format_args!("grants_ended"), grant::ended());
        let pinned = self.pinned.count(None);
        row(
            format_args!("pages_pinned"),
            u64::try_from(pinned).unwrap_or(u64::MAX),
        );
        row(format_args!("tx_no_peer"), self.tx_no_peer.get());
        row(format_args!("event_ns"), self.event_cost.nanos());
        row(
            format_args!("last_leave_ms"),
            self.last_leave_ms.load(Relaxed).into(),
        );
        table
            .as_ref()
            .map_or_else(Counters::new, |table| table.departed())
            .each(|name, value| row(format_args!("departed_{name}"), value));
        for peer in table.iter().flat_map(|table| table.iter()) {
            peer.stats
                .each(|name, value| row(format_args!("peer{}_{name}", peer.domid), value));
            let pinned = self.pinned.count(Some(peer.domid));
            row(
                format_args!("peer{}_pages_pinned", peer.domid),
                u64::try_from(pinned).unwrap_or(u64::MAX),
            );
        }
    }

    fn tx_queue_stats(&self, queue: u16) -> QueueStats {
        of_channels(self, queue, tx_stats)
    }

    fn rx_queue_stats(&self, queue: u16) -> QueueStats {
        of_channels(self, queue, rx_stats)
    }

    fn base_stats(&self) -> (QueueStats, QueueStats) {
        (
            of_queue(self, UPLINK_QUEUE, rx_stats),
            of_queue(self, UPLINK_QUEUE, tx_stats),
        )
    }

    fn ring_bytes(&self) -> u32 {
        1u32.checked_shl(self.ring_shift.load(Relaxed)).unwrap_or(0)
    }

    fn max_ring_bytes(&self) -> u32 {
        1 << RING_SHIFT_MAX
    }

    fn set_ring_bytes(&self, bytes: u32) -> Result {
        let bytes = bytes.checked_next_power_of_two().ok_or(EINVAL)?;
        let shift = bytes.trailing_zeros();
        if !(RING_SHIFT_MIN.into()..=RING_SHIFT_MAX.into()).contains(&shift) {
            return Err(EINVAL);
        }
        self.ring_shift.store(shift, Relaxed);
        Ok(())
    }

    fn poll_usecs(&self) -> u32 {
        self.poll_usecs.load(Relaxed)
    }

    fn delay_usecs(&self) -> u32 {
        self.delay_usecs.load(Relaxed)
    }

    fn set_usecs(&self, poll: u32, delay: u32) -> Result {
        if poll > POLL_USECS_MAX || delay > DELAY_USECS_MAX {
            return Err(EINVAL);
        }
        self.poll_usecs.store(poll, Relaxed);
        self.delay_usecs.store(delay, Relaxed);
        Ok(())
    }

    fn peers(&self) -> Arc<Text> {
        self.list.lock().clone()
    }

    fn show_claim(&self, out: &mut dyn fmt::Write) -> Result {
        let claims = self.claim.lock().0;
        writeln!(out, "{claims}").map_err(|_| ENOMEM)
    }

    fn store_claim(&self, text: &[u8]) -> Result {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let claims = Claims::parse(text).map_err(|_| EINVAL)?;
        *self.claim.lock() = (claims, true);
        self.control.trigger();
        Ok(())
    }
}
