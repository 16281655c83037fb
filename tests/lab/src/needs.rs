// SPDX-License-Identifier: GPL-2.0
//! What the lab needs of the machine it runs on.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Command,
    sync::{Mutex, PoisonError},
};

use anyhow::{bail, Context, Result};
use nix::unistd::geteuid;

use crate::{
    cache::Cache,
    command::{output, run},
};

/// Programs the lab runs, and the Debian packages they are in.
const PROGRAMS: [(&str, &str); 7] = [
    ("mmdebstrap", "mmdebstrap"),
    ("mke2fs", "e2fsprogs"),
    ("cpio", "cpio"),
    ("zstd", "zstd"),
    ("unshare", "util-linux"),
    ("shellcheck", "shellcheck"),
    ("tar", "tar"),
];

/// Checks that this is root on Debian 12 or 13 and installs what is missing.
///
/// # Errors
/// With the line to run, where the machine is another or the packages cannot be had.
pub fn ensure(cache: &Cache) -> Result<()> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    if !is_supported(&release) {
        bail!(
            "the lab runs on Debian 12 or 13. Elsewhere run it in a container or virtual machine of it, for example\n  \
             podman run --rm -it --privileged -v \"$PWD:/xlnet\" -w /xlnet docker.io/library/rust:1-trixie cargo xtask demo"
        );
    }
    if !geteuid().is_root() {
        bail!(
            "the lab makes Debian roots and mounts in them, so it runs as root:\n  \
             sudo -E env PATH=\"$PATH\" cargo xtask …"
        );
    }
    let missing: BTreeSet<_> = PROGRAMS
        .iter()
        .filter(|(program, _)| !is_on_path(program))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    install(cache, &missing)
}

/// Held while apt-get runs, which fails where another does.
static APT: Mutex<()> = Mutex::new(());

/// Installs Debian packages on this machine.
///
/// # Errors
/// If apt-get fails, with the line to run by hand.
pub fn install(cache: &Cache, packages: &BTreeSet<&str>) -> Result<()> {
    let _alone = APT.lock().unwrap_or_else(PoisonError::into_inner);
    let list = packages.iter().copied().collect::<Vec<_>>().join(" ");
    let log = cache.log("apt");
    cache
        .progress()
        .step(&format!("apt-get install {list}"), || {
            run(Command::new("apt-get").args(["-qq", "update"]), &log)?;
            let mut install = Command::new("apt-get");
            install.args(["-qq", "-y", "--no-install-recommends", "install"]);
            install
                .args(packages)
                .env("DEBIAN_FRONTEND", "noninteractive");
            run(&mut install, &log).with_context(|| {
                format!("try it by hand: apt-get update && apt-get install {list}")
            })
        })
}

fn is_supported(os_release: &str) -> bool {
    let field = |name: &str| {
        os_release
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .map(|value| value.trim_matches('"'))
    };
    field("ID") == Some("debian") && matches!(field("VERSION_ID"), Some("12" | "13"))
}

/// Whether `program` is in one of `PATH`'s directories.
#[must_use]
pub fn is_on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path)
            .chain(["/usr/sbin".into(), "/sbin".into()])
            .any(|dir| dir.join(program).is_file())
    })
}

/// The Debian archive this machine installs from: the lab's roots come from the same.
///
/// # Errors
/// If apt knows none.
pub fn debian_mirror() -> Result<String> {
    if let Some(mirror) = std::env::var_os("XLNET_MIRROR") {
        return Ok(mirror.to_string_lossy().into_owned());
    }
    let targets = || {
        output(Command::new("apt-get").args([
            "indextargets",
            "--format",
            "$(ORIGIN) $(CODENAME) $(REPO_URI)",
            "Created-By: Packages",
        ]))
    };
    let mut found = mirror_in(&targets()?);
    if found.is_none() {
        // A fresh machine has no package lists yet, and without them apt does not know whose archive is whose.
        output(Command::new("apt-get").args(["-qq", "update"]))?;
        found = mirror_in(&targets()?);
    }
    found.context(
        "apt knows no Debian archive: add one to /etc/apt/sources.list, or set XLNET_MIRROR to its URL",
    )
}

fn mirror_in(targets: &str) -> Option<String> {
    targets.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (origin, codename, uri) = (words.next()?, words.next()?, words.next()?);
        (origin == "Debian" && matches!(codename, "bookworm" | "trixie")).then(|| uri.to_owned())
    })
}

/// The keys Debian's archives are signed with.
///
/// # Errors
/// If they are not installed.
pub fn keyring() -> Result<&'static Path> {
    let path = Path::new("/usr/share/keyrings/debian-archive-keyring.gpg");
    if !path.is_file() {
        bail!(
            "{} is missing: apt-get install debian-archive-keyring",
            path.display()
        );
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_archive_is_picked() {
        let targets = "Debian bookworm-security http://a/security/\nOther bookworm http://b/\n\
                       Debian bookworm http://c/debian/\n";
        assert_eq!(mirror_in(targets).as_deref(), Some("http://c/debian/"));
        assert_eq!(mirror_in(""), None);
    }

    #[test]
    fn other_systems_are_told_apart() {
        assert!(is_supported("NAME=\"x\"\nID=debian\nVERSION_ID=\"12\"\n"));
        assert!(!is_supported("ID=debian\nVERSION_ID=\"11\"\n"));
        assert!(!is_supported("ID=ubuntu\nVERSION_ID=\"12\"\n"));
    }
}
