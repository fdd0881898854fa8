//! The base image of all work: a static busybox and nothing else.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::process;

/// How the Dockerfiles name it.
pub(crate) const NAME: &str = "bench-base";

/// The commands that the Dockerfiles use.
const APPLETS: [&str; 8] = ["sh", "echo", "find", "sleep", "test", "true", "wc", "cat"];

/// Writes the root file system as a tar and returns where it is.
pub(crate) fn write(directory: &Path) -> Result<PathBuf, Error> {
    let rootfs = directory.join("rootfs");
    let bin = rootfs.join("bin");
    fs::create_dir_all(&bin).map_err(Error::at(&bin))?;
    let busybox = process::find("busybox").ok_or(Error::Missing { program: "busybox" })?;
    fs::copy(&busybox, bin.join("busybox")).map_err(Error::at(busybox))?;
    for applet in APPLETS {
        symlink("busybox", bin.join(applet)).map_err(Error::at(bin.join(applet)))?;
    }
    let tar = directory.join("base.tar");
    let mut pack = Command::new("tar");
    pack.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "-cf"]);
    process::run(pack.arg(&tar).arg("-C").arg(&rootfs).arg("."))?;
    Ok(tar)
}
