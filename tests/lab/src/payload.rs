// SPDX-License-Identifier: GPL-2.0
//! What changes from run to run and is laid over the images: the agent, and what is under test.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{cache::remove_tree, command::run, image::Images};

const DOM0_INIT: &str = include_str!("../files/dom0-init");

/// The guests' own files: systemd and udev are Debian's, so that udev's sandbox is the real one.
const GUEST: &[(&str, &str, u32)] = &[
    (
        "/lab/network",
        include_str!("../files/guest/network"),
        0o755,
    ),
    (
        "/etc/systemd/system/lab.target",
        include_str!("../files/guest/lab.target"),
        0o644,
    ),
    (
        "/etc/systemd/system/xlnet-lab.service",
        include_str!("../files/guest/xlnet-lab.service"),
        0o644,
    ),
    (
        "/etc/systemd/system/systemd-udev-trigger.service.d/lab.conf",
        include_str!("../files/guest/udev-trigger.conf"),
        0o644,
    ),
];

/// Units that a guest without a disk has no use for. Whether xlnet is loaded at boot is each test's choice.
const MASKED: &[&str] = &[
    "systemd-modules-load.service",
    "ldconfig.service",
    "systemd-firstboot.service",
    "systemd-hwdb-update.service",
    "systemd-journal-catalog-update.service",
    "systemd-journal-flush.service",
    "systemd-machine-id-commit.service",
    "systemd-pcrmachine.service",
    "systemd-pcrphase.service",
    "systemd-pcrphase-sysinit.service",
    "systemd-random-seed.service",
    "systemd-sysusers.service",
    "systemd-tpm2-setup.service",
    "systemd-tpm2-setup-early.service",
    "systemd-update-done.service",
    "systemd-hibernate-clear.service",
    "systemd-binfmt.service",
    "proc-sys-fs-binfmt_misc.automount",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    "kmod-static-nodes.service",
    "systemd-tmpfiles-setup.service",
    "systemd-tmpfiles-setup-dev.service",
    "systemd-tmpfiles-setup-dev-early.service",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-tracing.mount",
    "systemd-remount-fs.service",
    "systemd-pstore.service",
    "systemd-udev-load-credentials.service",
    "run-lock.mount",
    "sys-kernel-debug.mount",
    "tmp.mount",
];
const VIF_LAB: &str = include_str!("../files/vif-lab");

/// Files to lay over Dom0's root and the guests', by the absolute path they get there.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    dom0: Vec<File>,
    guest: Vec<File>,
}

#[derive(Clone, Debug)]
struct File {
    path: PathBuf,
    source: Source,
    mode: u32,
}

#[derive(Clone, Debug)]
enum Source {
    Text(String),
    Copy(PathBuf),
}

/// The lab's own programs.
const PROGRAMS: [&str; 4] = [
    "xlnet-lab-agent",
    "xlnet-lab-fpu",
    "xlnet-lab-flow",
    "xlnet-lab-path",
];

/// Which root a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// Dom0's.
    Dom0,
    /// Every guest's.
    Guest,
}

impl Payload {
    /// What the lab itself needs: its programs (found in `bin_dir`) and its own scripts.
    #[must_use]
    pub fn new(bin_dir: &Path) -> Self {
        let mut payload = Self::default();
        for place in [For::Dom0, For::Guest] {
            for program in PROGRAMS {
                payload.copy(
                    place,
                    bin_dir.join(program),
                    Path::new("/lab/bin").join(program),
                    0o755,
                );
            }
        }
        payload.text(For::Dom0, "/lab/dom0-init", DOM0_INIT, 0o755);
        payload.text(For::Dom0, "/etc/xen/scripts/vif-lab", VIF_LAB, 0o755);
        for &(path, text, mode) in GUEST {
            payload.text(For::Guest, path, text, mode);
        }
        for unit in MASKED {
            // An empty unit file is a masked one.
            payload.text(For::Guest, format!("/etc/systemd/system/{unit}"), "", 0o644);
        }
        payload
    }

    /// Adds a file with this content.
    pub fn text(
        &mut self,
        place: For,
        path: impl Into<PathBuf>,
        text: impl Into<String>,
        mode: u32,
    ) {
        self.add(place, path.into(), Source::Text(text.into()), mode);
    }

