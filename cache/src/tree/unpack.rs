//! Unpacks local archives, as ADD does.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, OFlags, StatxFlags};

use super::TreeError;
use super::copy::Copier;
use super::select::Item;
use crate::FileStat;
use crate::layer::apply::{Applied, Form, Unpacker};
use crate::layer::descriptors::open_beneath;
use crate::layer::read::{TarReader, text};
use crate::layer::{ApplyError, CopyError, Limits, PlaceError, TarError, decompress};

/// Unpacks the source into the destination when it is a tar archive with at least one entry, compressed or
/// not. Recognised by content, as in BuildKit; whatever cannot be read as a tar is copied as it is.
pub(crate) fn try_unpack(copier: &mut Copier<'_, '_, '_, '_>, item: &Item<'_>) -> Result<bool, TreeError> {
    if item.found.stat.kind() != FileType::RegularFile {
        return Ok(false);
    }
    if copier.assembly.is_planned() {
        return Err(TreeError::Place(PlaceError::Unplanned));
    }
    let failed = |source: std::io::Error| TreeError::read(&item.path, source);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let root = copier.selection.source.root();
    let file: OwnedFd = open_beneath(root, &item.path, flags).map_err(|error| failed(error.into()))?;
    let mut file = File::from(file);
    check_unchanged(copier, item, &file)?;
    let limits = Limits::default();
    if !is_tar(&file, &limits) {
        return Ok(false);
    }
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let start = copier.directory_of_archive()?;
    let owner = copier.selection.landing.archive_owner;
    let mut unpacker = Unpacker {
        assembly: copier.assembly,
        start,
        form: Form::Archive,
        owner,
        applied: Applied::default(),
    };
    let broken = |source| TreeError::Archive { path: text(&item.path), source };
    let mut tar = decompress(&file, &limits).map_err(|source| broken(TarError::Read { source }.into()))?;
    unpacker.run(&mut *tar, &limits).map_err(|error| match error {
        ApplyError::Place(error @ PlaceError::Stopped) => TreeError::Place(error),
        error => broken(error),
    })?;
    copier.copied.files += unpacker.applied.entries;
    copier.copied.size_bytes += unpacker.applied.size_bytes;
    check_unchanged(copier, item, &file)?;
    Ok(true)
}

fn is_tar(file: &File, limits: &Limits) -> bool {
    let Ok(mut tar) = decompress(file, limits) else { return false };
    matches!(TarReader::new(&mut *tar, limits).next(), Ok(Some(_)))
}

fn check_unchanged(copier: &Copier<'_, '_, '_, '_>, item: &Item<'_>, file: &File) -> Result<(), TreeError> {
    let stat = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
        .map_err(|error| TreeError::read(&item.path, error))?;
    let is_same = FileStat::from(&stat).is_same_content(&item.found.stat);
    match copier.selection.source.is_changeable() && !is_same {
        true => Err(CopyError::Changed { path: text(&item.path) }.into()),
        false => Ok(()),
    }
}
