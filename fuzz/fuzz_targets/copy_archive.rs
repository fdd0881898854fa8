//! Any bytes as the tar of `cp -`: refused, or unpacked inside its directory and nowhere else.
//!
//! Run it as root with `TMPDIR` in memory.

#![no_main]

use std::fs;
use std::path::Path;

use libfuzzer_sys::fuzz_target;

const BLOCK_BYTES: usize = 512;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const MAGIC: std::ops::Range<usize> = 257..262;
const KIND: usize = 156;

/// Gives every block that looks like a header the right checksum: guessing those would take the fuzzer for ever. A file
/// of holes is as large as it says, in memory too, and so is none.
fn prepared(bytes: &[u8]) -> Vec<u8> {
    let mut tar = bytes.to_vec();
    for block in tar.chunks_exact_mut(BLOCK_BYTES).filter(|block| &block[MAGIC] == b"ustar") {
        if block[KIND] == b'S' {
            block[KIND] = b'0';
        }
        block[CHECKSUM].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    tar
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("it is still there");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

fuzz_target!(|bytes: &[u8]| {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let root = scratch.path().join("root");
    fs::create_dir_all(root.join("inside")).expect("a new directory");
    // Ways out, if anybody took them.
    for (name, target) in [("up", "../.."), ("absolute", scratch.path().to_str().expect("it is text"))] {
        std::os::unix::fs::symlink(target, root.join(name)).expect("a new link");
    }
    let tar = prepared(bytes);
    engine::containers::fuzz_unpack(&root, &tar);
    // A second time, over what is there.
    engine::containers::fuzz_unpack(&root, &tar);
    assert_eq!(names(scratch.path()), ["root"], "nothing beside the root");
});
