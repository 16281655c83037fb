// SPDX-License-Identifier: GPL-2.0
//! The kernel's modules: which of them others need, and copies of them.

use std::{fs, path::Path};

use anyhow::Result;

use crate::{
    command::{output, run},
    roots::BuildRoot,
};

/// The files of `modules` and of all they need in the build root, each after those it needs.
///
/// # Errors
/// If its kernel has one of them neither as a module nor built in.
pub(crate) fn needed(build: &BuildRoot, modules: &[&str]) -> Result<Vec<String>> {
    let mut order: Vec<String> = Vec::new();
    for module in modules {
        let steps = output(build.root.command("modprobe").args([
            "-S",
            &build.kernel,
            "--show-depends",
            module,
        ]))?;
        for line in steps.lines() {
            // "insmod /lib/modules/…/x.ko.xz", or "builtin x".
            let Some(path) = line.strip_prefix("insmod ") else {
                continue;
            };
            // Debian's modprobe.d gives some of them options.
            let path = path.split_whitespace().next().unwrap_or_default();
            let path = format!("/usr{path}");
            if !order.contains(&path) {
                order.push(path);
            }
        }
    }
    Ok(order)
}

/// Copies those that are [`needed`] to below `stage`, unpacked and indexed for modprobe, and returns their paths there.
///
/// # Errors
/// As [`needed`], or if copying fails.
pub(crate) fn stage(
    build: &BuildRoot,
    modules: &[&str],
    stage: &Path,
    log: &Path,
) -> Result<Vec<String>> {
    let order = needed(build, modules)?;
    let inside = Path::new("/lab/stage");
    fs::create_dir_all(stage)?;
    let root = build.root.clone().bind(stage, inside);
    let script = "set -e; stage=$1; kernel=$2; shift 2
        for module; do mkdir -p \"$stage${module%/*}\"; cp \"$module\" \"$stage$module\"; xz -dq \"$stage$module\"; done
        cp /usr/lib/modules/$kernel/modules.builtin* /usr/lib/modules/$kernel/modules.order \"$stage/usr/lib/modules/$kernel/\"
        [ -e \"$stage/lib\" ] || ln -s usr/lib \"$stage/lib\"
        depmod -b \"$stage\" \"$kernel\"";
    let mut command = root.command("sh");
    command
        .args(["-c", script, "sh"])
        .arg(inside)
        .arg(&build.kernel)
        .args(&order);
    run(&mut command, log)?;
    Ok(order
        .into_iter()
        .map(|path| path.trim_end_matches(".xz").to_owned())
        .collect())
}
