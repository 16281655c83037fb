// SPDX-License-Identifier: GPL-2.0

//! Socket buffers.
//!
//! C headers: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h),
//! [`include/linux/virtio_net.h`](srctree/include/linux/virtio_net.h)

mod alloc;

use crate::{
    bindings,
    net::{
        device::Device,
        napi::{
            Poll,
            Turn, //
        },
    },
    proto::{
        frame::{
            tcp_segments,
            Mac,
            TCP_HLEN, //
        },
        layout::VirtioNetHdr,
        mem::Chunk, //
    },
};
use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    ffi,
    prelude::*, //
};

/// An owned `struct sk_buff`.
///
/// Dropping one frees it as a *dropped* packet; [`SkBuff::consume`] frees it as a delivered one.
///
/// # Invariants
///
/// The pointer is valid and the reference to it is ours.
pub(crate) struct SkBuff(NonNull<bindings::sk_buff>);

// SAFETY: A socket buffer that nobody else refers to may be handled by any thread.
unsafe impl Send for SkBuff {}

impl SkBuff {
    /// Takes over a buffer.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid, and the caller gives up its reference.
    pub(super) unsafe fn from_raw(ptr: NonNull<bindings::sk_buff>) -> Self {
        // INVARIANT: By the function's requirements.
        Self(ptr)
    }

    /// Looks at a buffer that stays the caller's.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid while the result is used.
    pub(super) unsafe fn borrow(ptr: NonNull<bindings::sk_buff>) -> ManuallyDrop<Self> {
        ManuallyDrop::new(Self(ptr))
    }

    fn as_ptr(&self) -> *mut bindings::sk_buff {
        self.0.as_ptr()
    }

    fn into_raw(self) -> *mut bindings::sk_buff {
        ManuallyDrop::new(self).as_ptr()
    }

