// SPDX-License-Identifier: GPL-2.0
//! What the host boots: Xen, the kernel, Dom0's initramfs and disk, and the guests' user land. Made once, never changed.

use std::{
    fs, iter,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    cache::{key, Cache},
    command::{run, Root},
    kernel::checking,
    modules, patience,
    roots::{self, BuildRoot},
};

/// Part of the images' key: changes when they are made in another way from the same parts.
const FORMAT: &str = "1";

const INITRD_INIT: &str = include_str!("../files/initrd-init");

/// Modules Dom0 needs to find its disk.
const INITRD_MODULES: &[&str] = &["virtio_pci", "virtio_blk", "ext4"];

/// Modules Dom0 may load.
const DOM0_MODULES: &[&str] = &[
    "xen-evtchn",
    "xen-gntdev",
    "xen-gntalloc",
    "xen-privcmd",
    "xenfs",
    "xen-netback",
    "bridge",
    "virtio_net",
    "8021q",
    "dummy",
    "veth",
    "sch_netem",
];

/// Modules a guest may load: its uplink, and what tests build on top of an interface.
const GUEST_MODULES: &[&str] = &[
    "xen-netfront",
    "xen-evtchn",
    "xen-gntdev",
    "xen-gntalloc",
    "xen-privcmd",
    "xenfs",
    "8021q",
    "dummy",
    "veth",
    "bridge",
    "macvlan",
    "vrf",
    "sch_netem",
    "sch_fq",
    "sch_fq_codel",
    "nf_tables",
    "nft_chain_nat",
    "nft_masq",
    "nft_ct",
    "tcp_diag",
    "udp_diag",
    "inet_diag",
    "af_packet_diag",
    "netconsole",
    "vhci-hcd",
];

/// What of the guests' root does not go into their memory.
const GUEST_WITHOUT: &[&str] = &[
    "./boot",
    "./var/cache",
    "./var/lib/apt",
    "./var/lib/dpkg",
    "./usr/lib/apt",
    "./usr/lib/udev/hwdb.d",
    "./usr/lib/udev/hwdb.bin",
    "./etc/udev/hwdb.bin",
    "./usr/share/doc",
    "./usr/share/info",
    "./usr/share/perl5",
    "./usr/share/perl",
    "./usr/share/locale",
    "./usr/share/man",
    "./usr/share/i18n",
    "./usr/share/zoneinfo",
    "./usr/share/bash-completion",
    "./usr/share/zsh",
    "./usr/share/lintian",
    "./usr/share/keyrings",
    "./usr/share/common-licenses",
    "./usr/share/gcc",
    "./usr/share/debconf",
    "./usr/lib/x86_64-linux-gnu/gconv",
    "./usr/lib/x86_64-linux-gnu/perl-base",
    "./usr/lib/x86_64-linux-gnu/perl",
    "./usr/lib/locale",
    "./usr/bin/perl*",
    "./usr/bin/apt*",
    "./usr/bin/dpkg*",
    "./usr/lib/x86_64-linux-gnu/libapt-p*",
    "./usr/lib/modules",
    "./usr/lib/dpkg",
    // Each is a program to run at boot, and none has anything to do here.
    "./usr/lib/systemd/system-generators/*",
];

/// Name of the guests' kernel that is Debian's.
pub(crate) const STOCK_KERNEL: &str = "vmlinux";

/// Name of the guests' kernel that is the checking one.
pub(crate) const CHECKING_KERNEL: &str = "vmlinux-checking";

/// Which kernel the PVH guests run. PV guests run Debian's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GuestKernel {
    /// Debian's.
    #[default]
    Stock,
    /// The [checking kernel](checking).
    Checking,
}

impl GuestKernel {
    /// The checking kernel, if `checking`.
    #[must_use]
    pub const fn new(checking: bool) -> Self {
        if checking {
            Self::Checking
        } else {
            Self::Stock
        }
    }
}

