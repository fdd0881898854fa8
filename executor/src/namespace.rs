//! An ordinary user becomes root in a user namespace of its own.

use std::ffi::{CString, OsString};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::sched::CloneFlags;
use rustix::pipe::PipeFlags;
use rustix::thread::CapabilitySet;

use crate::error::Errno;
use crate::subordinate::{Range, Which};
use crate::sys::{self, Fork};

/// Why no user namespace could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NamespaceError {
    /// The kernel refused a call: user namespaces are switched off, used up, or forbidden by a security module.
    #[error("{call}")]
    Kernel {
        /// The call with its arguments.
        call: String,
        /// Its error.
        source: Errno,
    },
}

/// Which ids exist for this process and its containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ids {
    /// Those of the namespace in which it was started: it was root already.
    Unchanged,
    /// The user's own as 0, and the subordinate ranges after it.
    Ranges,
    /// The user's own as 0 and nothing else. Containers cannot have a second user.
    Single {
        /// Why there are no ranges.
        reason: String,
    },
}

/// Makes this process root: at once if it is, otherwise in a new user and mount namespace.
///
/// The process stays the same one, with its number, descriptors and parent. It must have a single thread; the
/// second statement of `main` is the place. The ranges of `/etc/subuid` and `/etc/subgid` are mapped by `newuidmap` and `newgidmap`;
/// without ranges, or without these programs, only the user's own id is.
///
/// # Errors
///
/// When the kernel allows no user namespace.
pub fn become_root() -> Result<Ids, NamespaceError> {
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    if uid == 0 && may_administer() {
        return Ok(Ids::Unchanged);
    }
    let helpers = Mappers::start(uid, gid);
    let flags = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS;
    nix::sched::unshare(flags).map_err(|errno| kernel("unshare(CLONE_NEWUSER | CLONE_NEWNS)", errno))?;
    let ids = match helpers.and_then(Mappers::finish) {
        Ok(()) => Ids::Ranges,
        Err(reason) => {
            map_single(uid, gid)?;
            Ids::Single { reason }
        }
    };
    nix::unistd::setresgid(0.into(), 0.into(), 0.into())
        .map_err(|errno| kernel("setresgid(0, 0, 0)", errno))?;
    nix::unistd::setresuid(0.into(), 0.into(), 0.into())
        .map_err(|errno| kernel("setresuid(0, 0, 0)", errno))?;
    Ok(ids)
}

/// The same in a user namespace of this user that somebody else has made, with a mount namespace of our own: what belongs to that
/// namespace can be used then.
///
/// # Errors
///
/// When it is another user's.
pub fn become_root_in(namespace: impl AsFd) -> Result<(), NamespaceError> {
    nix::sched::setns(namespace, CloneFlags::CLONE_NEWUSER)
        .map_err(|errno| kernel("setns(CLONE_NEWUSER)", errno))?;
    nix::sched::unshare(CloneFlags::CLONE_NEWNS).map_err(|errno| kernel("unshare(CLONE_NEWNS)", errno))?;
    nix::unistd::setresgid(0.into(), 0.into(), 0.into())
        .map_err(|errno| kernel("setresgid(0, 0, 0)", errno))?;
    nix::unistd::setresuid(0.into(), 0.into(), 0.into()).map_err(|errno| kernel("setresuid(0, 0, 0)", errno))
}

fn kernel(call: &str, error: impl Into<Errno>) -> NamespaceError {
    NamespaceError::Kernel { call: call.to_string(), source: error.into() }
}

fn may_administer() -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// Maps the user's own id to 0, where that is still to be done.
fn map_single(uid: u32, gid: u32) -> Result<(), NamespaceError> {
    write_map("/proc/self/uid_map", &format!("0 {uid} 1"))?;
    // Otherwise a user could leave a group that denies something to its members, see user_namespaces(7).
    if is_empty("/proc/self/gid_map") {
        write_file("/proc/self/setgroups", "deny")
            .map_err(|error| kernel("write(setgroups, \"deny\")", error))?;
    }
    write_map("/proc/self/gid_map", &format!("0 {gid} 1"))
}

fn write_map(path: &str, map: &str) -> Result<(), NamespaceError> {
    if !is_empty(path) {
        return Ok(());
    }
    write_file(path, map).map_err(|error| kernel(&format!("write({path:?}, {map:?})"), error))
}

fn is_empty(path: &str) -> bool {
    std::fs::read(path).is_ok_and(|map| map.is_empty())
}

fn write_file(path: &str, text: &str) -> Result<(), std::io::Error> {
    std::fs::write(path, text)
}

