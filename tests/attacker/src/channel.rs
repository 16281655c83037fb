// SPDX-License-Identifier: GPL-2.0
//! A channel to the victim: made as the protocol says, and then with a second door to its memory that checks nothing.

use std::{
    ptr::NonNull,
    time::{Duration, Instant},
};

use anyhow::{anyhow, ensure, Context, Result};
use xlnet_proto::{
    fault::PeerFault,
    fifo::{Consumer, Producer, PushError},
    layout::{
        ChannelState, Header, RecordHeader, Role, VirtioNetHdr, MAGIC, PAGE_SIZE, RING_SHIFT_MIN,
        VERSION,
    },
    mem::{Chunk, ControlPage, PagedRing, SharedMem, Word},
    schema::Offer,
    sync::StoreOrder,
};

use crate::{
    evtchn::Port,
    grant::Pages,
    instance::{until, Instance},
};

/// How long the driver, too, waits for an offer before it asks for another.
const ANSWER: Duration = Duration::from_secs(5);

/// A ring, by the addresses of its pages.
pub type Ring = PagedRing<Vec<NonNull<u8>>>;

/// A channel, up on our side.
pub struct Channel {
    /// Our part.
    pub role: Role,
    control: NonNull<u8>,
    page: ControlPage,
    tx: Producer<Ring>,
    rx: Consumer<Ring>,
    /// The ring we produce into, unchecked.
    pub raw_tx: Ring,
    /// The ring we consume from, unchecked.
    pub raw_rx: Ring,
    /// The event channel.
    pub port: Port,
    /// Where all of it lies; dropped last.
    pages: Vec<Pages>,
}

/// The pages of a channel as a listener makes them, not yet offered.
pub struct Draft {
    /// What its control page says.
    pub header: Header,
    /// The grant references in its directory.
    pub directory: Vec<u32>,
    /// What is offered.
    pub offer: Offer,
    port: Port,
    pages: Pages,
}

impl Draft {
    /// Grants the pages of a channel and makes its event channel. The listener's part.
    ///
    /// # Errors
    /// What the kernel says, or if we are the connector.
    pub fn new(instance: &mut Instance) -> Result<Self> {
        ensure!(
            instance.role == Role::Listener,
            "only the lower domid makes offers: attack from there"
        );
        let rings = 2 << (RING_SHIFT_MIN - 12);
        let pages = Pages::grant(instance.victim, 1 + rings, true)?;
        let port = Port::listen(instance.victim)?;
        Ok(Self {
            header: Header {
                magic: MAGIC,
                version: VERSION,
                ring_shift: RING_SHIFT_MIN,
                features: 0,
                channel: 1,
                listener_epoch: instance.epoch,
                connector_epoch: instance.known()?.epoch,
            },
            directory: pages.refs[1..].to_vec(),
            offer: Offer {
                number: 1,
                gref: pages.refs[0],
                evtchn: port.number(),
            },
            port,
            pages,
        })
    }

    /// Offers it as it is now.
    ///
    /// # Errors
    /// If xenstore fails.
    pub fn publish(self, instance: &mut Instance) -> Result<Channel> {
        let addresses = self.pages.addresses();
        let channel = Channel::new(Role::Listener, self.port, vec![self.pages], &addresses)?;
        channel.page.init(&self.header);
        for (at, &gref) in self.directory.iter().enumerate() {
            channel.page.set_gref(at, gref);
        }
        instance.say(0, Some(self.offer))?;
        Ok(channel)
    }
}

impl Channel {
    /// Makes a channel with the victim, whichever part is ours.
    ///
    /// # Errors
    /// If the victim does not do its part.
    pub fn make(instance: &mut Instance) -> Result<Self> {
        let mut channel = match instance.role {
            Role::Listener => Draft::new(instance)?.publish(instance)?,
            Role::Connector => Self::attach(instance)?,
        };
        channel.say(ChannelState::Ready);
        until("the victim is ready", || {
            channel.port.wait(Duration::ZERO)?;
            Ok(Some(()).filter(|()| channel.is_open()))
        })?;
        Ok(channel)
    }

    /// Asks for an offer and maps it. The connector's part.
    fn attach(instance: &mut Instance) -> Result<Self> {
        let (victim, ours) = (instance.victim, instance.epoch);
        let (mut want, mut asked) = (0, Instant::now());
        let (offer, epoch) = until("the victim makes an offer", || {
            // A number for which it could make none just then is used up.
            if want == 0 || asked.elapsed() > ANSWER {
                want += 1;
                instance.say(want, None)?;
                asked = Instant::now();
            }
            let entry = instance.known()?;
            let offer = entry.offer.filter(|offer| offer.number >= want);
            Ok(offer.map(|offer| (offer, entry.epoch)))
        })?;
        let control = Pages::map(victim, &[offer.gref])?;
        let first = *control.addresses().first().context("no page")?;
        // SAFETY: The page is mapped for as long as `control` lives, and only accessed through handles like this.
        let page = unsafe { ControlPage::new(first) };
        let size = page
            .read_header()
            .validate(offer.number, epoch, ours, 0)
            .map_err(|fault| anyhow!("the victim's own control page: {fault}"))?;
        let count = (2 * size / PAGE_SIZE) as usize;
        let refs: Vec<u32> = (0..count).map(|at| page.gref(at)).collect();
        let rings = Pages::map(victim, &refs)?;
        let port = Port::connect(victim, offer.evtchn)?;
        let addresses = [control.addresses(), rings.addresses()].concat();
        Self::new(Role::Connector, port, vec![control, rings], &addresses)
    }