/// Everything the host boots from.
#[derive(Clone, Debug)]
pub struct Images {
    /// The toolchain, the emulator and Debian's kernel.
    pub build: BuildRoot,
    /// The PVH guests' kernel, if that is not Debian's, and what modules for it are built with.
    pub checking: Option<BuildRoot>,
    /// `xen`, `vmlinuz`, `dom0-initrd.gz`, `dom0.ext4` (the guests' kernels are in it), and `guest-root.cpio.zst`; and the guests' `modules/`.
    pub dir: PathBuf,
}

impl Images {
    /// The kernels that guests may run.
    pub fn guests(&self) -> impl Iterator<Item = &BuildRoot> {
        iter::once(&self.build).chain(&self.checking)
    }
}

/// Builds all that is not in the cache yet.
///
/// # Errors
/// If Debian's packages cannot be had, or the guests' kernel cannot be built, or an image cannot be made.
pub fn images(cache: &Cache, guest_kernel: GuestKernel) -> Result<Images> {
    let (build, dom0, guest) = std::thread::scope(|scope| {
        // Unpacking one root waits for the archive while the other keeps the processor busy.
        let small =
            scope.spawn(|| anyhow::Ok((roots::dom0_root(cache)?, roots::guest_root(cache)?)));
        let build = roots::build_root(cache)?;
        let (dom0, guest) = small
            .join()
            .map_err(|_| anyhow::anyhow!("building a root panicked"))??;
        anyhow::Ok((build, dom0, guest))
    })?;
    let checking = match guest_kernel {
        GuestKernel::Stock => None,
        GuestKernel::Checking => {
            patience::be_ready_for_checking();
            Some(checking::build(cache, &build, GUEST_MODULES)?)
        }
    };
    let recipe = [INITRD_MODULES, DOM0_MODULES, GUEST_MODULES, GUEST_WITHOUT]
        .concat()
        .join(" ");
    let roots = [&dom0, &guest].map(|root| root.dir().to_string_lossy().into_owned());
    let key = key([
        FORMAT,
        &build.kernel,
        checking.as_ref().map_or("", |root| &root.kernel),
        INITRD_INIT,
        &recipe,
        &roots[0],
        &roots[1],
    ]);
    let dir = cache.entry("images", &key, |dir| {
        let log = cache.log("images");
        fs::write(&log, "").with_context(|| log.display().to_string())?;
        let maker = Maker {
            build: &build,
            checking: checking.as_ref(),
            dir,
            log: &log,
        };
        maker.boot_files(&dom0)?;
        maker.dom0_initrd()?;
        maker.dom0_disk(&dom0)?;
        maker.guest_root(&guest)
    })?;
    Ok(Images {
        build,
        checking,
        dir,
    })
}

struct Maker<'a> {
    build: &'a BuildRoot,
    checking: Option<&'a BuildRoot>,
    dir: &'a Path,
    log: &'a Path,
}

