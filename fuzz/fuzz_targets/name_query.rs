//! Questions of containers to their name server: never a panic, and every answer belongs to its question.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|message: &[u8]| executor::fuzz_query(message));
