// SPDX-License-Identifier: GPL-2.0

//! Generated bindings of the C in `shim/shim.h`, seen by `net/` and `xen/` only.
//!
//! The kernel crate's own bindings have neither `netdevice.h` nor any Xen header, so these are
//! independent of them: a pointer that goes from one to the other is cast.

#![allow(
    clippy::all,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]

use kernel::ffi;

// The two names bindgen is told to leave to us, as the kernel crate does.
type __kernel_size_t = usize;
type __kernel_ssize_t = isize;
type __kernel_ptrdiff_t = isize;

include!("bindings_generated.rs");
