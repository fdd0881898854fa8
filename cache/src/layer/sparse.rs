//! Sparse files in tars: the extents that are stored, and where they belong.

use super::number::{parse_decimal, parse_field};

/// `length` stored bytes that belong at `offset` of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// Whether `extents` are in order, do not overlap, end within `size` and hold exactly `stored` bytes.
pub(crate) fn is_valid(extents: &[Extent], size: u64, stored: u64) -> bool {
    let mut end = 0u64;
    let mut total = 0u64;
    for extent in extents {
        let Some(next) = extent.offset.checked_add(extent.length) else { return false };
        if extent.offset < end || next > size {
            return false;
        }
        end = next;
        total += extent.length;
    }
    total == stored
}

/// Reads `slots` of an old GNU header or its extension. `None` when a number is malformed.
pub(crate) fn parse_gnu(slots: &[tar::GnuSparseHeader], into: &mut Vec<Extent>) -> Option<()> {
    for slot in slots {
        // The first empty slot ends the list.
        if slot.offset[0] == 0 || slot.numbytes[0] == 0 {
            break;
        }
        let offset = u64::try_from(parse_field(&slot.offset)?).ok()?;
        let length = u64::try_from(parse_field(&slot.numbytes)?).ok()?;
        into.push(Extent { offset, length });
    }
    Some(())
}

/// Reads the comma-separated map of the PAX form 0.1.
pub(crate) fn parse_map(text: &[u8], extents_max: usize) -> Option<Vec<Extent>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let mut numbers = text.split(|byte| *byte == b',').map(parse_decimal);
    let mut extents = Vec::new();
    while let Some(offset) = numbers.next() {
        let length = numbers.next()??;
        extents.push(Extent { offset: offset?, length });
        if extents.len() > extents_max {
            return None;
        }
    }
    Some(extents)
}

/// The map of the PAX form 1.0, which stands in front of the data: lines of decimal numbers, the count
/// first, padded to whole blocks.
#[derive(Default)]
pub(crate) struct MapReader {
    numbers: Vec<u64>,
    count: Option<usize>,
    digits: Vec<u8>,
}

/// 2^64 has twenty digits.
const DIGITS_MAX: usize = 20;

impl MapReader {
    /// Takes the next block. `Some(true)` when the map is complete, `None` when it is malformed.
    pub(crate) fn take(&mut self, block: &[u8], extents_max: usize) -> Option<bool> {
        for byte in block {
            if self.is_complete() {
                break;
            }
            match byte {
                b'\n' => self.end_line(extents_max)?,
                _ if self.digits.len() < DIGITS_MAX => self.digits.push(*byte),
                _ => return None,
            }
        }
        Some(self.is_complete())
    }

    fn end_line(&mut self, extents_max: usize) -> Option<()> {
        let number = parse_decimal(&self.digits)?;
        self.digits.clear();
        if self.count.is_some() {
            self.numbers.push(number);
            return Some(());
        }
        let count = usize::try_from(number).ok().filter(|count| *count <= extents_max)?;
        self.count = Some(count);
        Some(())
    }

    fn is_complete(&self) -> bool {
        self.count.is_some_and(|count| self.numbers.len() == 2 * count)
    }

    pub(crate) fn finish(self) -> Vec<Extent> {
        self.numbers.chunks_exact(2).map(|pair| Extent { offset: pair[0], length: pair[1] }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extents(pairs: &[(u64, u64)]) -> Vec<Extent> {
        pairs.iter().map(|(offset, length)| Extent { offset: *offset, length: *length }).collect()
    }

    #[test]
    fn validity() {
        assert!(is_valid(&extents(&[(0, 512), (1024, 512), (4096, 0)]), 4096, 1024));
        assert!(!is_valid(&extents(&[(0, 512), (511, 512)]), 4096, 1024), "overlap");
        assert!(!is_valid(&extents(&[(4000, 512)]), 4096, 512), "beyond the end");
        assert!(!is_valid(&extents(&[(u64::MAX, 2)]), u64::MAX, 2), "wraps");
        assert!(!is_valid(&extents(&[(0, 512)]), 4096, 1024), "stored bytes left over");
    }

    #[test]
    fn maps() {
        assert_eq!(parse_map(b"0,512,1024,1", 9), Some(extents(&[(0, 512), (1024, 1)])));
        assert_eq!(parse_map(b"0,512,1024", 9), None);
        assert_eq!(parse_map(b"0,512,1024,x", 9), None);
        let mut reader = MapReader::default();
        assert_eq!(reader.take(b"2\n0\n512\n10", 9), Some(false));
        assert_eq!(reader.take(b"24\n1\n\0\0\0", 9), Some(true));
        assert_eq!(reader.finish(), extents(&[(0, 512), (1024, 1)]));
        assert_eq!(MapReader::default().take(b"10\n", 9), None, "more extents than allowed");
        assert_eq!(MapReader::default().take(b"1\n-1\n", 9), None);
        assert_eq!(MapReader::default().take(b"1\n\0\0\0\n", 9), None);
        assert_eq!(MapReader::default().take(&[b'1'; 30], 9), None);
    }
}
