//! The second wall: Landlock keeps the command in its own tree, see landlock(7).
//!
//! The first wall is the mount namespace, in which nothing of the host is left. Landlock says the same once more, in
//! another part of the kernel: a file can be used if the way up from it leads to the root of the sandbox. A descriptor
//! that leads elsewhere is then worth nothing, whatever it was that let it slip through, and no file system can be
//! mounted, not even in a user namespace of the command's own.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};

use crate::capabilities::Capability;
use crate::error::{OrKernel, SandboxError};
use crate::sharing::Whose;
use crate::spec::{Confinement, Network, Spec};
use crate::sys::{self, LandlockRights};
use crate::tree::file_type;

/// Rights on files that the first version knew: to execute, write and read, and those in directories.
const FILES_FIRST: u64 = (1 << 13) - 1;
/// To link and move between directories. Without it every such move is refused: the first version is of no use.
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEVICE: u64 = 1 << 15;

/// Rights that exist for something that is no directory: to execute, write and read, and the last two above.
const ON_FILES: u64 = 0b111 | TRUNCATE | IOCTL_DEVICE;

/// Sockets with an abstract name of processes outside.
const SCOPE_SOCKETS: u64 = 0b01;
/// Signals to processes outside.
const SCOPE_SIGNALS: u64 = 0b10;

/// The version that brought each right.
const VERSIONS: &[(u32, u64)] = &[(2, FILES_FIRST | REFER), (3, TRUNCATE), (5, IOCTL_DEVICE)];
const VERSION_OF_SCOPES: u32 = 6;

/// Which version of Landlock this kernel has; `None` if it is not there or switched off.
pub fn landlock_version() -> Option<u32> {
    sys::landlock_version().ok()
}

/// Keeps this process in the tree that is its root now.
///
/// Where the kernel has no Landlock, or too old a one, nothing happens: it is the second wall.
pub(crate) fn keep_in_root(spec: &Spec) -> Result<(), SandboxError> {
    let Some(rights) = landlock_version().and_then(|version| rights(version, spec)) else { return Ok(()) };
    let ruleset =
        sys::landlock_create_ruleset(rights).or_kernel(|| format!("landlock_create_ruleset({rights:x?})"))?;
    if rights.files != 0 {
        allow_root(&ruleset, rights.files)?;
        allow_streams(&ruleset, rights.files & ON_FILES)?;
    }
    sys::landlock_restrict_self(&ruleset).or_kernel(|| String::from("landlock_restrict_self()"))
}

/// Whether the command will be kept from the processes outside: their memory, and what `/proc` says of them to who may
/// trace them.
pub(crate) fn has_domain(spec: &Spec) -> bool {
    landlock_version().is_some_and(|version| rights(version, spec).is_some())
}

/// What is taken from a command; `None` if nothing.
///
/// Landlock forbids every mount. So a command that was given the capability to mount keeps its files, and a privileged
/// one everything. Who is to share processes or a network with others may signal or call them; and since whoever is under any
/// rule set traces nobody outside, who shares processes and was given the capability to trace them keeps everything as well.
fn rights(version: u32, spec: &Spec) -> Option<LandlockRights> {
    if spec.confinement == Confinement::Privileged {
        return None;
    }
    let has = |name| Capability::from_name(name).is_some_and(|name| spec.capabilities.contains(name));
    let shares_processes = spec.sharing.processes != Whose::Own;
    if shares_processes && has("SYS_PTRACE") {
        return None;
    }
    let files = if has("SYS_ADMIN") { 0 } else { files(version) };
    let signals = if shares_processes { 0 } else { SCOPE_SIGNALS };
    let sockets = if spec.network == Network::Joined { 0 } else { SCOPE_SOCKETS };
    let scopes = if version >= VERSION_OF_SCOPES { signals | sockets } else { 0 };
    (files | scopes != 0).then_some(LandlockRights { files, ports: 0, scopes })
}

fn files(version: u32) -> u64 {
    VERSIONS.iter().filter(|(since, _)| version >= *since).fold(0, |all, (_, rights)| all | rights)
}

fn allow_root(ruleset: &OwnedFd, rights: u64) -> Result<(), SandboxError> {
    let root = rustix::fs::openat(CWD, c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .or_kernel(|| String::from("open(\"/\", O_PATH)"))?;
    sys::landlock_allow_beneath(ruleset, rights, root)
        .or_kernel(|| format!("landlock_add_rule(\"/\", {rights:#x})"))
}

/// Lets the command open its standard streams again, as through `/dev/stdout`: they may be files of the host that the
/// caller chose. A directory is none, and stays out of reach.
fn allow_streams(ruleset: &OwnedFd, rights: u64) -> Result<(), SandboxError> {
    for stream in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
        let is_file = file_type(stream)
            .is_ok_and(|kind| kind.is_file() || kind.is_char_device() || kind.is_block_device());
        if is_file {
            allow_stream(ruleset, rights, stream)?;
        }
    }
    Ok(())
}

fn allow_stream(ruleset: &OwnedFd, rights: u64, stream: impl AsFd) -> Result<(), SandboxError> {
    match sys::landlock_allow_beneath(ruleset, rights, stream) {
        // A file that is in no tree, made by memfd_create(2) for example: Landlock leaves these alone.
        Err(error) if error.raw_os_error() == Some(libc::EBADFD) => Ok(()),
        result => result.or_kernel(|| format!("landlock_add_rule(standard stream, {rights:#x})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::Capabilities;
    use crate::spec::Rootfs;

    fn spec() -> Spec {
        Spec::new(Rootfs::Directory("/".into()), Vec::new())
    }

    #[test]
    fn each_version_adds_rights() {
        let all = |version| rights(version, &spec()).map(|rights| (rights.files, rights.scopes));
        assert_eq!(all(1), None);
        assert_eq!(all(2), Some((0x3fff, 0)));
        assert_eq!(all(4), Some((0x7fff, 0)));
        assert_eq!(all(5), Some((0xffff, 0)));
        assert_eq!(all(6), Some((0xffff, 3)));
        assert_eq!(all(99), all(6));
    }

    #[test]
    fn who_shares_processes_or_a_network_reaches_them() {
        let scopes = |spec: &Spec| rights(7, spec).map(|rights| rights.scopes);
        let mut sharing = Spec { network: Network::Joined, ..spec() };
        assert_eq!(scopes(&sharing), Some(SCOPE_SIGNALS));
        sharing.sharing.processes = Whose::Host;
        assert_eq!(scopes(&sharing), Some(0));
        sharing.capabilities = Capabilities::default().with(Capability::from_name("SYS_PTRACE").unwrap());
        assert!(rights(7, &sharing).is_none());
    }

    #[test]
    fn who_may_mount_keeps_its_files() {
        let mounting = Spec { capabilities: Capabilities::ALL, ..spec() };
        assert_eq!(rights(7, &mounting).map(|rights| (rights.files, rights.scopes)), Some((0, 3)));
        assert!(rights(5, &mounting).is_none());
        assert!(rights(7, &spec().privileged()).is_none());
    }
}
