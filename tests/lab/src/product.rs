// SPDX-License-Identifier: GPL-2.0
//! xlnet itself, built from the tree and laid where a user would install it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{bail, Context, Result};
use serde::Deserialize;

use crate::{
    cache::{key, tree_key, Cache},
    command::{output, run},
    image::Images,
    payload::{For, Payload},
    roots::BuildRoot,
};

/// What `strip` leaves out of the module: debug information is ten times the rest, and loading reads all of it.
pub const STRIP: &str = "--strip-debug";

/// The guest that breaks the protocol.
const ATTACKER: &str = "xlnet-attacker";

/// The source tree.
#[derive(Clone, Debug)]
pub struct Project {
    root: PathBuf,
    target: PathBuf,
}

/// What is built of it.
#[derive(Clone, Debug)]
pub struct Product {
    /// `xlnet.ko` for each kernel, named by its release.
    pub modules: Vec<(String, PathBuf)>,
    /// `xlnetd`.
    pub helper: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    target_directory: PathBuf,
    workspace_root: PathBuf,
}

/// How the module's source is looked at while it is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lint {
    /// Compiled only.
    None,
    /// With the kernel's clippy settings; a warning is an error.
    Clippy,
}

impl Project {
    /// The tree this program is run from.
    ///
    /// # Errors
    /// If that is not the project's.
    pub fn find() -> Result<Self> {
        let text = output(&mut cargo([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
        ]))
        .context("looking for the project: run this inside its tree")?;
        let metadata: Metadata = serde_json::from_str(&text)?;
        Ok(Self {
            root: metadata.workspace_root,
            target: metadata.target_directory,
        })
    }

    /// The tree's directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where cargo puts release builds.
    #[must_use]
    pub fn release_dir(&self) -> PathBuf {
        self.target.join("release")
    }

    /// Builds the lab's agent.
    ///
    /// # Errors
    /// The compiler's.
    pub fn build_agent(&self, cache: &Cache) -> Result<()> {
        self.build_package(cache, "xlnet-lab-agent")
    }

    /// Builds `xlnetd` with the machine's own toolchain.
    ///
    /// # Errors
    /// The compiler's.
    pub fn build_helper(&self, cache: &Cache) -> Result<PathBuf> {
        self.build_package(cache, "xlnetd")?;
        Ok(self.release_dir().join("xlnetd"))
    }

    /// Builds the binaries of one package of the workspace.
    ///
    /// # Errors
    /// The compiler's.
    pub fn build_package(&self, cache: &Cache, package: &str) -> Result<()> {
        let log = cache.log(package);
        fs::write(&log, "")?;
        let mut command = cargo(["build", "--release", "--package", package]);
        cache
            .progress()
            .step(&format!("cargo build {package}"), || {
                run(command.current_dir(&self.root), &log)
            })
    }

    /// Builds `xlnet.ko` in the build root, for its kernel. The same source is built once.
    ///
    /// # Errors
    /// The compiler's.
    pub fn build_module(&self, cache: &Cache, build: &BuildRoot, lint: Lint) -> Result<PathBuf> {
        let source = self.module_source();
        let source: Vec<_> = source.iter().map(PathBuf::as_path).collect();
        let name = match lint {
            Lint::None => "module",
            Lint::Clippy => "module-clippy",
        };
        let root_dir = build.root.dir().to_string_lossy().into_owned();
        let key = key([
            tree_key(&source)?,
            build.kernel.clone(),
            root_dir,
            STRIP.to_owned(),
        ]);
        let dir = cache.entry(name, &key, |dir| {
            let log = cache.log(name);
            fs::write(&log, "")?;
            run(Command::new("cp").arg("-rL").args(&source).arg(dir), &log)?;
            // As in the tree, so that paths in messages are those a person knows.
            run(
                Command::new("sh")
                    .args(["-c", "cd \"$1\"; mkdir drivers; mv xlnet drivers/", "sh"])
                    .arg(dir),
                &log,
            )?;
            let root = build.root.clone().bind(dir, "/lab/module");
            let mut make = root.command("make");
            make.args([
                "-C",
                &format!("/usr/src/linux-headers-{}", build.kernel),
                "M=/lab/module",
            ]);
            make.args(["modules", &format!("CC={}", build.compiler)]);
            if lint == Lint::Clippy {
                make.arg("CLIPPY=1");
            }
            run(&mut make, &log)?;
            match lint {
                Lint::None => run(
                    root.command("strip")
                        .args([STRIP, "/lab/module/drivers/xlnet/xlnet.ko"]),
                    &log,
                ),
                Lint::Clippy => refuse_warnings(&fs::read_to_string(&log)?),
            }
        })?;
        Ok(dir.join("drivers/xlnet/xlnet.ko"))
    }

