//! The tree of a container: a descriptor of its root, beneath which every path is resolved.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::io::Errno;

use crate::error::{OrKernel, SandboxError};
use crate::mounting;
use crate::stubs::StubLog;

/// Times to try again when a rename or mount elsewhere on the machine disturbs a resolution, see openat2(2) `EAGAIN`.
const RESOLVE_TRIES_MAX: usize = 128;

/// The kernel gives up after 40 links too, see path_resolution(7).
const SYMLINKS_MAX: usize = 40;

/// Deepest target that is created, in components: the kernel's `PATH_MAX` holds about as many.
const COMPONENTS_MAX: usize = 2048;

/// What a mount needs its target to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    /// Anything that is not a directory.
    File,
}

/// Opens `path` as seen by a process whose root directory is `root`. Never leaves it.
pub(crate) fn open_in_root(root: impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    open2(root, path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// Opens `path` beneath `root`, without following a single link. An empty path is `root` itself.
pub(crate) fn open_plain(root: impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    open2(root, path, flags, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
}

fn open2(root: impl AsFd, path: &Path, flags: OFlags, resolve: ResolveFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::CLOEXEC;
    for _ in 0..RESOLVE_TRIES_MAX {
        match rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// The mounted root of a container that is being set up.
pub(crate) struct Tree {
    root: OwnedFd,
    root_place: Place,
    log: StubLog,
}

/// A mount and an inode on it.
type Place = (u64, u64);

fn place(fd: &OwnedFd, path: &str) -> Result<Place, SandboxError> {
    rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::INO | StatxFlags::MNT_ID)
        .map(|statx| (statx.stx_mnt_id, statx.stx_ino))
        .or_kernel(|| format!("statx({path:?})"))
}

impl Tree {
    /// `root` is the mount that becomes `/`; `log` remembers what is created in it.
    pub(crate) fn new(root: OwnedFd, log: StubLog) -> Result<Self, SandboxError> {
        Ok(Self { root_place: place(&root, "/")?, root, log })
    }

    /// Ends the creation of mount points.
    pub(crate) fn finish(self) -> (OwnedFd, StubLog) {
        (self.root, self.log)
    }

    /// Opens a path that exists (`O_PATH`).
    pub(crate) fn find(&self, path: &str) -> Result<OwnedFd, Errno> {
        open_in_root(&self.root, Path::new(path), OFlags::PATH)
    }

    /// Attaches a detached mount to a path that [`Tree::find`] or [`Tree::target`] opened.
    ///
    /// Never on the root itself: whatever is on top of it is what `..` would mean there.
    pub(crate) fn attach(&self, mount: &OwnedFd, target: &OwnedFd, path: &str) -> Result<(), SandboxError> {
        if place(target, path)? == self.root_place {
            return Err(unusable(path, "is the root itself"));
        }
        mounting::attach(mount, target, path)
    }

    /// Opens a mount point, and creates it first if it does not exist.
    pub(crate) fn target(&mut self, path: &str, kind: Kind) -> Result<OwnedFd, SandboxError> {
        let found = match self.find(path) {
            Err(Errno::NOENT) => self.create(path, kind)?,
            other => other.map_err(|errno| unusable(path, &errno.to_string()))?,
        };
        let is_directory = file_type(&found).or_kernel(|| format!("fstat(target {path:?})"))?.is_dir();
        match (kind, is_directory) {
            (Kind::Directory, false) => Err(unusable(path, "is not a directory in the image")),
            (Kind::File, true) => Err(unusable(path, "is a directory in the image")),
            _ => Ok(found),
        }
    }

    /// Creates what is missing of `path`, following the image's links as a process in it would: also those that
    /// lead nowhere, which is what `/etc/resolv.conf` often is.
    fn create(&mut self, path: &str, kind: Kind) -> Result<OwnedFd, SandboxError> {
        let mut walk = Walk::new(path)?;
        while let Some(name) = walk.next_name() {
            let here = walk.resolved.join("/");
            let there = join(&here, &name);
            match open_plain(&self.root, Path::new(&there), OFlags::PATH | OFlags::NOFOLLOW) {
                Ok(found) => {
                    if file_type(&found).or_kernel(|| format!("fstat({there:?})"))?.is_symlink() {
                        let link = rustix::fs::readlinkat(&found, c"", Vec::new())
                            .or_kernel(|| format!("readlinkat({there:?})"))?;
                        walk.follow(path, OsStr::from_bytes(link.as_bytes()))?;
                    } else {
                        walk.resolved.push(name);
                    }
                }
                Err(Errno::NOENT) => {
                    let kind = if walk.pending.is_empty() { kind } else { Kind::Directory };
                    self.log.create(&self.root, &here, &name, kind)?;
                    walk.resolved.push(name);
                }
                Err(errno) => return Err(unusable(path, &errno.to_string())),
            }
        }
        let there = walk.resolved.join("/");
        open_plain(&self.root, Path::new(&there), OFlags::PATH | OFlags::NOFOLLOW)
            .or_kernel(|| format!("openat2(root, {there:?})"))
    }
}

/// A resolution of a path that may not exist, name by name.
struct Walk {
    /// Names from the root that exist and are not links.
    resolved: Vec<String>,
    pending: VecDeque<String>,
    links: usize,
}

impl Walk {
    fn new(path: &str) -> Result<Self, SandboxError> {
        let pending: VecDeque<String> = names(path);
        if pending.is_empty() || pending.len() > COMPONENTS_MAX {
            return Err(unusable(path, "is not a path below the root"));
        }
        Ok(Self { resolved: Vec::new(), pending, links: 0 })
    }

    /// The next name to look up in the directory `resolved`.
    fn next_name(&mut self) -> Option<String> {
        loop {
            let name = self.pending.pop_front()?;
            if name != ".." {
                return Some(name);
            }
            self.resolved.pop();
        }
    }

    fn follow(&mut self, path: &str, link: &OsStr) -> Result<(), SandboxError> {
        self.links += 1;
        let link = link.to_str().ok_or_else(|| unusable(path, "leads through a link that is not UTF-8"))?;
        if self.links > SYMLINKS_MAX || self.pending.len() > COMPONENTS_MAX {
            return Err(unusable(path, "leads through too many links"));
        }
        if link.starts_with('/') {
            self.resolved.clear();
        }
        for name in names(link).into_iter().rev() {
            self.pending.push_front(name);
        }
        Ok(())
    }
}

fn names(path: &str) -> VecDeque<String> {
    path.split('/').filter(|name| !name.is_empty() && *name != ".").map(String::from).collect()
}

/// `directory/name`, where an empty directory is the root.
pub(crate) fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_string() } else { format!("{directory}/{name}") }
}

/// The type of what a descriptor means.
pub(crate) fn file_type(fd: impl AsFd) -> Result<FileType, Errno> {
    let stat = rustix::fs::statat(fd, c"", AtFlags::EMPTY_PATH)?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

fn unusable(target: &str, problem: &str) -> SandboxError {
    SandboxError::Target { target: target.to_string(), problem: problem.to_string() }
}