    fn new(role: Role, port: Port, pages: Vec<Pages>, addresses: &[NonNull<u8>]) -> Result<Self> {
        let (&control, rings) = addresses.split_first().context("no page")?;
        let ring = |number| ring(control, rings, number);
        Ok(Self {
            role,
            control,
            // SAFETY: The channel holds the page for as long as the handle, and it is only accessed through such ones.
            page: unsafe { ControlPage::new(control) },
            tx: Producer::new(ring(role.tx_ring())?),
            rx: Consumer::new(ring(role.rx_ring())?),
            raw_tx: ring(role.tx_ring())?,
            raw_rx: ring(role.rx_ring())?,
            port,
            pages,
        })
    }

    /// Another unchecked handle of the ring we produce into, for another thread. The channel must outlive it.
    ///
    /// # Errors
    /// None of a channel that stands.
    pub fn another_tx(&self) -> Result<Ring> {
        let addresses: Vec<_> = self.pages.iter().flat_map(Pages::addresses).collect();
        let rings = addresses.get(1..).context("no page")?;
        ring(self.control, rings, self.role.tx_ring())
    }

    /// Lets go of its pages, and keeps the event channel.
    pub fn into_port(self) -> Port {
        self.port
    }

    /// Writes our state word and tells the victim.
    pub fn say(&self, state: ChannelState) {
        self.page.set_state(self.role, state);
        self.port.kick();
    }

    /// Writes any byte of the control page.
    pub fn scribble(&self, at: u32, byte: u8) {
        // SAFETY: The offset is within the page, of which no reference exists; whoever reads it there expects anything.
        unsafe {
            self.control
                .add((at % PAGE_SIZE) as usize)
                .as_ptr()
                .write_volatile(byte);
        }
    }

    /// Whether the victim says that it is ready: neither still setting up, nor closing.
    pub fn is_open(&self) -> bool {
        self.page.peer_state(self.role) == Ok(ChannelState::Ready)
    }

    /// Sends a frame as the protocol says; false if there is no space for it.
    ///
    /// # Errors
    /// If it is no frame, or the victim breaks the protocol.
    pub fn send(&mut self, frame: &[u8], virtio: VirtioNetHdr) -> Result<bool> {
        let header = RecordHeader {
            len: frame.len().try_into()?,
            unhurried: false,
            virtio,
        };
        let pushed = self.tx.push(&header, |offset, chunk| {
            chunk.copy_from(frame.get(offset as usize..).unwrap_or_default());
            Ok::<(), ()>(())
        });
        match pushed {
            Ok(()) => {
                if self.tx.should_kick() {
                    self.port.kick();
                }
                Ok(true)
            }
            Err(PushError::Full) => Ok(false),
            Err(error) => Err(anyhow!("sending to the victim: {error:?}")),
        }
    }

    /// Writes a record's header and frame where the next record belongs, whatever they are, and publishes `advance` bytes.
    pub fn send_raw(&self, header: &[u8], frame: &[u8], advance: u32) {
        let at = self.tx.produced();
        let bytes = [header, frame].concat();
        put(&self.raw_tx, at, &bytes);
        self.raw_tx
            .store(Word::Prod, at.wrapping_add(advance), StoreOrder::Release);
        self.port.kick();
    }

    /// The bytes produced so far.
    pub fn produced(&self) -> u32 {
        self.tx.produced()
    }

    /// The bytes consumed so far.
    pub fn consumed(&self) -> u32 {
        self.rx.consumed()
    }

    /// Takes all frames that have come, after waiting for one at most for `limit`, and calls `f` with each.
    ///
    /// # Errors
    /// If the victim breaks the protocol.
    pub fn receive(&mut self, limit: Duration, mut f: impl FnMut(&[u8])) -> Result<()> {
        let fault = |fault: PeerFault| anyhow!("the victim breaks the protocol: {fault}");
        if !self.rx.arm().map_err(fault)? {
            self.port.wait(limit)?;
        }
        while let Some(record) = self.rx.next().map_err(fault)? {
            let mut frame = vec![0; record.header().len as usize];
            let len = record.header().len;
            let copy = |offset: u32, chunk: Chunk<'_>| {
                chunk.copy_to(frame.get_mut(offset as usize..).unwrap_or_default());
                Ok::<(), ()>(())
            };
            let _ = self.rx.payload(&record, 0, len, copy);
            self.rx.release(record);
            f(&frame);
        }
        self.rx.publish();
        if self.rx.should_kick() {
            self.port.kick();
        }
        Ok(())
    }
}

/// A handle of ring 0 or 1, of which `rings` has the pages of both. The channel it is of holds all pages for longer than it.
fn ring(control: NonNull<u8>, rings: &[NonNull<u8>], number: usize) -> Result<Ring> {
    let half = rings.len() / 2;
    let size = u32::try_from(half)? * PAGE_SIZE;
    let pages = rings[number * half..][..half].to_vec();
    // SAFETY: The pages are held by the channel, and only accessed through such handles, word by word and byte by byte.
    unsafe { PagedRing::new(control, number, pages, size) }.context("no ring of this size")
}

/// Writes bytes into a ring, from the count `at` on.
pub fn put(ring: &Ring, at: u32, mut bytes: &[u8]) {
    let len = bytes.len().try_into().unwrap_or(u32::MAX);
    let _ = ring.chunks(at, len, |chunk| {
        bytes = bytes.get(chunk.copy_from(bytes)..).unwrap_or_default();
        Ok::<(), ()>(())
    });
}
