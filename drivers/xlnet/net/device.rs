// SPDX-License-Identifier: GPL-2.0

//! A virtual Ethernet device: its registration and what a driver does to it.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h), manual:
//! [`Documentation/networking/netdevices.rst`](srctree/Documentation/networking/netdevices.rst)

use crate::{
    bindings,
    net::{
        ethtool,
        ops,
        ops::Driver,
        pm,
        stats,
        sysfs, //
    },
    proto::frame::Mac,
};
use core::ptr::NonNull;
use kernel::{
    error::to_result,
    ffi,
    prelude::*,
    sync::{
        aref::AlwaysRefCounted,
        rcu,
        Arc, //
    },
    types::Opaque, //
};

/// What every frame may leave to the device: the record's header carries it to the peer.
const FEATURES: u64 = 1 << bindings::NETIF_F_SG_BIT
    | 1 << bindings::NETIF_F_HW_CSUM_BIT
    | 1 << bindings::NETIF_F_HIGHDMA_BIT
    | 1 << bindings::NETIF_F_GSO_BIT
    | 1 << bindings::NETIF_F_GRO_BIT
    | 1 << bindings::NETIF_F_TSO_BIT
    | 1 << bindings::NETIF_F_TSO6_BIT
    | 1 << bindings::NETIF_F_TSO_ECN_BIT
    | 1 << bindings::NETIF_F_GSO_UDP_L4_BIT
    | 1 << bindings::NETIF_F_RXCSUM_BIT;

/// Smallest MTU: what RFC 791 asks of every link.
const MTU_MIN: u32 = 68;

/// Largest MTU, and the default: the largest IP packet.
pub(crate) const MTU_MAX: u32 = 65535;

/// A `struct net_device` that is registered.
///
/// # Invariants
///
/// The object is valid for as long as a reference to it exists.
#[repr(transparent)]
pub(crate) struct Device(Opaque<bindings::net_device>);

// SAFETY: A reference may be given up by any thread.
unsafe impl Send for Device {}
// SAFETY: What is done through a shared reference is safe from any thread.
unsafe impl Sync for Device {}

// SAFETY: A device is counted as soon as it is allocated, and freed only when it was unregistered, which
// waits until nobody else counts as holding it.
unsafe impl AlwaysRefCounted for Device {
    fn inc_ref(&self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::xlnet_dev_hold(self.as_ptr()) };
    }

    unsafe fn dec_ref(dev: NonNull<Self>) {
        // SAFETY: The caller gives up a reference of its own.
        unsafe { bindings::xlnet_dev_put(dev.cast().as_ptr()) };
    }
}

impl Device {
    /// Refers to a device.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid for `'a`.
    #[inline]
    pub(super) unsafe fn from_raw<'a>(ptr: *mut bindings::net_device) -> &'a Self {
        // SAFETY: By the function's requirements; `Device` is transparent.
        unsafe { &*ptr.cast() }
    }

    #[inline]
    pub(super) fn as_ptr(&self) -> *mut bindings::net_device {
        self.0.get()
    }

    /// Says whether the link carries frames. Any context.
    pub(crate) fn set_carrier(&self, on: bool) {
        // SAFETY: By the type invariants.
        unsafe {
            if on {
                bindings::netif_carrier_on(self.as_ptr());
            } else {
                bindings::netif_carrier_off(self.as_ptr());
            }
        }
    }

    /// Whether the device is up.
    pub(crate) fn is_running(&self) -> bool {
        // SAFETY: By the type invariants.
        unsafe { bindings::xlnet_netif_running(self.as_ptr()) }
    }

    /// Another device of the same network namespace that has this address.
    #[inline]
    pub(super) fn other_by_address(
        &self,
        mac: &Mac,
        _guard: &rcu::Guard,
    ) -> Option<NonNull<bindings::net_device>> {
        // SAFETY: The RCU read-side lock is held; `mac` is six bytes.
        let found = unsafe {
            bindings::dev_getbyhwaddr_rcu(
                bindings::xlnet_dev_net_rcu(self.as_ptr()),
                bindings::XLNET_ARPHRD_ETHER as u16,
                mac.0.as_ptr().cast(),
            )
        };
        NonNull::new(found).filter(|found| found.as_ptr() != self.as_ptr())
    }

