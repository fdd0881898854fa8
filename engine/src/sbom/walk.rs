//! Looks through the files of an image for what tells of packages.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat};

use super::package::{Ecosystem, Package};
use super::purl::Distribution;
use super::{elf, go, read, rust};
use crate::images::{ImageError, names, open_directory};

/// Of one file with packages; that of dpkg has 2 MB for a desktop.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Directories within directories, as when files are exported.
const DEPTH_MAX: usize = 400;
/// Packages of one image; there are 60 000 in a whole distribution.
const PACKAGES_MAX: usize = 1_000_000;
/// Somebody may execute it.
const EXECUTABLE: u32 = 0o111;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// In order, each once.
    pub(super) packages: Vec<Package>,
    pub(super) distribution: Distribution,
}

/// The packages beneath a directory. No symbolic link is followed, and a file that cannot be understood has none.
///
/// # Errors
///
/// [`ImageError::Read`] when the kernel gives a file not out.
pub(crate) fn packages(root: BorrowedFd<'_>) -> Result<Contents, ImageError> {
    let root = open_directory(root, c".").map_err(|error| failed(Path::new(""), error.into()))?;
    let mut walk = Walk::default();
    walk.directory(&root, Path::new(""), 0)?;
    let mut contents = walk.contents;
    contents.packages.sort_unstable();
    contents.packages.dedup();
    Ok(contents)
}

/// What the name of a file promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Promise {
    Packages(Ecosystem),
    Distribution,
    Nothing,
}

fn promise(path: &Path) -> Promise {
    let text = path.to_string_lossy();
    let parent = path.parent().map(Path::to_string_lossy).unwrap_or_default();
    let name = path.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
    match text.as_ref() {
        "var/lib/dpkg/status" => return Promise::Packages(Ecosystem::Debian),
        "lib/apk/db/installed" | "usr/lib/apk/db/installed" => return Promise::Packages(Ecosystem::Alpine),
        "etc/os-release" | "usr/lib/os-release" => return Promise::Distribution,
        _ => {}
    }
    if parent == "var/lib/dpkg/status.d" && !name.ends_with(".md5sums") {
        return Promise::Packages(Ecosystem::Debian);
    }
    let is_python = (name == "METADATA" && parent.ends_with(".dist-info"))
        || (name == "PKG-INFO" && parent.ends_with(".egg-info"))
        || name.ends_with(".egg-info");
    if is_python {
        return Promise::Packages(Ecosystem::Python);
    }
    if name == "package.json" && is_node_package(path) {
        return Promise::Packages(Ecosystem::Node);
    }
    Promise::Nothing
}

/// Whether a `package.json` is that of an installed package, and none of its own directories.
fn is_node_package(path: &Path) -> bool {
    let mut above = path.components().rev().skip(2).map(|it| it.as_os_str().to_string_lossy());
    match above.next() {
        Some(scope) if scope.starts_with('@') => above.next().as_deref() == Some("node_modules"),
        Some(name) => name == "node_modules",
        None => false,
    }
}

#[derive(Default)]
struct Walk {
    contents: Contents,
}

impl Walk {
    fn directory(&mut self, directory: &OwnedFd, path: &Path, depth: usize) -> Result<(), ImageError> {
        if depth > DEPTH_MAX {
            return Err(failed(path, io::Error::other(format!("more than {DEPTH_MAX} directories deep"))));
        }
        for name in names(directory).map_err(|error| failed(path, error.into()))? {
            let path: PathBuf = path.join(OsStr::from_bytes(name.to_bytes()));
            let stat = statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW);
            let stat = stat.map_err(|error| failed(&path, error.into()))?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => {
                    let below = open_directory(directory.as_fd(), &name);
                    let below = below.map_err(|error| failed(&path, error.into()))?;
                    self.directory(&below, &path, depth + 1)?;
                }
                FileType::RegularFile => {
                    let promise = promise(&path);
                    if promise != Promise::Nothing || stat.st_mode & EXECUTABLE != 0 {
                        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                        let file = openat(directory, &name, flags, Mode::empty());
                        let file = File::from(file.map_err(|error| failed(&path, error.into()))?);
                        self.file(&file, promise).map_err(|error| failed(&path, error))?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, file: &File, promise: Promise) -> io::Result<()> {
        let mut bytes = Vec::new();
        let found = match promise {
            Promise::Packages(ecosystem) => {
                file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
                read(ecosystem, &bytes)
            }
            Promise::Distribution => {
                file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
                let distribution = Distribution::read(&String::from_utf8_lossy(&bytes));
                // `/etc` comes first and wins, see os-release(5).
                if self.contents.distribution == Distribution::default() {
                    self.contents.distribution = distribution;
                }
                Vec::new()
            }
            Promise::Nothing => program(file),
        };
        let room = PACKAGES_MAX.saturating_sub(self.contents.packages.len());
        self.contents.packages.extend(found.into_iter().take(room));
        Ok(())
    }
}

fn program(file: &File) -> Vec<Package> {
    let go = elf::section(file, go::SECTION).map_or_else(Vec::new, |section| go::read(&section));
    let rust = elf::section(file, rust::SECTION).map_or_else(Vec::new, |section| rust::read(&section));
    [go, rust].concat()
}

fn failed(path: &Path, source: io::Error) -> ImageError {
    ImageError::Read { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_promise_packages() {
        for (path, expected) in [
            ("var/lib/dpkg/status", Promise::Packages(Ecosystem::Debian)),
            ("var/lib/dpkg/status.d/base", Promise::Packages(Ecosystem::Debian)),
            ("var/lib/dpkg/status.d/base.md5sums", Promise::Nothing),
            (
                "usr/lib/python3/dist-packages/six-1.16.dist-info/METADATA",
                Promise::Packages(Ecosystem::Python),
            ),
            ("app/node_modules/left-pad/package.json", Promise::Packages(Ecosystem::Node)),
            ("app/node_modules/@a/b/package.json", Promise::Packages(Ecosystem::Node)),
            ("app/node_modules/a/test/package.json", Promise::Nothing),
            ("app/package.json", Promise::Nothing),
        ] {
            assert_eq!(promise(Path::new(path)), expected, "{path}");
        }
    }
}
