// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The only door to memory that a peer can write.
//!
//! The peer may change any byte of it at any time, so no reference to it ever exists: words are
//! accessed one at a time through [`SharedMem`], bytes are copied in and out of a [`Chunk`], and
//! what is checked is always the private copy.
//!
//! # Racing bytes
//!
//! A conforming peer does not touch ring bytes while we copy them: the counts hand them over, see
//! [`super::fifo`]. A hostile one may. The copies are plain `memcpy`s through raw pointers, as in
//! the kernel's C code for such memory: concurrent writes make the bytes copied unpredictable and
//! nothing else, because nothing is decided from shared bytes, only from the copy. Behind each
//! copy stands a compiler fence, so that the compiler cannot come back to the shared bytes for a
//! value that the private copy holds.

use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use core::sync::atomic::{compiler_fence, AtomicU32, Ordering};

use super::fault::PeerFault;
use super::layout::{offset, ChannelState, Header, Role, MAX_GREFS, PAGE_SIZE};
use super::sync::{full_barrier, LoadOrder, StoreOrder};

/// The shared words of one ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Bytes produced. Written by the producer.
    Prod,
    /// Value of [`Word::Cons`] at which the producer wants to be told. Written by the producer.
    ConsEvent,
    /// Bytes consumed. Written by the consumer.
    Cons,
    /// Value of [`Word::Prod`] at which the consumer wants to be told. Written by the consumer.
    ProdEvent,
}

impl Word {
    /// Offset in bytes from the ring's producer line.
    const fn offset(self) -> usize {
        match self {
            Word::Prod => 0,
            Word::ConsEvent => 4,
            Word::Cons => offset::CONSUMER_LINE,
            Word::ProdEvent => offset::CONSUMER_LINE + 4,
        }
    }
}

/// The shared memory of one ring: its four words and its bytes.
///
/// Implementations other than [`PagedRing`] stand in for a peer in tests.
pub trait SharedMem {
    /// Reads a word, exactly once.
    fn load(&self, word: Word, order: LoadOrder) -> u32;

    /// Writes a word.
    fn store(&self, word: Word, value: u32, order: StoreOrder);

    /// Orders every earlier access before every later one, a store before a load included.
    fn barrier(&self);

    /// Returns the bytes of the ring, a power of two of at least 64. Never changes.
    fn size(&self) -> u32;

    /// Calls `f` once for each contiguous piece of `len` bytes of the ring, in order.
    ///
    /// `pos` is a free-running count, reduced modulo the ring's size; the bytes may wrap at the
    /// ring's end. No piece is empty. Stops at the first error.
    ///
    /// # Errors
    ///
    /// The first error of `f`.
    fn chunks<E>(
        &self,
        pos: u32,
        len: u32,
        f: impl FnMut(Chunk<'_>) -> Result<(), E>,
    ) -> Result<(), E>;
}

/// A piece of a ring's bytes, contiguous in our address space.
///
/// # Invariants
///
/// `ptr` is valid for reads and writes of `len` bytes for `'a`.
pub struct Chunk<'a> {
    ptr: NonNull<u8>,
    len: usize,
    _mem: PhantomData<&'a ()>,
}

impl Chunk<'_> {
    /// Makes a chunk of `len` bytes at `ptr`.
    ///
    /// # Safety
    ///
    /// For the lifetime of the chunk, `ptr` must be valid for reads and writes of `len` bytes, and
    /// no reference to any of them may exist.
    pub unsafe fn new(ptr: NonNull<u8>, len: usize) -> Self {
        // INVARIANT: By the safety requirements.
        Self {
            ptr,
            len,
            _mem: PhantomData,
        }
    }

    /// Returns the address of the first byte, for copying functions of the kernel.
    ///
    /// The peer may be writing there: bytes may be copied from or to it, and not referred to.
    pub fn as_ptr(&self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    /// Returns the number of bytes.
    #[expect(clippy::len_without_is_empty, reason = "a chunk is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Copies from `src` into the ring, as many bytes as both hold. Returns their number.
    pub fn copy_from(&self, src: &[u8]) -> usize {
        let len = src.len().min(self.len);
        // SAFETY: `src` is valid for `len` bytes, and so is `self.ptr` by the type invariants. They
        // do not overlap, as no reference into a ring exists. For racing accesses by the peer see
        // the module's documentation.
        unsafe { ptr::copy_nonoverlapping(src.as_ptr(), self.ptr.as_ptr(), len) };
        compiler_fence(Ordering::SeqCst);
        len
    }

    /// Copies from the ring into `dst`, as many bytes as both hold. Returns their number.
    pub fn copy_to(&self, dst: &mut [u8]) -> usize {
        let len = dst.len().min(self.len);
        // SAFETY: `dst` is valid for `len` bytes, and so is `self.ptr` by the type invariants. They
        // do not overlap, as no reference into a ring exists. For racing accesses by the peer see
        // the module's documentation.
        unsafe { ptr::copy_nonoverlapping(self.ptr.as_ptr(), dst.as_mut_ptr(), len) };
        compiler_fence(Ordering::SeqCst);
        len
    }
}

