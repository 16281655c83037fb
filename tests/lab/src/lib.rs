// SPDX-License-Identifier: GPL-2.0
//! A Xen host with guests, in an emulator, on stock Debian: for xlnet's demo, tests and benchmarks.

pub mod agent;
pub mod cache;
pub mod command;
pub mod guest;
pub mod host;
pub mod image;
pub mod kernel;
pub mod logs;
mod modules;
pub mod needs;
pub mod netperf;
pub mod patience;
pub mod payload;
pub mod product;
pub mod progress;
pub mod qemu;
pub mod roots;
