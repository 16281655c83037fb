// SPDX-License-Identifier: GPL-2.0
//! The checking kernel: the source and configuration of Debian's, with what finds errors that a stock kernel lets pass.
//! It is built when it is first asked for, which takes the better part of an hour on two processors.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::{
    cache::{key, Cache},
    command::run,
    modules,
    roots::{fresh_log, BuildRoot},
};

/// What it has beyond Debian's.
const CONFIG: &str = include_str!("../../files/checking.config");

/// With KASAN, the kernel takes Rust only beside what clang has compiled (`init/Kconfig`).
const COMPILER: &str = "clang";

/// A PVH guest's entry runs code of `arch/x86/xen` before there is a shadow of memory to look at, so that none of that is
/// instrumented; a PV guest's sets up no shadow at all, and cannot run it. Nor is what notes the callers of everything.
///
/// Builds it in `/lab/kernel`, where `config` is what it must have and `lsmod` says which modules are wanted: of the
/// others there are thousands. `$1` is the stock kernel's release, `$2` the C compiler.
const BUILD: &str = r#"
set -e
compiler=$2
cd /lab/kernel
apt-get -qq update
apt-get -qq download "$(dpkg-query -W -f '${Package}=${Version}\n' 'linux-source-*' | grep '=.' | tail -n 1)"
dpkg-deb -x linux-source-*.deb .
rm linux-source-*.deb
tar xf usr/src/linux-source-*.tar.xz
rm -r usr
mv linux-source-* tree
cd tree
sed -i '1i KASAN_SANITIZE := n' arch/x86/xen/Makefile
sed -i '1i KASAN_SANITIZE_unwind_frame.o := n' arch/x86/kernel/Makefile
sed -i '1i KASAN_SANITIZE_kmemleak.o := n' mm/Makefile
make() { command make -s "CC=$compiler" "-j$(nproc)" "$@"; }
cat "/boot/config-$1" ../config > .config
make olddefconfig
yes '' | make LSMOD=/lab/kernel/lsmod localmodconfig
make olddefconfig
grep '^CONFIG_' ../config | while IFS= read -r line; do
    grep -qxF -e "$line" .config || { echo "the kernel cannot have $line" >&2; exit 1; }
done
make bzImage modules
make INSTALL_MOD_PATH=/lab/kernel modules_install
cp arch/x86/boot/bzImage ../vmlinuz
make kernelrelease > ../release
find . \( -name '*.o' -o -name '*.a' -o -name '*.ko' \) -delete
rm -f vmlinux vmlinux.unstripped
"#;

/// Builds it with `wanted` and the modules those need, unless that was done, and returns what modules for it are built
/// with.
///
/// # Errors
/// If the source cannot be had any more, or cannot have all of the configuration, or does not build.
pub(crate) fn build(cache: &Cache, stock: &BuildRoot, wanted: &[&str]) -> Result<BuildRoot> {
    let stock_dir = stock.root.dir().to_string_lossy();
    let recipe = key([
        CONFIG,
        BUILD,
        COMPILER,
        &stock_dir,
        &stock.kernel,
        &wanted.join(" "),
    ]);
    let dir = cache.entry("checking-kernel", &recipe, |dir| {
        let log = fresh_log(cache, "checking-kernel")?;
        // The release tells one recipe's kernel from another's.
        let config = format!("{CONFIG}CONFIG_LOCALVERSION=\"-checking-{recipe}\"\n");
        fs::write(dir.join("config"), config)?;
        fs::write(dir.join("lsmod"), lsmod(&modules::needed(stock, wanted)?))?;
        let root = stock.root.clone().bind(dir, "/lab/kernel");
        run(
            root.command("sh")
                .args(["-c", BUILD, "sh", &stock.kernel, COMPILER]),
            &log,
        )
    })?;
    let kernel =
        fs::read_to_string(dir.join("release")).context("reading the checking kernel's release")?;
    let kernel = kernel.trim();
    let modules = dir.join("lib/modules").join(kernel);
    Ok(BuildRoot {
        root: stock
            .root
            .clone()
            .bind(dir.join("tree"), format!("/usr/src/linux-headers-{kernel}"))
            .bind(modules, format!("/usr/lib/modules/{kernel}")),
        kernel: kernel.to_owned(),
        image: dir.join("vmlinuz"),
        compiler: COMPILER,
    })
}

/// What `lsmod` would print if the modules at `paths` were all that is loaded.
fn lsmod(paths: &[String]) -> String {
    let mut lines = "Module                  Size  Used by\n".to_owned();
    for path in paths {
        let file = Path::new(path).file_name().unwrap_or_default();
        let file = file.to_string_lossy();
        let name = file.split('.').next().unwrap_or_default();
        lines += &format!("{} 1 0\n", name.replace('-', "_"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_have_the_names_that_lsmod_gives_them() {
        let paths = ["/usr/lib/modules/7.3/kernel/drivers/net/xen-netfront.ko.xz".to_owned()];
        assert!(lsmod(&paths).ends_with("by\nxen_netfront 1 0\n"));
    }

    #[test]
    fn each_option_stands_once() {
        let options: Vec<_> = CONFIG
            .lines()
            .filter_map(|line| line.trim_start_matches("# ").split([' ', '=']).next())
            .filter(|word| word.starts_with("CONFIG_"))
            .collect();
        for (index, option) in options.iter().enumerate() {
            assert!(!options[..index].contains(option), "{option}");
        }
    }
}
