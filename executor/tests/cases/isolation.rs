//! What a command cannot see and cannot do.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, ExitCode};

use executor::{
    Capabilities, Capability, EXIT_NOT_EXECUTABLE, Exit, Mount, Network, SandboxError, Seccomp, Spec,
};

use crate::support::{Mode, World, exists, host_mounts, output, refused, run};

pub(crate) fn namespaces_are_new(world: &World) {
    let kinds = ["mnt", "pid", "ipc", "uts", "cgroup", "net"];
    let script = kinds.map(|kind| format!("readlink /proc/self/ns/{kind}")).join(";");
    let inside = output(&world.shell(&script));
    for (kind, inside) in kinds.iter().zip(inside.lines()) {
        let ours = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        assert_eq!(ours.to_str() == Some(inside), *kind == "net", "{kind}");
    }
    assert_eq!(output(&world.shell("echo $$ /proc/[0-9]*")), "1 /proc/1");
}

pub(crate) fn nothing_is_above_the_root(world: &World) {
    let script = "ls -id / /.. /../.. /proc/1/root/.. | sed 's/^ *//' | cut -d ' ' -f 1 | sort -u | wc -l; cd /..; ls; cd /home/app/../../..; pwd";
    assert_eq!(output(&world.shell(script)), "1\nbin\ndev\netc\nhome\nproc\nroot\nsys\ntmp\nusr\n/");
    let mut spec = world.shell("cut -d ' ' -f 5 /proc/self/mountinfo | tr '\\n' ' '");
    spec.hosts = "127.0.0.1 localhost\n".into();
    (spec.masked_paths, spec.read_only_paths) = (Vec::new(), Vec::new());
    let mounts = output(&spec);
    let expected = "/ /dev /dev/full /dev/mqueue /dev/null /dev/pts /dev/random /dev/shm /dev/tty /dev/urandom \
        /dev/zero /etc/hosts /proc /sys";
    // The kernel lists them in the order in which they were made.
    let mut without_host_sys: Vec<_> = mounts.split(' ').filter(|path| !path.starts_with("/sys/")).collect();
    without_host_sys.sort_unstable();
    assert_eq!(without_host_sys.join(" "), expected);
}

pub(crate) fn no_network(world: &World) {
    let spec = Spec { network: Network::None, ..world.shell("ls /sys/class/net; cat /proc/net/dev | wc -l") };
    assert_eq!(output(&spec), "lo\n3");
    let up = Spec { network: Network::None, ..world.shell("ip addr show lo | grep -c 127.0.0.1") };
    assert_eq!(output(&up), "1");
    let sysctls = vec![("net.ipv4.ip_unprivileged_port_start".to_string(), "0".to_string())];
    let script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start";
    assert_eq!(output(&Spec { network: Network::None, sysctls, ..world.shell(script) }), "0");
}

fn status(world: &World, change: impl Fn(&mut Spec)) -> Vec<String> {
    let mut spec = world.shell("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status");
    change(&mut spec);
    output(&spec).lines().map(|line| line.replace('\t', "")).collect()
}

/// The capabilities of this process: a host may lack some.
fn own() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapPrm:\t")).unwrap();
    u64::from_str_radix(line, 16).unwrap()
}

pub(crate) fn capabilities(world: &World) {
    let default = Capabilities::default().bits() & own();
    let expected = |bounding: u64, held: u64, nnp: u8, seccomp: u8| {
        vec![
            "CapInh:0000000000000000".to_string(),
            format!("CapPrm:{held:016x}"),
            format!("CapEff:{held:016x}"),
            format!("CapBnd:{bounding:016x}"),
            "CapAmb:0000000000000000".to_string(),
            format!("NoNewPrivs:{nnp}"),
            format!("Seccomp:{seccomp}"),
        ]
    };
    assert_eq!(status(world, |_| ()), expected(default, default, 1, 2));
    assert_eq!(status(world, |spec| spec.no_new_privs = false), expected(default, default, 0, 2));
    assert_eq!(status(world, |spec| spec.seccomp = Seccomp::Unconfined), expected(default, default, 1, 0));
    assert_eq!(status(world, |spec| spec.capabilities = Capabilities::NONE), expected(0, 0, 1, 2));
    let all = Capabilities::ALL.bits() & own();
    assert_eq!(status(world, |spec| spec.capabilities = Capabilities::ALL), expected(all, all, 1, 2));
    let time = Capabilities::default().with(Capability::from_name("sys_time").unwrap());
    let bits = time.bits() & own();
    assert_eq!(status(world, |spec| spec.capabilities = time), expected(bits, bits, 1, 2));
    if world.mode != Mode::Single {
        assert_eq!(status(world, |spec| spec.user = "app".into()), expected(default, 0, 1, 2));
    }
}

