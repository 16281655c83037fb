// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What a guest writes below `data/xlnet/0`.

use core::fmt;
use core::str::FromStr;

use super::super::frame::Ip;
use super::super::layout::VERSION;
use super::fields::{decimal, text, Fields};
use super::{List, SchemaError};

/// Whether a guest takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestState {
    /// It does.
    Ready,
    /// It is about to stop.
    Leaving,
}

impl GuestState {
    const fn name(self) -> &'static str {
        match self {
            GuestState::Ready => "ready",
            GuestState::Leaving => "leaving",
        }
    }

    fn from_name(name: &str) -> Option<GuestState> {
        [GuestState::Ready, GuestState::Leaving]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// `data/xlnet/0/self`: a guest's driver introduces itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestSelf {
    /// The instance of the driver; not zero.
    pub epoch: u64,
    /// Features it has.
    pub features: u32,
    /// Whether it takes part.
    pub state: GuestState,
}

impl GuestSelf {
    /// Reads the node.
    ///
    /// # Errors
    ///
    /// See [`SchemaError`].
    pub fn parse(value: &[u8]) -> Result<Self, SchemaError> {
        let fields = Fields::parse(value)?;
        fields.version()?;
        Ok(GuestSelf {
            epoch: fields.epoch("epoch")?,
            features: fields.features()?,
            state: fields.require("state", GuestState::from_name)?,
        })
    }
}

impl fmt::Display for GuestSelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "version={VERSION} epoch={:016x} features={:08x} state={}",
            self.epoch,
            self.features,
            self.state.name(),
        )
    }
}

/// Where a listener's channel is to be found. No field is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Number of the channel.
    pub number: u32,
    /// Grant reference of its control page.
    pub gref: u32,
    /// The listener's unbound event channel.
    pub evtchn: u32,
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Offer {
            number,
            gref,
            evtchn,
        } = self;
        write!(f, "offer={number} gref={gref} evtchn={evtchn}")
    }
}

/// `data/xlnet/0/peer/<domid>`: what a guest says to a peer, through `xlnetd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerRequest {
    /// The epoch it speaks from; not zero.
    pub from: u64,
    /// The peer's epoch it speaks to; not zero.
    pub to: u64,
    /// Number of the channel it wants as a connector, 0 for none.
    pub want: u32,
    /// What it offers as a listener.
    pub offer: Option<Offer>,
}

impl PeerRequest {
    /// Reads the node.
    ///
    /// # Errors
    ///
    /// See [`SchemaError`].
    pub fn parse(value: &[u8]) -> Result<Self, SchemaError> {
        let fields = Fields::parse(value)?;
        Ok(PeerRequest {
            from: fields.epoch("from")?,
            to: fields.epoch("to")?,
            want: fields.require("want", decimal)?,
            offer: fields.offer()?,
        })
    }
}

impl fmt::Display for PeerRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PeerRequest {
            from,
            to,
            want,
            offer,
        } = self;
        write!(f, "from={from:016x} to={to:016x} want={want}")?;
        match offer {
            Some(offer) => write!(f, " {offer}"),
            None => Ok(()),
        }
    }
}

/// `data/xlnet/0/addr`: addresses that a guest says it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claims(pub List<Ip>);

impl Claims {
    /// Reads the node. An empty one claims nothing.
    ///
    /// # Errors
    ///
    /// See [`SchemaError`].
    pub fn parse(value: &[u8]) -> Result<Self, SchemaError> {
        let text = text(value)?;
        if text.is_empty() {
            return Ok(Claims::default());
        }
        List::parse(text, ' ', |item| Ip::from_str(item).ok())
            .map(Claims)
            .ok_or(SchemaError::Invalid("addr"))
    }
}

impl fmt::Display for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, " ")
    }
}
