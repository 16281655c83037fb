// SPDX-License-Identifier: GPL-2.0

//! Per-queue statistics, which netlink's `qstats-get` shows.
//!
//! C header: [`include/net/netdev_queues.h`](srctree/include/net/netdev_queues.h)

use crate::{
    bindings,
    net::ops::{
        self,
        Driver, //
    },
};
use kernel::ffi;

struct Adapter<T: Driver>(core::marker::PhantomData<T>);

impl<T: Driver> Adapter<T> {
    unsafe extern "C" fn rx(
        dev: *mut bindings::net_device,
        queue: ffi::c_int,
        stats: *mut bindings::netdev_queue_stats_rx,
    ) {
        let queue = u16::try_from(queue).unwrap_or(0);
        // SAFETY: The core passes a device of ours and a structure to fill.
        unsafe { ((*stats).packets, (*stats).bytes) = ops::data::<T>(dev).rx_queue_stats(queue) };
    }

    unsafe extern "C" fn tx(
        dev: *mut bindings::net_device,
        queue: ffi::c_int,
        stats: *mut bindings::netdev_queue_stats_tx,
    ) {
        let queue = u16::try_from(queue).unwrap_or(0);
        // SAFETY: As above.
        unsafe { ((*stats).packets, (*stats).bytes) = ops::data::<T>(dev).tx_queue_stats(queue) };
    }

    unsafe extern "C" fn base(
        dev: *mut bindings::net_device,
        rx: *mut bindings::netdev_queue_stats_rx,
        tx: *mut bindings::netdev_queue_stats_tx,
    ) {
        // SAFETY: As above.
        unsafe {
            let base = ops::data::<T>(dev).base_stats();
            ((*rx).packets, (*rx).bytes) = base.0;
            ((*tx).packets, (*tx).bytes) = base.1;
        }
    }

    const TABLE: bindings::netdev_stat_ops = bindings::netdev_stat_ops {
        get_queue_stats_rx: Some(Self::rx),
        get_queue_stats_tx: Some(Self::tx),
        get_base_stats: Some(Self::base),
    };
}

/// The table of a driver.
pub(super) fn table<T: Driver>() -> *const bindings::netdev_stat_ops {
    &Adapter::<T>::TABLE
}