pub(crate) fn privileged(world: &World) {
    let all = Capabilities::ALL.bits() & own();
    let is = |field: &str| format!("{field}:{all:016x}");
    let free = |user: &str| {
        let lines = status(world, |spec| *spec = Spec { user: user.into(), ..spec.clone().privileged() });
        assert_eq!(lines[..5], ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(is), "{user}");
        assert_eq!(lines[5..], ["NoNewPrivs:0", "Seccomp:0"], "{user}");
    };
    free("");
    if world.mode != Mode::Single {
        free("app");
    }
    let script = "mkdir /m && mount -t tmpfs none /m && mount --bind /etc /m && ls /m | grep -c passwd
        mount | grep -c ' on /proc/.* type'; mount | grep ' on /sys type' | grep -c '[(]rw'
        unshare -m true && echo unshared; ls -d /dev/fuse /dev/loop-control /dev/net/tun";
    let spec = world.shell(script).privileged();
    assert_eq!(output(&spec), "1\n0\n1\nunshared\n/dev/fuse\n/dev/loop-control\n/dev/net/tun");
    if world.mode == Mode::Root {
        // Device files work, in /dev and elsewhere.
        let script = "mknod /zero c 1 5 && mknod /dev/null2 c 1 3 && echo x > /dev/null2 &&
            head -c 3 /zero | wc -c; [ -b /dev/loop7 ] && : < /dev/loop-control && echo opened";
        assert_eq!(output(&world.shell(script).privileged()), "3\nopened");
    }
}

pub(crate) fn descriptors(world: &World) {
    // Descriptors that this process leaks on purpose, without close-on-exec.
    let leaks: Vec<_> = (0..3).map(|_| fs::File::open("/etc").unwrap()).collect();
    for leak in &leaks {
        rustix::io::fcntl_setfd(leak, rustix::io::FdFlags::empty()).unwrap();
    }
    // The fourth one is the directory that ls reads.
    assert_eq!(output(&world.shell("ls /proc/self/fd | tr '\\n' ' '")), "0 1 2 3");
    assert_eq!(output(&world.shell("readlink /proc/self/fd/0")), "/dev/null");
}

pub(crate) fn devices(world: &World) {
    let listed = output(&world.shell("ls /dev | tr '\\n' ' '"));
    assert_eq!(listed, "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero");
    let script = "echo x > /dev/null && head -c 3 /dev/zero | wc -c && head -c 5 /dev/urandom | wc -c
        ! (echo x > /dev/full) 2> /dev/null && touch /dev/shm/ok /dev/mqueue && ls /dev/shm && ls -l /dev/ptmx | grep -c pts/ptmx
        df -k /dev/shm | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2";
    assert_eq!(output(&world.shell(script)), "3\n5\nok\n1\n65536");
}

pub(crate) fn device_nodes_cannot_be_opened(world: &World) {
    let script =
        "for place in / /dev /tmp /mnt; do mknod $place/disk b 8 0 && mknod $place/null c 1 3 2>/dev/null
        (cat $place/disk; cat $place/null) 2>&1 | grep -c 'Permission denied'; done";
    let mut spec = world.shell(script);
    spec.mounts.push(Mount::Tmpfs { target: "/mnt".into(), size_bytes: None, mode: 0o755, read_only: false });
    // In /dev the name is taken.
    let expected = "2\n1\n2\n2";
    match world.mode {
        Mode::Root => assert_eq!(output(&spec), expected),
        // No user namespace may make a device at all.
        _ => assert!(run(&spec).unwrap().stderr.contains("Operation not permitted")),
    }
}

pub(crate) fn masked_and_read_only_paths(world: &World) {
    let script = "for file in /proc/keys /proc/timer_list /proc/interrupts /proc/sched_debug; do
            test ! -e $file || wc -c < $file; done | sort -u
        for directory in /proc/acpi /proc/scsi /sys/firmware; do test ! -e $directory || ls $directory; done
        for file in /proc/sys/kernel/hostname /proc/sysrq-trigger /proc/irq/default_smp_affinity /sys/kernel/uevent_seqnum; do
            test ! -e $file || (echo 1 > $file) 2>&1 | grep -c -e 'Read-only file system' -e 'Permission denied'; done | sort -u
        (mkdir /sys/fs/cgroup/escape || mkdir /sys/fs/cgroup/memory/escape) 2>&1 | grep -c -e Read-only -e 'No such' -e denied";
    let lines = output(&world.shell(script));
    assert!(lines == "0\n1\n2" || lines == "0\n1\n1", "{lines}");
}

