//! Files that compress to about half, as programs and libraries do.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::error::Error;
use crate::random::Random;

const LAYERS: usize = 32;
const FILES_IN_LAYER: usize = 32;
const FILE_BYTES: usize = 1_000_000;
const FILES_IN_LARGE_LAYER: usize = 500;

/// A context whose Dockerfile makes 32 layers of 32 MB.
pub(super) fn many_layers(context: &Path) -> Result<(), Error> {
    let mut text = "FROM scratch\n".to_owned();
    for layer in 0..LAYERS {
        files(&context.join(format!("layer{layer}")), FILES_IN_LAYER, layer as u64)?;
        writeln!(text, "COPY layer{layer} /layer{layer}").expect("writing to a string cannot fail");
    }
    write(&context.join("Dockerfile"), text.as_bytes())
}

/// A context whose Dockerfile makes one layer of 500 MB, another one in every round.
pub(super) fn one_layer(context: &Path, round: u64) -> Result<(), Error> {
    files(&context.join("files"), FILES_IN_LARGE_LAYER, 1000 + round)?;
    write(&context.join("Dockerfile"), b"FROM scratch\nCOPY files /files\n")
}

fn files(directory: &Path, count: usize, seed: u64) -> Result<(), Error> {
    fs::create_dir_all(directory).map_err(Error::at(directory))?;
    let mut random = Random::from_seed(seed);
    for file in 0..count {
        // Hexadecimal digits: four bits in eight.
        let digits = random.bytes(FILE_BYTES / 2).into_iter();
        let text: Vec<u8> =
            digits.flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| b'a' + digit).collect();
        write(&directory.join(format!("file{file}")), &text)?;
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).map_err(Error::at(path))
}