/// Reads the shared word at `ptr` once.
///
/// # Safety
///
/// `ptr` must be aligned and valid for reads, and only accessed atomically on this side.
unsafe fn load_word(ptr: *mut u32, order: LoadOrder) -> u32 {
    // SAFETY: By the safety requirements. The reference is to an atomic, ends with this statement,
    // and so may race with the peer.
    u32::from_le(unsafe { AtomicU32::from_ptr(ptr) }.load(order.into()))
}

/// Writes the shared word at `ptr`.
///
/// # Safety
///
/// `ptr` must be aligned and valid for writes, and only accessed atomically on this side.
unsafe fn store_word(ptr: *mut u32, value: u32, order: StoreOrder) {
    // SAFETY: By the safety requirements. The reference is to an atomic, ends with this statement,
    // and so may race with the peer.
    unsafe { AtomicU32::from_ptr(ptr) }.store(value.to_le(), order.into());
}

/// One ring of a channel, in pages that need not be contiguous.
///
/// # Invariants
///
/// - `lines` is aligned to 4 and valid for reads and writes of the ring's two lines.
/// - `pages` yields `size / PAGE_SIZE` addresses, each valid for reads and writes of a page.
/// - `size` is a power of two and at least [`PAGE_SIZE`].
pub struct PagedRing<P> {
    /// Address of the ring's producer line.
    lines: NonNull<u8>,
    pages: P,
    size: u32,
}

// SAFETY: `PagedRing::new` requires memory and `P` to be usable from any thread.
unsafe impl<P: AsRef<[NonNull<u8>]>> Send for PagedRing<P> {}

impl<P: AsRef<[NonNull<u8>]>> PagedRing<P> {
    /// Makes the handle of ring 0 or 1 of the channel with the control page at `control`.
    ///
    /// `pages` are the addresses of the ring's pages in their order, `size` the ring's bytes.
    /// Returns `None` if there is no such ring or `size` is not a power of two of whole pages or not
    /// that of `pages`. Sizes below [`super::layout::RING_SHIFT_MIN`] are for tests; nothing here
    /// depends on the limit.
    ///
    /// # Safety
    ///
    /// For the lifetime of the handle:
    /// - `control` and every address in `pages` must be aligned to 4096 and valid for reads and writes
    ///   of 4096 bytes from any thread, and no reference to any of these bytes may exist;
    /// - `pages.as_ref()` must always return the same addresses, and moving `pages` to another
    ///   thread and dropping it there must be sound.
    pub unsafe fn new(control: NonNull<u8>, ring: usize, pages: P, size: u32) -> Option<Self> {
        let in_pages = pages.as_ref().len() == (size / PAGE_SIZE) as usize;
        if ring > 1 || !size.is_power_of_two() || size < PAGE_SIZE || !in_pages {
            return None;
        }
        // SAFETY: The lines of rings 0 and 1 are within the control page.
        let lines = unsafe { control.add(offset::RINGS + ring * offset::RING_STRIDE) };
        // INVARIANT: By the safety requirements and the checks above.
        Some(Self { lines, pages, size })
    }

    fn word(&self, word: Word) -> *mut u32 {
        // SAFETY: The offsets of all words are within the lines.
        unsafe { self.lines.add(word.offset()) }.as_ptr().cast()
    }
}

impl<P: AsRef<[NonNull<u8>]>> SharedMem for PagedRing<P> {
    fn load(&self, word: Word, order: LoadOrder) -> u32 {
        // SAFETY: By the type invariants; all accesses of this module to words are atomic.
        unsafe { load_word(self.word(word), order) }
    }

    fn store(&self, word: Word, value: u32, order: StoreOrder) {
        // SAFETY: By the type invariants; all accesses of this module to words are atomic.
        unsafe { store_word(self.word(word), value, order) }
    }

    fn barrier(&self) {
        full_barrier();
    }

    fn size(&self) -> u32 {
        self.size
    }