    /// Says whether the module's source is as rustfmt would have it.
    ///
    /// # Errors
    /// With what rustfmt would change.
    pub fn check_module_format(&self, cache: &Cache, build: &BuildRoot) -> Result<()> {
        let log = cache.log("module-rustfmt");
        fs::write(&log, "")?;
        let root = build
            .root
            .clone()
            .bind(self.root.join("drivers/xlnet"), "/lab/module");
        // The files that bindgen writes are as it writes them.
        let script = "cd /lab/module && find . -name '*.rs' ! -name 'bindings_generated.rs' -exec rustfmt --edition 2021 --check {} +";
        run(root.command("sh").args(["-c", script]), &log)
    }

    fn module_source(&self) -> [PathBuf; 2] {
        [self.root.join("Kbuild"), self.root.join("drivers/xlnet")]
    }

    /// Builds all that is under test, the module for each kernel that a guest may run.
    ///
    /// # Errors
    /// The compilers'.
    pub fn build(&self, cache: &Cache, images: &Images) -> Result<Product> {
        let module = |guests: &BuildRoot| {
            let module = self.build_module(cache, guests, Lint::None)?;
            Ok((guests.kernel.clone(), module))
        };
        Ok(Product {
            modules: images.guests().map(module).collect::<Result<_>>()?,
            helper: self.build_helper(cache)?,
        })
    }

    /// What is laid over the images: the lab's own files, and those of `product`, if there is one.
    ///
    /// # Errors
    /// If the agent cannot be built, or the tree not be read.
    pub fn payload(&self, cache: &Cache, product: Option<&Product>) -> Result<Payload> {
        self.build_agent(cache)?;
        self.build_package(cache, ATTACKER)?;
        let mut payload = Payload::new(&self.release_dir());
        let attacker = self.release_dir().join(ATTACKER);
        payload.copy(For::Guest, attacker, format!("/lab/bin/{ATTACKER}"), 0o755);
        if let Some(product) = product {
            for (kernel, module) in &product.modules {
                let path = format!("/usr/lib/modules/{kernel}/updates/xlnet.ko");
                payload.copy(For::Guest, module, path, 0o644);
            }
            payload.copy(For::Dom0, &product.helper, "/usr/sbin/xlnetd", 0o755);
            payload.tree(For::Guest, &self.install_routing(cache)?)?;
        }
        Ok(payload)
    }

    /// Guest policy routing, put in place by its own installer.
    fn install_routing(&self, cache: &Cache) -> Result<PathBuf> {
        let scripts = self.root.join("iproute-scripts");
        let key = tree_key(&[&scripts, &self.root.join("udev")])?;
        cache.entry("routing", &key, |dir| {
            let log = cache.log("routing");
            fs::write(&log, "")?;
            let mut install = Command::new("sh");
            install.arg(scripts.join("install.sh")).env("DESTDIR", dir);
            run(&mut install, &log)
        })
    }
}

/// make succeeds with warnings.
fn refuse_warnings(output: &str) -> Result<()> {
    let warnings: Vec<_> = output
        .split("\n\n")
        .filter(|block| block.contains("warning: "))
        .collect();
    if warnings.is_empty() {
        return Ok(());
    }
    bail!("clippy warns:\n{}", warnings.join("\n\n"));
}

fn cargo<const N: usize>(args: [&str; N]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    command
}
