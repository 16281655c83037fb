// SPDX-License-Identifier: GPL-2.0

//! The device as the stack and the user see it: the data path's shared state and the callbacks.

use crate::{
    control::Control,
    event_cost::EventCost,
    net::{
        device::Device,
        ops::{
            Driver,
            QueueStats, //
        },
        rcu::RcuArc,
        skb::SkBuff,
        work::Work, //
    },
    peer::{
        table::Table,
        Path,
        Peer, //
    },
    proto::{
        frame::EthernetHeader,
        layout::{
            RING_SHIFT_MAX,
            RING_SHIFT_MIN,
            VERSION, //
        },
        schema::{
            Claims,
            HelperSelf, //
        },
    },
    stats::{
        Counter,
        Counters, //
    },
    tx,
    xen::{
        grant,
        pinned::Pinned, //
    },
};
use core::fmt;
use kernel::{
    new_mutex, new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        rcu,
        Arc,
        Mutex,
        SpinLock, //
    },
};

/// log2 of the bytes of each ring if nobody has said otherwise: 512 KiB. The largest frame takes an
/// eighth of it, and the 32768 grants that Xen gives a domain by default suffice for 120 channels.
const RING_SHIFT: u32 = 19;

/// The most that the watch looks for an answer, in microseconds, if nobody has said less. Two hundred
/// events, which should end it, have cost no more than 60 ms where that was measured, so that this only
/// bounds what a cost that was measured wrong could do.
const POLL_USECS_MAX: u32 = 100_000;

/// The most that frames of a busy sender lie, in microseconds, if nobody has said less.
const DELAY_USECS_MAX: u32 = 10_000;

/// Rows of `ethtool -S` that belong to no peer, beside the counters of departed ones.
const FIXED_ROWS: u32 = 6;

/// What the data path, the control task and the callbacks share.
#[pin_data]
pub(crate) struct Shared {
    /// Runs the control task.
    #[pin]
    pub(crate) control: Work,
    /// Runs the watch.
    #[pin]
    pub(crate) watch: Work,
    /// The watch runs, or is about to.
    pub(crate) watching: Atomic<u32>,
    /// log2 of the bytes of each ring of the channels to be made.
    pub(crate) ring_shift: Atomic<u32>,
    /// See [`Driver::poll_usecs`].
    pub(crate) poll_usecs: Atomic<u32>,
    /// See [`Driver::delay_usecs`].
    pub(crate) delay_usecs: Atomic<u32>,
    /// What an event costs.
    pub(crate) event_cost: EventCost,
    /// The permitted peers.
    pub(crate) table: RcuArc<Table>,
    /// Who we are, as the helper last said. As long as there are routes, frames leave by the uplink it
    /// named, also when it names us no more.
    pub(crate) last_identity: RcuArc<HelperSelf>,
    /// The helper names us.
    pub(crate) named: Atomic<u32>,
    /// The counters of peers that are no more.
    pub(crate) departed: Counters,
    /// Frames sent to an address that no peer has.
    pub(crate) tx_no_peer: Counter,
    /// Pages that peers have not let go of.
    pub(crate) pinned: Arc<Pinned>,
    /// Milliseconds that the last suspend took to let go of all channels.
    pub(crate) last_leave_ms: Atomic<u32>,
    /// Frames were taken back from a channel and given to the uplink.
    pub(crate) recalled: Atomic<u32>,
    /// Counts the changes of the peer list.
    pub(crate) generation: Atomic<u64>,
    /// The device is up.
    up: Atomic<u32>,
    /// What the guest claims as its addresses, and whether the control task is yet to publish it.
    #[pin]
    pub(crate) claim: Mutex<(Claims, bool)>,
    /// Whom a suspend concerns, while the module is loaded.
    #[pin]
    pub(crate) sleeper: Mutex<Option<Arc<Control>>>,
    /// The peers whose counters `ethtool -S` shows.
    #[pin]
    rows: SpinLock<Option<Arc<Table>>>,
}

