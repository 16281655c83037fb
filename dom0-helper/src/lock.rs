// SPDX-License-Identifier: GPL-3.0-only

//! The lock that lets one xlnetd run at a time.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg};
use nix::libc;

use crate::error::Error;

/// Held as long as it lives; the kernel drops it with the process, however that ends.
#[derive(Debug)]
pub struct Lock {
    #[allow(dead_code, reason = "held for its drop")]
    file: File,
}

/// A lock of the given kind on the whole file. Open-file-description locks can be asked for without
/// being taken, so that a command that only looks never keeps a daemon from starting.
fn whole_file(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

fn written_pid(file: &mut File) -> String {
    let mut pid = String::new();
    match file.read_to_string(&mut pid) {
        Ok(_) if !pid.trim().is_empty() => pid.trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

impl Lock {
    /// Takes the lock and leaves this process's id in the file.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process holds it, [`Error::System`] if the file cannot be
    /// written.
    pub fn take(path: &Path) -> Result<Self, Error> {
        let failed = |verb: &str, source| Error::System {
            doing: format!("{verb} the lock file {}", path.display()),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|source| failed("open", source))?;
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK))) {
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::EACCES) => {
                return Err(Error::Locked {
                    path: path.to_owned(),
                    pid: written_pid(&mut file),
                });
            }
            Err(errno) => return Err(failed("lock", errno.into())),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|source| failed("write", source))?;
        Ok(Self { file })
    }

    /// The process that holds the lock, if one does.
    pub fn holder(path: &Path) -> Option<String> {
        let mut file = File::open(path).ok()?;
        // Asking whether a read lock could be had needs no write access to the file.
        let mut asked = whole_file(libc::F_RDLCK);
        fcntl(&file, FcntlArg::F_OFD_GETLK(&mut asked)).ok()?;
        (asked.l_type != libc::F_UNLCK as libc::c_short).then(|| written_pid(&mut file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_and_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert_eq!(Lock::holder(&path), None);
        let first = Lock::take(&path).unwrap();
        let me = std::process::id().to_string();
        assert_eq!(Lock::holder(&path), Some(me.clone()));
        assert!(matches!(Lock::take(&path), Err(Error::Locked { pid, .. }) if pid == me));
        drop(first);
        assert_eq!(Lock::holder(&path), None);
        Lock::take(&path).unwrap();
    }
}
