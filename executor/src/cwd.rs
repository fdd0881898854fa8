//! The working directory of a command.

use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, mkdirat};
use rustix::io::Errno;

use crate::error::SandboxError;
use crate::tree::open_in_root;

/// Mode of the directories that are made, as in Docker.
const MODE: u32 = 0o755;

/// What happens when there is no such directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Make,
    Refuse,
}

/// Makes `cwd` the working directory, resolved in the new root without magic links: `/proc/self/fd/N` still
/// leads to the host for as long as our own descriptors are open.
pub(crate) fn enter(cwd: &str, missing: Missing) -> Result<(), SandboxError> {
    let unusable = |errno: Errno| SandboxError::Cwd { path: cwd.to_string(), source: errno.into() };
    if cwd.is_empty() {
        return Ok(());
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let root =
        rustix::fs::openat(CWD, c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(unusable)?;
    let mut directory = open_in_root(&root, Path::new(cwd), flags);
    if directory.as_ref().is_err_and(|errno| *errno == Errno::NOENT) && missing == Missing::Make {
        let mut path = PathBuf::from("/");
        for component in Path::new(cwd).components() {
            let above = open_in_root(&root, &path, flags).map_err(unusable)?;
            path.push(component);
            if let (Component::Normal(name), Err(Errno::NOENT)) =
                (component, open_in_root(&root, &path, flags))
            {
                mkdirat(&above, name, Mode::from_raw_mode(MODE)).map_err(unusable)?;
            }
        }
        directory = open_in_root(&root, Path::new(cwd), flags);
    }
    rustix::process::fchdir(directory.map_err(unusable)?).map_err(unusable)
}
