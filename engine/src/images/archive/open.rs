//! Opens an archive, wherever its bytes come from.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use cache::Store;
use cache::layer::{Compression, Limits, decompress};

use super::limits::ARCHIVE_BYTES_MAX;
use super::{Archive, ArchiveError};
use crate::images::OnProgress;

/// Where an archive comes from.
pub enum Source<'a> {
    /// A file. A regular one that is not compressed is read in place.
    File(File),
    /// Something that is read once from beginning to end.
    Stream(&'a mut dyn Read),
}

/// Enough to recognise every compression.
pub(super) const MAGIC_BYTES: usize = 6;
/// Of the progress.
const PART: &str = "reading the archive";

/// Finds the members of an archive. What cannot be read in any order is first kept in a file of the store
/// that has no name and is gone with this process.
pub(crate) fn open(
    store: &Store,
    source: Source<'_>,
    on_progress: OnProgress<'_>,
) -> Result<Archive, ArchiveError> {
    match source {
        Source::File(file) => {
            let metadata = file.metadata().map_err(|source| ArchiveError::Read { source })?;
            if metadata.is_file() && !is_compressed(&file)? {
                return Archive::new(file);
            }
            spool(store, &mut &file, on_progress)
        }
        Source::Stream(stream) => spool(store, stream, on_progress),
    }
}

fn is_compressed(file: &File) -> Result<bool, ArchiveError> {
    let mut magic = [0; MAGIC_BYTES];
    let count = file.read_at(&mut magic, 0).map_err(|source| ArchiveError::Read { source })?;
    Ok(Compression::of(&magic[..count]) != Compression::None)
}

fn spool(store: &Store, stream: &mut dyn Read, on_progress: OnProgress<'_>) -> Result<Archive, ArchiveError> {
    let broken = |source: Box<dyn std::error::Error + Send + Sync>| ArchiveError::Decompress {
        name: "the archive".to_owned(),
        source,
    };
    let mut plain = decompress(stream, &Limits::default()).map_err(|error| broken(error.into()))?;
    let mut file = tempfile::tempfile_in(store.root()).map_err(|source| ArchiveError::Spool { source })?;
    copy(&mut plain, &mut file, on_progress)?;
    Archive::new(file)
}

fn copy(from: &mut dyn Read, to: &mut File, on_progress: OnProgress<'_>) -> Result<(), ArchiveError> {
    use std::io::Write as _;
    let mut block = vec![0; 256 << 10];
    let mut count_bytes = 0;
    loop {
        let count = match from.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(ArchiveError::Read { source }),
        };
        count_bytes += count as u64;
        if count_bytes > ARCHIVE_BYTES_MAX {
            return Err(ArchiveError::TooMany { what: "bytes", max: ARCHIVE_BYTES_MAX });
        }
        to.write_all(&block[..count]).map_err(|source| ArchiveError::Spool { source })?;
        on_progress(PART, count_bytes, None);
    }
}
