// SPDX-License-Identifier: GPL-2.0

//! What the data path, the control task and the device's callbacks share.

use crate::{
    control::Control,
    event_cost::EventCost,
    net::{
        device::Device,
        rcu::RcuArc,
        skb::SkBuff,
        sysfs::Text,
        work::{
            self,
            Work, //
        },
    },
    peer::{
        list::List,
        table::Table,
        Peer, //
    },
    proto::{
        frame::source_ip,
        schema::{
            Claims,
            HelperSelf, //
        }, //
    },
    stats::Counter,
    xen::pinned::Pinned,
};
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

/// The most that the watch looks for an answer, in microseconds. Two hundred events, which should end
/// it, have cost no more than 60 ms where that was measured, so that this only bounds what a cost that
/// was measured wrong could do.
pub(crate) const POLL_USECS_MAX: u32 = 100_000;

/// The most that frames of a busy sender lie, in microseconds, if nobody has said less.
pub(crate) const DELAY_USECS_MAX: u32 = 10_000;

/// What the data path, the control task and the callbacks share.
#[pin_data]
pub(crate) struct Shared {
    /// Runs the control task.
    #[pin]
    pub(crate) control: Work,
    /// Runs what ends the wait for the uplink.
    #[pin]
    pub(crate) release: Work,
    /// Runs the watch.
    #[pin]
    pub(crate) watch: Work,
    /// The watch runs, or is about to.
    pub(crate) watching: Atomic<u32>,
    /// log2 of the bytes of each ring of the channels to be made.
    pub(crate) ring_shift: Atomic<u32>,
    /// See [`crate::net::ops::Driver::poll_usecs`].
    pub(crate) poll_usecs: Atomic<u32>,
    /// See [`crate::net::ops::Driver::delay_usecs`].
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
    /// Frames sent to an address that no peer has.
    pub(crate) tx_no_peer: Counter,
    /// Pages that peers have not let go of.
    pub(crate) pinned: Arc<Pinned>,
    /// Milliseconds that the last suspend took to let go of all channels.
    pub(crate) last_leave_ms: Atomic<u32>,
    /// Frames were taken back from a channel and given to the uplink.
    pub(crate) recalled: Atomic<u32>,
    /// The list of peers, for user space.
    #[pin]
    pub(crate) list: Mutex<Arc<Text>>,
    /// The device is up.
    pub(crate) up: Atomic<u32>,
    /// What the guest claims as its addresses, and whether the control task is yet to publish it.
    #[pin]
    pub(crate) claim: Mutex<(Claims, bool)>,
    /// Whom a suspend concerns, while the module is loaded.
    #[pin]
    pub(crate) sleeper: Mutex<Option<Arc<Control>>>,
    /// The peers whose counters `ethtool -S` shows.
    #[pin]
    pub(crate) rows: SpinLock<Option<Arc<Table>>>,
}

/// How long the watch looks if nobody has said otherwise. Where there are several CPUs, a thread that
/// is woken by the one that looks runs on another, which has to be woken as well, so that looking
/// spares nothing and takes a physical CPU that the peer may want.
fn poll_usecs() -> u32 {
    if work::online_cpus() == 1 {
        POLL_USECS_MAX
    } else {
        0
    }
}

impl Shared {
    /// Makes the state of a device without peers. Process context.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let pinned = Pinned::new()?;
        let list = List {
            generation: 0,
            identity: None,
            up: false,
            peers: core::iter::empty(),
        };
        let list = list.text()?;
        Arc::pin_init(
            pin_init!(Self {
                control <- Work::new(),
                release <- Work::new(),
                watch <- Work::new(),
                watching: Atomic::new(0),
                ring_shift: Atomic::new(RING_SHIFT),
                poll_usecs: Atomic::new(poll_usecs()),
                delay_usecs: Atomic::new(DELAY_USECS_MAX),
                event_cost: EventCost::new(),
                table: RcuArc::new(None),
                last_identity: RcuArc::new(None),
                named: Atomic::new(0),
                tx_no_peer: Counter::new(),
                pinned,
                last_leave_ms: Atomic::new(0),
                recalled: Atomic::new(0),
                list <- new_mutex!(list, "xlnet_list"),
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

    /// Whether our peers take a frame that begins with `head`: they drop what comes from an address that
    /// the helper says is not ours. Bottom halves disabled.
    pub(crate) fn may_send(&self, head: &[u8]) -> bool {
        let guard = rcu::read_lock();
        let Some(identity) = self.last_identity.load(&guard) else {
            return true;
        };
        !identity.strict || source_ip(head).is_none_or(|source| identity.owns(source))
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
}
