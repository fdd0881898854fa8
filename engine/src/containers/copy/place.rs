//! A path of a tree: where it leads beneath the root, and what is there.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, openat, openat2, readlinkat, statat};
use rustix::io::Errno;

use super::error::CopyError;

/// The kernel gives up after 40 links too, see path_resolution(7).
const SYMLINKS_MAX: usize = 40;
/// Times to try again when a rename elsewhere disturbs a resolution, see openat2(2) `EAGAIN`.
const RESOLVE_TRIES_MAX: usize = 128;

/// A tree of files that nothing in it leads out of.
#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
    /// As it was asked for; none for this machine.
    container: Option<String>,
    /// Where it is in its container: the root, or where a volume is mounted.
    base: PathBuf,
}

/// A path of a tree, resolved but for its last name.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) directory: OwnedFd,
    /// Of the directory, from the root of the tree and without links.
    pub(super) path: PathBuf,
    /// In the directory; `.` for the root of the tree.
    pub(super) name: OsString,
    pub(super) stat: Option<Stat>,
    /// Whether the path ends with a slash, or a dot after it.
    pub(super) is_directory_meant: bool,
    /// Whether it means what is in the directory, not the directory.
    is_contents: bool,
    container: Option<String>,
    /// That of its tree.
    base: PathBuf,
}

impl Tree {
    /// The files of this machine.
    pub(super) fn host() -> Result<Self, CopyError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open("/", flags, Mode::empty()).map_err(CopyError::call(Path::new("/")))?;
        Ok(Self { root, container: None, base: PathBuf::from("/") })
    }

    /// The files of a container.
    pub(super) fn of_container(root: OwnedFd, name: &str) -> Self {
        Self::of_mount(root, name, Path::new("/"))
    }

    /// What will be mounted in a container, alone. Links that lead out of it lead nowhere.
    pub(super) fn of_mount(root: OwnedFd, name: &str, base: &Path) -> Self {
        Self { root, container: Some(name.to_owned()), base: base.to_owned() }
    }

    fn is_whole(&self) -> bool {
        self.base == Path::new("/")
    }

    /// Opens a directory as seen by a process whose root is that of the tree.
    pub(super) fn directory(&self, path: &Path) -> Result<OwnedFd, Errno> {
        self.open(path, OFlags::PATH | OFlags::DIRECTORY)
    }

    fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        if self.is_whole() {
            return resolve(&self.root, path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS);
        }
        let path = path.strip_prefix("/").unwrap_or(path);
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        resolve(&self.root, path, flags, ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS)
    }

    /// Finds a path. A link at its end is followed when that is wanted, or when the path says that it is a directory.
    pub(super) fn locate(&self, text: &Path, follows: bool) -> Result<Place, CopyError> {
        let bytes = text.as_os_str().as_bytes();
        let is_contents = bytes.ends_with(b"/.") || bytes == b".";
        let is_directory_meant = is_contents || bytes.ends_with(b"/");
        let mut path = clean(text);
        for _ in 0..SYMLINKS_MAX {
            let (above, name) = match (path.parent(), path.file_name()) {
                (Some(above), Some(name)) => (above, name),
                _ => (Path::new("/"), OsStr::new(".")),
            };
            let directory = self.directory(above).map_err(|errno| self.failed(text, errno))?;
            let real = real_path(&directory).map_err(CopyError::call(text))?;
            let stat = match statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => None,
                stat => Some(stat.map_err(|errno| self.failed(text, errno))?),
            };
            let kind = stat.as_ref().map(|stat| FileType::from_raw_mode(stat.st_mode));
            if kind == Some(FileType::Symlink) && (follows || is_directory_meant) {
                path = self.behind(&directory, &real, name).map_err(|errno| self.failed(text, errno))?;
                continue;
            }
            if is_directory_meant && kind.is_some_and(|kind| kind != FileType::Directory) {
                return Err(CopyError::at(text, Errno::NOTDIR));
            }
            let is_contents = is_contents || name == "." && self.is_whole();
            let (name, container, base) = (name.to_owned(), self.container.clone(), self.base.clone());
            return Ok(Place {
                directory,
                path: real,
                name,
                stat,
                is_directory_meant,
                is_contents,
                container,
                base,
            });
        }
        Err(CopyError::at(text, Errno::LOOP))
    }

    /// Where a path of the container leads, as one of the container without links; the path itself if it is not there.
    pub(super) fn real(&self, path: &Path) -> PathBuf {
        let inside = path.strip_prefix(&self.base).map(|rest| Path::new("/").join(rest));
        match inside.map(|inside| self.locate(&inside, true)) {
            Ok(Ok(place)) => place.container_path(),
            _ => path.to_owned(),
        }
    }

    /// Where a link leads.
    fn behind(&self, directory: &OwnedFd, path: &Path, name: &OsStr) -> Result<PathBuf, Errno> {
        if self.is_whole() {
            let link = readlinkat(directory, name, Vec::new())?;
            return Ok(clean(&path.join(OsStr::from_bytes(link.as_bytes()))));
        }
        real_path(&self.open(&path.join(name), OFlags::PATH)?)
    }

    fn failed(&self, path: &Path, errno: Errno) -> CopyError {
        let path = within(&self.base, path);
        match errno {
            Errno::NOENT => absent(self.container.as_ref(), &path),
            Errno::XDEV => CopyError::Refused(format!(
                "`{}` is a link that leads out of what is mounted on `{}`, which can be followed while the container runs",
                path.display(),
                self.base.display()
            )),
            errno => CopyError::at(&path, errno),
        }
    }
}

