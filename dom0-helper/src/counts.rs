// SPDX-License-Identifier: GPL-3.0-only

//! What the daemon has counted of each guest, in a file beside its lock file, for the commands that look.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::inventory::Domid;

/// Of one guest, since the daemon began or the guest came.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Nodes that were not valid, each time they were read.
    pub invalid: u64,
    /// Times it had used up what it may have the daemon do, and had to wait.
    pub waits: u64,
}

/// Of all guests.
pub type ByGuest = BTreeMap<Domid, Counts>;

/// The file of the daemon that holds this lock.
pub fn path(lock_file: &Path) -> PathBuf {
    let mut path = lock_file.as_os_str().to_owned();
    path.push(".counts");
    path.into()
}

/// Puts them in place of those of before.
///
/// # Errors
/// If the file cannot be written.
pub fn save(path: &Path, counts: &ByGuest) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, serde_json::to_vec(counts)?)?;
    fs::rename(new, path)
}

/// Removes those of a daemon that is no more, if there are any.
pub fn forget(path: &Path) {
    let _ = fs::remove_file(path);
}

/// Those that a daemon has left; `None` if there are none.
pub fn load(path: &Path) -> Option<ByGuest> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(&dir.path().join("xlnetd.lock"));
        assert_eq!(load(&path), None);
        let of = |invalid| Counts { invalid, waits: 2 };
        forget(&path);
        for counts in [ByGuest::new(), [(7, of(1)), (300, of(5))].into()] {
            save(&path, &counts).unwrap();
            assert_eq!(load(&path), Some(counts));
        }
    }
}
