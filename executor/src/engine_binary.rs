//! Our own binary in a form that nothing inside a sandbox can write to.
//!
//! A container may be started with `/proc/self/exe` as its command, or open the binary of the process that sets it
//! up. Root in a container without a user namespace would then hold a descriptor of the engine on the host. It
//! gets one on a read-only mount instead, which refuses writing whoever asks.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, SealFlags};

use crate::error::{OrKernel, SandboxError};
use crate::mounting::{Depth, clone_mount, flags, restrict};

/// A path that executes our binary, for as long as this process lives.
pub(crate) fn path() -> Result<PathBuf, SandboxError> {
    static BINARY: OnceLock<OwnedFd> = OnceLock::new();
    let binary = match BINARY.get() {
        Some(binary) => binary,
        None => {
            let protected = protect()?;
            BINARY.get_or_init(|| protected)
        }
    };
    Ok(PathBuf::from(format!("/proc/self/fd/{}", binary.as_raw_fd())))
}

/// Starts our binary anew, under another name and in no session of ours: it goes on when we end. It finds `control` as its
/// standard input, and reads and writes nothing else of ours.
///
/// # Errors
///
/// When no process can be started.
pub fn start_again(name: &str, arguments: &[&OsStr], control: OwnedFd) -> Result<Child, SandboxError> {
    let binary = path()?;
    Command::new(&binary)
        .arg0(name)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::from(control))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .or_kernel(|| format!("posix_spawn({binary:?})"))
}

fn protect() -> Result<OwnedFd, SandboxError> {
    let running = open(Path::new("/proc/self/exe")).or_kernel(|| String::from("open(\"/proc/self/exe\")"))?;
    match clone_reachable(&running) {
        Ok(clone) => Ok(clone),
        // Replaced or deleted while it runs, or on a mount that this namespace does not have.
        Err(_) => {
            copy_sealed(running).or_kernel(|| String::from("memfd_create(a sealed copy of the binary)"))
        }
    }
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

/// A read-only clone of the mount that has our binary: through `/proc/self/exe`, or through its path if that
/// mount belongs to the namespace that we left.
fn clone_reachable(running: &OwnedFd) -> Result<OwnedFd, SandboxError> {
    let clone = match clone_mount(running, Path::new(""), Depth::One) {
        Ok(clone) => clone,
        Err(_) => {
            let path = std::fs::read_link("/proc/self/exe")
                .or_kernel(|| String::from("readlink(\"/proc/self/exe\")"))?;
            let clone = clone_mount(CWD, &path, Depth::One)?;
            require_same_file(running, &clone)?;
            clone
        }
    };
    restrict(&clone, flags::READ_ONLY, Depth::One)?;
    Ok(clone)
}

fn require_same_file(running: &OwnedFd, clone: &OwnedFd) -> Result<(), SandboxError> {
    let identity = |fd: &OwnedFd| rustix::fs::fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
    let call = || String::from("fstat(our binary)");
    if identity(running).or_kernel(call)? == identity(clone).or_kernel(call)? {
        Ok(())
    } else {
        Err(SandboxError::Helper { problem: String::from("is not the binary that runs") })
    }
}

fn copy_sealed(running: OwnedFd) -> io::Result<OwnedFd> {
    let copy = rustix::fs::memfd_create(c"slipway", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    io::copy(&mut File::from(running), &mut File::from(copy.try_clone()?))?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(copy.as_fd(), seals)?;
    Ok(copy)
}