/// A path of a tree from the root of the container.
fn within(base: &Path, path: &Path) -> PathBuf {
    match path.strip_prefix("/") {
        Ok(rest) if rest.as_os_str().is_empty() => base.to_owned(),
        Ok(rest) => base.join(rest),
        Err(_) => base.join(path),
    }
}

impl Place {
    /// From the root of the tree.
    pub(super) fn whole_path(&self) -> PathBuf {
        if self.name == "." { self.path.clone() } else { self.path.join(&self.name) }
    }

    /// From the root of the container.
    pub(super) fn container_path(&self) -> PathBuf {
        within(&self.base, &self.whole_path())
    }

    pub(super) fn text(&self) -> String {
        self.container_path().display().to_string()
    }

    pub(super) fn is_directory(&self) -> bool {
        self.stat.as_ref().is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
    }

    pub(super) fn require_present(&self) -> Result<(), CopyError> {
        match self.stat {
            Some(_) => Ok(()),
            None => Err(absent(self.container.as_ref(), &within(&self.base, &self.whole_path()))),
        }
    }

    /// Under which name it travels.
    pub(super) fn own_name(&self) -> &Path {
        match self.base.file_name() {
            _ if self.is_contents => Path::new("."),
            Some(mount) if self.name == "." => Path::new(mount),
            _ => Path::new(&self.name),
        }
    }

    /// The directory that it is in.
    pub(super) fn parent(&self) -> Result<Self, CopyError> {
        self.inside(OsStr::new("."), self.path.clone())
    }

    /// The directory that it is.
    pub(super) fn to_directory(&self) -> Result<Self, CopyError> {
        self.inside(&self.name, self.whole_path())
    }

    pub(super) fn into_directory(self) -> Result<Self, CopyError> {
        self.to_directory()
    }

    fn inside(&self, name: &OsStr, path: PathBuf) -> Result<Self, CopyError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory =
            openat(&self.directory, name, flags, Mode::empty()).map_err(CopyError::call(&path))?;
        Ok(Self {
            directory,
            path,
            name: ".".into(),
            stat: self.stat,
            is_directory_meant: true,
            is_contents: true,
            container: self.container.clone(),
            base: self.base.clone(),
        })
    }
}

/// Opens what is beneath a directory, without following a single link.
pub(super) fn open_plain(directory: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    resolve(directory, path, flags, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
}

fn resolve(root: &OwnedFd, path: &Path, flags: OFlags, how: ResolveFlags) -> Result<OwnedFd, Errno> {
    for _ in 0..RESOLVE_TRIES_MAX {
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), how) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// Where a directory is, from the root of its tree.
fn real_path(directory: &OwnedFd) -> Result<PathBuf, Errno> {
    let link = rustix::fs::readlink(format!("/proc/self/fd/{}", directory.as_raw_fd()), Vec::new())?;
    Ok(PathBuf::from(OsString::from_vec(link.into_bytes())))
}

fn absent(container: Option<&String>, path: &Path) -> CopyError {
    let path = path.display().to_string();
    match container {
        Some(container) => CopyError::NotInContainer { path, container: container.clone() },
        None => CopyError::NotHere { path },
    }
}

/// An absolute path without dots, by its text alone, as Docker does it.
pub(super) fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_by_their_text() {
        for (text, expected) in [("a/./b/", "/a/b"), ("/../../x", "/x"), ("/", "/"), ("/a/../..", "/")] {
            assert_eq!(clean(Path::new(text)), Path::new(expected), "{text}");
        }
    }
}
