//! Single device files of the host.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, Stat, Uid};

use crate::devices::Scratch;
use crate::error::{OrKernel, SandboxError};
use crate::mounting::{Depth, Parameter, clone_host, clone_mount, flags, mount_new};

/// Name of a file that is made, in a file system of its own.
const NAME: &str = "device";

/// A detached mount of a device file: the host's own, or one like it with another owner or mode.
pub(crate) fn device_file(
    scratch: &Scratch,
    source: &Path,
    owner: Option<(u32, u32)>,
    mode: Option<u32>,
) -> Result<OwnedFd, SandboxError> {
    let host = clone_host(source, Depth::One)?;
    let stat = rustix::fs::fstat(&host).or_kernel(|| format!("fstat({source:?})"))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if !kind.is_char_device() && !kind.is_block_device() {
        return Err(SandboxError::BadField {
            field: String::from("mounts"),
            value: source.display().to_string(),
            problem: String::from("is not a device file"),
        });
    }
    if owner.is_none() && mode.is_none() {
        return Ok(host);
    }
    let owner = owner.unwrap_or((stat.st_uid, stat.st_gid));
    make(scratch, kind, &stat, owner, mode.unwrap_or(stat.st_mode))
}

fn make(
    scratch: &Scratch,
    kind: FileType,
    stat: &Stat,
    (uid, gid): (u32, u32),
    mode: u32,
) -> Result<OwnedFd, SandboxError> {
    let memory = mount_new("tmpfs", &[Parameter::Text("mode", "0755")], flags::NO_SUID)?;
    // Only what is attached can be cloned.
    scratch.attach_aside(&memory)?;
    let call = || format!("mknodat(a device file, {:#x})", stat.st_rdev);
    rustix::fs::mknodat(&memory, NAME, kind, Mode::from_raw_mode(0o600), stat.st_rdev).or_kernel(call)?;
    let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::chownat(&memory, NAME, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)
        .or_kernel(|| format!("fchownat(a device file, {uid}, {gid})"))?;
    rustix::fs::chmodat(&memory, NAME, Mode::from_raw_mode(mode), AtFlags::empty())
        .or_kernel(|| format!("fchmodat(a device file, {mode:o})"))?;
    clone_mount(&memory, Path::new(NAME), Depth::One)
}