pub(crate) fn own_paths_are_masked(world: &World) {
    fs::write(world.image("etc/private"), "secret").unwrap();
    fs::create_dir(world.image("etc/keys")).unwrap();
    fs::write(world.image("etc/keys/one"), "secret").unwrap();
    let mut spec = world.shell(
        "cat /etc/private; ls /etc/keys; touch /etc/keys/x 2>&1 | grep -c Read-only; echo > /etc/group",
    );
    spec.masked_paths = vec!["/etc/private".into(), "/etc/keys".into(), "/etc/absent".into()];
    spec.read_only_paths = vec!["/etc/group".into(), "/absent/too".into()];
    let ran = run(&spec).unwrap();
    assert_eq!(ran.outcome.exit, Exit::Code(1));
    assert_eq!(ran.stdout, "1\n");
    assert!(ran.stderr.contains("Read-only file system"), "{}", ran.stderr);
}

/// The host's programs and libraries.
pub(crate) fn host_programs() -> Vec<Mount> {
    ["/usr", "/lib", "/lib64"]
        .map(|directory| Mount::Bind {
            source: fs::canonicalize(directory).unwrap(),
            subpath: String::new(),
            target: directory.into(),
            read_only: true,
            binding: executor::Binding::default(),
        })
        .to_vec()
}

/// Runs a Perl script with the host's Perl in the sandbox.
fn perl(world: &World, script: &str, change: impl Fn(&mut Spec)) -> String {
    let mut spec = world.spec(&["/usr/bin/perl", "-e", script]);
    spec.mounts = host_programs();
    change(&mut spec);
    output(&spec)
}

/// The error number of a system call inside, 0 for success.
fn probe(world: &World, calls: &[(&str, String)]) -> Vec<(String, i32)> {
    let script: String = calls
        .iter()
        .map(|(name, call)| {
            format!("$! = 0; my $r = syscall({call}); printf \"{name} %d\\n\", $r < 0 ? $!+0 : 0;")
        })
        .collect();
    perl(world, &script, |_| ())
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, errno)| (name.to_string(), errno.parse().unwrap()))
        .collect()
}

pub(crate) fn refused_calls(world: &World) {
    let call = |name, number: libc::c_long, arguments: &str| (name, format!("{number}{arguments}"));
    let calls = [
        call("add_key", libc::SYS_add_key, ", 0, 0, 0, 0, 0"),
        call("bpf", libc::SYS_bpf, ", 0, 0, 0"),
        call("clone-newuser", libc::SYS_clone, &format!(", {}, 0, 0, 0, 0", libc::CLONE_NEWUSER)),
        call("fsopen", libc::SYS_fsopen, ", 0, 0"),
        call("init_module", libc::SYS_init_module, ", 0, 0, 0"),
        call("io_uring_setup", libc::SYS_io_uring_setup, ", 1, 0"),
        call("kexec_load", libc::SYS_kexec_load, ", 0, 0, 0, 0"),
        call("keyctl", libc::SYS_keyctl, ", 0, 0, 0, 0, 0"),
        call("mount", libc::SYS_mount, ", 0, 0, 0, 0, 0"),
        call("mount_setattr", libc::SYS_mount_setattr, ", 0, 0, 0, 0, 0"),
        call("move_mount", libc::SYS_move_mount, ", 0, 0, 0, 0, 0"),
        call("open_by_handle_at", libc::SYS_open_by_handle_at, ", 0, 0, 0"),
        call("open_tree", libc::SYS_open_tree, ", 0, 0, 0"),
        call("open_tree_attr", 467, ", 0, 0, 0, 0, 0"),
        call("perf_event_open", libc::SYS_perf_event_open, ", 0, 0, 0, 0, 0"),
        call("personality", libc::SYS_personality, ", 0x0040000"),
        call("pidfd_getfd", libc::SYS_pidfd_getfd, ", 0, 0, 0"),
        call("pivot_root", libc::SYS_pivot_root, ", 0, 0"),
        call("reboot", libc::SYS_reboot, ", 0, 0, 0, 0"),
        call("request_key", libc::SYS_request_key, ", 0, 0, 0, 0"),
        call("setns", libc::SYS_setns, ", 0, 0"),
        call("settimeofday", libc::SYS_settimeofday, ", 0, 0"),
        call("swapon", libc::SYS_swapon, ", 0, 0"),
        call("syslog", libc::SYS_syslog, ", 3, 0, 0"),
        call("tiocsti", libc::SYS_ioctl, &format!(", 0, {}, 0", libc::TIOCSTI)),
        call("umount2", libc::SYS_umount2, ", 0, 0"),
        call("unshare", libc::SYS_unshare, &format!(", {}", libc::CLONE_NEWUSER)),
        call("userfaultfd", libc::SYS_userfaultfd, ", 0"),
        call("vsock", libc::SYS_socket, ", 40, 1, 0"),
        call("alg", libc::SYS_socket, ", 38, 5, 0"),
        call("can", libc::SYS_socket, ", 29, 3, 1"),
    ];
    for (name, errno) in probe(world, &calls) {
        assert_eq!(errno, libc::EPERM, "{name}");
    }
}

