//! Files that appear whole or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};
use rustix::io::Errno;

use super::ImageError;

const BUFFER_BYTES: usize = 1 << 20;
/// Of a new file, before the umask.
const FILE_MODE: u32 = 0o666;
/// Other processes with our number, in other namespaces, that write to the same directory at this moment.
const LINK_ATTEMPTS_MAX: usize = 16;

/// Writes a file: under another name in the same directory first, and when it is complete and durable it
/// takes the place of what was there. Something there that is no regular file (a pipe, `/dev/null`) is
/// written to directly.
///
/// # Errors
///
/// Those of `write`, and [`ImageError::Write`]. The old file is untouched then, and nothing new is there.
pub(crate) fn write_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    let failed = |source| ImageError::Write { path: path.to_owned(), source };
    // A symbolic link stays one: its target is replaced.
    let target = match fs::canonicalize(path) {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(failed(error)),
    };
    match fs::metadata(&target) {
        Ok(metadata) if metadata.is_dir() => Err(failed(io::ErrorKind::IsADirectory.into())),
        Ok(metadata) if !metadata.is_file() => {
            let file = File::options().write(true).open(&target).map_err(failed)?;
            write_buffered(&file, path, write)
        }
        _ => replace(&target, path, write),
    }
}

fn replace(
    target: &Path,
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    let failed = |source| ImageError::Write { path: path.to_owned(), source };
    let directory = directory_of(target);
    let name = target.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    let staged = Staged::new(&directory, name).map_err(failed)?;
    write_buffered(staged.file(), path, write)?;
    staged.file().sync_all().map_err(failed)?;
    staged.publish(&directory, target, name).map_err(failed)?;
    File::open(&directory).and_then(|directory| directory.sync_all()).map_err(failed)
}

/// A file that is not complete yet.
enum Staged {
    /// Without a name: gone with this process, whatever kills it.
    Nameless(File),
    /// On file systems that only have files with names.
    Named(tempfile::NamedTempFile),
}

impl Staged {
    fn new(directory: &Path, name: &OsStr) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        match open(directory, flags, Mode::from_raw_mode(FILE_MODE)) {
            Ok(file) => Ok(Self::Nameless(file.into())),
            // The ways in which kernels and file systems say that they do not know the flag, see open(2).
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                let mut builder = tempfile::Builder::new();
                builder.permissions(Permissions::from_mode(FILE_MODE));
                Ok(Self::Named(builder.prefix(&staged_name(name, "")).tempfile_in(directory)?))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn file(&self) -> &File {
        match self {
            Self::Nameless(file) => file,
            Self::Named(file) => file.as_file(),
        }
    }

    /// Puts the file in the place of `target`.
    fn publish(self, directory: &Path, target: &Path, name: &OsStr) -> io::Result<()> {
        let file = match self {
            Self::Nameless(file) => file,
            Self::Named(file) => {
                file.persist(target)?;
                return Ok(());
            }
        };
        // A link cannot replace a file, a rename can.
        let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
        let link = |attempt: usize| {
            let staged = directory.join(staged_name(name, &format!("{}-{attempt}", std::process::id())));
            linkat(CWD, &descriptor, CWD, &staged, AtFlags::SYMLINK_FOLLOW).map(|()| staged)
        };
        let mut linked = link(0);
        for attempt in 1..LINK_ATTEMPTS_MAX {
            if !matches!(linked, Err(Errno::EXIST)) {
                break;
            }
            linked = link(attempt);
        }
        let staged = linked?;
        fs::rename(&staged, target).inspect_err(|_| {
            // Best effort: the error that matters is the first one.
            let _ = fs::remove_file(&staged);
        })
    }
}

fn staged_name(name: &OsStr, suffix: &str) -> OsString {
    let mut staged = OsString::from(".");
    staged.push(name);
    staged.push(".");
    staged.push(suffix);
    staged
}

fn directory_of(target: &Path) -> PathBuf {
    match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn write_buffered(
    file: &File,
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    let failed = |source| ImageError::Write { path: path.to_owned(), source };
    let mut to = BufWriter::with_capacity(BUFFER_BYTES, file);
    write(&mut to).map_err(|error| match error {
        // Now it is known where the stream goes.
        ImageError::WriteStream { source } => failed(source),
        error => error,
    })?;
    to.flush().map_err(failed)
}
