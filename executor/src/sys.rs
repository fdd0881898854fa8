//! The system calls that neither rustix nor nix has: the only `unsafe` code of Slipway.
#![allow(unsafe_code)]

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Mutex;

/// Which of the two processes a fork returned in.
pub(crate) enum Fork {
    /// The caller, with the new process.
    Parent {
        /// Its number in the caller's pid namespace.
        pid: i32,
        /// A descriptor that means this process and no later one with its number.
        pidfd: OwnedFd,
    },
    /// The new process.
    Child,
}

/// Creates a process in new namespaces, see clone3(2). With `CLONE_PARENT` it is a child of our own parent.
///
/// # Panics
///
/// In a process with more than one thread: the child could find locks of the others taken for ever.
pub(crate) fn fork(namespaces: u64) -> io::Result<Fork> {
    // The link count of that directory is 2 and one for each thread, see proc(5).
    let threads = rustix::fs::stat(c"/proc/self/task")?.st_nlink - 2;
    assert_eq!(threads, 1, "only a single-threaded process forks");
    let mut pidfd: RawFd = -1;
    // SAFETY: an all-zero `clone_args` is a valid value: every field is an integer.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = namespaces | libc::CLONE_PIDFD as u64;
    args.pidfd = (&raw mut pidfd) as u64;
    // A sibling tells its end as we do, and the kernel wants no other signal named for it.
    let is_sibling = namespaces & libc::CLONE_PARENT as u64 != 0;
    args.exit_signal = if is_sibling { 0 } else { libc::SIGCHLD as u64 };
    // SAFETY: `args` is a whole structure of the size that is passed, and `pidfd` outlives the call. Without
    // CLONE_VM the child has its own copy of the memory, and the process has one thread, so that no lock is
    // held by somebody who does not exist in the child.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    match pid {
        0 => Ok(Fork::Child),
        // SAFETY: the kernel has just created `pidfd` for us alone.
        1.. => Ok(Fork::Parent { pid: pid as i32, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives every signal its default action, see rt_sigaction(2): the Rust runtime ignores SIGPIPE, glibc two signals of
/// its own, and what is ignored stays so across an exec.
pub(crate) fn reset_signals() -> io::Result<()> {
    // `struct kernel_sigaction` is three or four words; all zero it means SIG_DFL without flags.
    let default = [0u64; 4];
    for signal in 1..=SIGNALS_MAX {
        if signal == libc::SIGKILL || signal == libc::SIGSTOP {
            continue;
        }
        // SAFETY: the kernel reads a structure that is not larger than `default`, and writes nothing. No handler of
        // this process is needed any more: it is about to become another program.
        let result = unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                size_of::<u64>(),
            )
        };
        done(result)?;
    }
    Ok(())
}

/// Makes writing to nobody an error instead of the end of the process, which [`reset_signals`] takes back.
pub(crate) fn ignore_broken_pipes() -> io::Result<()> {
    // SAFETY: no handler is installed; the signal is ignored.
    let previous = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    if previous == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Number of signals of the kernel on our architectures (`_NSIG`).
const SIGNALS_MAX: i32 = 64;

/// Changes flags of a mount, see mount_setattr(2). `recursive` includes the mounts below it.
pub(crate) fn mount_setattr(mount: impl AsFd, set: u64, propagation: u64, recursive: bool) -> io::Result<()> {
    let attributes = libc::mount_attr { attr_set: set, attr_clr: 0, propagation, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is NUL-terminated, `attributes` is a whole structure of the size that is passed, and the
    // kernel only reads both.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    done(result)
}

/// Installs a seccomp filter for this thread and what it executes, see seccomp(2).
///
/// Each word of `program` is one instruction: code, jump offsets and operand from the lowest bits up.
pub(crate) fn install_filter(program: &[u64]) -> io::Result<()> {
    add_filter(program, 0).map(drop)
}

/// The same for a filter that asks: what it answers with `SECCOMP_RET_USER_NOTIF` waits until somebody has read it from the
/// listener, and answered. No signal but a deadly one disturbs a call that was read, where the kernel can see to that.
pub(crate) fn install_listening_filter(program: &[u64]) -> io::Result<OwnedFd> {
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let number = match add_filter(program, flags | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) {
        // Linux 5.19 was the first to have the second flag.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => add_filter(program, flags)?,
        result => result?,
    };
    let number = RawFd::try_from(number).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it. It is closed on execve.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn add_filter(program: &[u64], flags: libc::c_ulong) -> io::Result<libc::c_long> {
    let instructions: Vec<libc::sock_filter> = program
        .iter()
        .map(|word| libc::sock_filter {
            code: *word as u16,
            jt: (*word >> 16) as u8,
            jf: (*word >> 24) as u8,
            k: (*word >> 32) as u32,
        })
        .collect();
    let Ok(len) = u16::try_from(instructions.len()) else {
        return Err(io::Error::from_raw_os_error(libc::E2BIG));
    };
    let filter = libc::sock_fprog { len, filter: instructions.as_ptr().cast_mut() };
    // SAFETY: `filter` describes `instructions`, which outlive the call; the kernel only reads them, and it
    // verifies the program.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter) };
    if result >= 0 { Ok(result) } else { Err(io::Error::last_os_error()) }
}

/// A call that waits for an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Notification(u64);

/// The next call that waits at a listener. `None` if its caller is gone.
pub(crate) fn receive_notification(listener: impl AsFd) -> io::Result<Option<Notification>> {
    // SAFETY: an all-zero `seccomp_notif` is a valid value, and what the kernel demands: every field is an integer.
    let mut notification: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    let listener = listener.as_fd().as_raw_fd();
    // SAFETY: the request writes a `seccomp_notif`, see seccomp_unotify(2).
    let result = unsafe { libc::ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_RECV as _, &raw mut notification) };
    gone_or(result).map(|received| received.map(|()| Notification(notification.id)))
}

/// Lets a call that waits go on as if there were no filter. It may be gone.
pub(crate) fn continue_call(listener: impl AsFd, waiting: Notification) -> io::Result<()> {
    let flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
    let response = libc::seccomp_notif_resp { id: waiting.0, val: 0, error: 0, flags };
    let listener = listener.as_fd().as_raw_fd();
    // SAFETY: the request reads a `seccomp_notif_resp`, see seccomp_unotify(2).
    let result = unsafe { libc::ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_SEND as _, &raw const response) };
    gone_or(result).map(drop)
}

/// `None` for a caller that was killed, or a wait that was interrupted.
fn gone_or(result: libc::c_int) -> io::Result<Option<()>> {
    let error = match done(result.into()) {
        Ok(()) => return Ok(Some(())),
        Err(error) => error,
    };
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::EINTR | libc::EINPROGRESS) => Ok(None),
        _ => Err(error),
    }
}