    fn chunks<E>(
        &self,
        pos: u32,
        len: u32,
        mut f: impl FnMut(Chunk<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut pos = pos;
        let mut left = len;
        while left > 0 {
            let at = pos & (self.size - 1);
            let in_page = at % PAGE_SIZE;
            let piece = left.min(PAGE_SIZE - in_page);
            // There always is such a page, by the type invariants.
            let Some(page) = self.pages.as_ref().get((at / PAGE_SIZE) as usize) else {
                break;
            };
            // SAFETY: `in_page` is less than a page, and `page` is valid for one by the type
            // invariants.
            let start = unsafe { page.add(in_page as usize) };
            // SAFETY: The piece ends at the page's end at the latest. No reference to its bytes
            // exists, by the safety requirements of `PagedRing::new`.
            f(unsafe { Chunk::new(start, piece as usize) })?;
            pos = pos.wrapping_add(piece);
            left -= piece;
        }
        Ok(())
    }
}

/// The control page of a channel but for the rings' lines.
///
/// # Invariants
///
/// The address is aligned to 4096 and valid for reads and writes of a page.
pub struct ControlPage(NonNull<u8>);

// SAFETY: `ControlPage::new` requires the page to be usable from any thread.
unsafe impl Send for ControlPage {}
// SAFETY: As above, and all accesses are atomic.
unsafe impl Sync for ControlPage {}

impl ControlPage {
    /// Makes the handle of a control page.
    ///
    /// # Safety
    ///
    /// For the lifetime of the handle, `page` must be aligned to 4096 and valid for reads and writes of
    /// 4096 bytes from any thread, and no reference to any of these bytes may exist.
    pub unsafe fn new(page: NonNull<u8>) -> Self {
        // INVARIANT: By the safety requirements.
        Self(page)
    }

    /// Returns the address of the word at `offset`, which must be less than 4093.
    fn word(&self, offset: usize) -> *mut u32 {
        // SAFETY: The callers pass offsets of words within the page.
        unsafe { self.0.add(offset) }.as_ptr().cast()
    }

    fn load(&self, offset: usize, order: LoadOrder) -> u32 {
        // SAFETY: By the type invariants; all accesses of this module to words are atomic.
        unsafe { load_word(self.word(offset), order) }
    }

    fn store(&self, offset: usize, value: u32, order: StoreOrder) {
        // SAFETY: By the type invariants; all accesses of this module to words are atomic.
        unsafe { store_word(self.word(offset), value, order) }
    }

    /// Writes the header. For the listener, on a zeroed page, before it makes the offer.
    pub fn init(&self, header: &Header) {
        for (i, word) in header.to_words().into_iter().enumerate() {
            self.store(offset::HEADER + 4 * i, word, StoreOrder::Relaxed);
        }
    }

    /// Copies the header, reading each word once. For the connector, which validates the copy.
    pub fn read_header(&self) -> Header {
        let mut words = [0; Header::WORDS];
        for (i, word) in words.iter_mut().enumerate() {
            *word = self.load(offset::HEADER + 4 * i, LoadOrder::Relaxed);
        }
        Header::from_words(words)
    }

    fn state_offset(role: Role) -> usize {
        match role {
            Role::Listener => offset::LISTENER_STATE,
            Role::Connector => offset::CONNECTOR_STATE,
        }
    }

    /// Publishes our state, where `us` is our role. The caller kicks.
    pub fn set_state(&self, us: Role, state: ChannelState) {
        self.store(Self::state_offset(us), state as u32, StoreOrder::Release);
    }

    /// Reads the state of the peer of `us`.
    ///
    /// # Errors
    ///
    /// [`PeerFault::BadState`] for an undefined value.
    pub fn peer_state(&self, us: Role) -> Result<ChannelState, PeerFault> {
        ChannelState::from_raw(self.load(Self::state_offset(us.other()), LoadOrder::Acquire))
    }

    /// Writes entry `i` of the directory. For the listener, before it makes the offer.
    ///
    /// Does nothing for an `i` that is not below [`MAX_GREFS`].
    pub fn set_gref(&self, i: usize, gref: u32) {
        if i < MAX_GREFS {
            self.store(offset::DIRECTORY + 4 * i, gref, StoreOrder::Relaxed);
        }
    }

    /// Reads entry `i` of the directory, once. Ring 1's pages follow ring 0's.
    ///
    /// Returns 0, a reference no guest grants, for an `i` that is not below [`MAX_GREFS`].
    pub fn gref(&self, i: usize) -> u32 {
        if i < MAX_GREFS {
            self.load(offset::DIRECTORY + 4 * i, LoadOrder::Relaxed)
        } else {
            0
        }
    }
}
