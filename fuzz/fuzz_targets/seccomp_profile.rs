//! Seccomp profiles of users: never a panic, and no program that the kernel would not take.
#![no_main]

use executor::{Capabilities, compile_profile};
use libfuzzer_sys::fuzz_target;

/// `BPF_MAXINSNS` of the kernel.
const INSTRUCTIONS_MAX: usize = 4096;

fuzz_target!(|text: &str| {
    if let Ok(program) = compile_profile(text, Capabilities::default()) {
        assert!((1..=INSTRUCTIONS_MAX).contains(&program.len()));
    }
});