    /// Adds a copy of `from`.
    pub fn copy(
        &mut self,
        place: For,
        from: impl Into<PathBuf>,
        path: impl Into<PathBuf>,
        mode: u32,
    ) {
        self.add(place, path.into(), Source::Copy(from.into()), mode);
    }

    /// Adds every file below `dir`, as if `dir` were the root.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn tree(&mut self, place: For, dir: &Path) -> Result<()> {
        self.subtree(place, dir, dir)
    }

    fn subtree(&mut self, place: For, base: &Path, dir: &Path) -> Result<()> {
        for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
            let path = entry?.path();
            let meta = fs::metadata(&path).with_context(|| path.display().to_string())?;
            if meta.is_dir() {
                self.subtree(place, base, &path)?;
            } else {
                let inside = Path::new("/").join(path.strip_prefix(base)?);
                self.copy(place, path, inside, meta.permissions().mode() & 0o777);
            }
        }
        Ok(())
    }

    fn add(&mut self, place: For, path: PathBuf, source: Source, mode: u32) {
        let files = match place {
            For::Dom0 => &mut self.dom0,
            For::Guest => &mut self.guest,
        };
        files.push(File { path, source, mode });
    }

    /// Writes `payload.tar` for Dom0 into `dir`. It has the guests' whole initramfs in `/lab`.
    ///
    /// # Errors
    /// If a file cannot be read, or packing fails.
    pub fn pack(&self, images: &Images, dir: &Path) -> Result<PathBuf> {
        let log = dir.join("payload.log");
        let stage = dir.join("payload");
        remove_tree(&stage)?;
        let (dom0, guest) = (stage.join("dom0"), stage.join("guest"));
        fs::create_dir_all(dom0.join("lab"))?;
        let modules = images.dir.join("modules");
        shell(
            "cp -a \"$1\" \"$2\"; rm -f \"$2/lib\"",
            &[&modules, &guest],
            &log,
        )?;
        lay(&self.guest, &guest)?;
        let inside = Path::new("/lab/stage");
        let root = images.build.root.clone().bind(&guest, inside);
        // modprobe looks below /lib, where the index of an unmerged tree would be.
        let depmod = "stage=$1; shift; ln -s usr/lib \"$stage/lib\"
            for kernel; do depmod -b \"$stage\" \"$kernel\" || exit; done; rm \"$stage/lib\"";
        run(
            root.command("sh")
                .args(["-c", depmod, "sh"])
                .arg(inside)
                .args(images.guests().map(|guests| &guests.kernel)),
            &log,
        )?;
        lay(&self.dom0, &dom0)?;
        // The checking kernel checks its unpacking too, for a minute.
        let unpack = if images.checking.is_some() {
            "zstd -q -dc"
        } else {
            "cat"
        };
        shell(
            &format!(
                "set -e; cd \"$1\"; find . | cpio -o -H newc -R 0:0 --quiet | zstd -q -3 | cat \"$2/guest-root.cpio.zst\" - | {unpack} > \"$3/lab/guest-initrd\"
                 tar -C \"$3\" --owner=0 --group=0 -cf \"$4\" ."
            ),
            &[&guest, &images.dir, &dom0, &dir.join("payload.tar")],
            &log,
        )?;
        remove_tree(&stage)?;
        Ok(dir.join("payload.tar"))
    }
}

fn lay(files: &[File], root: &Path) -> Result<()> {
    for file in files {
        let place = root.join(file.path.strip_prefix("/").unwrap_or(&file.path));
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent)?;
        }
        match &file.source {
            Source::Text(text) => fs::write(&place, text),
            Source::Copy(from) => fs::copy(from, &place).map(|_| ()),
        }
        .with_context(|| format!("laying {:?} at {}", file.source, file.path.display()))?;
        fs::set_permissions(&place, fs::Permissions::from_mode(file.mode))?;
    }
    Ok(())
}

fn shell(script: &str, args: &[&Path], log: &Path) -> Result<()> {
    run(
        Command::new("sh").args(["-c", script, "sh"]).args(args),
        log,
    )
}