pub(crate) fn newer_and_allowed_calls(world: &World) {
    let call = |name, number: libc::c_long, arguments: &str| (name, format!("{number}{arguments}"));
    let unknown = [
        call("clone3", libc::SYS_clone3, ", 0, 0"),
        call("next", 468, ", 0"),
        call("future", 999, ", 0"),
        call("far", 0x3fff_ffff, ", 0"),
    ];
    for (name, errno) in probe(world, &unknown) {
        assert_eq!(errno, libc::ENOSYS, "{name}");
    }
    let allowed = [
        call("unix", libc::SYS_socket, ", 1, 1, 0"),
        call("inet", libc::SYS_socket, ", 2, 1, 0"),
        call("netlink", libc::SYS_socket, ", 16, 3, 0"),
        call("personality", libc::SYS_personality, ", 0xffffffff"),
        call("getpid", libc::SYS_getpid, ""),
        call("pidfd_open", libc::SYS_pidfd_open, ", 1, 0"),
    ];
    for (name, errno) in probe(world, &allowed) {
        assert_eq!(errno, 0, "{name}");
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) fn other_abis_are_refused(world: &World) {
    // getpid of the x32 ABI.
    let calls = [("x32", (0x4000_0000 + libc::SYS_getpid).to_string())];
    assert_eq!(probe(world, &calls), [("x32".to_string(), libc::EPERM)]);
}

#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn other_abis_are_refused(_: &World) {}

pub(crate) fn session_keyring_is_its_own(world: &World) {
    let ours =
        Command::new("perl").args(["-e", &format!("print syscall({}, 0, -3, 0)", libc::SYS_keyctl)]).output();
    let inside = perl(world, &format!("print syscall({}, 0, -3, 0)", libc::SYS_keyctl), |spec| {
        spec.seccomp = Seccomp::Unconfined;
    });
    assert_ne!(String::from_utf8(ours.unwrap().stdout).unwrap(), inside);
}

pub(crate) fn working_directory(world: &World) {
    let at = |cwd: &str| Spec { cwd: cwd.into(), ..world.shell("pwd") };
    assert_eq!(output(&at("")), "/");
    assert_eq!(output(&at("/home/app")), "/home/app");
    assert_eq!(output(&at("/home/../etc/")), "/etc");
    symlink("/home/app", world.image("way")).unwrap();
    assert_eq!(output(&Spec { cwd: "/way".into(), ..world.shell("pwd -P") }), "/home/app");
    // Links out of the image mean the image.
    symlink("/../../../../../../etc", world.image("out")).unwrap();
    assert_eq!(output(&Spec { cwd: "/out".into(), ..world.shell("ls") }), "group\npasswd");
    let problem = |cwd: &str| match refused(&at(cwd)) {
        SandboxError::Cwd { path, source } if path == cwd => source.0,
        other => panic!("{other:?}"),
    };
    assert_eq!(problem("/nowhere"), libc::ENOENT);
    assert_eq!(problem("/etc/passwd"), libc::ENOTDIR);
    symlink("/proc/self/fd", world.image("fds")).unwrap();
    for number in 0..20 {
        for directory in ["/proc/self/fd", "/proc/1/fd", "/fds", "/proc/thread-self/fd"] {
            let errno = problem(&format!("{directory}/{number}"));
            assert!(
                [libc::ELOOP, libc::ENOENT, libc::ENOTDIR].contains(&errno),
                "{directory}/{number}: {errno}"
            );
        }
    }
    assert_eq!(problem("/proc/self/root"), libc::ELOOP);
    assert_eq!(problem("/proc/self/cwd"), libc::ELOOP);
}

/// First argument of the test binary when it is a command that attacks its own file.
pub(crate) const CHMOD_SELF: &str = "--chmod-self";

/// Runs inside: changes the mode of the binary. Writing to it fails anyway for as long as it runs somewhere.
pub(crate) fn chmod_self() -> ExitCode {
    let result = fs::set_permissions("/proc/self/exe", PermissionsExt::from_mode(0o777));
    println!("{:?}", result.map_err(|error| error.kind()));
    ExitCode::SUCCESS
}

pub(crate) fn own_binary_cannot_be_changed(world: &World) {
    let before = fs::metadata("/proc/self/exe").unwrap();
    // The helper becomes its own command: `/proc/self/exe` now is the engine's binary, in the container.
    let spec = || Spec { mounts: host_programs(), ..world.spec(&["/proc/self/exe", CHMOD_SELF]) };
    let refused = run(&spec()).unwrap_err();
    assert_eq!(refused.exit_code(), Some(EXIT_NOT_EXECUTABLE), "{refused}");
    // Without Landlock, which forbids that, the binary is on a read-only mount.
    let mounting = Capabilities::default().with(Capability::from_name("SYS_ADMIN").unwrap());
    assert_eq!(output(&Spec { capabilities: mounting, ..spec() }), "Err(ReadOnlyFilesystem)");
    let after = fs::metadata("/proc/self/exe").unwrap();
    assert_eq!(before.permissions(), after.permissions());
}

/// Replaces a path of the image by something hostile.
fn replace(world: &World, path: &str, by: &str) {
    let path = world.image(path);
    let _ = fs::remove_dir(&path);
    let _ = fs::remove_file(&path);
    let (kind, rest) = by.split_once(' ').unwrap_or((by, ""));
    match kind {
        "link" => symlink(rest, &path).unwrap(),
        "file" => fs::write(&path, "in the way").unwrap(),
        "fifo" => assert!(Command::new("mkfifo").arg(&path).status().unwrap().success()),
        other => panic!("{other}"),
    }
}

pub(crate) fn hostile_mount_points(world: &World) {
    let canary = world.path("canary");
    fs::create_dir(&canary).unwrap();
    let mounts = host_mounts();
    let outside = format!("link {}", canary.display());
    let deep = format!("link ../../../../../../../../{}", canary.display());
    for path in ["dev", "proc", "sys", "etc/hosts", "etc/resolv.conf"] {
        for by in
            ["file", "fifo", "link /", "link /proc/self/root", "link loop", "link /tmp", &outside, &deep]
        {
            replace(world, path, by);
            if by == "link loop" {
                replace(world, path, &format!("link {}", path.rsplit('/').next().unwrap()));
            }
            let mut spec = world.shell("echo hello");
            spec.hosts = "127.0.0.1 localhost\n".into();
            spec.resolv_conf = "nameserver 192.0.2.1\n".into();
            // It may run or be refused; it may not reach the host, and it may not hang.
            match run(&spec) {
                Ok(ran) => assert_eq!(ran.stdout, "hello\n", "{path} by {by}"),
                Err(SandboxError::Target { .. } | SandboxError::NotFound { .. }) => {}
                Err(SandboxError::Kernel { call, source }) => {
                    assert!(by.starts_with("link"), "{path} by {by}: {call}: {source}");
                }
                Err(other) => panic!("{path} by {by}: {other:?}"),
            }
            assert_eq!(fs::read_dir(&canary).unwrap().count(), 0, "{path} by {by}");
        }
        let _ = fs::remove_file(world.image(path));
        if !path.contains('/') {
            fs::create_dir(world.image(path)).unwrap();
        }
    }
    assert_eq!(host_mounts(), mounts);
    assert!(fs::metadata("/dev/null").is_ok_and(|metadata| !metadata.is_file()));
    assert!(!exists(&world.path("canary/hosts")));
}

pub(crate) fn device_file_in_place_of_dev_null(world: &World) {
    // `/dev` of the image is covered; its content does not matter.
    fs::write(world.image("dev/null"), "").unwrap();
    symlink("/etc/passwd", world.image("dev/zero")).unwrap();
    assert_eq!(
        output(&world.shell("head -c 2 /dev/zero | wc -c; test -c /dev/null && echo node")),
        "2\nnode"
    );
}
