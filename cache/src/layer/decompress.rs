//! Reads compressed tars, whatever they are compressed with.

use std::cell::Cell;
use std::io::{self, BufReader, Read};
use std::rc::Rc;

use super::limits::Limits;

const BUFFER_BYTES: usize = 128 << 10;
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// The low four bits are free, see RFC 8878, "Skippable Frames".
const ZSTD_SKIPPABLE_MAGIC: &[u8] = &[0x2a, 0x4d, 0x18];
const XZ_MAGIC: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const BZIP2_MAGIC: &[u8] = b"BZh";
const MAGIC_BYTES_MAX: usize = 6;

/// The compression formats that are recognised by their first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not compressed, or nothing that is known.
    None,
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// The .xz format.
    Xz,
    /// The format of bzip2(1).
    Bzip2,
}

impl Compression {
    /// Recognises a format by the first bytes of a stream; six are enough.
    pub fn of(start: &[u8]) -> Self {
        let is_bzip2 =
            start.starts_with(BZIP2_MAGIC) && start.get(3).is_some_and(|level| (b'1'..=b'9').contains(level));
        let is_skippable = start.first().is_some_and(|byte| byte & 0xf0 == 0x50)
            && start.get(1..).is_some_and(|rest| rest.starts_with(ZSTD_SKIPPABLE_MAGIC));
        if start.starts_with(GZIP_MAGIC) {
            Self::Gzip
        } else if start.starts_with(ZSTD_MAGIC) || is_skippable {
            Self::Zstd
        } else if start.starts_with(XZ_MAGIC) {
            Self::Xz
        } else if is_bzip2 {
            Self::Bzip2
        } else {
            Self::None
        }
    }
}

/// Decompresses what `reader` brings, or passes it on when it is not compressed.
///
/// The reader that comes back fails once more comes out than `limits` allow: in all, or for what went in.
///
/// # Errors
///
/// What reading the first bytes gives.
pub fn decompress<'a>(reader: impl Read + 'a, limits: &Limits) -> io::Result<Box<dyn Read + 'a>> {
    let read_bytes = Rc::new(Cell::new(0));
    let counted = Counted { reader, read_bytes: Rc::clone(&read_bytes) };
    let mut buffered = BufReader::with_capacity(BUFFER_BYTES, counted);
    let mut start = Vec::with_capacity(MAGIC_BYTES_MAX);
    (&mut buffered).take(MAGIC_BYTES_MAX as u64).read_to_end(&mut start)?;
    let compression = Compression::of(&start);
    let whole = BufReader::with_capacity(BUFFER_BYTES, io::Cursor::new(start).chain(buffered));
    let decoder: Box<dyn Read + 'a> = match compression {
        Compression::None => Box::new(whole),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(whole)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(whole)?;
            decoder.window_log_max(limits.zstd_window_log_max)?;
            Box::new(decoder)
        }
        Compression::Xz => {
            Box::new(lzma_rust2::XzReader::new_mem_limit(whole, true, limits.xz_memory_kib_max))
        }
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(whole)),
    };
    Ok(Box::new(Bounded { decoder, read_bytes, written_bytes: 0, limits: *limits }))
}

/// Counts what is read through it.
struct Counted<R> {
    reader: R,
    read_bytes: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.read_bytes.set(self.read_bytes.get() + count as u64);
        Ok(count)
    }
}

/// Stops a bomb.
struct Bounded<'a> {
    decoder: Box<dyn Read + 'a>,
    read_bytes: Rc<Cell<u64>>,
    written_bytes: u64,
    limits: Limits,
}

/// Why a stream was cut off. Found as the inner error of the [`io::Error`] that the reader gives.
#[derive(Debug, thiserror::Error)]
pub enum BombError {
    /// More came out than anything may have.
    #[error("decompression gives more than {max} bytes")]
    Total {
        /// The limit.
        max: u64,
    },
    /// More came out than real data would give for what went in.
    #[error("decompression gives more than {max} bytes for each one, {written} so far")]
    Ratio {
        /// The limit.
        max: u64,
        /// Bytes that came out.
        written: u64,
    },
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.decoder.read(buffer)?;
        self.written_bytes += count as u64;
        let Limits { decompressed_bytes_max, ratio_max, ratio_free_bytes, .. } = self.limits;
        if self.written_bytes > decompressed_bytes_max {
            return Err(io::Error::other(BombError::Total { max: decompressed_bytes_max }));
        }
        let allowed = self.read_bytes.get().saturating_mul(ratio_max);
        if self.written_bytes > ratio_free_bytes && self.written_bytes > allowed {
            let error = BombError::Ratio { max: ratio_max, written: self.written_bytes };
            return Err(io::Error::other(error));
        }
        Ok(count)
    }
}