    /// Whether the device of the same network namespace that has this address cannot send yet: it is
    /// up and has no carrier, or the stack throws its frames away, as it has not yet seen that there is
    /// one. Any context.
    pub(crate) fn waits_for_carrier(&self, mac: &Mac) -> bool {
        let guard = rcu::read_lock();
        self.other_by_address(mac, &guard).is_some_and(|other| {
            // SAFETY: The device is valid under RCU.
            unsafe {
                bindings::xlnet_netif_running(other.as_ptr())
                    && (!bindings::xlnet_netif_carrier_ok(other.as_ptr())
                        || bindings::xlnet_qdisc_tx_is_noop(other.as_ptr()))
            }
        })
    }

    /// Gives the device its station address and tells the stack. Process context; takes the RTNL.
    pub(crate) fn set_mac(&self, mac: &Mac) {
        // SAFETY: By the type invariants; the RTNL is held around the change and the notification.
        unsafe {
            bindings::rtnl_lock();
            bindings::xlnet_eth_hw_addr_set(self.as_ptr(), mac.0.as_ptr());
            bindings::call_netdevice_notifiers(
                bindings::XLNET_NETDEV_CHANGEADDR as ffi::c_ulong,
                self.as_ptr(),
            );
            bindings::rtnl_unlock();
        }
    }

    /// Stops a transmit queue, before whatever the caller reads next; a frame that is being transmitted
    /// still goes. Any context.
    #[inline]
    pub(crate) fn stop_queue(&self, queue: u16) {
        // SAFETY: By the type invariants; the queue's number is one of ours.
        unsafe {
            bindings::xlnet_txq_stop(self.as_ptr(), ops::clamp_queue(queue));
            bindings::xlnet_mb_after_stop();
        }
    }

    /// Whether a transmit queue is stopped by us.
    #[inline]
    pub(crate) fn queue_stopped(&self, queue: u16) -> bool {
        // SAFETY: As above.
        unsafe { bindings::xlnet_txq_stopped(self.as_ptr(), ops::clamp_queue(queue)) }
    }

    /// Lets a transmit queue run again. Any context.
    #[inline]
    pub(crate) fn wake_queue(&self, queue: u16) {
        // SAFETY: As above.
        unsafe { bindings::xlnet_txq_wake(self.as_ptr(), ops::clamp_queue(queue)) };
    }

    /// Counts a transmitted frame in the device's per-CPU statistics.
    #[inline]
    pub(crate) fn count_tx(&self, bytes: u32) {
        // SAFETY: By the type invariants; the statistics are allocated while registered.
        unsafe { bindings::xlnet_dstats_tx_add(self.as_ptr(), bytes) };
    }

    /// Counts a received frame.
    #[inline]
    pub(crate) fn count_rx(&self, bytes: u32) {
        // SAFETY: As above.
        unsafe { bindings::xlnet_dstats_rx_add(self.as_ptr(), bytes) };
    }

    /// Counts a frame that could not be transmitted.
    pub(crate) fn count_tx_dropped(&self) {
        // SAFETY: As above.
        unsafe { bindings::xlnet_dstats_tx_dropped(self.as_ptr()) };
    }

    /// Counts a frame that was received and thrown away.
    pub(crate) fn count_rx_dropped(&self) {
        // SAFETY: As above.
        unsafe { bindings::xlnet_dstats_rx_dropped(self.as_ptr()) };
    }

    /// Tells the stack, and by rtnetlink whoever listens, that something of the device has changed.
    /// Does nothing while the device is down. Process context; takes the RTNL.
    pub(crate) fn announce_change(&self) {
        // SAFETY: By the type invariants; the RTNL is held, as the notifiers expect.
        unsafe {
            bindings::rtnl_lock();
            bindings::netdev_state_change(self.as_ptr());
            bindings::rtnl_unlock();
        }
    }

    /// Sends a `change` uevent with one variable, `NAME=value`. Process context.
    pub(crate) fn uevent(&self, variable: &CStr) {
        let env = [
            variable.as_ptr().cast::<ffi::c_char>().cast_mut(),
            core::ptr::null_mut(),
        ];
        // SAFETY: The device's kobject lives as long as the device; `env` ends with a null pointer
        // and is not written to. A uevent that cannot be sent is repeated by the next change.
        unsafe {
            bindings::kobject_uevent_env(
                bindings::xlnet_netdev_kobj(self.as_ptr()),
                bindings::kobject_action_KOBJ_CHANGE,
                env.as_ptr().cast_mut().cast(),
            )
        };
    }
}

