//! Open directories, kept open for the next file in them.

use std::collections::HashMap;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags};

/// Well below the 1024 descriptors that a process may have by default, also with several layers at once.
const OPEN_MAX: usize = 64;

/// Opens a directory below `root` by its path of real directories: no symlink is followed, and nothing
/// leads out.
pub(crate) fn open_directory(root: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let path = if path.is_empty() { b"." } else { path };
    open_beneath(root, path, flags)
}

/// Opens anything below `root` by a path without symlinks.
pub(crate) fn open_beneath(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    loop {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            // A rename elsewhere in the file system made the kernel give up, see openat2(2).
            Err(rustix::io::Errno::AGAIN) => {}
            result => return result,
        }
    }
}

/// The directories that were used last, by number.
#[derive(Default)]
pub(crate) struct Descriptors {
    open: HashMap<u32, Arc<OwnedFd>>,
}

impl Descriptors {
    /// The descriptor of directory `number`, which is at `path` below `root`.
    pub(crate) fn get(
        &mut self,
        number: u32,
        root: BorrowedFd<'_>,
        path: impl FnOnce() -> Vec<u8>,
    ) -> io::Result<Arc<OwnedFd>> {
        if let Some(known) = self.open.get(&number) {
            return Ok(Arc::clone(known));
        }
        let opened = Arc::new(open_directory(root, &path())?);
        if self.open.len() >= OPEN_MAX {
            // Archives and walks go directory by directory, so which ones go matters little.
            self.open.clear();
        }
        self.open.insert(number, Arc::clone(&opened));
        Ok(opened)
    }

    pub(crate) fn forget(&mut self, number: u32) {
        self.open.remove(&number);
    }
}
