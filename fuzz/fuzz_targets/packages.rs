//! Whatever an image has where packages are listed: the first byte says as which file it is read.

#![no_main]

use engine::sbom::{Ecosystem, read};
use libfuzzer_sys::fuzz_target;

const ECOSYSTEMS: [Ecosystem; 6] = [
    Ecosystem::Debian,
    Ecosystem::Alpine,
    Ecosystem::Python,
    Ecosystem::Node,
    Ecosystem::Go,
    Ecosystem::Rust,
];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let ecosystem = ECOSYSTEMS[usize::from(*first) % ECOSYSTEMS.len()];
    for package in read(ecosystem, rest) {
        assert!(!package.name.is_empty() && !package.version.is_empty());
    }
});
