//! The work directory of an overlay, after its use.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, unlinkat};

use crate::spec::Rootfs;

/// Where the kernel makes what it renames into the upper directory.
const INSIDE: &str = "work";

/// What a volatile mount leaves in [`INSIDE`], so that nobody mounts the upper directory again by mistake. Innermost first,
/// see the kernel's `filesystems/overlayfs`.
const VOLATILE: [(&str, AtFlags); 3] = [
    ("work/incompat/volatile/dirty", AtFlags::empty()),
    ("work/incompat/volatile", AtFlags::REMOVEDIR),
    ("work/incompat", AtFlags::REMOVEDIR),
];

/// Files that are removed at most. The kernel leaves one or two there.
const FILES_MAX: usize = 64;

/// The work directory of a sandbox, if it has one of its own.
pub(crate) struct Work(Option<OwnedFd>);

impl Work {
    /// That of this root directory, by descriptor: it may get another name meanwhile.
    pub(crate) fn of(rootfs: &Rootfs) -> Self {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rootfs {
            Rootfs::Overlay { work, volatile: true, .. } => {
                Self(rustix::fs::open(work, flags, Mode::empty()).ok())
            }
            Rootfs::Overlay { .. } | Rootfs::Directory(_) => Self(None),
        }
    }

    /// Empties it, once nothing is mounted with it any more. Best effort: whoever made it removes the rest, which costs them
    /// time that this process has.
    pub(crate) fn empty(self) {
        let Some(directory) = self.0 else { return };
        for (name, flags) in VOLATILE {
            let _ = unlinkat(&directory, name, flags);
        }
        let _ = remove_files(&directory);
        let _ = unlinkat(&directory, INSIDE, AtFlags::REMOVEDIR);
    }
}

/// White-outs that the kernel kept at hand.
fn remove_files(directory: &OwnedFd) -> rustix::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inside = openat(directory, INSIDE, flags, Mode::empty())?;
    for entry in Dir::read_from(&inside)?.take(FILES_MAX) {
        let entry = entry?;
        if !entry.file_name().to_bytes().iter().all(|byte| *byte == b'.') {
            unlinkat(&inside, entry.file_name(), AtFlags::empty())?;
        }
    }
    Ok(())
}
