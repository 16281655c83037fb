// SPDX-License-Identifier: GPL-3.0-only

//! Which domains there are, as the daemon follows them.

use std::collections::BTreeSet;

use tracing::{debug, info, warn};
use xlnet_proto::schema::{InHome, Node};

use super::{Causes, Daemon};
use crate::care::Care;
use crate::error::StoreError;
use crate::hints::GuestHint;
use crate::inventory::{self, Domid};
use crate::store::{Store, Watch};

impl<S: Store> Daemon<S> {
    /// Takes up domains that are new and drops those that are gone.
    pub(super) async fn follow_domains(&mut self) -> Result<(), StoreError> {
        let homes = match inventory::homes(&self.store).await {
            // More domains than one answer holds: those that are known are served all the same.
            Err(error) if !error.is_fatal() => {
                warn!("domains that come and go are not seen: {error}");
                return Ok(());
            }
            homes => homes?,
        };
        let mut alive = BTreeSet::new();
        for domid in homes {
            let Some(uuid) = inventory::uuid(&self.store, domid).await? else {
                self.clear_leftover(domid).await?;
                continue;
            };
            alive.insert(domid);
            if self.care.get(&domid).is_some_and(|care| care.uuid == uuid) {
                continue;
            }
            debug!(domid, uuid, "domain found");
            let watches = self.watch(domid).await?;
            self.care.insert(domid, Care::new(domid, uuid, watches));
            self.due.insert(domid, GuestHint::all());
        }
        let gone: Vec<_> = self
            .care
            .keys()
            .copied()
            .filter(|domid| !alive.contains(domid))
            .collect();
        for domid in &gone {
            debug!(domid, "domain gone");
            self.care.remove(domid);
            self.due.remove(domid);
            self.model.forget(*domid);
        }
        if !gone.is_empty() {
            self.settle(&Causes::default()).await?;
        }
        Ok(())
    }

    async fn watch(&self, domid: Domid) -> Result<Vec<Watch>, StoreError> {
        let nodes = InHome {
            domid,
            node: Node::GuestDir,
        }
        .to_string();
        let devices = inventory::devices(domid);
        Ok(vec![
            self.store.watch(&nodes, self.hints.on_guest(domid)).await?,
            self.store
                .watch(&devices, self.hints.on_devices(&devices, domid))
                .await?,
        ])
    }

    /// Removes what a write that met the end of its domain has left: a home with nothing in it but
    /// our nodes.
    async fn clear_leftover(&self, domid: Domid) -> Result<(), StoreError> {
        let home = format!("/local/domain/{domid}");
        let names = self.store.list(&home).await?.unwrap_or_default();
        let ours = Node::HelperDir.to_string();
        let ours = ours.split('/').next().unwrap_or_default();
        if names.iter().all(|name| name == ours) && !names.is_empty() {
            info!(domid, "removing what is left of a domain that is gone");
            self.store.rm(&home).await?;
        }
        Ok(())
    }
}