impl Shared {
    /// Makes the state of a device without peers. Process context.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let pinned = Pinned::new()?;
        Arc::pin_init(
            pin_init!(Self {
                control <- Work::new(),
                watch <- Work::new(),
                watching: Atomic::new(0),
                ring_shift: Atomic::new(RING_SHIFT),
                poll_usecs: Atomic::new(POLL_USECS_MAX),
                delay_usecs: Atomic::new(DELAY_USECS_MAX),
                event_cost: EventCost::new(),
                table: RcuArc::new(None),
                last_identity: RcuArc::new(None),
                named: Atomic::new(0),
                departed: Counters::new(),
                tx_no_peer: Counter::new(),
                pinned,
                last_leave_ms: Atomic::new(0),
                recalled: Atomic::new(0),
                generation: Atomic::new(1),
                up: Atomic::new(0),
                claim <- new_mutex!((Claims::default(), false), "xlnet_claim"),
                sleeper <- new_mutex!(None, "xlnet_sleeper"),
                rows <- new_spinlock!(None, "xlnet_rows"),
            }),
            GFP_KERNEL,
        )
    }

    /// Whether the device is up.
    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Relaxed) != 0
    }

    /// Who we are, if the helper names us.
    pub(crate) fn identity(&self) -> Option<Arc<HelperSelf>> {
        if self.named.load(Relaxed) == 0 {
            return None;
        }
        self.last_identity.get()
    }

    /// Sends an IP frame by the uplink, or hands it back. Bottom halves disabled.
    pub(crate) fn by_uplink(
        &self,
        dev: &Device,
        peer: &Peer,
        skb: SkBuff,
    ) -> core::result::Result<(), SkBuff> {
        let guard = rcu::read_lock();
        let Some(identity) = self.last_identity.load(&guard) else {
            return Err(skb);
        };
        skb.forward(dev, &identity.uplink_mac, &peer.uplink_mac)
            .map_err(|(skb, _)| skb)
    }

    fn with_peer_of_queue<R>(&self, queue: u16, f: impl FnOnce(&Counters) -> R) -> Option<R> {
        let table = self.table.get()?;
        let peer = table
            .iter()
            .find(|peer| queue != 0 && peer.queue() == queue)?;
        Some(f(&peer.stats))
    }
}

/// The counters of all peers without a queue, and of those that are no more.
fn queueless(shared: &Shared, get: impl Fn(&Counters) -> QueueStats) -> QueueStats {
    let (mut frames, mut bytes) = get(&shared.departed);
    if let Some(table) = shared.table.get() {
        for peer in table.iter().filter(|peer| peer.queue() == 0) {
            let more = get(&peer.stats);
            frames = frames.wrapping_add(more.0);
            bytes = bytes.wrapping_add(more.1);
        }
    }
    (frames, bytes)
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
            return 0;
        };
        let guard = rcu::read_lock();
        self.table
            .load(&guard)
            .and_then(|table| table.find(&header.dst).map(|peer| peer.queue()))
            .unwrap_or(0)
    }

    fn xmit(&self, dev: &Device, skb: SkBuff, queue: u16, more: bool) {
        tx::transmit(self, dev, skb, queue, more);
    }

    fn tx_timeout(&self, _dev: &Device, queue: u16) {
        let guard = rcu::read_lock();
        let Some(table) = self.table.load(&guard) else {
            return;
        };
        for peer in table.iter().filter(|peer| peer.queue() == queue) {
            if let Some(channel) = peer.channel.load(&guard) {
                // Either side may have lost an event: ask the peer to look, and look ourselves.
                channel.kick();
                channel.schedule();
            }
        }
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
        let peers = table.as_ref().map_or(0, |table| table.iter().count());
        let old = core::mem::replace(&mut *self.rows.lock(), table);
        drop(old);
        u32::try_from(peers)
            .unwrap_or(0)
            .saturating_add(1)
            .saturating_mul(Counters::COUNT)
            .saturating_add(FIXED_ROWS)
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
        self.departed
            .each(|name, value| row(format_args!("departed_{name}"), value));
        for peer in table.iter().flat_map(|table| table.iter()) {
            peer.stats
                .each(|name, value| row(format_args!("peer{}_{name}", peer.domid), value));
        }
    }

    fn tx_queue_stats(&self, queue: u16) -> QueueStats {
        self.with_peer_of_queue(queue, tx_stats).unwrap_or((0, 0))
    }

    fn rx_queue_stats(&self, queue: u16) -> QueueStats {
        self.with_peer_of_queue(queue, rx_stats).unwrap_or((0, 0))
    }

    fn base_stats(&self) -> (QueueStats, QueueStats) {
        (queueless(self, rx_stats), queueless(self, tx_stats))
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

    fn show_peers(&self, out: &mut dyn fmt::Write) -> Result {
        let generation = self.generation.load(Relaxed);
        write_peers(self, generation, out).map_err(|_| ENOMEM)
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

fn write_peers(shared: &Shared, generation: u64, out: &mut dyn fmt::Write) -> fmt::Result {
    write!(out, "xlnet version={VERSION} generation={generation}")?;
    if let Some(identity) = shared.identity() {
        write!(
            out,
            " mac={} uplink-mac={} group={}",
            identity.mac, identity.uplink_mac, identity.group
        )?;
    }
    writeln!(out)?;
    let table = shared.table.get();
    for peer in table
        .iter()
        .flat_map(|table| table.iter())
        .filter(|peer| !peer.is_departed())
    {
        let path = peer.path();
        write!(
            out,
            "peer domid={} mac={} uplink-mac={} state={} route={} addr=",
            peer.domid,
            peer.mac,
            peer.uplink_mac,
            path.name(),
            u8::from(shared.is_up() && path != Path::Fault),
        )?;
        let mut separator = "";
        if let Some(entry) = peer.entry.get() {
            for prefix in entry.prefixes.iter() {
                write!(out, "{separator}{prefix}")?;
                separator = ",";
            }
        }
        writeln!(out)?;
    }
    writeln!(out, "end generation={generation}")
}
