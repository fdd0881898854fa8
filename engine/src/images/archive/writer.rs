//! Writes the tar of an image archive: the same members give the same bytes.

use std::fs;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use image::{Digest, Sha256};

use crate::images::ImageError;
use crate::images::destination::write_file;

/// What a ustar header can say about a size: eleven octal digits.
const USTAR_SIZE_MAX: u64 = (1 << 33) - 1;
const BLOCK_BYTES: u64 = 512;
/// Where a layout has its blobs.
const BLOBS: &str = "blobs/sha256/";
const HASH_BYTES: usize = 256 << 10;

/// Takes the members of an image archive.
pub(crate) trait BundleWriter {
    /// Adds a directory; its name ends with a slash.
    fn directory(&mut self, name: &str) -> io::Result<()>;

    /// Adds a file of bytes in memory.
    fn bytes(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Adds a file whose bytes another function writes.
    ///
    /// # Errors
    ///
    /// Those of `write`, and [`ImageError::WriteStream`], also when it wrote another number of bytes than
    /// announced: the archive is then unusable.
    fn file(
        &mut self,
        name: &str,
        size_bytes: u64,
        write: &mut dyn FnMut(&mut dyn Write) -> Result<(), ImageError>,
    ) -> Result<(), ImageError>;

    /// Ends the archive.
    fn finish(&mut self) -> io::Result<()>;
}

/// A tar without times and owners.
pub(crate) struct ArchiveWriter<'a> {
    to: &'a mut dyn Write,
    written_bytes: u64,
}

impl<'a> ArchiveWriter<'a> {
    /// Starts an archive.
    pub(crate) fn new(to: &'a mut dyn Write) -> Self {
        Self { to, written_bytes: 0 }
    }

    fn header(&mut self, name: &str, kind: tar::EntryType, mode: u32, size_bytes: u64) -> io::Result<()> {
        // Only a GNU header can hold a larger size without an extended header.
        let mut header = match size_bytes > USTAR_SIZE_MAX {
            true => tar::Header::new_gnu(),
            false => tar::Header::new_ustar(),
        };
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(size_bytes);
        header.set_path(name)?;
        header.set_cksum();
        self.to.write_all(header.as_bytes())?;
        self.written_bytes += BLOCK_BYTES;
        Ok(())
    }

    fn pad(&mut self) -> io::Result<()> {
        let padding = self.written_bytes.next_multiple_of(BLOCK_BYTES) - self.written_bytes;
        io::copy(&mut io::repeat(0).take(padding), self.to)?;
        self.written_bytes += padding;
        Ok(())
    }
}

impl BundleWriter for ArchiveWriter<'_> {
    fn directory(&mut self, name: &str) -> io::Result<()> {
        self.header(name, tar::EntryType::Directory, 0o755, 0)
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.header(name, tar::EntryType::Regular, 0o644, bytes.len() as u64)?;
        self.to.write_all(bytes)?;
        self.written_bytes += bytes.len() as u64;
        self.pad()
    }

    fn file(
        &mut self,
        name: &str,
        size_bytes: u64,
        write: &mut dyn FnMut(&mut dyn Write) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        let failed = |source| ImageError::WriteStream { source };
        self.header(name, tar::EntryType::Regular, 0o644, size_bytes).map_err(failed)?;
        let mut counted = Counted { to: self.to, count_bytes: 0 };
        write(&mut counted)?;
        if counted.count_bytes != size_bytes {
            let text = format!("`{name}` has {} bytes, expected {size_bytes}", counted.count_bytes);
            return Err(failed(io::Error::new(io::ErrorKind::InvalidData, text)));
        }
        self.written_bytes += size_bytes;
        self.pad().map_err(failed)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.to.write_all(&[0; 2 * BLOCK_BYTES as usize])?;
        self.to.flush()
    }
}

/// A directory with the members as files.
pub(crate) struct DirectoryWriter(PathBuf);

impl DirectoryWriter {
    /// Begins in a directory, which is made when it is missing; what is in it already stays, unless a member takes its place.
    pub(crate) fn new(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        Ok(Self(root.to_owned()))
    }
}

impl BundleWriter for DirectoryWriter {
    fn directory(&mut self, name: &str) -> io::Result<()> {
        fs::create_dir_all(self.0.join(name))
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let to = self.0.join(name);
        // A blob that is there is the same.
        if is_blob(name, &to, bytes.len() as u64) {
            return Ok(());
        }
        write_file(&to, |file| file.write_all(bytes).map_err(|source| ImageError::WriteStream { source }))
            .map_err(io::Error::other)
    }

    fn file(
        &mut self,
        name: &str,
        size_bytes: u64,
        write: &mut dyn FnMut(&mut dyn Write) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        if is_blob(name, &self.0.join(name), size_bytes) {
            return Ok(());
        }
        write_file(&self.0.join(name), write)
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a file is the blob that its name promises. One that cannot be read is written again.
fn is_blob(name: &str, path: &Path, size_bytes: u64) -> bool {
    let expected = name.strip_prefix(BLOBS).and_then(|hex| Digest::from_hex(hex).ok());
    let Some(expected) = expected else { return false };
    let Ok(mut file) = fs::File::open(path) else { return false };
    if file.metadata().map_or(true, |metadata| metadata.len() != size_bytes) {
        return false;
    }
    let mut hash = Sha256::new();
    let mut block = vec![0; HASH_BYTES];
    loop {
        match file.read(&mut block) {
            Ok(0) => return hash.finish() == expected,
            Ok(count) => hash.update(&block[..count]),
            Err(_) => return false,
        }
    }
}

struct Counted<'a> {
    to: &'a mut dyn Write,
    count_bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.count_bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
