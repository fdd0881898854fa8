//! Attacks on the sandbox with the numbers of the release criteria: calls, socket families, output, daemons.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use executor::{Exit, Io, spawn};

use crate::isolation::host_programs;
use crate::support::{World, output, run};

/// Families of sockets that exist or may exist some day.
const FAMILIES: std::ops::RangeInclusive<i32> = 0..=64;

/// Those that a program may ask for: unix, both Internets, netlink, packets.
const FAMILIES_ALLOWED: [i32; 5] =
    [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_PACKET];

/// Runs a Perl script with the host's Perl.
fn perl(world: &World, script: &str) -> String {
    let mut spec = world.spec(&["/usr/bin/perl", "-e", script]);
    spec.mounts = host_programs();
    output(&spec)
}

pub(crate) fn every_socket_family(world: &World) {
    let script = format!(
        "for my $f ({}..{}) {{ $! = 0; my $r = syscall({}, $f, 2, 0); print \"$f \", $r < 0 ? $!+0 : 0, \"\\n\" }}",
        FAMILIES.start(),
        FAMILIES.end(),
        libc::SYS_socket
    );
    let answers = perl(world, &script);
    assert_eq!(answers.lines().count(), FAMILIES.count());
    for line in answers.lines() {
        let (family, errno) = line.split_once(' ').unwrap();
        let (family, errno): (i32, i32) = (family.parse().unwrap(), errno.parse().unwrap());
        match family {
            libc::AF_UNIX | libc::AF_INET | libc::AF_NETLINK => assert_eq!(errno, 0, "family {family}"),
            // The machine may have no IPv6, and a user namespace may not look at packets.
            _ if FAMILIES_ALLOWED.contains(&family) => {}
            _ => assert_eq!(errno, libc::EPERM, "family {family}"),
        }
    }
}

macro_rules! calls {
    ($($name:ident)*) => {
        &[$((stringify!($name), libc::$name)),*]
    };
}

/// Calls that are refused, whatever their arguments and whatever the kernel has.
#[rustfmt::skip]
const REFUSED: &[(&str, libc::c_long)] = calls![
    SYS_acct SYS_add_key SYS_bpf SYS_clock_settime SYS_delete_module
    SYS_fanotify_init SYS_finit_module SYS_fsconfig SYS_fsmount SYS_fsopen SYS_fspick
    SYS_init_module SYS_io_uring_enter SYS_io_uring_register SYS_io_uring_setup SYS_kcmp
    SYS_kexec_load SYS_keyctl SYS_lookup_dcookie SYS_mbind SYS_migrate_pages SYS_mount
    SYS_mount_setattr SYS_move_mount SYS_move_pages SYS_nfsservctl SYS_open_by_handle_at
    SYS_open_tree SYS_perf_event_open SYS_pidfd_getfd SYS_pivot_root SYS_quotactl SYS_reboot
    SYS_request_key SYS_set_mempolicy SYS_setdomainname SYS_sethostname SYS_setns
    SYS_settimeofday SYS_swapoff SYS_swapon SYS_syslog SYS_umount2 SYS_unshare
    SYS_userfaultfd SYS_vhangup
];

/// Calls that programs need. With nothing but -1 they do nothing, and say so in any words but `EPERM` and `ENOSYS`.
#[rustfmt::skip]
const ALLOWED: &[(&str, libc::c_long)] = calls![
    SYS_accept4 SYS_bind SYS_capget SYS_chdir SYS_clock_getres SYS_clock_gettime
    SYS_clock_nanosleep SYS_close SYS_connect SYS_copy_file_range SYS_dup SYS_dup3
    SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_eventfd2 SYS_execve SYS_execveat
    SYS_faccessat SYS_faccessat2 SYS_fallocate SYS_fchdir SYS_fchmod SYS_fchmodat SYS_fchown
    SYS_fchownat SYS_fcntl SYS_fdatasync SYS_fgetxattr SYS_flistxattr SYS_flock SYS_fremovexattr
    SYS_fsetxattr SYS_fstat SYS_fstatfs SYS_fsync SYS_ftruncate SYS_getcwd SYS_getdents64
    SYS_getgroups SYS_getitimer SYS_getpeername SYS_getpgid SYS_getpid SYS_getppid
    SYS_getpriority SYS_getrandom SYS_getresgid SYS_getresuid SYS_getrusage SYS_getsid
    SYS_getsockname SYS_getsockopt SYS_gettid SYS_gettimeofday SYS_getuid SYS_getxattr
    SYS_inotify_add_watch SYS_inotify_init1 SYS_ioctl SYS_kill SYS_landlock_add_rule
    SYS_landlock_create_ruleset SYS_landlock_restrict_self SYS_lgetxattr SYS_linkat SYS_listen
    SYS_listxattr SYS_lseek SYS_madvise SYS_membarrier SYS_memfd_create SYS_mincore SYS_mkdirat
    SYS_mknodat SYS_mmap SYS_mprotect SYS_mremap SYS_msync SYS_munmap SYS_nanosleep SYS_openat
    SYS_openat2 SYS_pipe2 SYS_ppoll SYS_preadv SYS_prctl SYS_pread64 SYS_prlimit64 SYS_pselect6
    SYS_pwrite64 SYS_pwritev SYS_read SYS_readlinkat SYS_readv SYS_recvfrom SYS_recvmsg
    SYS_renameat2 SYS_rt_sigaction SYS_rt_sigprocmask SYS_sched_getaffinity SYS_sched_yield
    SYS_seccomp SYS_sendmsg SYS_sendto SYS_setitimer SYS_setpgid SYS_setsockopt SYS_setxattr
    SYS_shutdown SYS_signalfd4 SYS_socketpair SYS_splice SYS_statfs SYS_statx SYS_symlinkat
    SYS_sysinfo SYS_tee SYS_timerfd_create SYS_times SYS_truncate SYS_uname SYS_unlinkat
    SYS_utimensat SYS_vmsplice SYS_wait4 SYS_waitid SYS_write SYS_writev
];

