//! A build context, or a Dockerfile alone, that arrives as a stream of bytes.

use std::fmt;
use std::io::{self, Cursor, Read};
use std::sync::{Arc, Mutex};

use cache::layer::Compression;

/// A tar begins with a header of this size.
const HEADER_BYTES: usize = 512;
/// Where the checksum is in a tar's header, see tar(5).
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// Bytes that can be read once.
#[derive(Clone)]
pub struct ByteStream(Arc<Mutex<dyn Read + Send>>);

impl ByteStream {
    /// What `bytes` brings.
    pub fn new(bytes: impl Read + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(bytes)))
    }
}

impl Read for ByteStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.lock().expect("no holder of the lock panics").read(buffer)
    }
}

impl fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByteStream")
    }
}

/// What a stream is, by its first bytes.
#[derive(Debug)]
pub enum StreamContent {
    /// A tar, or something compressed that should be one.
    Archive(ByteStream),
    /// Anything else: a Dockerfile.
    Text(ByteStream),
}

impl StreamContent {
    /// Looks at the first bytes; nothing of the stream is lost.
    pub fn detect(mut bytes: impl Read + Send + 'static) -> io::Result<Self> {
        let mut head = Vec::with_capacity(HEADER_BYTES);
        (&mut bytes).take(HEADER_BYTES as u64).read_to_end(&mut head)?;
        let is_archive = is_archive(&head);
        let whole = ByteStream::new(Cursor::new(head).chain(bytes));
        Ok(if is_archive { Self::Archive(whole) } else { Self::Text(whole) })
    }
}

/// Whether something begins as a tar does, or as what is compressed.
pub(crate) fn is_archive(head: &[u8]) -> bool {
    Compression::of(head) != Compression::None || is_tar_header(head)
}

fn is_tar_header(head: &[u8]) -> bool {
    let Some(block) = head.get(..HEADER_BYTES) else { return false };
    let byte = |(at, byte): (usize, &u8)| if CHECKSUM.contains(&at) { 32 } else { u32::from(*byte) };
    let sum: u32 = block.iter().enumerate().map(byte).sum();
    let is_empty = block.iter().all(|byte| *byte == 0);
    !is_empty && tar::Header::from_byte_slice(block).cksum().is_ok_and(|expected| expected == sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_known_by_their_first_bytes() {
        let mut header = tar::Header::new_gnu();
        header.set_path("a").unwrap();
        header.set_size(0);
        header.set_cksum();
        assert!(is_archive(header.as_bytes()));
        assert!(is_archive(&[0x1f, 0x8b, 8]));
        assert!(is_archive(&[0x28, 0xb5, 0x2f, 0xfd]));
        let dockerfile = format!("FROM scratch\n{}", "# \n".repeat(HEADER_BYTES));
        for text in ["", "FROM scratch\n", &dockerfile, &"\0".repeat(HEADER_BYTES)] {
            assert!(!is_archive(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn looking_at_a_stream_loses_nothing() {
        let text = "FROM scratch\n".repeat(100);
        let StreamContent::Text(mut stream) = StreamContent::detect(Cursor::new(text.clone())).unwrap()
        else {
            panic!("a Dockerfile is no archive");
        };
        let mut read = String::new();
        stream.read_to_string(&mut read).unwrap();
        assert_eq!(read, text);
    }
}
