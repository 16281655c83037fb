// SPDX-License-Identifier: GPL-3.0-only

//! The program of the library beside it.

fn main() -> std::process::ExitCode {
    xlnetd::main()
}
