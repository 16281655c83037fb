// SPDX-License-Identifier: GPL-2.0

//! `ethtool -i -S -k -l -g -G -c -C`.
//!
//! C header: [`include/linux/ethtool.h`](srctree/include/linux/ethtool.h)

use crate::{
    bindings,
    net::ops::{
        self,
        Driver, //
    },
};
use core::fmt::Write;
use kernel::{
    ffi,
    prelude::*, //
};

/// Bytes of a counter's name, its terminating zero included.
const NAME_LEN: usize = bindings::ETH_GSTRING_LEN as usize;

/// A counter's name, cut to fit.
struct Name {
    bytes: [u8; NAME_LEN],
    len: usize,
}

impl Write for Name {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = NAME_LEN - 1;
        for byte in text.bytes() {
            if self.len >= end {
                break;
            }
            if let Some(slot) = self.bytes.get_mut(self.len) {
                *slot = byte;
            }
            self.len += 1;
        }
        Ok(())
    }
}

fn copy_text<const N: usize>(to: &mut [ffi::c_char; N], text: &[u8]) {
    for (slot, byte) in to.iter_mut().take(N.saturating_sub(1)).zip(text) {
        *slot = *byte as ffi::c_char;
    }
}

struct Adapter<T: Driver>(core::marker::PhantomData<T>);

impl<T: Driver> Adapter<T> {
    unsafe extern "C" fn drvinfo(
        _dev: *mut bindings::net_device,
        info: *mut bindings::ethtool_drvinfo,
    ) {
        // SAFETY: The core passes a structure to fill.
        unsafe {
            copy_text(&mut (*info).driver, b"xlnet");
            copy_text(&mut (*info).bus_info, b"xen");
        }
    }

    unsafe extern "C" fn sset_count(dev: *mut bindings::net_device, set: ffi::c_int) -> ffi::c_int {
        if set != bindings::ethtool_stringset_ETH_SS_STATS as ffi::c_int {
            return 0;
        }
        // SAFETY: The core passes a device of ours.
        let rows = unsafe { ops::data::<T>(dev) }.stat_rows();
        ffi::c_int::try_from(rows).unwrap_or(0)
    }

    unsafe extern "C" fn strings(dev: *mut bindings::net_device, set: u32, out: *mut u8) {
        if set != bindings::ethtool_stringset_ETH_SS_STATS {
            return;
        }
        let mut out = out;
        // SAFETY: The core passes a device of ours.
        let data = unsafe { ops::data::<T>(dev) };
        data.stats(&mut |name, _| {
            let mut text = Name {
                bytes: [0; NAME_LEN],
                len: 0,
            };
            // Writing to a `Name` does not fail.
            let _ = text.write_fmt(name);
            // SAFETY: The core has room for as many names as `sset_count` said under the same lock,
            // and the driver produces as many.
            unsafe {
                core::ptr::copy_nonoverlapping(text.bytes.as_ptr(), out, NAME_LEN);
                out = out.add(NAME_LEN);
            }
        });
    }

    unsafe extern "C" fn stats(
        dev: *mut bindings::net_device,
        _stats: *mut bindings::ethtool_stats,
        out: *mut u64,
    ) {
        let mut out = out;
        // SAFETY: The core passes a device of ours.
        let data = unsafe { ops::data::<T>(dev) };
        data.stats(&mut |_, value| {
            // SAFETY: As for the names.
            unsafe {
                out.write(value);
                out = out.add(1);
            }
        });
    }

    unsafe extern "C" fn channels(
        _dev: *mut bindings::net_device,
        channels: *mut bindings::ethtool_channels,
    ) {
        let queues = u32::from(ops::TX_QUEUES);
        // SAFETY: The core passes a structure to fill.
        unsafe {
            (*channels).max_combined = queues;
            (*channels).combined_count = queues;
        }
    }

