//! Any bytes as a layer's tar: refused, or unpacked inside its directory and nowhere else; and what was
//! unpacked is written and unpacked again to the same bytes.
//!
//! Run it as root with `TMPDIR` in memory: `TMPDIR=/dev/shm cargo +nightly fuzz run layer_apply`.

#![no_main]

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use cache::layer::{self, ApplyError, Limits};
use libfuzzer_sys::fuzz_target;

const BLOCK_BYTES: usize = 512;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const MAGIC: std::ops::Range<usize> = 257..262;

/// Small, so that a lucky number does not fill the memory.
fn limits() -> Limits {
    Limits { entries_max: 200, file_bytes_total_max: 1 << 20, ..Limits::default() }
}

/// Gives every block that looks like a header the right checksum: guessing those would take the fuzzer for
/// ever.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut tar = bytes.to_vec();
    for block in tar.chunks_exact_mut(BLOCK_BYTES).filter(|block| &block[MAGIC] == b"ustar") {
        block[CHECKSUM].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    tar
}

fn apply(tar: &[u8], into: &Path) -> Result<(), ApplyError> {
    fs::create_dir(into).expect("a new directory");
    let directory = fs::File::open(into).expect("it was just made");
    layer::apply(&mut &*tar, directory.as_fd(), &limits()).map(drop)
}

fn write(layer: &Path) -> Vec<u8> {
    let directory = fs::File::open(layer).expect("the layer exists");
    let mut tar = Vec::new();
    layer::write_tar(directory.as_fd(), &mut tar, None).expect("what we unpacked can be written");
    tar
}

fuzz_target!(|bytes: &[u8]| {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (first, second) = (scratch.path().join("first"), scratch.path().join("second"));
    let outcome = apply(&with_checksums(bytes), &first);
    assert_eq!(fs::read_dir(scratch.path()).expect("still there").count(), 1, "nothing beside the layer");
    if outcome.is_ok() {
        let tar = write(&first);
        apply(&tar, &second).expect("our own tar");
        assert!(write(&second) == tar, "written and unpacked, the layer is the same");
    }
});