/// The error number of each call with -1 for every argument, 0 for success.
fn answers(world: &World, calls: &[(&'static str, libc::c_long)]) -> Vec<(&'static str, i32)> {
    let numbers: Vec<String> = calls.iter().map(|(_, number)| number.to_string()).collect();
    let script = format!(
        "for my $n ({}) {{ $! = 0; my $r = syscall($n, -1, -1, -1, -1, -1, -1); push @a, $r < 0 ? $!+0 : 0 }} print \"@a\"",
        numbers.join(",")
    );
    let answers = perl(world, &script);
    let errors: Vec<i32> = answers.split(' ').map(|errno| errno.parse().unwrap()).collect();
    assert_eq!(errors.len(), calls.len());
    calls.iter().map(|(name, _)| *name).zip(errors).collect()
}

pub(crate) fn more_than_120_calls(world: &World) {
    assert!(REFUSED.len() + ALLOWED.len() >= 120);
    for (name, errno) in answers(world, REFUSED) {
        assert_eq!(errno, libc::EPERM, "{name}");
    }
    for (name, errno) in answers(world, ALLOWED) {
        assert!(![libc::EPERM, libc::ENOSYS].contains(&errno), "{name}: {errno}");
    }
}

/// Bytes after which an endless command has shown that it is one.
const ENDLESS_BYTES: u64 = 64 << 20;

pub(crate) fn endless_output_is_stopped(world: &World) {
    let seen = Arc::new(AtomicU64::new(0));
    let counter = seen.clone();
    let output = Box::new(move |_, bytes: &[u8]| {
        counter.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    });
    let child = spawn(&world.spec(&["yes"]), Io::Pipes { stdin: None, output }).unwrap();
    let handle = child.handle();
    let waiter = std::thread::spawn(move || child.wait().unwrap());
    while seen.load(Ordering::Relaxed) < ENDLESS_BYTES {
        // Others go on meanwhile.
        assert_eq!(run(&world.shell("echo beside")).unwrap().stdout, "beside\n");
    }
    handle.signal(libc::SIGKILL);
    assert_eq!(waiter.join().unwrap().exit, Exit::Signal(libc::SIGKILL));
}

/// A daemon that left its session, its parent and its signals behind ends with the command.
pub(crate) fn daemons_end_with_the_command(world: &World) {
    let marker = format!("1{:09}", std::process::id());
    let script = format!(
        "use POSIX; for (1..3) {{ next if fork; POSIX::setsid(); exit if fork; $SIG{{$_}} = 'IGNORE' for keys %SIG; \
         exec 'sleep', '{marker}' }} \
         sub sleeps {{ open my $f, '<', shift or return 0; (<$f> // '') =~ /^sleep/ }} \
         select undef, undef, undef, 0.01 until grep {{ sleeps($_) }} glob '/proc/[0-9]*/cmdline'; print 'left'"
    );
    assert_eq!(perl(world, &script), "left");
    let alive = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let text = std::fs::read_to_string(entry.ok()?.path().join("cmdline")).ok()?;
        text.starts_with(&format!("sleep\0{marker}")).then_some(text)
    });
    assert_eq!(alive.collect::<Vec<_>>(), [""; 0]);
}
