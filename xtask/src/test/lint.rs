// SPDX-License-Identifier: GPL-2.0
//! What is checked without running it.

use std::{fs, path::PathBuf, process::Command};

use anyhow::Result;
use xlnet_lab::{command, product::Lint, roots};

use super::{cargo, under_loom, Tests};

impl Tests<'_> {
    pub(super) fn lint(&mut self) -> Result<()> {
        self.check("rustfmt", cargo().args(["fmt", "--all", "--check"]));
        let fuzz = "tests/fuzz/Cargo.toml";
        let args = ["fmt", "--manifest-path", fuzz, "--check"];
        self.check("rustfmt of the fuzzers", cargo().args(args));
        self.check(
            "clippy",
            cargo().args([
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ]),
        );
        self.check(
            "clippy of what runs under loom",
            under_loom("clippy").args(["--", "-D", "warnings"]),
        );
        let scripts = self.scripts()?;
        self.check("shellcheck", Command::new("shellcheck").args(scripts));
        let cache = self.cache;
        let project = self.project;
        self.step("module: rustfmt", || {
            project.check_module_format(cache, &roots::build_root(cache)?)
        });
        self.step("module: clippy", || {
            let build = roots::build_root(cache)?;
            project.build_module(cache, &build, Lint::Clippy).map(drop)
        });
        Ok(())
    }

    /// The tree's shell scripts: what git knows and is called or begins as one.
    fn scripts(&self) -> Result<Vec<PathBuf>> {
        let mut git = Command::new("git");
        git.args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]);
        let names = command::output(git.current_dir(self.project.root()))?;
        let scripts = names.split('\0').map(PathBuf::from).filter(|path| {
            fs::read(self.project.root().join(path)).is_ok_and(|text| {
                let first = text.split(|byte| *byte == b'\n').next();
                let begins = [
                    b"#!/bin/sh".as_slice(),
                    b"#!/bin/bash",
                    b"#!/usr/bin/env bash",
                ];
                path.extension().is_some_and(|end| end == "sh")
                    || first.is_some_and(|line| begins.contains(&line))
            })
        });
        Ok(scripts.collect())
    }
}
