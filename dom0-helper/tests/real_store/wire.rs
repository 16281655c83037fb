// SPDX-License-Identifier: GPL-3.0-only

//! The xenstore protocol of `docs/misc/xenstore.txt` of Xen, as far as a toolstack and a guest need
//! it: also what xenstore-rs cannot do, permissions and the coming and going of domains, and values
//! that are not UTF-8.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

const DIRECTORY: u32 = 1;
const READ: u32 = 2;
const GET_PERMS: u32 = 3;
const INTRODUCE: u32 = 8;
const RELEASE: u32 = 9;
const WRITE: u32 = 11;
const RM: u32 = 13;
const SET_PERMS: u32 = 14;
const ERROR: u32 = 16;

/// A connection with Dom0's rights.
pub struct Wire(UnixStream);

impl Wire {
    pub fn connect(socket: &Path) -> std::io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self(stream))
    }

    /// One request; `Err` holds the name of the errno.
    fn request(&mut self, kind: u32, payload: &[u8]) -> Result<Vec<u8>, String> {
        let mut message = Vec::new();
        for word in [kind, 0, 0, u32::try_from(payload.len()).unwrap()] {
            message.extend(word.to_ne_bytes());
        }
        message.extend(payload);
        self.0
            .write_all(&message)
            .expect("the xenstore daemon takes requests");
        let mut header = [0; 16];
        self.0
            .read_exact(&mut header)
            .expect("the xenstore daemon answers");
        let word = |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().unwrap());
        let mut answer = vec![0; word(12) as usize];
        self.0
            .read_exact(&mut answer)
            .expect("the xenstore daemon answers in full");
        match word(0) {
            ERROR => Err(String::from_utf8_lossy(&answer)
                .trim_end_matches('\0')
                .to_owned()),
            _ => Ok(answer),
        }
    }

    fn strings(&mut self, kind: u32, strings: &[&str]) -> Result<Vec<u8>, String> {
        let payload: Vec<u8> = strings
            .iter()
            .flat_map(|text| text.bytes().chain([0]))
            .collect();
        self.request(kind, &payload)
    }

    pub fn try_write(&mut self, path: &str, value: impl AsRef<[u8]>) -> Result<(), String> {
        let payload: Vec<u8> = path
            .bytes()
            .chain([0])
            .chain(value.as_ref().iter().copied())
            .collect();
        self.request(WRITE, &payload).map(|_| ())
    }

    pub fn write(&mut self, path: &str, value: impl AsRef<[u8]>) {
        self.try_write(path, value)
            .unwrap_or_else(|error| panic!("write {path}: {error}"));
    }

    pub fn read(&mut self, path: &str) -> Option<String> {
        match self.strings(READ, &[path]) {
            Ok(value) => Some(String::from_utf8(value).unwrap()),
            Err(error) if error == "ENOENT" => None,
            Err(error) => panic!("read {path}: {error}"),
        }
    }

    pub fn list(&mut self, path: &str) -> Vec<String> {
        match self.strings(DIRECTORY, &[path]) {
            Ok(names) => {
                let names = String::from_utf8(names).unwrap();
                let mut names: Vec<_> = names
                    .split('\0')
                    .filter(|name| !name.is_empty())
                    .map(str::to_owned)
                    .collect();
                names.sort();
                names
            }
            Err(error) if error == "ENOENT" => Vec::new(),
            Err(error) => panic!("list {path}: {error}"),
        }
    }

    pub fn rm(&mut self, path: &str) {
        match self.strings(RM, &[path]) {
            Ok(_) => {}
            Err(error) if error == "ENOENT" => {}
            Err(error) => panic!("rm {path}: {error}"),
        }
    }

    /// `perms` as in `xenstore-chmod`: the owner first, `n0`, then who may do what, `r5`.
    pub fn set_perms(&mut self, path: &str, perms: &[&str]) {
        let strings: Vec<_> = [path].into_iter().chain(perms.iter().copied()).collect();
        self.strings(SET_PERMS, &strings)
            .unwrap_or_else(|error| panic!("set_perms {path}: {error}"));
    }

    pub fn perms(&mut self, path: &str) -> Vec<String> {
        let perms = self
            .strings(GET_PERMS, &[path])
            .unwrap_or_else(|error| panic!("get_perms {path}: {error}"));
        let perms = String::from_utf8(perms).unwrap();
        perms
            .split('\0')
            .filter(|perm| !perm.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// What libxl does once a domain is built; raises `@introduceDomain`.
    pub fn introduce(&mut self, domid: u16) {
        let domid = domid.to_string();
        self.strings(INTRODUCE, &[&domid, "1", "1"])
            .unwrap_or_else(|error| panic!("introduce {domid}: {error}"));
    }

    /// What libxl does when a domain is destroyed; raises `@releaseDomain`.
    pub fn release(&mut self, domid: u16) {
        let domid = domid.to_string();
        self.strings(RELEASE, &[&domid])
            .unwrap_or_else(|error| panic!("release {domid}: {error}"));
    }

    /// Every node at and below `path`, with its value; for comparing whole trees.
    pub fn tree(&mut self, path: &str) -> Vec<(String, String)> {
        let Some(value) = self.read(path) else {
            return Vec::new();
        };
        let mut nodes = vec![(path.to_owned(), value)];
        for name in self.list(path) {
            nodes.extend(self.tree(&format!("{path}/{name}")));
        }
        nodes
    }
}