    /// Bytes of the frame, all fragments included.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        // SAFETY: By the type invariants.
        unsafe { (*self.as_ptr()).len }
    }

    /// The bytes that lie in the linear part.
    #[inline]
    pub(crate) fn head(&self) -> &[u8] {
        // SAFETY: By the type invariants; the linear part holds `skb_headlen()` bytes at `data` and
        // nobody writes to it while `self` is borrowed.
        unsafe {
            core::slice::from_raw_parts(
                (*self.as_ptr()).data,
                bindings::xlnet_skb_headlen(self.as_ptr()) as usize,
            )
        }
    }

    /// Makes at least `len` bytes linear; false if the frame is shorter or memory is out.
    pub(crate) fn may_pull(&mut self, len: u32) -> bool {
        // SAFETY: By the type invariants; `&mut self` shows that no slice of the head is held.
        unsafe { bindings::xlnet_pskb_may_pull(self.as_ptr(), len) }
    }

    /// Whether the frame is to be segmented by whoever transmits it.
    pub(crate) fn is_gso(&self) -> bool {
        // SAFETY: By the type invariants.
        unsafe { bindings::xlnet_skb_is_gso(self.as_ptr()) }
    }

    /// Whether the network packet, or each of which it is to become, is at most `mtu` bytes.
    fn fits(&self, mtu: u32) -> bool {
        if self.is_gso() {
            // SAFETY: By the type invariants; the frame is a GSO frame, as the function requires.
            unsafe { bindings::skb_gso_validate_network_len(self.as_ptr(), mtu) }
        } else {
            self.len().saturating_sub(14) <= mtu
        }
    }

    /// Has whoever transmits a TCP frame segment it so that it fits, whatever it was made for. Any
    /// context.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` if that cannot be, `ENOMEM`.
    fn segment(&mut self, mtu: u32) -> Result {
        let hdr = self.virtio_header().map_err(|_| EMSGSIZE)?;
        if !self.may_pull(u32::from(hdr.csum_start).saturating_add(TCP_HLEN.into())) {
            return Err(EMSGSIZE);
        }
        let hdr = tcp_segments(self.head(), &hdr, mtu).ok_or(EMSGSIZE)?;
        // TCP keeps another buffer of this frame, to send it again, and both have one place for how they
        // are segmented.
        //
        // SAFETY: By the type invariants; `&mut self` shows that no slice of the head is held.
        to_result(unsafe { bindings::xlnet_skb_unclone_atomic(self.as_ptr()) })?;
        self.apply(&hdr).map_err(|_| EMSGSIZE)?;
        self.fits(mtu).then_some(()).ok_or(EMSGSIZE)
    }

    /// Copies the frame's bytes from `offset` into shared memory.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the frame is shorter.
    #[inline]
    pub(crate) fn copy_to(&self, offset: u32, chunk: &Chunk<'_>) -> Result {
        let offset = ffi::c_int::try_from(offset)?;
        let len = ffi::c_int::try_from(chunk.len())?;
        // SAFETY: By the type invariants; a chunk is valid for writes of its length.
        to_result(unsafe {
            bindings::skb_copy_bits(self.as_ptr(), offset, chunk.as_ptr().cast(), len)
        })
    }

    /// Copies shared memory over the frame's bytes from `offset`.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the frame is shorter.
    #[inline]
    pub(crate) fn copy_from(&mut self, offset: u32, chunk: &Chunk<'_>) -> Result {
        let offset = ffi::c_int::try_from(offset)?;
        let len = ffi::c_int::try_from(chunk.len())?;
        // SAFETY: By the type invariants; a chunk is valid for reads of its length.
        to_result(unsafe {
            bindings::skb_store_bits(self.as_ptr(), offset, chunk.as_ptr().cast(), len)
        })
    }

    /// What the stack left for the device to do: checksum and segmentation.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a kind of segmentation the header cannot express.
    pub(crate) fn virtio_header(&self) -> Result<VirtioNetHdr> {
        let mut hdr = bindings::virtio_net_hdr::default();
        // SAFETY: By the type invariants; `hdr` is valid for writes.
        to_result(unsafe { bindings::xlnet_virtio_net_hdr_from_skb(self.as_ptr(), &mut hdr) })?;
        Ok(VirtioNetHdr {
            flags: hdr.flags,
            gso_type: hdr.gso_type,
            hdr_len: u16::from_le(hdr.hdr_len),
            gso_size: u16::from_le(hdr.gso_size),
            csum_start: u16::from_le(hdr.csum_start),
            csum_offset: u16::from_le(hdr.csum_offset),
        })
    }

    /// Applies what the sender says about checksum and segmentation, after the kernel has checked
    /// it against the frame.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it does not fit the frame.
    pub(crate) fn apply(&mut self, hdr: &VirtioNetHdr) -> Result {
        let raw = bindings::virtio_net_hdr {
            flags: hdr.flags,
            gso_type: hdr.gso_type,
            hdr_len: hdr.hdr_len.to_le(),
            gso_size: hdr.gso_size.to_le(),
            csum_start: hdr.csum_start.to_le(),
            csum_offset: hdr.csum_offset.to_le(),
        };
        // SAFETY: By the type invariants; `raw` lives through the call.
        to_result(unsafe { bindings::xlnet_virtio_net_hdr_to_skb(self.as_ptr(), &raw) })
    }

    /// Says that the frame is of this EtherType and has its network header behind an Ethernet header, as
    /// those are that the stack sends.
    pub(crate) fn set_network_header(&mut self, ethertype: u16) {
        // SAFETY: By the type invariants.
        unsafe {
            bindings::xlnet_skb_reset_mac_header(self.as_ptr());
            bindings::xlnet_skb_set_network_header(self.as_ptr(), 14);
            bindings::xlnet_skb_set_protocol(self.as_ptr(), ethertype.to_be());
        }
    }

    /// Gives the frame to the stack as received on `dev`.
    #[inline]
    pub(crate) fn receive<T: Poll>(self, turn: &Turn<'_, T>, dev: &Device, queue: u16) {
        let skb = self.into_raw();
        // SAFETY: `skb` is valid and given away in the poll; the frame has at least an Ethernet header,
        // which `eth_type_trans()` pulls.
        unsafe {
            bindings::xlnet_skb_record_rx_queue(skb, queue);
            bindings::xlnet_skb_set_protocol(skb, bindings::eth_type_trans(skb, dev.as_ptr()));
            bindings::xlnet_napi_gro_receive(turn.as_ptr(), skb);
        }
    }

    /// A second buffer of the same frame. Any context.
    pub(crate) fn try_clone(&self) -> Option<Self> {
        // SAFETY: By the type invariants.
        let ptr = unsafe { bindings::skb_clone(self.as_ptr(), bindings::XLNET_GFP_ATOMIC) };
        // INVARIANT: The clone is ours.
        NonNull::new(ptr).map(Self)
    }

    /// Frees a frame that was delivered.
    #[inline]
    pub(crate) fn consume(self) {
        // SAFETY: The reference is ours and given away.
        unsafe { bindings::xlnet_consume_skb_any(self.into_raw()) };
    }

    /// Takes the software transmit time stamp if the socket asked for one.
    #[inline]
    pub(crate) fn tx_timestamp(&self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::xlnet_skb_tx_timestamp(self.as_ptr()) };
    }

    /// Sends the frame out of the device of `dev`'s network namespace that has the address `from`,
    /// to the station `to`. TCP that exceeds its MTU is segmented: a connection may have been made where
    /// frames are larger. Any context with bottom halves disabled.
    ///
    /// # Errors
    ///
    /// Hands the frame back with `ENODEV` if there is no such device, `EMSGSIZE` if the frame
    /// exceeds its MTU and is not such, or `ENOMEM`.
    pub(crate) fn forward(
        mut self,
        dev: &Device,
        from: &Mac,
        to: &Mac,
    ) -> core::result::Result<(), (Self, Error)> {
        let guard = kernel::sync::rcu::read_lock();
        let Some(uplink) = dev.other_by_address(from, &guard) else {
            return Err((self, ENODEV));
        };
        let uplink = uplink.as_ptr();
        // SAFETY: `uplink` is valid under RCU.
        let (mtu, up) = unsafe { ((*uplink).mtu, bindings::xlnet_netif_running(uplink)) };
        if !up {
            return Err((self, ENODEV));
        }
        if !self.fits(mtu) {
            if let Err(error) = self.segment(mtu) {
                return Err((self, error));
            }
        }
        // SAFETY: By the type invariants.
        if unsafe { bindings::xlnet_skb_cow_head(self.as_ptr(), 0) } != 0 || !self.may_pull(14) {
            return Err((self, ENOMEM));
        }
        let skb = self.into_raw();
        // SAFETY: The header is linear, private to us after `skb_cow_head()`, and has 14 bytes; the
        // buffer is given away.
        unsafe {
            core::ptr::copy_nonoverlapping(to.0.as_ptr(), (*skb).data, 6);
            core::ptr::copy_nonoverlapping(from.0.as_ptr(), (*skb).data.add(6), 6);
            bindings::xlnet_skb_set_dev(skb, uplink);
            bindings::xlnet_dev_queue_xmit(skb);
        }
        Ok(())
    }
}

impl Drop for SkBuff {
    fn drop(&mut self) {
        // SAFETY: The reference is ours, by the type invariants.
        unsafe { bindings::xlnet_kfree_skb_any(self.as_ptr()) };
    }
}
