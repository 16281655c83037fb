// SPDX-License-Identifier: GPL-2.0
//! `cargo xtask build`: the module and the helper, for the lab's kernel or a host's own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{bail, Context, Result};
use serde_json::json;
use xlnet_lab::{
    cache::Cache,
    command,
    kernel::check_toolchain,
    needs,
    product::{Lint, Project, STRIP},
    progress::Progress,
    roots,
};

/// What to build for.
#[derive(clap::Args)]
pub struct Args {
    /// Build on this machine, for the kernel whose prepared build directory this is (such as
    /// /lib/modules/$(uname -r)/build), instead of in a Debian root for the newest kernel of trixie-backports
    #[arg(long)]
    kdir: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Builds both and prints where they are.
pub fn run(args: &Args) -> Result<()> {
    let cache = Cache::open(Progress::default())?;
    let project = Project::find()?;
    let (kernel, module) = match &args.kdir {
        Some(kdir) => build_here(&project, kdir)?,
        None => {
            needs::ensure(&cache)?;
            let build = roots::build_root(&cache)?;
            let module = project.build_module(&cache, &build, Lint::None)?;
            (build.kernel, module)
        }
    };
    let helper = project.build_helper(&cache)?;
    if args.json {
        println!(
            "{}",
            json!({ "module": module, "kernel": kernel, "helper": helper })
        );
    } else {
        println!("{}  for kernel {kernel}", module.display());
        println!("{}  for Dom0", helper.display());
    }
    Ok(())
}

/// Builds the module in the tree with this machine's own toolchain.
fn build_here(project: &Project, kdir: &Path) -> Result<(String, PathBuf)> {
    let release = kdir.join("include/config/kernel.release");
    let release = fs::read_to_string(&release).with_context(|| {
        format!(
            "{}: is {} a kernel's build directory, and is linux-headers installed?",
            release.display(),
            kdir.display()
        )
    })?;
    let release = release.trim().to_owned();
    let config = fs::read_to_string(kdir.join(".config"))
        .or_else(|_| fs::read_to_string(kdir.join("include/config/auto.conf")))
        .with_context(|| format!("no .config in {}", kdir.display()))?;
    let rustc = command::output(
        Command::new(std::env::var("RUSTC").unwrap_or("rustc".to_owned())).arg("--version"),
    )
    .context("looking for rustc: apt-get install rustc rust-src bindgen")?;
    check_toolchain(&config, &rustc)?;
    if !kdir.join("rust/libkernel.rmeta").is_file() {
        bail!(
            "{0}/rust has no libkernel.rmeta: Debian's headers leave the kernel's Rust metadata out. Unpack the \
             kernel's own source (linux-source, the very version of the image), copy /boot/config-{release} to its \
             .config, run `make olddefconfig prepare`, and copy rust/*.rmeta and rust/*.so to {0}/rust and \
             scripts/target.json to {0}/scripts",
            kdir.display()
        );
    }
    let mut make = Command::new("make");
    make.arg("-C")
        .arg(kdir)
        .arg(format!("M={}", project.root().display()))
        .arg("modules");
    if !make.status().context("running make")?.success() {
        bail!("the module does not build for {release}: what make said is above");
    }
    let module = project.root().join("drivers/xlnet/xlnet.ko");
    let mut strip = Command::new("strip");
    strip.arg(STRIP).arg(&module);
    if !strip
        .status()
        .context("running strip: apt-get install binutils")?
        .success()
    {
        bail!("{} cannot be stripped", module.display());
    }
    Ok((release, module))
}
