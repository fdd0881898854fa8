//! How two files differ.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead};

use cache::Layer;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::entry::Entry;
use crate::images::ImageError;

/// Bytes around the place where contents begin to differ that are shown.
const EXCERPT_BYTES: usize = 40;

/// How a file of one image differs from that of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// The second image has none.
    OnlyInFirst,
    /// The first image has none.
    OnlyInSecond,
    /// Something beside its bytes.
    Attribute {
        /// What: `mode`.
        name: &'static str,
        /// In the first.
        first: String,
        /// In the second.
        second: String,
    },
    /// Its bytes.
    Bytes {
        /// Where they begin to differ.
        offset: u64,
        /// What the first has there.
        first: Vec<u8>,
        /// What the second has there.
        second: Vec<u8>,
        /// How many bytes both have.
        sizes: (u64, u64),
    },
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnlyInFirst => f.write_str("is only in the first"),
            Self::OnlyInSecond => f.write_str("is only in the second"),
            Self::Attribute { name, first, second } => {
                write!(f, "has another {name}: {first}, then {second}")
            }
            Self::Bytes { offset, first, second, sizes: (one, other) } => {
                let sizes =
                    if one == other { format!("{one} bytes") } else { format!("{one}, then {other} bytes") };
                let (first, second) = (first.escape_ascii(), second.escape_ascii());
                write!(f, "has other bytes ({sizes}), from offset {offset} on: `{first}`, then `{second}`")
            }
        }
    }
}

/// Where the contents of a file begin to differ.
pub(super) fn bytes(a: &Entry, b: &Entry, layers: (&Layer, &Layer)) -> Result<How, ImageError> {
    let failed = |source| ImageError::Read { path: a.shown().into(), source };
    let first = io::BufReader::new(open(layers.0, &a.path)?);
    let second = io::BufReader::new(open(layers.1, &b.path)?);
    let (offset, first, second) = compare(first, second).map_err(failed)?;
    Ok(How::Bytes { offset, first, second, sizes: (a.size_bytes, b.size_bytes) })
}

fn open(layer: &Layer, path: &[u8]) -> Result<File, ImageError> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = openat2(layer.open()?, path, flags, Mode::empty(), beneath);
    let shown = || String::from_utf8_lossy(path).into_owned().into();
    Ok(File::from(file.map_err(|error| ImageError::Read { path: shown(), source: error.into() })?))
}

/// The first place with another byte, and what follows there.
fn compare(first: impl BufRead, second: impl BufRead) -> io::Result<(u64, Vec<u8>, Vec<u8>)> {
    let (mut first, mut second) = (first.bytes(), second.bytes());
    let mut offset = 0;
    loop {
        let (one, other) = (first.next().transpose()?, second.next().transpose()?);
        if one != other || one.is_none() {
            let rest = |byte: Option<u8>, rest: &mut dyn Iterator<Item = io::Result<u8>>| {
                byte.map(Ok).into_iter().chain(rest).take(EXCERPT_BYTES).collect::<io::Result<Vec<u8>>>()
            };
            return Ok((offset, rest(one, &mut first)?, rest(other, &mut second)?));
        }
        offset += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_shown_with_what_is_there() {
        let shown = |first: &[u8], second: &[u8]| {
            let (offset, one, other) = compare(first, second).unwrap();
            let sizes = (first.len() as u64, second.len() as u64);
            How::Bytes { offset, first: one, second: other, sizes }.to_string()
        };
        insta::assert_snapshot!(shown(b"id 1\n", b"id 2\n"), @r"has other bytes (5 bytes), from offset 3 on: `1\n`, then `2\n`");
        insta::assert_snapshot!(shown(b"a", b"ab"), @"has other bytes (1, then 2 bytes), from offset 1 on: ``, then `b`");
    }
}