    unsafe extern "C" fn ringparam(
        dev: *mut bindings::net_device,
        ring: *mut bindings::ethtool_ringparam,
        _kernel_ring: *mut bindings::kernel_ethtool_ringparam,
        _extack: *mut bindings::netlink_ext_ack,
    ) {
        // SAFETY: The core passes a device of ours and a structure to fill.
        unsafe {
            let data = ops::data::<T>(dev);
            let bytes = data.ring_bytes();
            (*ring).rx_max_pending = data.max_ring_bytes();
            (*ring).tx_max_pending = data.max_ring_bytes();
            (*ring).rx_pending = bytes;
            (*ring).tx_pending = bytes;
        }
    }

    unsafe extern "C" fn set_ringparam(
        dev: *mut bindings::net_device,
        ring: *mut bindings::ethtool_ringparam,
        _kernel_ring: *mut bindings::kernel_ethtool_ringparam,
        _extack: *mut bindings::netlink_ext_ack,
    ) -> ffi::c_int {
        // SAFETY: The core passes a device of ours and a structure with what is to be.
        let (data, rx, tx) =
            unsafe { (ops::data::<T>(dev), (*ring).rx_pending, (*ring).tx_pending) };
        // Both directions have the same size, so either one of the two says what it is to be, or both
        // say the same.
        let now = data.ring_bytes();
        let set = match (rx == now, tx == now) {
            (false, false) if rx != tx => Err(EINVAL),
            (false, _) => data.set_ring_bytes(rx),
            (true, _) => data.set_ring_bytes(tx),
        };
        set.map_or_else(kernel::error::Error::to_errno, |()| 0)
    }

    unsafe extern "C" fn coalesce(
        dev: *mut bindings::net_device,
        coalesce: *mut bindings::ethtool_coalesce,
        _kernel_coalesce: *mut bindings::kernel_ethtool_coalesce,
        _extack: *mut bindings::netlink_ext_ack,
    ) -> ffi::c_int {
        // SAFETY: The core passes a device of ours and a structure to fill.
        unsafe {
            let data = ops::data::<T>(dev);
            (*coalesce).rx_coalesce_usecs = data.delay_usecs();
            (*coalesce).rx_coalesce_usecs_irq = data.poll_usecs();
        }
        0
    }

    unsafe extern "C" fn set_coalesce(
        dev: *mut bindings::net_device,
        coalesce: *mut bindings::ethtool_coalesce,
        _kernel_coalesce: *mut bindings::kernel_ethtool_coalesce,
        _extack: *mut bindings::netlink_ext_ack,
    ) -> ffi::c_int {
        // SAFETY: The core passes a device of ours and a structure whose fields it has checked
        // against `supported_coalesce_params`.
        let set = unsafe {
            ops::data::<T>(dev).set_usecs(
                (*coalesce).rx_coalesce_usecs_irq,
                (*coalesce).rx_coalesce_usecs,
            )
        };
        set.map_or_else(kernel::error::Error::to_errno, |()| 0)
    }

    const TABLE: bindings::ethtool_ops = bindings::ethtool_ops {
        get_drvinfo: Some(Self::drvinfo),
        get_link: Some(bindings::ethtool_op_get_link),
        get_ts_info: Some(bindings::ethtool_op_get_ts_info),
        get_sset_count: Some(Self::sset_count),
        get_strings: Some(Self::strings),
        get_ethtool_stats: Some(Self::stats),
        supported_coalesce_params: bindings::XLNET_COALESCE_PARAMS,
        get_coalesce: Some(Self::coalesce),
        set_coalesce: Some(Self::set_coalesce),
        get_channels: Some(Self::channels),
        get_ringparam: Some(Self::ringparam),
        set_ringparam: Some(Self::set_ringparam),
        // SAFETY: A table of optional functions and numbers is valid when all zeroes.
        ..unsafe { core::mem::zeroed() }
    };
}

/// The table of a driver.
pub(super) fn table<T: Driver>() -> *const bindings::ethtool_ops {
    &Adapter::<T>::TABLE
}