impl Maker<'_> {
    fn boot_files(&self, dom0: &Root) -> Result<()> {
        let kernel = &self.build.image;
        fs::copy(kernel, self.dir.join("vmlinuz")).with_context(|| kernel.display().to_string())?;
        self.unpack_kernel(kernel, STOCK_KERNEL)?;
        if let Some(checking) = self.checking {
            self.unpack_kernel(&checking.image, CHECKING_KERNEL)?;
        }
        // The emulator's multiboot loader takes only the unpacked hypervisor.
        self.shell(
            "gzip -dc \"$1\"/boot/xen-*-amd64.gz > \"$2/xen\"",
            &[dom0.dir(), self.dir],
        )
    }

    /// Unpacks a kernel for guests: `xl` does it for each, in many emulated seconds.
    fn unpack_kernel(&self, kernel: &Path, name: &str) -> Result<()> {
        let image = fs::read(kernel).with_context(|| kernel.display().to_string())?;
        let unpacked = self.dir.join(name);
        let packed = unpacked.with_extension("zst");
        let payload =
            kernel_payload(&image).context("the kernel is no bzImage packed with zstd")?;
        fs::write(&packed, payload)?;
        self.shell("zstd -q -d --rm \"$1\" -o \"$2\"", &[&packed, &unpacked])
    }

    fn dom0_initrd(&self) -> Result<()> {
        let stage = self.dir.join("initrd");
        let order = modules::stage(self.build, INITRD_MODULES, &stage, self.log)?;
        fs::create_dir(stage.join("modules"))?;
        let mut names = String::new();
        for path in &order {
            let name = Path::new(path).file_name().unwrap_or_default();
            fs::copy(
                stage.join(path.trim_start_matches('/')),
                stage.join("modules").join(name),
            )?;
            names += &format!("{}\n", name.to_string_lossy());
        }
        fs::write(stage.join("modules/order"), names)?;
        fs::write(stage.join("init"), INITRD_INIT)?;
        self.shell(
            "set -e; cd \"$1\"; rm -r usr; mkdir -p bin proc sys dev root; cp \"$2/usr/bin/busybox\" bin/
             for tool in sh mount insmod sleep tar switch_root; do ln -s busybox bin/$tool; done
             chmod 755 init; find . | cpio -o -H newc --quiet | gzip -1 > ../dom0-initrd.gz",
            &[&stage, self.build.root.dir()],
        )?;
        Ok(fs::remove_dir_all(stage)?)
    }

    fn dom0_disk(&self, dom0: &Root) -> Result<()> {
        let stage = self.dir.join("dom0");
        self.shell(
            "cp -a --reflink=auto \"$1\" \"$2\"; rm -rf \"$2\"/boot/* \"$2\"/var/cache/apt; mkdir \"$2/lab\"; mv \"$3\"/vmlinux* \"$2/lab/\"",
            &[dom0.dir(), &stage, self.dir],
        )?;
        modules::stage(self.build, DOM0_MODULES, &stage, self.log)?;
        let disk = self.dir.join("dom0.ext4");
        let mut mke2fs = Command::new("mke2fs");
        mke2fs.args([
            "-q",
            "-t",
            "ext4",
            "-m",
            "0",
            "-E",
            "lazy_itable_init=0",
            "-d",
        ]);
        run(mke2fs.arg(&stage).arg(&disk).arg("2G"), self.log)?;
        Ok(fs::remove_dir_all(stage)?)
    }

    fn guest_root(&self, guest: &Root) -> Result<()> {
        let without: Vec<_> = GUEST_WITHOUT
            .iter()
            .map(|path| format!("-path '{path}'"))
            .collect();
        self.shell(
            &format!(
                "set -e; cd \"$1\"; find . \\( {} \\) -prune -o -print | cpio -o -H newc --quiet | zstd -q -T0 -9 > \"$2/guest-root.cpio.zst\"",
                without.join(" -o ")
            ),
            &[guest.dir(), self.dir],
        )?;
        let stage = self.dir.join("modules");
        for kernel in iter::once(self.build).chain(self.checking) {
            modules::stage(kernel, GUEST_MODULES, &stage, self.log)?;
        }
        Ok(())
    }

    fn shell(&self, script: &str, args: &[&Path]) -> Result<()> {
        run(
            Command::new("sh").args(["-c", script, "sh"]).args(args),
            self.log,
        )
    }
}

/// The zstd frame within a bzImage (the kernel's `Documentation/arch/x86/boot.rst`: `setup_sects`, `payload_offset`,
/// `payload_length`). Four bytes after the frame tell its unpacked size.
fn kernel_payload(image: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| {
        let bytes = image.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let setup = 512 * (usize::from(*image.get(0x1f1)?) + 1);
    let (offset, length) = (word(0x248)?, word(0x24c)?);
    let payload = image.get(setup.checked_add(offset)?..)?;
    let frame = payload.get(..length.checked_sub(4)?)?;
    frame
        .starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
        .then_some(frame)
}
