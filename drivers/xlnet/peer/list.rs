// SPDX-License-Identifier: GPL-2.0

//! The list of peers as user space reads it.
//!
//! Each is made for one change and stays as it is, so that who reads in pieces, while another is put in
//! its place, finds another generation at the end than at the beginning.

use crate::{
    net::sysfs::Text,
    peer::Peer,
    proto::{
        layout::VERSION,
        peer_state::Path,
        schema::HelperSelf, //
    }, //
};
use core::fmt::{
    self,
    Write, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// What the list says.
pub(crate) struct List<'a, P> {
    /// Counts the changes.
    pub(crate) generation: u64,
    /// Who we are, if the helper names us.
    pub(crate) identity: Option<&'a HelperSelf>,
    /// The device is up: what is down takes no routes.
    pub(crate) up: bool,
    /// The peers; those that have departed are left out.
    pub(crate) peers: P,
}

impl<'a, P: Iterator<Item = &'a Arc<Peer>>> List<'a, P> {
    /// Makes its text, as `docs/protocol.md` has it. Process context.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn text(self) -> Result<Arc<Text>> {
        let mut text = Text::new();
        self.write(&mut text).map_err(|_| ENOMEM)?;
        Ok(Arc::new(text, GFP_KERNEL)?)
    }

    fn write(self, out: &mut Text) -> fmt::Result {
        let generation = self.generation;
        write!(out, "xlnet version={VERSION} generation={generation}")?;
        if let Some(identity) = self.identity {
            write!(
                out,
                " mac={} uplink-mac={} group={}",
                identity.mac, identity.uplink_mac, identity.group
            )?;
            if identity.strict {
                write!(out, " addr={}", identity.prefixes)?;
            }
        }
        writeln!(out)?;
        for peer in self.peers.filter(|peer| !peer.is_departed()) {
            let path = peer.path();
            write!(
                out,
                "peer domid={} mac={} uplink-mac={} state={} route={} addr=",
                peer.domid,
                peer.mac,
                peer.uplink_mac,
                path.name(),
                u8::from(self.up && path != Path::Fault),
            )?;
            if let Some(entry) = peer.entry.get() {
                write!(out, "{}", entry.prefixes)?;
            }
            writeln!(out)?;
        }
        writeln!(out, "end generation={generation}")
    }
}
