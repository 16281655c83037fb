// SPDX-License-Identifier: GPL-3.0-only

//! Removes all that any xlnetd has written, for uninstalling.

use crate::error::Error;
use crate::inventory::homes;
use crate::store::Store;

/// Removes the helper's nodes of every domain. Guests then take their channels down and use their
/// uplinks.
///
/// # Errors
/// [`Error::NotDom0`], and those of the store.
pub async fn clean(store: &impl Store) -> Result<(), Error> {
    crate::dom0::require(store).await?;
    let mut cleaned = 0;
    for domid in homes(store).await? {
        let ours = format!("/local/domain/{domid}/xlnet");
        if store.list(&ours).await?.is_some() {
            store.rm(&ours).await?;
            cleaned += 1;
        }
    }
    crate::status::print(&format!("removed the nodes of {cleaned} domains"))
}
