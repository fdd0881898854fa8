//! Reads from an ELF file whether it needs a dynamic linker, see elf(5).

use std::fs;
use std::path::Path;

use crate::error::Error;

const MAGIC: &[u8] = b"\x7fELF";
const CLASS_AT: usize = 4;
const CLASS_64: u8 = 2;
const ENCODING_AT: usize = 5;
const ENCODING_LITTLE_ENDIAN: u8 = 1;

/// Offsets in `Elf64_Ehdr`.
const PROGRAM_HEADERS_AT: usize = 32;
const PROGRAM_HEADER_SIZE_AT: usize = 54;
const PROGRAM_HEADER_COUNT_AT: usize = 56;

/// The segment that names the dynamic linker.
const PT_INTERP: u32 = 3;

/// Whether the executable at `path` starts without a dynamic linker.
///
/// # Errors
///
/// When it cannot be read or is no 64-bit little-endian ELF file.
pub(crate) fn is_static(path: &Path) -> Result<bool, Error> {
    let bytes = fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    let types = segment_types(&bytes).ok_or_else(|| Error::Binary {
        path: path.to_owned(),
        problem: "not a 64-bit little-endian ELF executable".to_owned(),
    })?;
    Ok(!types.contains(&PT_INTERP))
}

fn segment_types(file: &[u8]) -> Option<Vec<u32>> {
    let known = file.starts_with(MAGIC)
        && file.get(CLASS_AT) == Some(&CLASS_64)
        && file.get(ENCODING_AT) == Some(&ENCODING_LITTLE_ENDIAN);
    if !known {
        return None;
    }
    let first = usize::try_from(u64::from_le_bytes(read(file, PROGRAM_HEADERS_AT)?)).ok()?;
    let size = usize::from(u16::from_le_bytes(read(file, PROGRAM_HEADER_SIZE_AT)?));
    let count = usize::from(u16::from_le_bytes(read(file, PROGRAM_HEADER_COUNT_AT)?));
    (0..count).map(|index| Some(u32::from_le_bytes(read(file, first.checked_add(index * size)?)?))).collect()
}

fn read<const N: usize>(file: &[u8], at: usize) -> Option<[u8; N]> {
    file.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file of a header and one program header for each of `types`.
    fn elf(types: &[u32]) -> Vec<u8> {
        const HEADER: usize = 64;
        const PROGRAM_HEADER: u16 = 56;
        let mut file = vec![0; HEADER];
        file[..4].copy_from_slice(MAGIC);
        file[CLASS_AT] = CLASS_64;
        file[ENCODING_AT] = ENCODING_LITTLE_ENDIAN;
        file[PROGRAM_HEADERS_AT] = HEADER as u8;
        file[PROGRAM_HEADER_SIZE_AT..][..2].copy_from_slice(&PROGRAM_HEADER.to_le_bytes());
        file[PROGRAM_HEADER_COUNT_AT] = types.len() as u8;
        for kind in types {
            let mut header = vec![0; usize::from(PROGRAM_HEADER)];
            header[..4].copy_from_slice(&kind.to_le_bytes());
            file.extend(header);
        }
        file
    }

    #[test]
    fn every_segment_is_seen() {
        assert_eq!(segment_types(&elf(&[6, PT_INTERP, 1])), Some(vec![6, PT_INTERP, 1]));
    }

    #[test]
    fn what_is_cut_short_or_foreign_is_refused() {
        let mut cut = elf(&[1, 2]);
        cut.truncate(64 + 56);
        assert_eq!(segment_types(&cut), None);
        assert_eq!(segment_types(b"#!/bin/sh\n"), None);
        assert_eq!(segment_types(b""), None);
    }

    #[test]
    fn this_test_is_linked_dynamically() {
        let itself = std::env::current_exe().expect("a running program has a path");
        assert!(!is_static(&itself).expect("this test is an ELF file"));
    }
}
