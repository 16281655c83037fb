// SPDX-License-Identifier: GPL-3.0-only

//! Guests that write anything, a toolstack that makes and breaks domains, and a store that goes
//! away, against the whole of `xlnetd`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| xlnet_fuzz::reconcile::run(input));