/// Makes a network interface that stays without a process, in the namespace of this thread. See Documentation/networking/tuntap.rst
/// of the kernel.
pub(crate) fn make_tap(name: &str) -> io::Result<()> {
    let tun = std::fs::File::options().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: an all-zero `ifreq` is a valid value: its union consists of integers, arrays and a null pointer.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the request reads and writes an `ifreq`.
    done(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) }.into())?;
    // SAFETY: the request takes a number.
    done(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETPERSIST as _, 1) }.into())
}

/// Waits for a child to end and returns its wait status and what it used, see wait4(2).
pub(crate) fn wait4(pid: i32) -> io::Result<(i32, libc::rusage)> {
    let mut status = 0;
    // SAFETY: an all-zero `rusage` is a valid value: every field is an integer.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to variables that outlive the call.
        if unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) } == pid {
            return Ok((status, usage));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Sends a signal to the process that a pidfd means, see pidfd_send_signal(2).
pub(crate) fn pidfd_send_signal(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    // SAFETY: without a `siginfo` nothing is dereferenced.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_fd().as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    done(result)
}

/// Sends a signal to a process by its number, see kill(2). A descendant that nobody else waits for keeps its number.
pub(crate) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    done(unsafe { libc::kill(pid, signal) }.into())
}

/// Waits for one of the signals that this thread has blocked, see sigwaitinfo(2).
pub(crate) fn wait_for_signal() -> io::Result<i32> {
    // SAFETY: an all-zero `sigset_t` is a valid value: an array of integers.
    let mut signals: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `signals` outlives both calls, and nobody asks for more than the number of the signal.
    let signal = unsafe {
        libc::sigfillset(&raw mut signals);
        libc::sigwaitinfo(&raw const signals, std::ptr::null_mut())
    };
    if signal < 0 { Err(io::Error::last_os_error()) } else { Ok(signal) }
}

/// Gives this process a session keyring of its own, see keyctl(2).
pub(crate) fn join_session_keyring() -> io::Result<()> {
    // SAFETY: a null name asks for an anonymous keyring; nothing is dereferenced.
    let result = unsafe {
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>())
    };
    done(result.min(0))
}

/// Marks every descriptor from `first` up to be closed by the next exec, see close_range(2).
pub(crate) fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: the call only sets a flag of descriptors; it closes none that somebody owns.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    done(result)
}

