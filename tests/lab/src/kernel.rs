// SPDX-License-Identifier: GPL-2.0
//! The stock kernel: which one, its packages, and the Rust metadata Debian's headers leave out.

use std::path::Path;

use anyhow::{bail, Context, Result};

use crate::command::{output, run, Root};

pub mod checking;

/// Makes the Rust metadata and rustc's target from the kernel's source, and keeps them with the headers.
///
/// The source must be that of the image to the last digit: symbols are found by their mangled names, and those hash what
/// they were compiled from. `$1` is the kernel's release.
pub(crate) const PREPARE: &str = r#"
set -e
cd /usr/src
tar xf linux-source-*.tar.xz
cd linux-source-*/
cp "/boot/config-$1" .config
sed -i 's/^CONFIG_SYSTEM_TRUSTED_KEYS=.*/CONFIG_SYSTEM_TRUSTED_KEYS=""/' .config
make CC=gcc-14 HOSTCC=gcc-14 olddefconfig
make CC=gcc-14 HOSTCC=gcc-14 "-j$(nproc)" prepare
grep -q '^CONFIG_RUST=y' .config
mkdir -p "/usr/src/linux-headers-$1/rust"
cp rust/*.rmeta rust/*.so "/usr/src/linux-headers-$1/rust/"
cp scripts/target.json "/usr/src/linux-headers-$1/scripts/"
cd /usr/src
rm -rf linux-source-*
"#;

/// Which releases will do: those that start with `$XLNET_KERNEL` (such as `7.2`), by default all.
pub(crate) fn wanted() -> String {
    std::env::var("XLNET_KERNEL").unwrap_or_default()
}

/// Installs the newest kernel of which image, headers and source of one version can be had, among those [`wanted`].
/// Returns its release.
pub(crate) fn install(root: &Root, log: &Path) -> Result<String> {
    run(root.command("apt-get").args(["-qq", "update"]), log)?;
    let names = output(root.command("apt-cache").args([
        "search",
        "--names-only",
        r"^linux-(image-[0-9.]+\+deb[0-9]+-amd64|headers-[0-9.]+\+deb[0-9]+-amd64|source-[0-9.]+)$",
    ]))?;
    let packages: Vec<_> = names
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let table = output(root.command("apt-cache").arg("madison").args(&packages))?;
    let kernel = newest(&parse_madison(&table), &wanted()).with_context(|| {
        format!(
            "no kernel {}* has image, headers and source of one version among:\n{table}",
            wanted()
        )
    })?;
    let mut install = root.command("apt-get");
    install.args(["-qq", "-y", "--no-install-recommends", "install"]);
    install.arg("linux-base/trixie-backports");
    install.args([
        format!("linux-image-{}={}", kernel.release, kernel.version),
        format!("linux-headers-{}={}", kernel.release, kernel.version),
        format!("{}={}", kernel.source, kernel.version),
    ]);
    run(&mut install, log)?;
    run(root.command("apt-get").arg("clean"), log)?;
    Ok(kernel.release)
}

/// See [`PREPARE`].
pub(crate) fn prepare(root: &Root, release: &str, log: &Path) -> Result<()> {
    check_rustc(
        root,
        Path::new("/boot")
            .join(format!("config-{release}"))
            .as_path(),
    )?;
    run(root.command("sh").args(["-c", PREPARE, "sh", release]), log)
}

/// Compares the root's rustc with the one the kernel's configuration names.
fn check_rustc(root: &Root, config: &Path) -> Result<()> {
    let config = output(root.command("cat").arg(config))?;
    let have = output(root.command("rustc").arg("--version"))?;
    check_toolchain(&config, &have)
}

/// Whether a module in Rust can be built for a kernel with configuration `config` by the compiler that says `rustc` of
/// itself.
///
/// # Errors
/// With what is wrong and what to do about it.
pub fn check_toolchain(config: &str, rustc: &str) -> Result<()> {
    if !config.lines().any(|line| line == "CONFIG_RUST=y") {
        bail!(
            "this kernel is built without CONFIG_RUST, so no module in Rust can be built for it. \
             Install Debian's kernel from trixie-backports (linux-image-amd64, 7.2 or later)"
        );
    }
    let wanted = config
        .lines()
        .find_map(|line| line.strip_prefix("CONFIG_RUSTC_VERSION_TEXT="))
        .map(|text| text.trim_matches('"'))
        .context("the kernel's configuration does not say which rustc it was built with")?;
    // "rustc 1.85.1 (4eb161250 2025-03-15) (built from a source tarball)": the number decides.
    let number = |text: &str| text.split_whitespace().nth(1).map(str::to_owned);
    if number(wanted) != number(rustc) {
        bail!(
            "the kernel was built with \"{wanted}\", and this is \"{}\": a module must be built with the very same. \
             On Debian 13: apt-get install rustc=<that version>*",
            rustc.trim()
        );
    }
    Ok(())
}

/// A kernel that can be had.
#[derive(Debug, PartialEq, Eq)]
struct Kernel {
    release: String,
    version: String,
    source: String,
}

/// Package name and version of each line of `apt-cache madison`.
fn parse_madison(table: &str) -> Vec<(&str, &str)> {
    table
        .lines()
        .filter_map(|line| {
            let mut columns = line.split('|').map(str::trim);
            Some((columns.next()?, columns.next()?))
        })
        .collect()
}

/// The newest release that starts with `prefix` and has image, headers and source, all of one version.
fn newest(table: &[(&str, &str)], prefix: &str) -> Option<Kernel> {
    let has = |package: &str, version: &str| table.contains(&(package, version));
    let mut found: Vec<_> = table
        .iter()
        .filter_map(|&(package, version)| {
            let release = package.strip_prefix("linux-image-")?;
            if !release.starts_with(prefix) {
                return None;
            }
            let digits = numbers(release);
            let (major, minor) = (digits.first()?, digits.get(1)?);
            let source = format!("linux-source-{major}.{minor}");
            let complete =
                has(&format!("linux-headers-{release}"), version) && has(&source, version);
            complete.then(|| {
                let kernel = Kernel {
                    release: release.to_owned(),
                    version: version.to_owned(),
                    source,
                };
                (digits, kernel)
            })
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found.pop().map(|(_, kernel)| kernel)
}

/// The numbers at the start of a release: 7.2.12+deb13 is 7, 2, 12.
fn numbers(release: &str) -> Vec<u32> {
    let end = release
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(release.len());
    release[..end]
        .split('.')
        .filter_map(|part| part.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
linux-image-7.2.9+deb13-amd64 | 7.2.9-1~bpo13+1 | http://m trixie-backports/main amd64 Packages
linux-headers-7.2.9+deb13-amd64 | 7.2.9-1~bpo13+1 | http://m trixie-backports/main amd64 Packages
linux-image-7.2.12+deb13-amd64 | 7.2.12-1~bpo13+1 | http://m trixie-backports/main amd64 Packages
linux-headers-7.2.12+deb13-amd64 | 7.2.12-1~bpo13+1 | http://m trixie-backports/main amd64 Packages
linux-source-7.2 | 7.2.12-1~bpo13+1 | http://m trixie-backports/main amd64 Packages
linux-headers-7.3.4+deb13-amd64 | 7.3.4-1~bpo13+1 | http://m trixie-backports/main amd64 Packages
linux-source-7.3 | 7.3.4-1~bpo13+1 | http://m trixie-backports/main amd64 Packages
";

    #[test]
    fn the_newest_complete_kernel_is_taken() {
        let kernel = newest(&parse_madison(TABLE), "").unwrap();
        assert_eq!(kernel.release, "7.2.12+deb13-amd64");
        assert_eq!(kernel.source, "linux-source-7.2");
        assert_eq!(newest(&parse_madison(TABLE), "7.3"), None);
    }

    #[test]
    fn source_of_another_version_is_not_enough() {
        let without: String = TABLE
            .lines()
            .filter(|line| !line.contains("7.2.12+"))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(newest(&parse_madison(&without), ""), None);
    }

    #[test]
    fn toolchain_errors_say_what_to_do() {
        let config = "CONFIG_RUST=y\nCONFIG_RUSTC_VERSION_TEXT=\"rustc 1.85.1 (x) (y)\"\n";
        check_toolchain(config, "rustc 1.85.1 (x)\n").unwrap();
        let wrong = check_toolchain(config, "rustc 1.95.0 (z)\n").unwrap_err();
        assert!(wrong.to_string().contains("1.85.1") && wrong.to_string().contains("1.95.0"));
        let without = check_toolchain("CONFIG_X=y\n", "rustc 1.85.1").unwrap_err();
        assert!(without.to_string().contains("CONFIG_RUST"));
    }
}
