// SPDX-License-Identifier: GPL-2.0

//! What a driver implements, and the `struct net_device_ops` that calls it.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use crate::{
    bindings,
    net::{
        device::Device,
        skb::SkBuff,
        sysfs::Text, //
    },
};
use core::{
    fmt,
    ptr::NonNull, //
};
use kernel::{
    ffi,
    prelude::*,
    sync::Arc, //
};

/// Transmit queues: [`UPLINK_QUEUE`], and the others for channels.
pub(crate) const TX_QUEUES: u16 = 33;

/// The transmit queue of frames that no channel carries.
pub(crate) const UPLINK_QUEUE: u16 = 0;

/// Receive queues: one for each channel's poll, numbered as the transmit queues are.
pub(crate) const RX_QUEUES: u16 = TX_QUEUES;

/// Counters of one queue: frames, bytes.
pub(crate) type QueueStats = (u64, u64);

/// A driver of a virtual Ethernet device.
///
/// The callbacks run in process context with the RTNL held unless they say otherwise.
pub(crate) trait Driver: Send + Sync + 'static {
    /// Name of the device, a format with one `%d`.
    const NAME: &'static CStr;

    /// The device goes up.
    fn open(&self, dev: &Device);

    /// The device goes down. No transmit runs or comes after this.
    fn stop(&self, dev: &Device);

    /// Chooses the transmit queue of a frame, below [`TX_QUEUES`]. Softirq context.
    fn select_queue(&self, skb: &SkBuff) -> u16;

    /// Takes a frame that the queue `queue` sends; `more` says that another follows at once.
    /// Softirq context, one at a time in each queue.
    fn xmit(&self, dev: &Device, skb: SkBuff, queue: u16, more: bool);

    /// Calls `row` with the name and value of each driver-specific counter, as often as
    /// [`Driver::stat_rows`] last said.
    fn stats(&self, row: &mut dyn FnMut(fmt::Arguments<'_>, u64));

    /// The guest is about to be suspended: nothing of it may be shared afterwards. User space and
    /// kernel threads are frozen; xenstore still answers. Without the RTNL.
    fn freeze(&self);

    /// The guest runs again, perhaps elsewhere; or it was not suspended after all. Without the RTNL.
    fn thaw(&self);

    /// Takes a snapshot of which counters there are, and returns their number. What
    /// [`Driver::stats`] produces until the next call follows it.
    fn stat_rows(&self) -> u32;

    /// Counters of a transmit queue since its present user got it, and the sums of earlier users.
    fn tx_queue_stats(&self, queue: u16) -> QueueStats;

    /// The same of a receive queue.
    fn rx_queue_stats(&self, queue: u16) -> QueueStats;

    /// Counters of both directions that belong to no queue any more: receive, transmit.
    fn base_stats(&self) -> (QueueStats, QueueStats);

    /// Bytes of each channel's ring, for `ethtool -g`.
    fn ring_bytes(&self) -> u32;

    /// The most they may be set to.
    fn max_ring_bytes(&self) -> u32;

    /// Sets them for the channels that are made from then on, rounded up to a size there is.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is none.
    fn set_ring_bytes(&self, bytes: u32) -> Result;

    /// Microseconds that a CPU without other work looks for frames at most before it waits for an
    /// interrupt, for `ethtool -c`.
    fn poll_usecs(&self) -> u32;

    /// Microseconds that frames of a busy sender may lie at most before they are looked for, for
    /// `ethtool -c`.
    fn delay_usecs(&self) -> u32;

    /// Sets both.
    ///
    /// # Errors
    ///
    /// `EINVAL` if either are too many; then neither are set.
    fn set_usecs(&self, poll: u32, delay: u32) -> Result;

    /// The text of the `peers` attribute. Without the RTNL.
    fn peers(&self) -> Arc<Text>;

    /// Writes the text of the `claim` attribute. Without the RTNL.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn show_claim(&self, out: &mut dyn fmt::Write) -> Result;

    /// Takes a new text of the `claim` attribute, as user space wrote it. Without the RTNL.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is not a list of addresses.
    fn store_claim(&self, text: &[u8]) -> Result;
}

/// Keeps a queue number inside the device, whatever the driver says.
#[inline]
pub(super) fn clamp_queue(queue: u16) -> ffi::c_uint {
    if queue < TX_QUEUES {
        queue.into()
    } else {
        0
    }
}

/// The driver's data of a device.
///
/// # Safety
///
/// `dev` must be a device made by [`super::device::Registration<T>`], valid for `'a`.
#[inline]
pub(super) unsafe fn data<'a, T: Driver>(dev: *mut bindings::net_device) -> &'a T {
    // SAFETY: The private area holds a pointer to a `T` that lives as long as the device.
    unsafe { &**bindings::xlnet_netdev_priv(dev).cast::<*const T>() }
}

struct Adapter<T: Driver>(core::marker::PhantomData<T>);

impl<T: Driver> Adapter<T> {
    /// The device sends by another while its queue is locked. Lockdep takes the two queues' locks for one unless they have
    /// classes of their own, as those of every device that is stacked on another (`include/net/netdev_lock.h`).
    unsafe extern "C" fn init(dev: *mut bindings::net_device) -> ffi::c_int {
        // SAFETY: The core passes a device of ours, which it is about to register.
        unsafe { bindings::xlnet_netdev_lockdep_set_classes(dev) };
        0
    }

    unsafe extern "C" fn open(dev: *mut bindings::net_device) -> ffi::c_int {
        // SAFETY: The core passes a device of ours.
        unsafe { data::<T>(dev).open(Device::from_raw(dev)) };
        0
    }

    unsafe extern "C" fn stop(dev: *mut bindings::net_device) -> ffi::c_int {
        // SAFETY: As above.
        unsafe { data::<T>(dev).stop(Device::from_raw(dev)) };
        0
    }

    unsafe extern "C" fn select_queue(
        dev: *mut bindings::net_device,
        skb: *mut bindings::sk_buff,
        _sb_dev: *mut bindings::net_device,
    ) -> u16 {
        let Some(skb) = NonNull::new(skb) else {
            return 0;
        };
        // SAFETY: As above; the frame stays the core's.
        let queue = unsafe { data::<T>(dev).select_queue(&SkBuff::borrow(skb)) };
        clamp_queue(queue) as u16
    }

    unsafe extern "C" fn xmit(
        skb: *mut bindings::sk_buff,
        dev: *mut bindings::net_device,
    ) -> bindings::netdev_tx_t {
        if let Some(skb) = NonNull::new(skb) {
            // SAFETY: As above; the core gives the frame away.
            unsafe {
                let queue = bindings::xlnet_skb_get_queue_mapping(skb.as_ptr());
                let more = bindings::xlnet_netdev_xmit_more();
                data::<T>(dev).xmit(Device::from_raw(dev), SkBuff::from_raw(skb), queue, more);
            }
        }
        bindings::netdev_tx_NETDEV_TX_OK
    }

    const TABLE: bindings::net_device_ops = bindings::net_device_ops {
        ndo_init: Some(Self::init),
        ndo_open: Some(Self::open),
        ndo_stop: Some(Self::stop),
        ndo_start_xmit: Some(Self::xmit),
        ndo_select_queue: Some(Self::select_queue),
        ndo_validate_addr: Some(bindings::eth_validate_addr),
        // SAFETY: A table of optional functions is valid when all zeroes.
        ..unsafe { core::mem::zeroed() }
    };
}

/// The table of a driver.
pub(super) fn table<T: Driver>() -> *const bindings::net_device_ops {
    &Adapter::<T>::TABLE
}
