// SPDX-License-Identifier: GPL-2.0
//! The directory outside the tree that keeps what is dear to build.
//!
//! An entry is a directory `<name>-<key>`; its key is a hash of all that its content depends on. It is built beside its
//! place and renamed into it, so that an interrupted build leaves nothing that looks whole.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{bail, Context, Result};
use nix::{
    errno::Errno,
    fcntl::{fcntl, FcntlArg, FdFlag, Flock, FlockArg},
};
use sha2::{Digest, Sha256};

use crate::progress::Progress;

/// How many entries of a name are kept: a host that runs may still use the one before.
const KEPT: usize = 3;

/// Length of a key, in hexadecimal digits.
const KEY_LEN: usize = 12;

/// The cache: `$XLNET_CACHE`, or `/var/cache/xlnet`.
#[derive(Clone)]
pub struct Cache {
    dir: PathBuf,
    progress: Progress,
}

impl Cache {
    /// Opens the cache, making its directory if need be.
    ///
    /// # Errors
    /// If that directory cannot be made.
    pub fn open(progress: Progress) -> Result<Self> {
        let dir = std::env::var_os("XLNET_CACHE")
            .map_or_else(|| PathBuf::from("/var/cache/xlnet"), PathBuf::from);
        for sub in ["", "locks", "logs", "run"] {
            let path = dir.join(sub);
            fs::create_dir_all(&path)
                .with_context(|| format!("making {} (set XLNET_CACHE)", path.display()))?;
        }
        Ok(Self { dir, progress })
    }

    /// The cache's directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where running hosts keep their sockets and logs.
    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// File that keeps the output of building `name`.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{name}.log"))
    }

    /// Where progress is shown.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The directory of entry `name` for `key`, made by `build` (told an empty directory to fill) if it is not there.
    ///
    /// # Errors
    /// The builder's; what it has left is removed.
    pub fn entry(
        &self,
        name: &str,
        key: &str,
        build: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let place = self.dir.join(format!("{name}-{key}"));
        if place.is_dir() {
            return Ok(place);
        }
        let _lock = self.lock(name)?;
        // Somebody else may have built it while we waited.
        if place.is_dir() {
            return Ok(place);
        }
        let unfinished = self.dir.join(format!(".building-{name}"));
        remove_tree(&unfinished)?;
        fs::create_dir(&unfinished).with_context(|| unfinished.display().to_string())?;
        let built = self
            .progress
            .step(&format!("build {name}"), || build(&unfinished));
        if let Err(error) = built {
            // The builder's error is the one worth reporting.
            let _ = remove_tree(&unfinished);
            return Err(error);
        }
        fs::rename(&unfinished, &place).with_context(|| place.display().to_string())?;
        self.prune(name)?;
        Ok(place)
    }

    /// Removes all but the newest entries of `name`.
    fn prune(&self, name: &str) -> Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let file = entry.file_name();
            let key = file
                .to_str()
                .and_then(|file| file.strip_prefix(name)?.strip_prefix('-'));
            // A name may be the beginning of another: what follows must be a key.
            if key.is_some_and(|key| key.len() == KEY_LEN && !key.contains('-')) {
                entries.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        entries.sort();
        let surplus = entries.len().saturating_sub(KEPT);
        entries
            .iter()
            .take(surplus)
            .try_for_each(|(_, path)| remove_tree(path))
    }

    /// Waits for the lock `name`. It is held until the value is dropped.
    fn lock(&self, name: &str) -> Result<Flock<File>> {
        let path = self.dir.join("locks").join(name);
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(lock),
            Err((file, Errno::EWOULDBLOCK)) => {
                self.progress
                    .say(&format!("waiting for another process that builds {name}"));
                Flock::lock(file, FlockArg::LockExclusive)
                    .map_err(|(_, errno)| errno)
                    .with_context(|| format!("locking {}", path.display()))
            }
            Err((_, errno)) => Err(errno).with_context(|| format!("locking {}", path.display())),
        }
    }

    /// Takes the machine for running Xen hosts, waiting at most `patience` for another run to end. Child processes
    /// inherit the lock, so that it is held as long as an emulator of this run lives.
    ///
    /// # Errors
    /// If another run has it.
    pub fn claim_machine(&self, patience: Duration) -> Result<Flock<File>> {
        let path = self.dir.join("locks/machine");
        let mut file = File::create(&path).with_context(|| path.display().to_string())?;
        let begun = Instant::now();
        let mut told = false;
        loop {
            file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => {
                    fcntl(&*lock, FcntlArg::F_SETFD(FdFlag::empty()))?;
                    return Ok(lock);
                }
                Err((file, Errno::EWOULDBLOCK)) if begun.elapsed() < patience => file,
                Err((_, Errno::EWOULDBLOCK)) => bail!(
                    "a Xen host of the lab runs already, and two spoil each other's results: \
                     end it (`cargo xtask lab down`, if it is one of `lab up`)"
                ),
                Err((_, errno)) => {
                    return Err(errno).with_context(|| format!("locking {}", path.display()))
                }
            };
            if !told {
                self.progress
                    .say("waiting for another Xen host of the lab to end");
                told = true;
            }
            thread::sleep(Duration::from_millis(300));
        }
    }
}

/// The key for content that depends on all of `parts`.
#[must_use]
pub fn key<T: AsRef<[u8]>>(parts: impl IntoIterator<Item = T>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        let part = part.as_ref();
        // The length keeps ("ab", "c") apart from ("a", "bc").
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize()
        .iter()
        .take(KEY_LEN / 2)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The key of every file below `paths` (files or directories): names, content and whether they are executable.
///
/// # Errors
/// If one cannot be read.
pub fn tree_key(paths: &[&Path]) -> Result<String> {
    let mut parts = Vec::new();
    for path in paths {
        add_tree(path, path, &mut parts)?;
    }
    Ok(key(parts))
}

fn add_tree(base: &Path, path: &Path, parts: &mut Vec<Vec<u8>>) -> Result<()> {
    use std::os::unix::{ffi::OsStrExt, fs::PermissionsExt};

    let about = || format!("reading {}", path.display());
    let meta = fs::metadata(path).with_context(about)?;
    if meta.is_dir() {
        let mut children = fs::read_dir(path)
            .with_context(about)?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<Vec<_>>>()?;
        children.sort();
        for child in children {
            add_tree(base, &child, parts)?;
        }
    } else {
        let name = path.strip_prefix(base).unwrap_or(path);
        parts.push(name.as_os_str().as_bytes().to_vec());
        parts.push(vec![u8::from(meta.permissions().mode() & 0o100 != 0)]);
        parts.push(fs::read(path).with_context(about)?);
    }
    Ok(())
}

/// Removes `dir` and all below it, if it is there.
pub(crate) fn remove_tree(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", dir.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_parts_apart() {
        assert_ne!(key(["ab", "c"]), key(["a", "bc"]));
        assert_ne!(key(["ab"]), key(["ab", ""]));
        assert_eq!(key(["ab"]), key(["ab"]));
    }
}
