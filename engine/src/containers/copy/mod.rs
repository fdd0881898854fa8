//! Files on their way between a container and its surroundings, as a tar.
//!
//! Both sides are trees whose paths are resolved beneath a descriptor of their root, so that no link of a container leads
//! out, whenever it is made. A container that runs gives its root as its processes see it; of one that does not, its
//! layers are mounted for us alone, or the volume that the path is in.

mod at_rest;
mod error;
mod made;
mod pack;
mod place;
mod root;
mod unpack;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::pipe::PipeFlags;

use at_rest::Mounted;
pub use error::CopyError;
use place::{Place, Tree};
use root::Access;
use unpack::{Unpacking, Within};

use super::error::ContainerError;
use crate::Engine;

/// Whose files are that were copied without their owners.
const ROOT_OWNER: (u32, u32) = (0, 0);

/// How files are copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// Whether their owners are kept; they are root's otherwise, who is the caller on this machine.
    pub keeps_owners: bool,
    /// Whether a source that is a symbolic link gives what it leads to.
    pub follows_link: bool,
}

impl CopyOptions {
    fn owner(self) -> Option<(u32, u32)> {
        (!self.keeps_owners).then_some(ROOT_OWNER)
    }
}

impl Engine {
    /// Copies files of a container to a path of this machine, by the rules of `docker cp`. Returns the bytes of the tar.
    ///
    /// # Errors
    ///
    /// [`CopyError`]. What was copied before it stays.
    pub fn copy_from_container(
        &self,
        name: &str,
        path: &Path,
        local: &Path,
        options: CopyOptions,
    ) -> Result<u64, ContainerError> {
        let source = self.container_root(name, path, Access::Read)?;
        let from = source.locate(options.follows_link)?;
        let host = Tree::host()?;
        let to = host.locate(&absolute(local)?, true)?;
        let landing = Landing::of(&from, &to)?;
        let mounted = self.mounted_below(&source, &from)?;
        let within = Within::Links(&landing.directory, &host);
        Ok(transfer(&from, &mounted, &landing, within.without_links(), options.owner())?)
    }

    /// Writes files of a container as a tar.
    ///
    /// # Errors
    ///
    /// As [`Self::copy_from_container`].
    pub fn pack_from_container(
        &self,
        name: &str,
        path: &Path,
        to: &mut dyn Write,
        options: CopyOptions,
    ) -> Result<(), ContainerError> {
        let source = self.container_root(name, path, Access::Read)?;
        let from = source.locate(options.follows_link)?;
        from.require_present()?;
        let mounted = self.mounted_below(&source, &from)?;
        Ok(pack::pack(&from, from.own_name(), &mounted, to)?)
    }

    /// Copies files of this machine into a container, by the rules of `docker cp`. Returns the bytes of the tar.
    ///
    /// # Errors
    ///
    /// As [`Self::copy_from_container`].
    pub fn copy_to_container(
        &self,
        name: &str,
        local: &Path,
        path: &Path,
        options: CopyOptions,
    ) -> Result<u64, ContainerError> {
        let from = Tree::host()?.locate(&absolute(local)?, options.follows_link)?;
        from.require_present()?;
        let target = self.container_root(name, path, Access::Write)?;
        let to = target.locate(true)?;
        let landing = Landing::of(&from, &to)?;
        let within = Within::Links(&landing.directory, target.tree());
        Ok(transfer(&from, &[], &landing, within, options.owner())?)
    }

    /// Unpacks a tar into a directory of a container. Its entries keep their owners, as in Docker, when `options` say so.
    ///
    /// # Errors
    ///
    /// As [`Self::copy_from_container`]; that the destination is no directory.
    pub fn unpack_to_container(
        &self,
        name: &str,
        from: &mut dyn Read,
        path: &Path,
        options: CopyOptions,
    ) -> Result<(), ContainerError> {
        let target = self.container_root(name, path, Access::Write)?;
        let to = target.locate(true)?;
        to.require_present()?;
        if !to.is_directory() {
            let problem = format!("destination \"{name}:{}\" must be a directory", path.display());
            return Err(CopyError::Refused(problem).into());
        }
        let directory = to.into_directory()?;
        let within = Within::Links(&directory, target.tree());
        Ok(Unpacking::new(within, options.owner()).run(from)?)
    }
}

/// Where files land, and under which name.
struct Landing {
    directory: Place,
    /// Of the topmost entry; `.` for the contents of a directory.
    name: PathBuf,
}

impl Landing {
    /// The rules of `docker cp`: into a directory that is there, otherwise as the path itself.
    fn of(from: &Place, to: &Place) -> Result<Self, CopyError> {
        from.require_present()?;
        if to.is_directory() {
            return Ok(Self { directory: to.to_directory()?, name: from.own_name().to_owned() });
        }
        match (from.is_directory(), to.stat.is_some()) {
            (true, true) => {
                return Err(CopyError::Refused(format!("cannot copy directory: `{}` is a file", to.text())));
            }
            (false, false) if to.is_directory_meant => {
                return Err(CopyError::Refused(format!("no such directory: `{}`", to.text())));
            }
            _ => {}
        }
        Ok(Self { directory: to.parent()?, name: PathBuf::from(&to.name) })
    }
}

fn absolute(path: &Path) -> Result<PathBuf, CopyError> {
    let absolute = std::path::absolute(path).map_err(|source| CopyError::at(path, source))?;
    // It forgets what a last dot says.
    let says_contents = path.as_os_str().as_encoded_bytes().ends_with(b"/.") || path == Path::new(".");
    Ok(if says_contents { absolute.join(".") } else { absolute })
}

/// Packs in one thread and unpacks in another.
fn transfer(
    from: &Place,
    mounted: &[Mounted],
    landing: &Landing,
    within: Within<'_>,
    owner: Option<(u32, u32)>,
) -> Result<u64, CopyError> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)
        .map_err(|error| CopyError::Archive { source: error.into() })?;
    let (mut reader, mut writer) = (Counting { inner: File::from(reader), bytes: 0 }, File::from(writer));
    std::thread::scope(|scope| {
        let packing = scope.spawn(move || pack::pack(from, &landing.name, mounted, &mut writer));
        let unpacked = Unpacking::new(within, owner).run(&mut reader);
        let bytes = reader.bytes;
        // Whoever writes to a pipe that nobody reads any more is told so.
        drop(reader);
        match (packing.join().expect("the thread that packs does not panic"), unpacked) {
            (Err(CopyError::Archive { .. }), Err(error)) | (Err(error), _) | (Ok(()), Err(error)) => {
                Err(error)
            }
            (Ok(()), Ok(())) => Ok(bytes),
        }
    })
}

/// For the fuzz target: unpacks any bytes into a directory, as into the root of a container. True if they are a tar.
///
/// # Panics
///
/// When the caller is not root, or there is no such directory.
pub fn fuzz_unpack(directory: &Path, tar: &[u8]) -> bool {
    let root = at_rest::detached(directory, "").expect("it can be cloned");
    let tree = Tree::of_container(root, "fuzz");
    let root = tree.locate(Path::new("/"), true).and_then(Place::into_directory).expect("it has a root");
    Unpacking::new(Within::Links(&root, &tree), None).run(&mut &*tar).is_ok()
}

struct Counting {
    inner: File,
    bytes: u64,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes += count as u64;
        Ok(count)
    }
}
