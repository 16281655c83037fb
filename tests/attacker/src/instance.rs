// SPDX-License-Identifier: GPL-2.0
//! What a guest's driver is in xenstore: announced under an epoch of its own, and told by `xlnetd` of its peer.

use std::{
    fs::File,
    io::Read,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{bail, Context, Result};
use xlnet_proto::{
    frame::Mac,
    layout::Role,
    schema::{GuestSelf, GuestState, HelperSelf, Node, Offer, PeerEntry, PeerRequest},
};

use crate::store::Store;

/// Much longer than anything takes: this ends what would hang, and measures nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often is looked whether something has come.
const TICK: Duration = Duration::from_millis(50);

/// An announced driver with one peer, the victim. It withdraws when this is dropped.
pub struct Instance {
    store: Store,
    /// The victim's domain.
    pub victim: u16,
    /// Our part towards the victim.
    pub role: Role,
    /// What this instance is called.
    pub epoch: u64,
    /// Our address on the segment.
    pub mac: Mac,
}

impl Instance {
    /// Announces an instance and waits until it and the victim know of each other.
    ///
    /// # Errors
    /// If `xlnetd` does not answer, or does not permit the pair.
    pub fn announce(victim: u16) -> Result<Self> {
        let mut store = Store::open()?;
        let domid = store.read("domid")?.context("no node tells the domid")?;
        let domid: u16 = String::from_utf8(domid)?.trim().parse()?;
        let mut this = Self {
            store,
            victim,
            role: Role::of(domid, victim).context("the victim is this guest")?,
            epoch: 0,
            mac: Mac([0; 6]),
        };
        this.renew()?;
        Ok(this)
    }

    /// Announces another instance in its place.
    ///
    /// # Errors
    /// As [`Instance::announce`].
    pub fn renew(&mut self) -> Result<()> {
        self.epoch = random_u64()?.max(1);
        let own = GuestSelf {
            epoch: self.epoch,
            features: 0,
            state: GuestState::Ready,
        };
        self.store.remove(&Node::GuestDir.to_string())?;
        self.write(Node::GuestSelf, own.to_string().as_bytes())?;
        self.mac = until("xlnetd names this guest", || {
            let told = self.store.read(&Node::HelperSelf.to_string())?;
            let told = told.and_then(|told| HelperSelf::parse(&told).ok());
            let told = told.filter(|told| told.epoch == self.epoch);
            Ok(told.map(|told| told.mac))
        })?;
        until("xlnetd names the victim", || self.entry())?;
        Ok(())
    }

    /// What `xlnetd` says of the victim now, if it does.
    ///
    /// # Errors
    /// If xenstore fails.
    pub fn entry(&mut self) -> Result<Option<PeerEntry>> {
        let entry = self
            .store
            .read(&Node::HelperPeer(self.victim).to_string())?;
        Ok(entry.and_then(|entry| PeerEntry::parse(&entry).ok()))
    }

    /// The same, which must be there.
    ///
    /// # Errors
    /// If it is not.
    pub fn known(&mut self) -> Result<PeerEntry> {
        let victim = self.victim;
        self.entry()?
            .with_context(|| format!("domain {victim} is no peer any more"))
    }

    /// Says to the victim's present instance what we want or offer.
    ///
    /// # Errors
    /// If xenstore fails, or the victim has gone.
    pub fn say(&mut self, want: u32, offer: Option<Offer>) -> Result<()> {
        let request = PeerRequest {
            from: self.epoch,
            to: self.known()?.epoch,
            want,
            offer,
        };
        self.write(Node::GuestPeer(self.victim), request.to_string().as_bytes())
    }

    /// Writes one of our nodes, whatever bytes that are.
    ///
    /// # Errors
    /// If xenstore fails.
    pub fn write(&mut self, node: Node, value: &[u8]) -> Result<()> {
        self.write_at(&node.to_string(), value)
    }

    /// Writes any node of this guest's.
    ///
    /// # Errors
    /// If xenstore fails.
    pub fn write_at(&mut self, path: &str, value: &[u8]) -> Result<()> {
        self.store.write(path, value)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // If that fails, the next announcement tries again.
        let _ = self.store.remove(&Node::GuestDir.to_string());
    }
}

/// Asks again until there is an answer.
///
/// # Errors
/// If there never is, or asking fails.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        sleep(TICK);
    }
    bail!("in vain until {what}: {PATIENCE:?}")
}

fn random_u64() -> Result<u64> {
    let mut bytes = [0; 8];
    let mut source = File::open("/dev/urandom").context("/dev/urandom")?;
    source.read_exact(&mut bytes).context("/dev/urandom")?;
    Ok(u64::from_le_bytes(bytes))
}
