//! An image archive on disk: a tar with the places of its members, or a directory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use cache::layer::Compression;
use image::{BlobDigest, DiffId, Digest, Sha256};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

use super::ArchiveError;
use super::index::{Member, members, normal_name};
use super::limits::{DOCUMENT_BYTES_MAX, LINKS_MAX};
use super::open::MAGIC_BYTES;

/// Members that are read in any order.
pub(crate) struct Archive(Form);

enum Form {
    /// A tar in a file.
    Tar { file: File, members: BTreeMap<String, Member> },
    /// A directory with a file for each member. Nothing in it leads out.
    Directory(OwnedFd),
}

/// Reads the bytes of one member.
pub(crate) struct MemberReader<'a> {
    file: MemberFile<'a>,
    at: u64,
    end: u64,
}

enum MemberFile<'a> {
    OfTar(&'a File),
    Own(File),
}

impl Deref for MemberFile<'_> {
    type Target = File;

    fn deref(&self) -> &File {
        match self {
            Self::OfTar(file) => file,
            Self::Own(file) => file,
        }
    }
}

impl Archive {
    /// Finds the members of the tar in `file`.
    pub(super) fn new(file: File) -> Result<Self, ArchiveError> {
        let length = file.metadata().map_err(|source| ArchiveError::Read { source })?.len();
        let members = members(&file, length)?;
        Ok(Self(Form::Tar { file, members }))
    }

    /// An archive whose members are the files of a directory.
    pub(crate) fn directory(path: &Path) -> Result<Self, ArchiveError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, path, flags, Mode::empty());
        directory
            .map(|it| Self(Form::Directory(it)))
            .map_err(|error| ArchiveError::Read { source: error.into() })
    }

    /// Whether there is a member of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        match &self.0 {
            Form::Tar { members, .. } => members.contains_key(name),
            Form::Directory(directory) => open_beneath(directory, name).is_ok(),
        }
    }

    /// The bytes of a member, with links followed, and how many they are.
    pub(crate) fn open(&self, name: &str, named_by: &str) -> Result<MemberReader<'_>, ArchiveError> {
        let missing = || ArchiveError::Missing { name: name.to_owned(), named_by: named_by.to_owned() };
        let mut current = normal_name("", name)?;
        let (file, members) = match &self.0 {
            Form::Tar { file, members } => (file, members),
            Form::Directory(directory) => {
                let file = match open_beneath(directory, &current) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
                    opened => opened.map_err(|source| ArchiveError::Read { source })?,
                };
                let end = file.metadata().map_err(|source| ArchiveError::Read { source })?.len();
                return Ok(MemberReader { file: MemberFile::Own(file), at: 0, end });
            }
        };
        for _ in 0..=LINKS_MAX {
            match members.get(&current).ok_or_else(missing)? {
                Member::File { offset, size_bytes } => {
                    let file = MemberFile::OfTar(file);
                    return Ok(MemberReader { file, at: *offset, end: offset + size_bytes });
                }
                Member::Link { target } => current.clone_from(target),
            }
        }
        Err(ArchiveError::TooMany { what: "links from one member to the next", max: LINKS_MAX as u64 })
    }

    /// A whole document. One whose name is a digest must have that digest.
    pub(crate) fn document(&self, name: &str, named_by: &str) -> Result<Vec<u8>, ArchiveError> {
        let reader = self.open(name, named_by)?;
        if reader.size_bytes() > DOCUMENT_BYTES_MAX {
            return Err(ArchiveError::TooMany { what: "bytes in a document", max: DOCUMENT_BYTES_MAX });
        }
        let mut bytes = Vec::new();
        read_all(reader, &mut bytes)?;
        if let Some(expected) = digest_in_name(name) {
            check_digest(name, expected, BlobDigest(Digest::of(&bytes)))?;
        }
        Ok(bytes)
    }

    /// Digest and size that a layer's member must have. A tar that is not compressed can only have the diff
    /// id; of another one the name may say it, or else it is what it is.
    pub(crate) fn layer_digest(
        &self,
        name: &str,
        diff_id: DiffId,
    ) -> Result<(BlobDigest, u64), ArchiveError> {
        let mut reader = self.open(name, name)?;
        let size_bytes = reader.size_bytes();
        if let Some(expected) = digest_in_name(name) {
            return Ok((expected, size_bytes));
        }
        let mut start = [0; MAGIC_BYTES];
        let read_error = |source| ArchiveError::Read { source };
        let length = reader.peek(&mut start).map_err(read_error)?;
        if Compression::of(&start[..length]) == Compression::None {
            return Ok((BlobDigest(diff_id.0), size_bytes));
        }
        let mut hash = Sha256::new();
        io::copy(&mut reader, &mut hash).map_err(read_error)?;
        Ok((BlobDigest(hash.finish()), size_bytes))
    }

    /// Checks that a member has as many bytes as its descriptor says.
    pub(crate) fn check_size(&self, name: &str, named_by: &str, expected: u64) -> Result<(), ArchiveError> {
        let actual = self.open(name, named_by)?.size_bytes();
        if actual != expected {
            return Err(ArchiveError::WrongSize { name: name.to_owned(), expected, actual });
        }
        Ok(())
    }
}

impl MemberReader<'_> {
    /// How many bytes are left to read.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.end - self.at
    }

    /// The first bytes, without reading on.
    fn peek(&self, start: &mut [u8]) -> io::Result<usize> {
        let length = start.len().min(usize::try_from(self.size_bytes()).unwrap_or(usize::MAX));
        self.file.read_exact_at(&mut start[..length], self.at)?;
        Ok(length)
    }
}

impl Read for MemberReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size_bytes()).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        if length == 0 {
            return Ok(0);
        }
        let count = self.file.read_at(&mut buffer[..length], self.at)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        Ok(count)
    }
}

/// Opens a regular file; a pipe would never open.
fn open_beneath(directory: &OwnedFd, name: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat2(directory, name, flags, Mode::empty(), ResolveFlags::BENEATH)?);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{name}` is not a regular file"))),
    }
}

fn read_all(mut reader: MemberReader<'_>, bytes: &mut Vec<u8>) -> Result<(), ArchiveError> {
    reader.read_to_end(bytes).map_err(|source| ArchiveError::Read { source })?;
    Ok(())
}

/// Checks a digest against the one that was promised.
fn check_digest(name: &str, expected: BlobDigest, actual: BlobDigest) -> Result<(), ArchiveError> {
    if actual != expected {
        return Err(ArchiveError::WrongDigest { name: name.to_owned(), expected, actual });
    }
    Ok(())
}

/// `blobs/sha256/HEX` of OCI layouts and `HEX.json` of older Docker archives.
fn digest_in_name(name: &str) -> Option<BlobDigest> {
    let hex = match name.strip_prefix("blobs/sha256/") {
        Some(hex) => hex,
        None => name.strip_suffix(".json")?,
    };
    Digest::from_hex(hex).ok().map(BlobDigest)
}
