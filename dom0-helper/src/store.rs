// SPDX-License-Identifier: GPL-3.0-only

//! xenstore as the helper sees it: single nodes, read and written one at a time, and watches as
//! hints.

use std::future::Future;
use std::sync::Arc;

use crate::error::StoreError;

#[cfg(test)]
pub mod memory;
pub mod xs;

/// Called with the path of every watch event. It must not block: it runs in the task that drains
/// the watch.
pub type OnEvent = Arc<dyn Fn(&str) + Send + Sync>;

/// A registered watch; dropping it ends the watch.
pub struct Watch {
    /// Closed by the drop: that is what whoever serves the watch goes by.
    pub stop: tokio::sync::oneshot::Sender<()>,
}

/// The requests the helper makes. Paths are absolute.
pub trait Store {
    /// The value of `path`, or `None` where there is no such node.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] for a value that is not UTF-8; the fatal ones where the store is
    /// gone.
    fn read(&self, path: &str) -> impl Future<Output = Result<Option<String>, StoreError>>;

    /// Writes `value`, creating the node and those above it.
    fn write(&self, path: &str, value: &str) -> impl Future<Output = Result<(), StoreError>>;

    /// Removes the node and all below it; no error if there is none.
    fn rm(&self, path: &str) -> impl Future<Output = Result<(), StoreError>>;

    /// The names of the children, or `None` where there is no such node.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] for a list too long for one answer.
    fn list(&self, path: &str) -> impl Future<Output = Result<Option<Vec<String>>, StoreError>>;

    /// Calls `on_event` for every change at or below `path`, which need not exist, and once at the
    /// start.
    fn watch(
        &self,
        path: &str,
        on_event: OnEvent,
    ) -> impl Future<Output = Result<Watch, StoreError>>;
}
