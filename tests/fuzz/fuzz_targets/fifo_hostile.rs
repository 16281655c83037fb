// SPDX-License-Identifier: GPL-2.0

//! A ring whose other end writes arbitrary words and bytes between any two of our accesses.

#![no_main]

use libfuzzer_sys::fuzz_target;
use xlnet_host_tests::hostile::{consume, produce};

fuzz_target!(|input: &[u8]| {
    if let Some((end, choices)) = input.split_first() {
        match end % 2 {
            0 => consume(choices),
            _ => produce(choices),
        }
    }
});
