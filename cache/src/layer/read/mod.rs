//! Reads a tar entry by entry, strictly: what two readers could understand in two ways is refused.
//!
//! Formats: v7, ustar, PAX and GNU, as tar(5) describes them. The `tar` crate knows where the fields of a
//! header lie; the order of headers, the numbers and the limits are decided here, because these are what
//! hostile archives play with.

mod entry;
mod extended;
mod sparse_file;

use std::io::{self, Read};

use extended::Extended;
pub(crate) use extended::XATTR_KEY_PREFIX;

use super::attributes::Attributes;
use super::limits::Limits;
use super::number::{octal_max, parse_field};
use super::sparse::Extent;

pub(crate) const BLOCK_BYTES: usize = 512;
const BUFFER_BYTES: usize = 256 << 10;
/// Eleven octal digits: what a ustar header can say about a size.
pub(crate) const HEADER_SIZE_MAX: u64 = octal_max(11);

/// Why a tar cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The stream under the tar broke.
    #[error("cannot read the tar stream")]
    Read {
        /// What the reader said.
        #[source]
        source: io::Error,
    },
    /// The stream ends inside an entry or a header.
    #[error("the tar ends in the middle of an entry")]
    Truncated,
    /// A header block whose checksum is wrong or whose numbers are not numbers.
    #[error("tar header {number} is malformed: {what}")]
    Header {
        /// Which entry, counted from 1.
        number: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The sizes in the PAX and the ustar header of one entry differ.
    #[error("tar entry `{path}` has two sizes: {header} in its header, {extended} in its extended header")]
    TwoSizes {
        /// The entry.
        path: String,
        /// Bytes according to the header.
        header: u64,
        /// Bytes according to the extended header.
        extended: u64,
    },
    /// An entry type that no layer has.
    #[error("tar entry `{path}` has the unknown type {kind:?}")]
    UnknownType {
        /// The entry.
        path: String,
        /// The type flag.
        kind: char,
    },
    /// A sparse file whose map makes no sense.
    #[error("tar entry `{path}` has an invalid map of a sparse file")]
    Sparse {
        /// The entry.
        path: String,
    },
    /// More of something than the limits allow.
    #[error("the tar has more than {max} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        max: u64,
    },
}

/// What an entry makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File,
    HardLink,
    Symlink,
    Directory,
    Fifo,
    Character { major: u32, minor: u32 },
    Block { major: u32, minor: u32 },
}

/// One entry, without its bytes.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    /// Target of a hard link or symlink.
    pub(crate) link: Vec<u8>,
    pub(crate) kind: EntryKind,
    pub(crate) attributes: Attributes,
    /// Size of the file once written.
    pub(crate) size: u64,
    /// For a sparse file, where the stored bytes belong.
    pub(crate) extents: Option<Vec<Extent>>,
}

impl Entry {
    pub(crate) fn path_text(&self) -> String {
        text(&self.path)
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Reads entries one after another; the bytes of the current one come from [`TarReader::read_body`].
pub(crate) struct TarReader<'a> {
    stream: io::BufReader<&'a mut dyn Read>,
    limits: &'a Limits,
    entries: u64,
    file_bytes: u64,
    /// Stored bytes of the current entry that were not read yet.
    body_left: u64,
    padding: usize,
}

impl<'a> TarReader<'a> {
    pub(crate) fn new(stream: &'a mut dyn Read, limits: &'a Limits) -> Self {
        Self {
            stream: io::BufReader::with_capacity(BUFFER_BYTES, stream),
            limits,
            entries: 0,
            file_bytes: 0,
            body_left: 0,
            padding: 0,
        }
    }

    /// The next entry, or `None` at the end of the archive. Skips what is left of the current one.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, TarError> {
        self.skip_body()?;
        let mut extended = Extended::default();
        loop {
            let Some(header) = self.read_header()? else {
                return match extended.is_empty() {
                    true => Ok(None),
                    false => Err(TarError::Truncated),
                };
            };
            self.entries += 1;
            if self.entries > self.limits.entries_max {
                return Err(TarError::TooMany { what: "entries", max: self.limits.entries_max });
            }
            let size = self.unsigned(&header.as_old().size, "size")?;
            match header.as_old().linkflag[0] {
                b'x' => {
                    let records = self.read_extended(size)?;
                    self.take_pax(&records, &mut extended)?;
                }
                // A global header would change all that follows; the reference ignores it too.
                b'g' => drop(self.read_extended(size)?),
                b'L' => extended.gnu_path = Some(self.read_long_name(size)?),
                b'K' => extended.gnu_link = Some(self.read_long_name(size)?),
                _ => return self.entry(&header, size, extended).map(Some),
            }
        }
    }