/// `newuidmap` and `newgidmap`, started in the namespace that this process is about to leave. Both wait for it.
struct Mappers {
    users: Mapper,
    groups: Mapper,
}

impl Mappers {
    fn start(uid: u32, gid: u32) -> Result<Self, String> {
        Ok(Self {
            users: Mapper::start(Which::Users, uid, uid)?,
            groups: Mapper::start(Which::Groups, uid, gid)?,
        })
    }

    /// Lets both write their map, at the same time.
    fn finish(self) -> Result<(), String> {
        let Self { mut users, mut groups } = self;
        users.go()?;
        groups.go()?;
        users.wait().and(groups.wait())
    }
}

struct Mapper {
    program: &'static str,
    pid: i32,
    /// A byte starts the program; the end of the pipe without one ends the process.
    start: Option<OwnedFd>,
    /// What it has to say.
    complaint: OwnedFd,
}

impl Mapper {
    fn start(which: Which, uid: u32, own: u32) -> Result<Self, String> {
        let program = which.program();
        let ranges = which.ranges(uid)?;
        let path = find_program(program).ok_or_else(|| format!("`{program}` is not installed"))?;
        let path = CString::new(path.into_os_string().into_vec()).map_err(|error| error.to_string())?;
        let arguments = arguments(program, own, &ranges)?;
        let pipe =
            || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|errno| format!("pipe2(): {errno}"));
        let ((wait, start), (complaint, write)) = (pipe()?, pipe()?);
        match sys::fork(0).map_err(|error| format!("clone3(): {error}"))? {
            Fork::Parent { pid, pidfd: _ } => Ok(Self { program, pid, start: Some(start), complaint }),
            Fork::Child => {
                drop(start);
                become_mapper(&wait, &write, &path, &arguments)
            }
        }
    }

    fn go(&mut self) -> Result<(), String> {
        match self.start.take() {
            Some(start) => rustix::io::write(start, b"!").map(|_| ()).map_err(|errno| errno.to_string()),
            None => Ok(()),
        }
    }

    fn wait(&mut self) -> Result<(), String> {
        let status = sys::wait4(self.pid).map_err(|error| format!("wait4({}): {error}", self.program))?.0;
        self.pid = 0;
        if status == 0 {
            return Ok(());
        }
        let mut text = String::new();
        let complaint = self.complaint.as_fd().try_clone_to_owned().map_err(|error| error.to_string())?;
        // The words are only for the reader: the status has said that it went wrong.
        let _ = std::fs::File::from(complaint).take(COMPLAINT_BYTES_MAX).read_to_string(&mut text);
        Err(format!("`{}` ended with status {status:#x}: {}", self.program, text.trim()))
    }
}

/// Most of what a mapping program says that is passed on.
const COMPLAINT_BYTES_MAX: u64 = 4096;

impl Drop for Mapper {
    fn drop(&mut self) {
        self.start = None;
        if self.pid > 0 {
            // Ends by itself without the byte; it must not stay a zombie.
            let _ = sys::wait4(self.pid);
        }
    }
}

/// The child process: waits until its parent has its new namespace, then becomes the mapping program.
fn become_mapper(wait: &OwnedFd, complaint: &OwnedFd, path: &CString, arguments: &[CString]) -> ! {
    let mut byte = [0];
    let is_called =
        rustix::io::retry_on_intr(|| rustix::io::read(wait, &mut byte)).is_ok_and(|count| count == 1);
    if is_called && rustix::stdio::dup2_stderr(complaint).is_ok() {
        let Err(_) = nix::unistd::execve(path, arguments, &[] as &[CString]);
    }
    std::process::exit(1)
}

fn arguments(program: &str, own: u32, ranges: &[Range]) -> Result<Vec<CString>, String> {
    let mut words = vec![program.to_string(), std::process::id().to_string()];
    words.extend(["0".to_string(), own.to_string(), "1".to_string()]);
    let mut next = 1u32;
    for range in ranges {
        words.extend([next.to_string(), range.first.to_string(), range.count.to_string()]);
        next = next.saturating_add(range.count);
    }
    words.into_iter().map(|word| CString::new(word).map_err(|error| error.to_string())).collect()
}

/// Where the setuid programs are on a system whose `PATH` does not say.
const PROGRAM_PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

/// A program of the host. Nothing of an image is reachable here.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(OsString::from(":"));
    path.push(PROGRAM_PATH_DEFAULT);
    std::env::split_paths(&path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|path| is_file(path))
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file())
}
