//! The binary that users get, with a store of a chore's own.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::{packages, process, workspace};

/// The Debian that everything else is built on.
pub(crate) const DEBIAN: &str = "debian:12";
const DEBIAN_SUITE: &str = "bookworm";

/// A binary, and a store that nobody else uses.
pub(crate) struct Slipway {
    binary: PathBuf,
    store: PathBuf,
}

impl Slipway {
    /// `binary` with the store in `directory`.
    pub(crate) fn new(binary: PathBuf, directory: &Path) -> Self {
        Self { binary, store: directory.join("store") }
    }

    /// A command that starts in the root of the workspace.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--root").arg(&self.store).args(arguments).current_dir(workspace::root());
        command
    }

    /// Whether the store has an image of this name.
    pub(crate) fn has_image(&self, name: &str) -> bool {
        process::succeeds(&mut self.command(&["inspect", name]))
    }

    /// Brings the Debian into the store, once. Returns how.
    pub(crate) fn import_debian(&self, tar: &Path) -> Result<String, Error> {
        if self.has_image(DEBIAN) {
            return Ok("imported earlier".to_owned());
        }
        process::run(&mut self.command(&["import", &tar.to_string_lossy(), DEBIAN]))?;
        Ok(DEBIAN.to_owned())
    }
}

/// Makes the root file system of a Debian from Debian's packages in `directory`, once. Returns it, and how.
pub(crate) fn debian_tar(directory: &Path) -> Result<(PathBuf, String), Error> {
    let tar = directory.join(format!("{DEBIAN_SUITE}.tar"));
    if tar.exists() {
        return Ok((tar, "made earlier".to_owned()));
    }
    // An interrupted mmdebstrap must not leave a tar that looks finished.
    let partial = tar.with_extension("partial.tar");
    let mode = if packages::is_root() { "--mode=root" } else { "--mode=unshare" };
    let mut debootstrap = Command::new("mmdebstrap");
    // A sandbox makes its own `/dev`, and an ordinary user could not make the devices of the tar.
    debootstrap.args([mode, "--variant=minbase", "--format=tar", "--skip=output/dev"]);
    // Inside a user namespace with a single id, apt cannot become its own user to download.
    debootstrap.arg("--aptopt=APT::Sandbox::User \"root\"");
    process::run(debootstrap.arg(DEBIAN_SUITE).arg(&partial))?;
    std::fs::rename(&partial, &tar).map_err(|source| Error::File { path: tar.clone(), source })?;
    Ok((tar, "mmdebstrap --variant=minbase".to_owned()))
}
