// SPDX-License-Identifier: GPL-2.0

//! The device's type, and through it what a suspend of the guest does to the device.
//!
//! Xen saves a guest between `freeze` and `restore`; a suspend that is cancelled, and a checkpoint, end
//! in `thaw`. C headers: [`include/linux/pm.h`](srctree/include/linux/pm.h),
//! [`drivers/xen/manage.c`](srctree/drivers/xen/manage.c)

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
    unsafe extern "C" fn freeze(dev: *mut bindings::device) -> ffi::c_int {
        // SAFETY: The core passes a device of ours.
        unsafe { ops::data::<T>(bindings::xlnet_device_netdev(dev)) }.freeze();
        0
    }

    unsafe extern "C" fn thaw(dev: *mut bindings::device) -> ffi::c_int {
        // SAFETY: As above.
        unsafe { ops::data::<T>(bindings::xlnet_device_netdev(dev)) }.thaw();
        0
    }

    const OPS: bindings::dev_pm_ops = bindings::dev_pm_ops {
        freeze: Some(Self::freeze),
        thaw: Some(Self::thaw),
        restore: Some(Self::thaw),
        // SAFETY: A table of optional functions is valid when all zeroes.
        ..unsafe { core::mem::zeroed() }
    };

    const TYPE: bindings::device_type = bindings::device_type {
        name: c"xlnet".as_ptr().cast(),
        pm: &Self::OPS,
        // SAFETY: What is left are optional pointers.
        ..unsafe { core::mem::zeroed() }
    };
}

/// The type of a driver's devices: `DEVTYPE=xlnet` in their uevents.
pub(super) fn device_type<T: Driver>() -> *const bindings::device_type {
    &Adapter::<T>::TYPE
}