    /// Reads stored bytes of the current entry; 0 at its end.
    pub(crate) fn read_body(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let wanted = buffer.len().min(usize::try_from(self.body_left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let count = retry(|| self.stream.read(&mut buffer[..wanted]))?;
        if count == 0 {
            return Err(TarError::Truncated);
        }
        self.body_left -= count as u64;
        Ok(count)
    }

    /// All stored bytes of the current entry; only for small ones.
    pub(crate) fn read_whole_body(&mut self) -> Result<Vec<u8>, TarError> {
        let mut bytes = vec![0; self.body_left as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            filled += self.read_body(&mut bytes[filled..])?;
        }
        Ok(bytes)
    }

    /// Stored bytes that [`TarReader::read_body`] has still to give.
    pub(crate) fn body_left(&self) -> u64 {
        self.body_left
    }

    /// Reads on to the end of the stream, so that whoever hashes it has seen all of it.
    pub(crate) fn drain(&mut self) -> Result<(), TarError> {
        let max = self.limits.file_bytes_total_max;
        let drained = io::copy(&mut (&mut self.stream).take(max + 1), &mut io::sink())
            .map_err(|source| TarError::Read { source })?;
        match drained > max {
            true => Err(TarError::TooMany { what: "bytes after its end", max }),
            false => Ok(()),
        }
    }

    fn skip_body(&mut self) -> Result<(), TarError> {
        let mut left = self.body_left + self.padding as u64;
        while left > 0 {
            let buffered = retry(|| self.stream.fill_buf_len())?;
            if buffered == 0 {
                return Err(TarError::Truncated);
            }
            let step = left.min(buffered as u64);
            io::BufRead::consume(&mut self.stream, step as usize);
            left -= step;
        }
        self.body_left = 0;
        self.padding = 0;
        Ok(())
    }

    /// The next block, or `None` at the end of the stream.
    fn read_block(&mut self) -> Result<Option<[u8; BLOCK_BYTES]>, TarError> {
        let mut block = [0; BLOCK_BYTES];
        let mut filled = 0;
        while filled < BLOCK_BYTES {
            match retry(|| self.stream.read(&mut block[filled..]))? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(TarError::Truncated),
                count => filled += count,
            }
        }
        Ok(Some(block))
    }

    /// The next header, or `None` at the end of the archive: two blocks of zeros, or the end of the stream.
    fn read_header(&mut self) -> Result<Option<tar::Header>, TarError> {
        let Some(block) = self.read_block()? else { return Ok(None) };
        if is_zero(&block) {
            return match self.read_block()? {
                Some(second) if !is_zero(&second) => Err(self.malformed("data after the end of the archive")),
                _ => Ok(None),
            };
        }
        let header = tar::Header::from_byte_slice(&block).clone();
        if !has_right_checksum(&block, &header.as_old().cksum) {
            return Err(TarError::Header { number: self.entries + 1, what: "wrong checksum" });
        }
        Ok(Some(header))
    }

    fn read_extended(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        let max = self.limits.extended_header_bytes_max;
        if size > max {
            return Err(TarError::TooMany { what: "bytes in an extended header", max });
        }
        self.start_body(size);
        let bytes = self.read_whole_body()?;
        self.skip_body()?;
        Ok(bytes)
    }

    fn read_long_name(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        let bytes = self.read_extended(size)?;
        let name = until_nul(&bytes);
        match name.is_empty() {
            true => Err(self.malformed("an empty long name")),
            false => Ok(name.to_vec()),
        }
    }

    fn start_body(&mut self, stored: u64) {
        self.body_left = stored;
        self.padding = (BLOCK_BYTES - (stored % BLOCK_BYTES as u64) as usize) % BLOCK_BYTES;
    }

    fn unsigned(&self, field: &[u8], what: &'static str) -> Result<u64, TarError> {
        parse_field(field).and_then(|value| u64::try_from(value).ok()).ok_or_else(|| self.malformed(what))
    }

    fn malformed(&self, what: &'static str) -> TarError {
        TarError::Header { number: self.entries, what }
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len())]
}

fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|byte| *byte == 0)
}

/// The sum of all bytes with the checksum itself as spaces; some old writers summed signed bytes.
fn has_right_checksum(block: &[u8; BLOCK_BYTES], field: &[u8; 8]) -> bool {
    let Some(expected) = parse_field(field) else { return false };
    let outside = |at: usize| !CHECKSUM_FIELD.contains(&at);
    let spaces = i64::from(b' ') * CHECKSUM_FIELD.len() as i64;
    let bytes = || block.iter().enumerate().filter(|(at, _)| outside(*at)).map(|(_, byte)| *byte);
    let unsigned: i64 = bytes().map(i64::from).sum();
    let signed: i64 = bytes().map(|byte| i64::from(byte as i8)).sum();
    expected == unsigned + spaces || expected == signed + spaces
}

const CHECKSUM_FIELD: std::ops::Range<usize> = 148..156;

trait FillBufLen {
    fn fill_buf_len(&mut self) -> io::Result<usize>;
}

impl<R: Read> FillBufLen for io::BufReader<R> {
    fn fill_buf_len(&mut self) -> io::Result<usize> {
        io::BufRead::fill_buf(self).map(<[u8]>::len)
    }
}

fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> Result<T, TarError> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map_err(|source| TarError::Read { source }),
        }
    }
}
