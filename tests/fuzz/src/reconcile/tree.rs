// SPDX-License-Identifier: GPL-3.0-only

//! The nodes of a xenstore.

use std::collections::BTreeMap;

/// Nodes by absolute path. Whatever is above a node is a node too, as in the real ones.
#[derive(Clone, Default)]
pub struct Tree(BTreeMap<String, Vec<u8>>);

impl Tree {
    /// The value of a node.
    pub fn read(&self, path: &str) -> Option<&[u8]> {
        self.0.get(path).map(Vec::as_slice)
    }

    /// Writes a node, and those above it that are missing.
    pub fn write(&mut self, path: &str, value: &[u8]) {
        for (at, _) in path.match_indices('/').skip(1) {
            if !self.0.contains_key(&path[..at]) {
                self.0.insert(path[..at].to_owned(), Vec::new());
            }
        }
        self.0.insert(path.to_owned(), value.to_vec());
    }

    /// Removes a node and all below it.
    pub fn remove(&mut self, path: &str) {
        let below: Vec<_> = self.below(path).map(|(node, _)| node.to_owned()).collect();
        for node in below {
            self.0.remove(&node);
        }
        self.0.remove(path);
    }

    /// The names of a node's children.
    pub fn list(&self, path: &str) -> Option<Vec<String>> {
        self.0.get(path)?;
        let names = self.below(path).map(|(node, _)| &node[path.len() + 1..]);
        Some(
            names
                .filter(|name| !name.contains('/'))
                .map(str::to_owned)
                .collect(),
        )
    }

    /// All nodes below one, with their values.
    pub fn below(&self, path: &str) -> impl Iterator<Item = (&str, &[u8])> {
        let root = format!("{path}/");
        self.0
            .range(root.clone()..)
            .map(|(node, value)| (node.as_str(), value.as_slice()))
            .take_while(move |(node, _)| node.starts_with(&root))
    }
}
