// SPDX-License-Identifier: GPL-3.0-only

//! A store in memory, for tests of what lies above it. The daemon as a whole is tested against the
//! real ones.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::{OnEvent, Store, Watch};
use crate::error::StoreError;

/// Nodes by absolute path. Unlike a real store it does not create the nodes above one that is
/// written.
#[derive(Default)]
pub struct Memory(RefCell<BTreeMap<String, Vec<u8>>>);

impl Memory {
    /// Writes any bytes, as a guest can.
    pub fn put(&self, path: &str, value: impl AsRef<[u8]>) {
        self.0
            .borrow_mut()
            .insert(path.to_owned(), value.as_ref().to_vec());
    }
}

fn below<'a>(path: &'a str, root: &str) -> Option<&'a str> {
    path.strip_prefix(root)?.strip_prefix('/')
}

impl Store for Memory {
    async fn read(&self, path: &str) -> Result<Option<String>, StoreError> {
        let Some(value) = self.0.borrow().get(path).cloned() else {
            return Ok(None);
        };
        String::from_utf8(value)
            .map(Some)
            .map_err(|error| StoreError::Unreadable {
                request: format!("read {path}"),
                reason: error.to_string(),
            })
    }

    async fn write(&self, path: &str, value: &str) -> Result<(), StoreError> {
        self.put(path, value);
        Ok(())
    }

    async fn rm(&self, path: &str) -> Result<(), StoreError> {
        self.0
            .borrow_mut()
            .retain(|node, _| node != path && below(node, path).is_none());
        Ok(())
    }

    async fn list(&self, path: &str) -> Result<Option<Vec<String>>, StoreError> {
        let nodes = self.0.borrow();
        let mut names: Vec<_> = nodes
            .keys()
            .filter_map(|node| below(node, path)?.split('/').next())
            .map(str::to_owned)
            .collect();
        names.dedup();
        Ok((!names.is_empty() || nodes.contains_key(path)).then_some(names))
    }

    async fn watch(&self, _: &str, _: OnEvent) -> Result<Watch, StoreError> {
        let (stop, _) = tokio::sync::oneshot::channel();
        Ok(Watch { stop })
    }
}
