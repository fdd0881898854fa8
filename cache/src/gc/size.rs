//! Sizes of trees that others change meanwhile.

use std::collections::HashSet;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use crate::StoreError;
use crate::disk::Disk;

/// Bytes of all regular files at and below `name`, hard links counted once; what vanishes meanwhile does not
/// count. None when there is no such tree.
pub(super) fn tree_size(disk: &Disk, name: &str) -> Result<Option<u64>, StoreError> {
    let Some(root) = disk.open_dir(name)? else { return Ok(None) };
    sum(&root).map(Some).map_err(|error| disk.read_error(name, error))
}

fn sum(root: &OwnedFd) -> rustix::io::Result<u64> {
    let mut total = 0;
    let mut seen = HashSet::new();
    let mut pending = vec![b".".to_vec()];
    while let Some(path) = pending.pop() {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = match openat(root, &path[..], flags, Mode::empty()) {
            Ok(directory) => directory,
            // Gone, or too deep for a path: what is there is not worth an error.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => continue,
            Err(error) => return Err(error),
        };
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let stat = match statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(error),
            };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => pending.push([&path, &b"/"[..], name.to_bytes()].concat()),
                FileType::RegularFile if stat.st_nlink < 2 || seen.insert((stat.st_dev, stat.st_ino)) => {
                    total += u64::try_from(stat.st_size).unwrap_or(0);
                }
                _ => {}
            }
        }
    }
    Ok(total)
}
