// SPDX-License-Identifier: GPL-2.0

//! The `xlnet/` directory below the device in sysfs.
//!
//! The attributes are binary ones because the list of peers may exceed a page. C header:
//! [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

use crate::{
    bindings,
    net::ops::{
        self,
        Driver, //
    },
};
use core::fmt;
use kernel::{
    ffi,
    prelude::*, //
};

/// Longest text that may be written to an attribute, in bytes.
const STORE_MAX: usize = 2048;

/// Text that grows; writing fails when memory is out. Process context.
pub(crate) struct Text(KVVec<u8>);

impl Text {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self(KVVec::new())
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0
            .extend_from_slice(text.as_bytes(), GFP_KERNEL)
            .map_err(|_| fmt::Error)
    }
}

struct Adapter<T: Driver>(core::marker::PhantomData<T>);

impl<T: Driver> Adapter<T> {
    /// The driver's data of the device whose attribute it is.
    ///
    /// # Safety
    ///
    /// `kobj` must be that of a device made by [`super::device::Registration<T>`], valid for `'a`.
    unsafe fn data<'a>(kobj: *mut bindings::kobject) -> &'a T {
        // SAFETY: By the requirements.
        unsafe { ops::data::<T>(bindings::xlnet_kobj_netdev(kobj)) }
    }

    /// Copies the part of the text that was asked for.
    ///
    /// # Safety
    ///
    /// `out` must be valid for `len` bytes.
    unsafe fn copy(
        text: &Text,
        out: *mut ffi::c_char,
        offset: bindings::loff_t,
        len: usize,
    ) -> Result<isize> {
        let offset = usize::try_from(offset)?;
        let rest = text.0.get(offset..).unwrap_or_default();
        let part = rest.get(..len).unwrap_or(rest);
        // SAFETY: By the requirements; the part is no longer than that.
        unsafe { core::ptr::copy_nonoverlapping(part.as_ptr(), out.cast(), part.len()) };
        Ok(isize::try_from(part.len())?)
    }

    unsafe extern "C" fn read_peers(
        _file: *mut bindings::file,
        kobj: *mut bindings::kobject,
        _attr: *const bindings::bin_attribute,
        out: *mut ffi::c_char,
        offset: bindings::loff_t,
        len: usize,
    ) -> isize {
        // SAFETY: sysfs passes a buffer of `len` bytes, and a device of ours, which it keeps meanwhile.
        kernel::error::from_result(|| unsafe {
            Self::copy(&Self::data(kobj).peers(), out, offset, len)
        })
    }

    unsafe extern "C" fn read_claim(
        _file: *mut bindings::file,
        kobj: *mut bindings::kobject,
        _attr: *const bindings::bin_attribute,
        out: *mut ffi::c_char,
        offset: bindings::loff_t,
        len: usize,
    ) -> isize {
        kernel::error::from_result(|| {
            let mut text = Text::new();
            // SAFETY: As above.
            unsafe {
                Self::data(kobj).show_claim(&mut text)?;
                Self::copy(&text, out, offset, len)
            }
        })
    }

    unsafe extern "C" fn write_claim(
        _file: *mut bindings::file,
        kobj: *mut bindings::kobject,
        _attr: *const bindings::bin_attribute,
        text: *mut ffi::c_char,
        offset: bindings::loff_t,
        len: usize,
    ) -> isize {
        kernel::error::from_result(|| {
            if offset != 0 || len > STORE_MAX {
                return Err(EINVAL);
            }
            // SAFETY: sysfs passes a buffer of `len` bytes; the attribute is one of a device of
            // ours.
            unsafe {
                let text = core::slice::from_raw_parts(text.cast::<u8>(), len);
                Self::data(kobj).store_claim(text)?;
            }
            Ok(isize::try_from(len)?)
        })
    }

    const PEERS: bindings::bin_attribute = bindings::bin_attribute {
        attr: attribute(c"peers", 0o444),
        read: Some(Self::read_peers),
        // SAFETY: What is left are numbers and optional pointers.
        ..unsafe { core::mem::zeroed() }
    };

    const CLAIM: bindings::bin_attribute = bindings::bin_attribute {
        attr: attribute(c"claim", 0o644),
        read: Some(Self::read_claim),
        write: Some(Self::write_claim),
        // SAFETY: As above.
        ..unsafe { core::mem::zeroed() }
    };

    const ATTRIBUTES: [*const bindings::bin_attribute; 3] =
        [&Self::PEERS, &Self::CLAIM, core::ptr::null()];

    const GROUP: bindings::attribute_group = bindings::attribute_group {
        name: c"xlnet".as_ptr().cast(),
        bin_attrs: Self::ATTRIBUTES.as_ptr(),
        // SAFETY: As above.
        ..unsafe { core::mem::zeroed() }
    };
}

/// An attribute of that name and those permissions.
const fn attribute(name: &'static CStr, mode: bindings::umode_t) -> bindings::attribute {
    // SAFETY: All fields are numbers, optional pointers, or structures of such. A kernel with lockdep has
    // more of them than one without.
    let mut attribute: bindings::attribute = unsafe { core::mem::zeroed() };
    attribute.name = name.as_ptr().cast();
    attribute.mode = mode;
    attribute
}

/// The attribute group of a driver's devices.
pub(super) fn group<T: Driver>() -> *const bindings::attribute_group {
    &Adapter::<T>::GROUP
}
