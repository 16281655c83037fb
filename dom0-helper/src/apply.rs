// SPDX-License-Identifier: GPL-3.0-only

//! Takes the steps that `reconcile` found.

use std::collections::BTreeMap;

use tracing::{debug, warn};

use crate::error::StoreError;
use crate::inventory::Domid;
use crate::reconcile::{Action, Found};
use crate::store::Store;

/// What became of the steps.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Nodes written.
    pub written: u64,
    /// Nodes removed.
    pub removed: u64,
    /// Steps the store refused; they are found again when the guest is next looked at as a whole.
    pub refused: u64,
}

/// Takes the steps in order and notes in `found` those that succeeded.
///
/// # Errors
/// Those of the store that are fatal. A refused step is logged and counted.
pub async fn apply(
    store: &impl Store,
    actions: &[Action],
    found: &mut BTreeMap<Domid, Found>,
) -> Result<Counts, StoreError> {
    let mut counts = Counts::default();
    for action in actions {
        let path = action.at().to_string();
        let (result, count) = match action {
            Action::Remove(_) => (store.rm(&path).await, &mut counts.removed),
            Action::Write(_, value) => (store.write(&path, value).await, &mut counts.written),
        };
        match result {
            Ok(()) => {
                *count += 1;
                found.entry(action.at().domid).or_default().note(action);
                debug!(?action, "done");
            }
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => {
                counts.refused += 1;
                warn!(domid = action.at().domid, %error, "a step was refused");
            }
        }
    }
    Ok(counts)
}
