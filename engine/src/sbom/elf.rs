//! Finds a section of a program, see elf(5). Reads the headers and that section, not the file.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// Of the table of sections; a program has some dozens of 64 bytes.
const TABLE_BYTES_MAX: u64 = 4 << 20;
/// Of the names of all sections.
const NAMES_BYTES_MAX: u64 = 1 << 20;
/// Of a section that says what is in a program.
const SECTION_BYTES_MAX: u64 = 16 << 20;
const HEADER_BYTES: usize = 64;
const MAGIC: &[u8] = b"\x7fELF";
/// Occupies no bytes of the file, see elf(5).
const SHT_NOBITS: u64 = 8;

/// Bytes that are read at places.
pub(super) trait ReadAt {
    /// Some bytes, all of them or nothing.
    fn bytes(&self, offset: u64, length: u64) -> Option<Vec<u8>>;
}

impl ReadAt for File {
    fn bytes(&self, offset: u64, length: u64) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        self.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes)
    }
}

impl ReadAt for &[u8] {
    fn bytes(&self, offset: u64, length: u64) -> Option<Vec<u8>> {
        let (start, end) =
            (usize::try_from(offset).ok()?, usize::try_from(offset.checked_add(length)?).ok()?);
        Some(self.get(start..end)?.to_vec())
    }
}

/// How the numbers of a program are written.
#[derive(Clone, Copy)]
struct Layout {
    is_64: bool,
    is_big: bool,
}

impl Layout {
    fn number(self, bytes: &[u8], at: usize, length: usize) -> Option<u64> {
        let bytes = bytes.get(at..at.checked_add(length)?)?;
        let digits = |number: u64, byte: &u8| (number << 8) | u64::from(*byte);
        Some(if self.is_big { bytes.iter().fold(0, digits) } else { bytes.iter().rev().fold(0, digits) })
    }

    /// A number at one place in programs of 32 bits, at another one in those of 64.
    fn word(self, bytes: &[u8], narrow: usize, wide: usize) -> Option<u64> {
        if self.is_64 { self.number(bytes, wide, 8) } else { self.number(bytes, narrow, 4) }
    }
}

/// A section as the table describes it.
struct Section {
    name: u64,
    kind: u64,
    offset: u64,
    size: u64,
}

/// The bytes of the section with this name. None when there is none, or this is no program.
pub(super) fn section(file: &impl ReadAt, name: &str) -> Option<Vec<u8>> {
    let header = file.bytes(0, HEADER_BYTES as u64).filter(|header| header.starts_with(MAGIC))?;
    let layout = Layout { is_64: header[4] == 2, is_big: header[5] == 2 };
    let sections = sections(file, layout, &header)?;
    let half = |narrow, wide| layout.number(&header, if layout.is_64 { wide } else { narrow }, 2);
    let names = sections.get(usize::try_from(half(50, 62)?).ok()?)?;
    let names = file.bytes(names.offset, names.size.min(NAMES_BYTES_MAX))?;
    let is_named = |section: &&Section| {
        let rest = usize::try_from(section.name).ok().and_then(|start| names.get(start..));
        rest.is_some_and(|rest| {
            rest.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
        })
    };
    let found = sections.iter().find(is_named)?;
    (found.kind != SHT_NOBITS && found.size <= SECTION_BYTES_MAX).then_some(())?;
    file.bytes(found.offset, found.size)
}

fn sections(file: &impl ReadAt, layout: Layout, header: &[u8]) -> Option<Vec<Section>> {
    let half = |narrow, wide| layout.number(header, if layout.is_64 { wide } else { narrow }, 2);
    let (offset, size, count) = (layout.word(header, 32, 40)?, half(46, 58)?, half(48, 60)?);
    let table_bytes = size.checked_mul(count).filter(|bytes| *bytes <= TABLE_BYTES_MAX && size > 0)?;
    let table = file.bytes(offset, table_bytes)?;
    let section = |entry: &[u8]| {
        Some(Section {
            name: layout.number(entry, 0, 4)?,
            kind: layout.number(entry, 4, 4)?,
            offset: layout.word(entry, 16, 24)?,
            size: layout.word(entry, 20, 32)?,
        })
    };
    table.chunks(usize::try_from(size).ok()?).map(section).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_of_our_own_program() {
        let file = File::open("/proc/self/exe").unwrap();
        assert!(section(&file, ".comment").unwrap().windows(5).any(|it| it == b"rustc"));
        assert_eq!(section(&file, ".no-such"), None);
        assert_eq!(section(&&b"\x7fELF"[..], ".comment"), None);
        assert_eq!(section(&&[0xff_u8; 4096][..], ".comment"), None);
    }
}