/// Closes every descriptor from `first` up, see close_range(2).
///
/// For a process that is about to wait for its end, and uses none of them any more.
pub(crate) fn close_from(first: u32) {
    // SAFETY: no memory is involved. Descriptors above the standard streams are closed behind the back of their
    // owners, which the caller never uses or drops again.
    let _ = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// Sets a network interface up, see netdevice(7).
pub(crate) fn interface_up(socket: impl AsFd, name: &CStr) -> io::Result<()> {
    // SAFETY: an all-zero `ifreq` is a valid value: integers, and a union of integers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.to_bytes()).take(libc::IFNAMSIZ - 1) {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: `SIOCSIFFLAGS` reads an `ifreq`, which `request` is, and it outlives the call.
    let result =
        unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) };
    done(result.into())
}

/// Sets one resource limit of this process, see setrlimit(2).
pub(crate) fn set_rlimit(resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` outlives the call, the kernel only reads it, and no old limit is asked for.
    let result = unsafe {
        libc::prlimit64(0, resource as _, &raw const limit, std::ptr::null_mut::<libc::rlimit64>())
    };
    done(result.into())
}

/// The hard limit of this process, `None` for unlimited, see getrlimit(2).
pub(crate) fn hard_rlimit(resource: u32) -> io::Result<Option<u64>> {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives the call, the kernel only writes it, and no new limit is given.
    let result =
        unsafe { libc::prlimit64(0, resource as _, std::ptr::null::<libc::rlimit64>(), &raw mut limit) };
    done(result.into())?;
    Ok((limit.rlim_max != libc::RLIM64_INFINITY).then_some(limit.rlim_max))
}

/// What a Landlock rule set handles, see landlock(7): `struct landlock_ruleset_attr`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LandlockRights {
    /// Rights on files that are refused unless a rule grants them.
    pub(crate) files: u64,
    /// The same for TCP ports.
    pub(crate) ports: u64,
    /// What cannot be reached outside of the domain.
    pub(crate) scopes: u64,
}

/// Which version of Landlock the kernel has, see landlock_create_ruleset(2).
pub(crate) fn landlock_version() -> io::Result<u32> {
    // SAFETY: with this flag the kernel wants no structure and looks at none.
    let result = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<LandlockRights>(),
            0usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    };
    u32::try_from(result).map_err(|_| io::Error::last_os_error())
}

const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;

/// A rule set without rules, see landlock_create_ruleset(2).
pub(crate) fn landlock_create_ruleset(rights: LandlockRights) -> io::Result<OwnedFd> {
    // SAFETY: `rights` is a whole structure of the size that is passed, and the kernel only reads it. An older kernel
    // takes a longer structure than its own if the rest is zero.
    let result = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, &raw const rights, size_of::<LandlockRights>(), 0u32)
    };
    let number = RawFd::try_from(result).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just created this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Grants rights on a file, or on all that is beneath a directory, see landlock_add_rule(2).
pub(crate) fn landlock_allow_beneath(ruleset: impl AsFd, rights: u64, parent: impl AsFd) -> io::Result<()> {
    let rule = LandlockPathBeneath { rights, parent: parent.as_fd().as_raw_fd() };
    // SAFETY: `rule` has the layout of `struct landlock_path_beneath_attr` and outlives the call; the kernel only
    // reads it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_fd().as_raw_fd(),
            LANDLOCK_RULE_PATH_BENEATH,
            &raw const rule,
            0u32,
        )
    };
    done(result)
}

const LANDLOCK_RULE_PATH_BENEATH: u32 = 1;

#[repr(C, packed)]
struct LandlockPathBeneath {
    rights: u64,
    parent: RawFd,
}

/// Puts this thread and all that it starts under a rule set, for good, see landlock_restrict_self(2).
pub(crate) fn landlock_restrict_self(ruleset: impl AsFd) -> io::Result<()> {
    // SAFETY: no memory is involved.
    let result =
        unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_fd().as_raw_fd(), 0u32) };
    done(result)
}

fn done(result: libc::c_long) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes over a descriptor that this process was started with, see sd_listen_fds(3).
///
/// # Panics
///
/// For the standard streams, and when it is asked twice for the same one: somebody owns those.
pub(crate) fn inherited_descriptor(number: RawFd) -> io::Result<OwnedFd> {
    static TAKEN: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());
    let is_first = TAKEN.lock().expect("no holder of the lock panics").insert(number);
    assert!(number > libc::STDERR_FILENO && is_first, "descriptor {number} has an owner");
    // SAFETY: the call takes a number and looks at no memory.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open, as the call above has shown. Whoever started us has left it to us under this
    // number, and the set above gives it to one owner only.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
