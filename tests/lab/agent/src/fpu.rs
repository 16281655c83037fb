// SPDX-License-Identifier: GPL-2.0
//! Holds known values in the vector registers across preemption and says how often they came back changed.
//!
//! An emulated Xen host with lazy FPU switching loses them, and then every program fails in its own absurd way. So this
//! is the first thing the lab checks. Usage: `xlnet-lab-fpu [CHECKS]`; run several at once on one CPU.

use std::{arch::asm, env, process::ExitCode};

/// Turns of the waiting loop per check: some milliseconds under emulation, so that the scheduler gets its chance.
const TURNS: u64 = 2_000_000;

/// Fills eight 32-byte registers from `want`, waits, and stores them to `have`.
#[target_feature(enable = "avx")]
unsafe fn hold_ymm(want: &[u64; 32], have: &mut [u64; 32]) {
    // SAFETY: both pointers are to 256 bytes, the offsets stay below that, and every register used is declared.
    unsafe {
        asm!(
            "vmovdqu ymm0, [{w}]", "vmovdqu ymm1, [{w} + 32]", "vmovdqu ymm2, [{w} + 64]", "vmovdqu ymm3, [{w} + 96]",
            "vmovdqu ymm4, [{w} + 128]", "vmovdqu ymm5, [{w} + 160]", "vmovdqu ymm6, [{w} + 192]", "vmovdqu ymm7, [{w} + 224]",
            "2:", "dec {n}", "jnz 2b",
            "vmovdqu [{h}], ymm0", "vmovdqu [{h} + 32], ymm1", "vmovdqu [{h} + 64], ymm2", "vmovdqu [{h} + 96], ymm3",
            "vmovdqu [{h} + 128], ymm4", "vmovdqu [{h} + 160], ymm5", "vmovdqu [{h} + 192], ymm6", "vmovdqu [{h} + 224], ymm7",
            w = in(reg) want.as_ptr(), h = in(reg) have.as_mut_ptr(), n = inout(reg) TURNS => _,
            out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _,
            out("ymm4") _, out("ymm5") _, out("ymm6") _, out("ymm7") _,
            options(nostack),
        );
    }
}

/// The same with eight 16-byte registers, for a CPU without AVX.
fn hold_xmm(want: &[u64; 32], have: &mut [u64; 32]) {
    // SAFETY: both pointers are to 256 bytes, the offsets stay below 128, and every register used is declared.
    unsafe {
        asm!(
            "movdqu xmm0, [{w}]", "movdqu xmm1, [{w} + 16]", "movdqu xmm2, [{w} + 32]", "movdqu xmm3, [{w} + 48]",
            "movdqu xmm4, [{w} + 64]", "movdqu xmm5, [{w} + 80]", "movdqu xmm6, [{w} + 96]", "movdqu xmm7, [{w} + 112]",
            "2:", "dec {n}", "jnz 2b",
            "movdqu [{h}], xmm0", "movdqu [{h} + 16], xmm1", "movdqu [{h} + 32], xmm2", "movdqu [{h} + 48], xmm3",
            "movdqu [{h} + 64], xmm4", "movdqu [{h} + 80], xmm5", "movdqu [{h} + 96], xmm6", "movdqu [{h} + 112], xmm7",
            w = in(reg) want.as_ptr(), h = in(reg) have.as_mut_ptr(), n = inout(reg) TURNS => _,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
            options(nostack),
        );
    }
    // The upper half was not held: it counts as it was.
    have[16..].copy_from_slice(&want[16..]);
}

fn main() -> ExitCode {
    let checks: u64 = match env::args().nth(1).map(|text| text.parse()) {
        None => 100,
        Some(Ok(checks)) => checks,
        Some(Err(error)) => {
            eprintln!("xlnet-lab-fpu: CHECKS: {error}");
            return ExitCode::from(2);
        }
    };
    let avx = is_x86_feature_detected!("avx");
    // Values of this process alone, so that another's are seen for what they are.
    let mut seed = u64::from(std::process::id()).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut wrong = 0;
    for _ in 0..checks {
        let want = std::array::from_fn(|_| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        });
        let mut have = [0; 32];
        if avx {
            // SAFETY: the CPU has AVX.
            unsafe { hold_ymm(&want, &mut have) };
        } else {
            hold_xmm(&want, &mut have);
        }
        wrong += u64::from(want != have);
    }
    println!("checks={checks} wrong={wrong} avx={avx}");
    ExitCode::from(u8::from(wrong != 0))
}
