// SPDX-License-Identifier: GPL-2.0
//! The three Debian roots: what is built with, what Dom0 runs, what the guests run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    cache::{key, Cache},
    command::{run, Root},
    kernel, needs,
};

/// The Debian release all roots are of. Its backports have the kernel.
const RELEASE: &str = "trixie";

/// Builds the module with the toolchain the kernel was built with, and emulates the host.
const BUILD: &[&str] = &[
    "ca-certificates",
    "make",
    "gcc-14",
    "gcc",
    "libc6-dev",
    "libelf-dev",
    "libssl-dev",
    "bc",
    "bison",
    "flex",
    "pahole",
    "python3",
    "rsync",
    "xz-utils",
    "zstd",
    "cpio",
    "kmod",
    "rustc",
    "rust-src",
    "rust-clippy",
    "rustfmt",
    "bindgen",
    "clang",
    "libclang-dev",
    "lld",
    "qemu-system-x86",
    "busybox-static",
];

/// Xen's tools, both xenstore daemons, and what the tests measure with.
const DOM0: &[&str] = &[
    "xen-utils-4.20",
    "xen-hypervisor-4.20-amd64",
    "xenstore-utils",
    "udev",
    "iproute2",
    "bridge-utils",
    "ethtool",
    "kmod",
    "procps",
    "socat",
    "netperf",
    "iperf3",
    "tcpdump",
    "iputils-ping",
    "busybox",
];

/// Small: it is the guests' initramfs.
const GUEST: &[&str] = &[
    "udev",
    "systemd-sysv",
    "iproute2",
    "ethtool",
    "kmod",
    "procps",
    "socat",
    "netperf",
    "iperf3",
    "tcpdump",
    "iputils-ping",
    "busybox",
];

/// A root for building the module, and the kernel it builds for.
#[derive(Clone, Debug)]
pub struct BuildRoot {
    /// Its files.
    pub root: Root,
    /// The kernel's release, such as `7.2.12+deb13-amd64`.
    pub kernel: String,
    /// The kernel itself, as a bzImage.
    pub image: PathBuf,
    /// The C compiler it was built with.
    pub compiler: &'static str,
}

/// The build root.
///
/// # Errors
/// If Debian's packages cannot be had, or the kernel's tree cannot be prepared.
pub fn build_root(cache: &Cache) -> Result<BuildRoot> {
    let recipe = recipe(BUILD);
    let dir = cache.entry(
        "build-root",
        &key([recipe.as_str(), kernel::PREPARE, &kernel::wanted()]),
        |dir| {
            let log = fresh_log(cache, "build-root")?;
            let root = dir.join("root");
            cache
                .progress()
                .step("toolchain from Debian", || bootstrap(BUILD, &root, &log))?;
            let root = Root::new(root);
            let kernel = cache
                .progress()
                .step("kernel from backports", || kernel::install(&root, &log))?;
            cache
                .progress()
                .step(&format!("Rust metadata of {kernel}"), || {
                    kernel::prepare(&root, &kernel, &log)
                })?;
            fs::write(dir.join("kernel"), kernel)?;
            Ok(())
        },
    )?;
    let kernel =
        fs::read_to_string(dir.join("kernel")).context("reading the build root's kernel")?;
    let root = dir.join("root");
    Ok(BuildRoot {
        image: root.join(format!("boot/vmlinuz-{kernel}")),
        root: Root::new(root),
        kernel,
        compiler: "gcc-14",
    })
}

/// The directory of Dom0's root.
///
/// # Errors
/// If Debian's packages cannot be had.
pub fn dom0_root(cache: &Cache) -> Result<Root> {
    plain_root(cache, "dom0-root", DOM0)
}

/// The directory of the guests' root.
///
/// # Errors
/// If Debian's packages cannot be had.
pub fn guest_root(cache: &Cache) -> Result<Root> {
    plain_root(cache, "guest-root", GUEST)
}

fn plain_root(cache: &Cache, name: &str, packages: &[&str]) -> Result<Root> {
    let dir = cache.entry(name, &key([recipe(packages)]), |dir| {
        bootstrap(packages, &dir.join("root"), &fresh_log(cache, name)?)
    })?;
    Ok(Root::new(dir.join("root")))
}

fn recipe(packages: &[&str]) -> String {
    format!("{RELEASE} {}", packages.join(" "))
}

/// An empty log for building `name`.
pub(crate) fn fresh_log(cache: &Cache, name: &str) -> Result<PathBuf> {
    let log = cache.log(name);
    fs::write(&log, "").with_context(|| log.display().to_string())?;
    Ok(log)
}

fn bootstrap(packages: &[&str], dir: &Path, log: &Path) -> Result<()> {
    let mirror = needs::debian_mirror()?;
    let keyring = needs::keyring()?;
    let mut command = Command::new("mmdebstrap");
    command
        .args(["--mode=root", "--variant=apt", "--format=directory"])
        .arg(format!("--keyring={}", keyring.display()))
        .arg(format!("--include={}", packages.join(",")))
        .args([
            "--aptopt=Apt::Install-Recommends \"false\"",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
        ])
        .args([
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
        ])
        .arg(RELEASE)
        .arg(dir);
    for suite in [
        RELEASE.to_owned(),
        format!("{RELEASE}-updates"),
        format!("{RELEASE}-backports"),
    ] {
        command.arg(format!("deb {mirror} {suite} main"));
    }
    run(&mut command, log)
}
