//! What `run` gives to a container beyond the default, or takes from it.

use std::fs;

use crate::support::World;

/// The capabilities that a shell in the container has.
fn effective(world: &World, options: &[&str]) -> u64 {
    let arguments = [&["run"], options, &["bb", "sed", "-n", "s/CapEff:.//p", "/proc/self/status"]].concat();
    u64::from_str_radix(world.ok(arguments).trim(), 16).unwrap()
}

const CHOWN: u64 = 1;
const SYS_TIME: u64 = 1 << 25;

#[test]
fn capabilities_are_added_and_dropped() {
    let world = World::new();
    let default = effective(&world, &[]);
    assert_eq!(
        effective(&world, &["--cap-add", "SYS_TIME", "--cap-drop", "cap_chown"]),
        (default | SYS_TIME) & !CHOWN
    );
    assert_eq!(effective(&world, &["--cap-drop=ALL", "--cap-add=chown"]), CHOWN);
    assert_eq!(effective(&world, &["--cap-drop", "all"]), 0);
    let all = effective(&world, &["--cap-add", "ALL"]);
    assert_eq!(effective(&world, &["--cap-add", "ALL", "--cap-drop", "SYS_TIME"]), all & !SYS_TIME);
    assert_eq!(effective(&world, &["--privileged"]), all);
    let ran = world.run(["run", "--cap-add", "FLY", "bb", "true"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (125, "ERROR: unknown capability `FLY`\n"), "{ran}");
}

#[test]
fn security_options_are_dockers() {
    let world = World::new();
    let status = |options: &[&str], field: &str| {
        let script = format!("s/^{field}:.//p");
        let arguments = [&["run"], options, &["bb", "sed", "-n", &script, "/proc/self/status"]].concat();
        world.ok(arguments).trim().to_owned()
    };
    assert_eq!(status(&[], "Seccomp"), "2");
    assert_eq!(status(&["--security-opt", "seccomp=unconfined"], "Seccomp"), "0");
    assert_eq!(status(&["--security-opt", "no-new-privileges"], "NoNewPrivs"), "1");
    assert_eq!(status(&["--security-opt", "no-new-privileges:false"], "NoNewPrivs"), "0");
    assert_eq!(status(&["--security-opt", "seccomp=builtin"], "Seccomp"), "2");
    assert_eq!(status(&["--privileged"], "Seccomp"), "0");
    assert_eq!(status(&["--privileged", "--security-opt", "seccomp=builtin"], "Seccomp"), "2");
}

/// A profile with everything that Docker's own has: an allow-list, architectures, arguments, capabilities and kernels.
const PROFILE: &str = r#"{
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 1,
    "archMap": [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}
    ],
    "syscalls": [
        {
            "names": ["access", "arch_prctl", "brk", "chdir", "clock_gettime", "clock_nanosleep", "clone", "close", "dup2", "dup3", "execve",
                "exit", "exit_group", "faccessat", "faccessat2", "fchdir", "fcntl", "fstat", "fstatfs", "futex",
                "getcwd", "getdents64", "getegid", "geteuid", "getgid", "getpid", "getppid", "getrandom", "getuid", "ioctl",
                "lseek", "lstat", "mkdir", "mkdirat", "mmap", "mprotect", "munmap", "nanosleep", "newfstatat", "no_call_at_all", "open", "openat",
                "pipe2", "poll", "prctl", "prlimit64", "pselect6", "read", "readlink", "readlinkat", "rseq", "rt_sigaction",
                "rt_sigprocmask", "rt_sigreturn", "set_robust_list", "set_tid_address", "sigaltstack", "stat",
                "statx", "sysinfo", "umask", "uname", "unlink", "unlinkat", "vfork", "wait4", "write", "writev"],
            "action": "SCMP_ACT_ALLOW",
            "args": null, "comment": "", "includes": {}, "excludes": {}
        },
        {
            "names": ["kill"], "action": "SCMP_ACT_ALLOW", "comment": "asks only whether somebody is there",
            "args": [{"index": 1, "value": 0, "op": "SCMP_CMP_EQ"}]
        },
        {
            "names": ["chmod", "fchmod", "fchmodat", "fchmodat2"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.0"}
        },
        {"names": ["rmdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 16},
        {"names": ["chroot"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["sethostname"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_CHOWN"]}}
    ]
}"#;

#[test]
fn a_profile_in_dockers_format_says_which_calls_are_allowed() {
    let world = World::new();
    fs::write(world.path("profile.json"), PROFILE).unwrap();
    let options = ["--rm", "--network", "none", "--security-opt", "seccomp=profile.json", "bb"];
    let run = |script: &str| {
        let ran = world.run([&["run"][..], &options, &["sh", "-c", script]].concat());
        format!("{}{}", ran.stdout, ran.stderr)
    };
    let script = "mkdir /new && echo made; busybox chmod 1 /new; busybox rmdir /new; kill -0 $$ && echo asked; kill -USR1 $$; \
        busybox chroot / true";
    insta::assert_snapshot!(run(script), @"
    made
    asked
    chmod: /new: Operation not permitted
    rmdir: '/new': Device or resource busy
    sh: can't kill pid 1: Operation not permitted
    chroot: can't change root directory to '/': Operation not permitted
    ");
    // What it does not allow we do not need: neither the start of a command, nor to say that there is none.
    let absent = world.run([&["run"][..], &options, &["nope"]].concat());
    assert_eq!(absent.code, 127, "{absent}");
    let init = world.run([&["run", "--init"][..], &options, &["true"]].concat());
    assert_eq!(init.code, 125, "{init}");
    world.ok([&["run", "-d", "--name", "web"], &options[1..], &["sleep", "1000"]].concat());
    let exec = world.run(["exec", "web", "busybox", "rmdir", "/tmp"]);
    assert!(exec.stderr.contains("Device or resource busy"), "{exec}");
    let shown = world.ok(["inspect", "-f", "{{json .HostConfig.SecurityOpt}}", "web"]);
    assert!(shown.contains("seccomp={") && shown.contains("no_call_at_all"), "{shown}");
}

#[test]
fn a_profile_that_is_none_is_told() {
    let world = World::new();
    fs::write(world.path("profile.json"), r#"{"defaultAction": "ALLOW"}"#).unwrap();
    let refused = |file: &str| {
        let option = format!("seccomp={file}");
        let ran = world.run(["run", "--rm", "--security-opt", &option, "bb", "true"]);
        assert_eq!(ran.code, 125, "{ran}");
        ran.stderr
    };
    assert_eq!(
        refused("profile.json"),
        "ERROR: opening seccomp profile (profile.json) failed: `ALLOW` is no action that a container can have\n"
    );
    assert!(refused("rootfs.tar").contains("rootfs.tar"));
    assert_eq!(refused("absent.json"), "ERROR: `absent.json`: No such file or directory (os error 2)\n");
    assert_eq!(world.ok(["ps", "-aq"]), "");
}

#[test]
fn a_root_can_be_read_only() {
    let world = World::new();
    let script = "touch /new 2>/dev/null || echo refused; touch /dev/shm/new && echo memory";
    assert_eq!(world.ok(["run", "--read-only", "bb", "sh", "-c", script]), "refused\nmemory\n");
}

#[test]
fn sysctls_are_those_of_the_container() {
    let world = World::new();
    let show = ["bb", "cat", "/proc/sys/kernel/shm_rmid_forced"];
    let before = world.ok([&["run"][..], &show].concat());
    let ran = world.ok([&["run", "--sysctl", "kernel.shm_rmid_forced=1"][..], &show].concat());
    assert_eq!((before.as_str(), ran.as_str()), ("0\n", "1\n"));
    let ran = world.run(["run", "--sysctl", "kernel.panic=1", "bb", "true"]);
    assert_eq!(ran.code, 125, "{ran}");
    assert!(ran.stderr.contains("kernel.panic"), "{ran}");
    let ran = world.run(["run", "--sysctl", "kernel.panic", "bb", "true"]);
    assert!(ran.stderr.contains("NAME=VALUE"), "{ran}");
}

/// A group of this test, in every hierarchy that has it. Whoever names a parent keeps it; the test does not.
struct Group(String);

impl Drop for Group {
    fn drop(&mut self) {
        let roots = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
        for root in roots.chain(["/sys/fs/cgroup".into()]) {
            // It is not in all of them.
            let _ = fs::remove_dir(root.join(&self.0));
        }
    }
}

#[test]
fn a_group_can_be_named_and_has_what_is_above_it() {
    let world = World::new();
    let group = Group(format!("slipway-test-{}", std::process::id()));
    let options = ["--cgroup-parent", &group.0, "--cpuset-cpus", "0", "--memory-swap", "-1", "-m", "64m"];
    let show = ["bb", "sed", "-n", "s/Cpus_allowed_list:.//p", "/proc/self/status"];
    assert_eq!(world.ok([&["run"][..], &options, &show].concat()), "0\n");
    let ran = world.run(["run", "--blkio-weight", "5", "bb", "true"]);
    assert_eq!(ran.code, 125, "{ran}");
    assert!(ran.stderr.contains("10 to 1000") || ran.stderr.contains("block"), "{ran}");
}

#[test]
fn a_container_has_the_devices_that_it_is_given() {
    let world = World::new();
    let script = "echo x > /dev/mine || echo full; test -c /dev/mine && test -c /dev/many/full && echo there";
    let options = ["--device", "/dev/full:/dev/mine", "--device", "/dev/full:/dev/many/full:rw"];
    let ran = world.run([&["run", "--rm"], &options[..], &["bb", "sh", "-c", script]].concat());
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "full\nthere\n"), "{ran}");
    world.ok([&["create", "--name", "web"], &options[..2], &["bb", "true"]].concat());
    let devices = world.ok(["inspect", "-f", "{{json .HostConfig.Devices}}", "web"]);
    assert!(
        devices.contains("/dev/full") && devices.contains("/dev/mine") && devices.contains("rwm"),
        "{devices}"
    );
    let absent = world.run(["run", "--rm", "--device", "/dev/absent", "bb", "true"]);
    assert!(absent.code == 125 && absent.stderr.contains("custom device \"/dev/absent\""), "{absent}");
    let file = world.run(["run", "--rm", "--device", "/etc/passwd", "bb", "true"]);
    assert!(file.code == 125 && file.stderr.contains("is not a device file"), "{file}");
    assert_eq!(world.ok(["ps", "-aq", "--filter", "status=running"]), "");
}
