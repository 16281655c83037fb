// SPDX-License-Identifier: GPL-2.0

//! Xenstore: nodes of this domain's home and watches on them.
//!
//! A path that does not begin with a slash is relative to the home, `/local/domain/<domid>`.
//!
//! Every function here sends a message to the xenstore daemon and sleeps until it answers; process
//! context. There is no time limit, and while the guest is being suspended there is no answer: nothing
//! that suspend waits for may call them after the devices were frozen.
//!
//! What is read was written by others: nothing is assumed of it, and its size is bounded by the
//! caller and by the daemon's messages of 4096 bytes.
//!
//! C header: [`include/xen/xenbus.h`](srctree/include/xen/xenbus.h)

pub(crate) mod strbuf;
pub(crate) mod watch;

pub(crate) use self::{
    strbuf::StrBuf,
    watch::{
        Watch,
        WatchHandler, //
    }, //
};

use crate::bindings;
use kernel::{
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*, //
};

/// The most bytes in a message to the daemon, `XENSTORE_PAYLOAD_MAX` in C. The kernel does not check
/// this, and the daemon breaks the connection with a guest that exceeds it.
const MAX_PAYLOAD: usize = 4096;

/// The most bytes in a relative path, `XENSTORE_REL_PATH_MAX` in C.
const MAX_PATH: usize = 2048;

/// Memory that a function of xenbus has returned.
///
/// # Invariants
///
/// The pointer is to memory of `kmalloc()` that is owned by this object.
struct Reply<T>(*mut T);

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the memory is ours to free.
        unsafe { bindings::kfree(self.0.cast()) };
    }
}

/// Reads the value of the node `path` into `buf`, and returns the part of `buf` that it fills.
///
/// Process context; sleeps.
///
/// # Errors
///
/// - `ENOENT` if there is no such node.
/// - `EACCES` if this domain may not read it.
/// - `E2BIG` if the value is longer than `buf`; nothing was copied then.
/// - Others that the daemon or the kernel return.
pub(crate) fn read<'a>(path: &CStr, buf: &'a mut [u8]) -> Result<&'a [u8]> {
    check_path(path)?;
    let mut len = 0;
    // SAFETY: Both strings end with NUL, and `len` is valid for a write.
    let value = from_err_ptr(unsafe {
        bindings::xlnet_xenbus_read(path.as_char_ptr(), c"".as_char_ptr(), &mut len).cast_mut()
    })?;
    // INVARIANT: The value of a node that was read is the caller's to free.
    let value = Reply(value);
    let len = usize::try_from(len).map_err(|_| E2BIG)?;
    let buf = buf.get_mut(..len).ok_or(E2BIG)?;
    // SAFETY: The call returned `len` bytes, and no one else knows of them.
    buf.copy_from_slice(unsafe { core::slice::from_raw_parts(value.0, len) });
    Ok(buf)
}

/// Sets the value of the node `path`, which is made, with all nodes on the way to it, if there is
/// none.
///
/// Process context; sleeps.
///
/// # Errors
///
/// - `E2BIG` if path and value are too long for a message of 4096 bytes.
/// - `EACCES` if this domain may not write there.
/// - `ENOSPC` if it has reached its quota of nodes or bytes.
/// - Others that the daemon or the kernel return.
pub(crate) fn write(path: &CStr, value: &CStr) -> Result {
    check_path(path)?;
    let path_len = path.to_bytes_with_nul().len();
    match path_len.checked_add(value.to_bytes().len()) {
        Some(len) if len <= MAX_PAYLOAD => (),
        _ => return Err(E2BIG),
    }
    // SAFETY: All strings end with NUL.
    to_result(unsafe {
        bindings::xlnet_xenbus_write(path.as_char_ptr(), c"".as_char_ptr(), value.as_char_ptr())
    })
}

/// Removes the node `path` and everything below it. That there is no such node is no error.
///
/// Process context; sleeps.
///
/// # Errors
///
/// - `EACCES` if this domain may not write there.
/// - Others that the daemon or the kernel return.
pub(crate) fn remove(path: &CStr) -> Result {
    check_path(path)?;
    // SAFETY: Both strings end with NUL.
    let error = unsafe { bindings::xlnet_xenbus_rm(path.as_char_ptr(), c"".as_char_ptr()) };
    match to_result(error) {
        Err(ENOENT) => Ok(()),
        removed => removed,
    }
}

/// Calls `entry` with the name of each node directly below `path`, `max` times at most, and returns
/// how many such nodes there are. The order is the daemon's.
///
/// Process context; sleeps.
///
/// # Errors
///
/// - `ENOENT` if there is no node `path`.
/// - `EACCES` if this domain may not read it.
/// - `E2BIG` if the names do not fit a message of 4096 bytes.
/// - Others that the daemon or the kernel return.
pub(crate) fn list(path: &CStr, max: usize, mut entry: impl FnMut(&[u8])) -> Result<usize> {
    check_path(path)?;
    let mut count = 0;
    // SAFETY: Both strings end with NUL, and `count` is valid for a write.
    let names = from_err_ptr(unsafe {
        bindings::xlnet_xenbus_directory(path.as_char_ptr(), c"".as_char_ptr(), &mut count)
    })?;
    // INVARIANT: A directory that was read is the caller's to free, with the names, in one piece.
    let names = Reply(names);
    let count = usize::try_from(count).map_err(|_| E2BIG)?;
    // SAFETY: The call returned `count` pointers, and no one else knows of them.
    for &name in unsafe { core::slice::from_raw_parts(names.0, count) }
        .iter()
        .take(max)
    {
        // SAFETY: Each points to a string that ends with NUL and lives as long as `names`.
        entry(unsafe { CStr::from_char_ptr(name) }.to_bytes());
    }
    Ok(count)
}

/// Refuses a path that the daemon would break the connection for.
fn check_path(path: &CStr) -> Result {
    if path.to_bytes().len() > MAX_PATH {
        return Err(E2BIG);
    }
    Ok(())
}
