// SPDX-License-Identifier: GPL-2.0
//! Runs programs of the build machine, in one of the lab's roots if asked, with their output kept in a log.

use std::{
    ffi::OsStr,
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{bail, Context, Result};

/// Runs `command` with its output appended to `log`.
///
/// # Errors
/// If it does not start, or fails: then with the end of its output, after what it says of failed tests before that.
pub fn run(command: &mut Command, log: &Path) -> Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("opening {}", log.display()))?;
    writeln!(file, "+ {}", describe(command))?;
    let begun = file.metadata()?.len() as usize;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("running {}", describe(command)))?;
    if status.success() {
        return Ok(());
    }
    let output = fs::read(log).unwrap_or_default();
    let output = String::from_utf8_lossy(output.get(begun..).unwrap_or_default()).into_owned();
    let lines: Vec<_> = output.lines().collect();
    let (before, end) = lines.split_at(lines.len().saturating_sub(25));
    let failed = before.iter().filter(|line| line.starts_with("not ok "));
    let tail = failed.chain(end).copied().collect::<Vec<_>>().join("\n");
    bail!(
        "{} failed ({status}); its output ends in\n{tail}\n(all of it: {})",
        describe(command),
        log.display()
    );
}

/// Runs `command` and returns its standard output.
///
/// # Errors
/// If it does not start, fails (then with its standard error), or its output is not UTF-8.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("running {}", describe(command)))?;
    if !output.status.success() {
        bail!(
            "{} failed ({}): {}",
            describe(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The command as a person would type it.
fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words
        .map(|word| match word.to_string_lossy() {
            script if script.contains('\n') => "…".to_owned(),
            word => word.into_owned(),
        })
        .collect::<Vec<_>>()
        .join(" ");
    match line.char_indices().nth(400) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// A Debian root that commands are run in.
#[derive(Clone, Debug)]
pub struct Root {
    dir: PathBuf,
    binds: Vec<(PathBuf, PathBuf)>,
}

/// Mounts what a command needs and enters the root. All mounts are in a namespace of their own: they go when the
/// command ends, whatever happens to us.
const ENTER: &str = r#"
set -e
root=$1
shift
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for node in null zero full random urandom tty kvm; do
    if [ -e "/dev/$node" ]; then
        : > "$root/dev/$node"
        mount --bind "/dev/$node" "$root/dev/$node"
    fi
done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs tmpfs "$root/tmp"
for file in resolv.conf hosts; do
    if [ -e "/etc/$file" ]; then
        # Made once: to remove a file takes the mounts others have on it.
        if [ -L "$root/etc/$file" ] || [ ! -e "$root/etc/$file" ]; then
            rm -f "$root/etc/$file"
            : > "$root/etc/$file"
        fi
        mount --bind "/etc/$file" "$root/etc/$file"
    fi
done
while [ "$1" != -- ]; do
    mkdir -p "$root$2"
    mount --bind "$1" "$root$2"
    shift 2
done
shift
exec chroot "$root" "$@"
"#;

impl Root {
    /// The root whose files are below `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            binds: Vec::new(),
        }
    }

    /// The directory it is in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The same root, with `outside` seen at `inside` (an absolute path) by the commands run in it.
    #[must_use]
    pub fn bind(mut self, outside: impl Into<PathBuf>, inside: impl Into<PathBuf>) -> Self {
        self.binds.push((outside.into(), inside.into()));
        self
    }

    /// A command that runs `program` of this root, in it.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--propagation",
            "private",
            "--",
            "sh",
            "-c",
            ENTER,
            "sh",
        ]);
        command.arg(&self.dir);
        for (outside, inside) in &self.binds {
            command.arg(outside).arg(inside);
        }
        command.arg("--").arg(program);
        command
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", "/root")
            .env("LC_ALL", "C.UTF-8")
            .env("DEBIAN_FRONTEND", "noninteractive");
        command
    }
}