/// A registered device with its driver's data. Dropping it unregisters the device.
///
/// # Invariants
///
/// The device's private area holds a pointer from [`Arc::into_raw`] whose reference is ours.
pub(crate) struct Registration<T: Driver> {
    dev: NonNull<bindings::net_device>,
    data: *const T,
}

// SAFETY: The device may be unregistered by any thread in process context.
unsafe impl<T: Driver> Send for Registration<T> {}
// SAFETY: A shared reference gives out `&Device` only.
unsafe impl<T: Driver> Sync for Registration<T> {}

impl<T: Driver> Registration<T> {
    /// Makes and registers a device whose callbacks go to `data`. Process context; takes the RTNL.
    ///
    /// The device may be opened and used before this returns.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or what `register_netdev()` says.
    pub(crate) fn new(data: Arc<T>) -> Result<Self> {
        // SAFETY: The name is a format with one `%d`; `setup` fits the device it is given.
        let dev = unsafe {
            bindings::alloc_netdev_mqs(
                core::mem::size_of::<*const T>() as ffi::c_int,
                T::NAME.as_ptr().cast(),
                bindings::NET_NAME_ENUM as u8,
                Some(setup::<T>),
                ops::TX_QUEUES.into(),
                ops::RX_QUEUES.into(),
            )
        };
        let dev = NonNull::new(dev).ok_or(ENOMEM)?;
        let data = Arc::into_raw(data);
        // SAFETY: The private area was allocated for one pointer.
        unsafe {
            bindings::xlnet_netdev_priv(dev.as_ptr())
                .cast::<*const T>()
                .write(data)
        };
        // INVARIANT: The private area holds the pointer.
        let this = Self { dev, data };
        // SAFETY: The device was set up by `setup`. On failure it is not registered, so it is freed
        // here, and `data` with it, without running the destructor that unregisters.
        let registered = to_result(unsafe { bindings::register_netdev(dev.as_ptr()) });
        if let Err(error) = registered {
            this.free();
            core::mem::forget(this);
            return Err(error);
        }
        Ok(this)
    }

    /// The device.
    pub(crate) fn device(&self) -> &Device {
        // SAFETY: The device lives as long as `self`.
        unsafe { Device::from_raw(self.dev.as_ptr()) }
    }

    fn free(&self) {
        // SAFETY: The device is not registered; the pointer came from `Arc::into_raw` and is not
        // used again.
        unsafe {
            bindings::free_netdev(self.dev.as_ptr());
            drop(Arc::from_raw(self.data));
        }
    }
}

impl<T: Driver> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: The device is registered, by construction.
        unsafe { bindings::unregister_netdev(self.dev.as_ptr()) };
        self.free();
    }
}

unsafe extern "C" fn setup<T: Driver>(dev: *mut bindings::net_device) {
    // SAFETY: `alloc_netdev_mqs()` passes the new device, which nobody else knows yet. The tables
    // are constants of the module, which outlives the device.
    unsafe {
        bindings::ether_setup(dev);
        (*dev).netdev_ops = ops::table::<T>();
        (*dev).ethtool_ops = ethtool::table::<T>();
        (*dev).stat_ops = stats::table::<T>();
        (*dev).sysfs_groups[0] = sysfs::group::<T>();
        bindings::xlnet_set_devtype(dev, pm::device_type::<T>());
        // Frames are rewritten and queued, so they must be the device's alone.
        bindings::xlnet_no_skb_sharing(dev);
        // The locks of a channel are not made for transmission with interrupts disabled.
        bindings::xlnet_no_netpoll(dev);
        bindings::xlnet_set_pcpu_stat_type(dev, bindings::netdev_stat_type_NETDEV_PCPU_STAT_DSTATS);
        (*dev).features = FEATURES;
        (*dev).hw_features = FEATURES;
        (*dev).vlan_features = FEATURES;
        (*dev).mtu = MTU_MAX;
        (*dev).min_mtu = MTU_MIN;
        (*dev).max_mtu = MTU_MAX;
        bindings::xlnet_eth_hw_addr_random(dev);
        bindings::netif_carrier_off(dev);
    }
}
