//! A file elsewhere whose bytes go into a layer.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, OFlags, StatxFlags};
use rustix::io::Errno;

use super::attributes::{Xattr, is_overlay_xattr};
use super::descriptors::open_beneath;
use super::read::text;
use super::walk::read_exactly;
use super::xattr;
use crate::FileStat;

const BUFFER_BYTES: usize = 64 << 10;
/// Up to here, reading and writing is cheaper than having the kernel copy.
const BUFFERED_BYTES_MAX: u64 = 32 << 10;

/// A regular file that a layer gets a copy of.
pub(crate) struct CopySource {
    pub(crate) directory: Arc<OwnedFd>,
    pub(crate) name: Vec<u8>,
    /// The path in the source tree, for messages.
    pub(crate) path: Vec<u8>,
    /// What the file must look like, where it can change: before and after it is copied.
    pub(crate) expected: Option<FileStat>,
    /// Whether the copy has the extended attributes too.
    pub(crate) has_xattrs: bool,
    /// How many bytes it has, as far as is known.
    pub(crate) size_bytes: u64,
}

/// Why a file cannot be copied into a layer.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The path in the source tree.
        path: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The source was written to, replaced or removed meanwhile.
    #[error("`{path}` changed while it was read")]
    Changed {
        /// The path in the source tree.
        path: String,
    },
    /// The bytes cannot be written.
    #[error("cannot write the copy of `{path}`")]
    Write {
        /// The path in the source tree.
        path: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl CopySource {
    /// What one waiting copy counts in the pool: it keeps a directory open, and of those there may be few.
    pub(crate) const WEIGHT_BYTES: usize = 64 << 10;

    /// Copies the bytes to `into`, and the extended attributes when they are wanted.
    pub(crate) fn copy(&self, into: &File, xattrs: &mut Vec<Xattr>) -> Result<(), CopyError> {
        self.while_it_stays(xattrs, |file, size_bytes| self.copy_bytes(file, into, size_bytes))
    }

    /// The bytes of a small file, and the extended attributes when they are wanted.
    pub(crate) fn read(&self, xattrs: &mut Vec<Xattr>) -> Result<Vec<u8>, CopyError> {
        self.while_it_stays(xattrs, |file, size_bytes| {
            if size_bytes != self.size_bytes {
                return Err(self.changed());
            }
            let size = usize::try_from(size_bytes).map_err(|_| self.changed())?;
            let bytes = read_exactly(file, size).map_err(|error| self.unreadable(error))?;
            bytes.ok_or_else(|| self.changed())
        })
    }

    /// Opens the file, and makes sure that it is what was expected when `take` has its bytes.
    fn while_it_stays<T>(
        &self,
        xattrs: &mut Vec<Xattr>,
        take: impl FnOnce(&OwnedFd, u64) -> Result<T, CopyError>,
    ) -> Result<T, CopyError> {
        let file = self.open()?;
        let size_bytes = match self.expected {
            // Looking at it afterwards is enough: what is something else now is so then, and nothing of it is kept.
            Some(expected) => expected.size_bytes,
            None => self.look_at_file(&file)?.size_bytes,
        };
        if self.has_xattrs {
            *xattrs = xattr::of_descriptor(file.as_fd()).map_err(|error| self.unreadable(error))?;
            xattrs.retain(|(name, _)| !is_overlay_xattr(name));
        }
        let taken = take(&file, size_bytes);
        match self.expected {
            Some(expected) if !expected.is_same_content(&self.look_at_file(&file)?) => Err(self.changed()),
            _ => taken,
        }
    }

    fn look_at_file(&self, file: &OwnedFd) -> Result<FileStat, CopyError> {
        let stat = self.look_at(file)?;
        if stat.kind() == FileType::RegularFile { Ok(stat) } else { Err(self.changed()) }
    }

    fn open(&self) -> Result<OwnedFd, CopyError> {
        // Not blocking: if a fifo has taken the file's place, this must not wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        open_beneath(self.directory.as_fd(), &self.name, flags).map_err(|error| match error {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO => self.changed(),
            error => self.unreadable(error),
        })
    }

    fn look_at(&self, file: &OwnedFd) -> Result<FileStat, CopyError> {
        rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
            .map(|stat| FileStat::from(&stat))
            .map_err(|error| self.unreadable(error))
    }

    /// Copies exactly `size` bytes; a file that has another size has changed.
    fn copy_bytes(&self, from: &OwnedFd, into: &File, size: u64) -> Result<(), CopyError> {
        let mut done = 0;
        if size > BUFFERED_BYTES_MAX {
            done = self.copy_in_kernel(from, into, size)?;
        }
        if done < size || size <= BUFFERED_BYTES_MAX {
            self.copy_buffered(from, into.as_fd(), size - done)?;
        }
        Ok(())
    }

    /// Lets the kernel copy, which shares blocks on file systems that can. Returns how much it did: nothing
    /// when it cannot between these two.
    fn copy_in_kernel(&self, from: &OwnedFd, into: &File, size: u64) -> Result<u64, CopyError> {
        let mut done = 0;
        while done < size {
            let wanted = usize::try_from(size - done).unwrap_or(usize::MAX);
            match rustix::fs::copy_file_range(from, None, into, None, wanted) {
                Ok(0) => return Err(self.changed()),
                Ok(count) => done += count as u64,
                Err(Errno::INTR) => {}
                Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::PERM)
                    if done == 0 =>
                {
                    return Ok(0);
                }
                Err(source) => return Err(self.unwritable(source)),
            }
        }
        Ok(done)
    }

    fn copy_buffered(&self, from: &OwnedFd, into: BorrowedFd<'_>, size: u64) -> Result<(), CopyError> {
        let mut buffer = [0; BUFFER_BYTES];
        let mut left = size;
        while left > 0 {
            let count = match rustix::io::read(from, &mut buffer) {
                Ok(0) => return Err(self.changed()),
                Ok(count) if count as u64 > left => return Err(self.changed()),
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(self.unreadable(error)),
            };
            let mut rest = &buffer[..count];
            while !rest.is_empty() {
                match rustix::io::write(into, rest) {
                    Ok(written) => rest = &rest[written..],
                    Err(Errno::INTR) => {}
                    Err(source) => return Err(self.unwritable(source)),
                }
            }
            left -= count as u64;
        }
        Ok(())
    }

    fn changed(&self) -> CopyError {
        CopyError::Changed { path: text(&self.path) }
    }

    fn unreadable(&self, error: Errno) -> CopyError {
        CopyError::Read { path: text(&self.path), source: error.into() }
    }

    fn unwritable(&self, error: Errno) -> CopyError {
        CopyError::Write { path: text(&self.path), source: error.into() }
    }
}
