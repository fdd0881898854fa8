//! Starting, ending, talking to a command.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use executor::{ErrorKind, Exit, Io, Rlimit, SandboxError, Spec, WindowSize, spawn};

use crate::support::{Collected, World, output, refused, run, start};

pub(crate) fn exit_codes(world: &World) {
    for code in [0, 1, 42, 255] {
        let ran = run(&world.shell(&format!("exit {code}"))).unwrap();
        assert_eq!(ran.outcome.exit, Exit::Code(code));
    }
}

pub(crate) fn output_arrives_in_streams(world: &World) {
    let ran = run(&world.shell("echo one; echo two >&2; seq 100000")).unwrap();
    assert!(ran.stdout.starts_with("one\n1\n2\n"));
    assert!(ran.stdout.ends_with("\n99999\n100000\n"));
    assert_eq!(ran.stderr, "two\n");
    assert_eq!(output(&world.spec(&["echo", "a b", "c"])), "a b c");
}

pub(crate) fn output_arrives_while_the_command_runs(world: &World) {
    let begin = Instant::now();
    let child = start(&world.shell("echo ready; sleep 100"));
    assert!(begin.elapsed() < Duration::from_secs(10));
    child.kill();
    assert_eq!(child.wait().unwrap().exit, Exit::Signal(libc::SIGKILL));
}

pub(crate) fn signals_reach_the_command(world: &World) {
    let child = start(&world.shell("trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done"));
    child.signal(libc::SIGTERM);
    assert_eq!(child.wait().unwrap().exit, Exit::Code(7));
}

pub(crate) fn another_thread_can_kill(world: &World) {
    let child = start(&world.shell("echo ready; sleep 100"));
    let handle = child.handle();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        handle.kill();
        handle
    });
    assert_eq!(child.wait().unwrap().exit, Exit::Signal(libc::SIGKILL));
    // The command is gone: this must not hit anybody.
    killer.join().unwrap().kill();
}

pub(crate) fn dropping_kills(world: &World) {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let null = || OwnedFd::from(fs::File::open("/dev/null").unwrap());
    let io = Io::Files { stdin: null(), stdout: writer.into(), stderr: null() };
    drop(spawn(&world.shell("sleep 100 & sleep 100"), io).unwrap());
    // The end of the pipe: nobody holds the other one any more.
    assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0);
}

pub(crate) fn background_processes_end_with_the_command(world: &World) {
    let begin = Instant::now();
    let ran = run(&world.shell("(sleep 100 &) ; (trap '' TERM HUP; sleep 100) & echo done")).unwrap();
    assert_eq!(ran.stdout, "done\n");
    assert!(begin.elapsed() < Duration::from_secs(20));
}

pub(crate) fn stdin_is_read_to_its_end(world: &World) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let collected = Collected::default();
    let Io::Pipes { output, .. } = collected.io() else { unreachable!("it makes pipes") };
    let child = spawn(&world.spec(&["cat"]), Io::Pipes { stdin: Some(reader.into()), output }).unwrap();
    writer.write_all(b"through the pipe").unwrap();
    drop(writer);
    assert_eq!(child.wait().unwrap().exit, Exit::Code(0));
    assert_eq!(collected.stdout(), "through the pipe");
}

pub(crate) fn environment_is_the_given_one(world: &World) {
    let with = |key: &str, value: &str| {
        let mut spec = world.spec(&["env"]);
        spec.env.push((key.into(), value.into()));
        output(&spec)
    };
    assert_eq!(with("GREETING", "hello world"), "PATH=/usr/bin:/bin\nGREETING=hello world\nHOME=/root");
    assert_eq!(with("HOME", "/elsewhere"), "PATH=/usr/bin:/bin\nHOME=/elsewhere");
}

pub(crate) fn usage_is_measured(world: &World) {
    let ran = run(&world.shell("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")).unwrap();
    let usage = ran.outcome.usage;
    assert!(usage.user > Duration::from_millis(10), "{usage:?}");
    assert!(usage.wall >= usage.user / 2, "{usage:?}");
    assert!(usage.max_rss_bytes > 100 << 10, "{usage:?}");
}

pub(crate) fn missing_program(world: &World) {
    for program in ["nothing", "/bin/nothing", "", "bin/sh/x"] {
        let error = refused(&world.spec(&[program]));
        let code = error.exit_code();
        match program {
            "bin/sh/x" => assert!(matches!(code, Some(126 | 127)), "{error:?}"),
            _ => assert_eq!((code, error.kind()), (Some(127), ErrorKind::Spec), "{error:?}"),
        }
    }
    assert_eq!(refused(&world.spec(&[])), SandboxError::NoCommand);
}

pub(crate) fn program_that_cannot_run(world: &World) {
    fs::write(world.image("bin/data"), "no program").unwrap();
    assert_eq!(refused(&world.spec(&["/bin/data"])).exit_code(), Some(126));
    fs::set_permissions(world.image("bin/data"), PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(refused(&world.spec(&["/bin/data"])).exit_code(), Some(126));
    assert_eq!(refused(&world.spec(&["/etc"])).exit_code(), Some(126));
    // A program of a machine that nobody emulates here.
    let mut header = [0; 64];
    header[..6].copy_from_slice(b"\x7fELF\x02\x02");
    header[18..20].copy_from_slice(&22u16.to_be_bytes());
    fs::write(world.image("bin/foreign"), header).unwrap();
    fs::set_permissions(world.image("bin/foreign"), PermissionsExt::from_mode(0o755)).unwrap();
    let error = refused(&world.spec(&["foreign"]));
    let expected =
        SandboxError::ForeignArchitecture { program: "foreign".into(), architecture: "s390x".into() };
    assert_eq!((error.exit_code(), error), (Some(126), expected));
    fs::write(world.image("bin/script"), "#!/bin/nothing\n").unwrap();
    fs::set_permissions(world.image("bin/script"), PermissionsExt::from_mode(0o755)).unwrap();
    let error = refused(&world.spec(&["script"]));
    assert_eq!(error, SandboxError::NoInterpreter { program: "script".into() });
    assert_eq!(error.exit_code(), Some(127));
}

pub(crate) fn bad_fields_are_named(world: &World) {
    let spec = Spec { argv: vec!["echo".into(), "a\0b".into()], ..world.spec(&[]) };
    assert!(matches!(refused(&spec), SandboxError::BadField { field, .. } if field == "argv"));
    let unknown = Rlimit { name: "files".into(), soft: None, hard: None };
    let spec = Spec { rlimits: vec![unknown], ..world.spec(&["true"]) };
    assert!(matches!(refused(&spec), SandboxError::BadField { field, .. } if field == "rlimits"));
    let sysctl = ("kernel.core_pattern".to_string(), "|/bin/sh".to_string());
    let spec = Spec { sysctls: vec![sysctl], ..world.spec(&["true"]) };
    assert!(matches!(refused(&spec), SandboxError::BadField { field, .. } if field == "sysctls"));
}

pub(crate) fn long_errors_are_reported(world: &World) {
    let error = refused(&world.spec(&[&format!("/{}", "x".repeat(100_000))]));
    assert!(matches!(error, SandboxError::NotExecutable { .. } | SandboxError::Helper { .. }), "{error:?}");
    let mut spec = world.spec(&["true"]);
    let target = |index: usize| format!("/{}/{index}", "long/".repeat(20));
    spec.mounts = (0..600)
        .map(|index| executor::Mount::Tmpfs {
            target: target(index),
            size_bytes: None,
            mode: 0o755,
            read_only: false,
        })
        .collect();
    assert!(matches!(refused(&spec), SandboxError::Target { .. }));
    assert_eq!(output(&world.spec(&["echo", "well"])), "well");
}

pub(crate) fn large_jobs_fit(world: &World) {
    let mut spec = world.shell("echo ${#A} ${#B}; wc -c < /etc/hosts");
    spec.env.push(("A".into(), "a".repeat(100_000)));
    spec.env.push(("B".into(), "b".repeat(100_000)));
    spec.hosts = "h".repeat(3 << 20);
    assert_eq!(output(&spec), "100000 100000\n3145728");
}

pub(crate) fn limits_umask_and_names(world: &World) {
    let script = "ulimit -n; umask; hostname; cat /etc/hosts /etc/resolv.conf /etc/hostname";
    let mut spec = world.shell(script);
    spec.rlimits = vec![Rlimit { name: "nofile".into(), soft: Some(100), hard: Some(200) }];
    spec.umask = 0o027;
    spec.hostname = "harbour".into();
    spec.hosts = "127.0.0.1 localhost\n".into();
    spec.resolv_conf = "nameserver 192.0.2.1\n".into();
    assert_eq!(output(&spec), "100\n0027\nharbour\n127.0.0.1 localhost\nnameserver 192.0.2.1\nharbour");
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_ne!(host.trim(), "harbour");
}

pub(crate) fn terminal(world: &World) {
    let mut spec = world.shell(
        "tty; test -t 0 && test -t 1 && test -t 2 && test -c /dev/console && stty size; \
         trap 'stty size; exit 3' WINCH; echo ready; while :; do sleep 0.01; done",
    );
    spec.env.push(("TERM".into(), "xterm".into()));
    let size = WindowSize { rows: 33, columns: 111 };
    let mut child = spawn(&spec, Io::Terminal { size }).unwrap();
    let terminal = child.take_terminal().expect("there is one");
    assert!(child.take_terminal().is_none());
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut reader = fs::File::from(std::os::fd::AsFd::as_fd(&terminal).try_clone_to_owned().unwrap());
    let collector = std::thread::spawn(move || {
        let (mut text, mut buffer) = (Vec::new(), [0; 1024]);
        // Ends with EIO.
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            text.extend(&buffer[..count]);
            if text.ends_with(b"ready\r\n") {
                sender.send(()).unwrap();
            }
        }
        String::from_utf8(text).unwrap()
    });
    receiver.recv_timeout(Duration::from_secs(10)).unwrap();
    terminal.resize(WindowSize { rows: 50, columns: 132 }).unwrap();
    assert_eq!(child.wait().unwrap().exit, Exit::Code(3));
    assert_eq!(collector.join().unwrap(), "/dev/pts/0\r\n33 111\r\nready\r\n50 132\r\n");
}

pub(crate) fn terminal_has_job_control(world: &World) {
    let spec = world.shell("echo ready; read line; exit 9");
    let size = WindowSize { rows: 24, columns: 80 };
    let mut child = spawn(&spec, Io::Terminal { size }).unwrap();
    let terminal = child.take_terminal().unwrap();
    let mut file = fs::File::from(OwnedFd::from(terminal));
    let mut buffer = [0; 7];
    file.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"ready\r\n");
    // The interrupt character: the terminal is the controlling one, so that its line discipline signals the group.
    // The shell is process 1 and has no handler; a child of it would die.
    file.write_all(b"\x03hello\n").unwrap();
    assert!(matches!(child.wait().unwrap().exit, Exit::Code(9 | 130)));
}

pub(crate) fn many_at_once(world: &World) {
    let specs: Vec<Spec> = (0..8)
        .map(|index| {
            let mut spec = world.shell(&format!("echo {index} > /mine; sleep 0.1; cat /mine"));
            let executor::Rootfs::Overlay { upper, .. } = &mut spec.rootfs else { unreachable!("it is") };
            *upper = world.path(&format!("upper-{index}"));
            fs::create_dir(upper).unwrap();
            spec
        })
        .collect();
    std::thread::scope(|scope| {
        for (index, spec) in specs.iter().enumerate() {
            scope.spawn(move || assert_eq!(output(spec), index.to_string()));
        }
    });
}

pub(crate) fn many_layers_and_odd_paths(world: &World) {
    let mut lowers = vec![world.path("with,comma:colon\\backslash"), world.path(&"long/".repeat(60))];
    lowers.extend((0..100).map(|index| world.path(&format!("layer-{index}"))));
    for (index, lower) in lowers.iter().enumerate() {
        fs::create_dir_all(lower).unwrap();
        fs::write(lower.join(format!("file-{index}")), "").unwrap();
    }
    let mut spec = world.shell("ls / | grep -c file-");
    let executor::Rootfs::Overlay { lowers: all, .. } = &mut spec.rootfs else { unreachable!("it is") };
    all.splice(0..0, lowers);
    assert_eq!(output(&spec), "102");
}

pub(crate) fn parents_ignored_signals_are_not_inherited(world: &World) {
    // The Rust runtime ignores SIGPIPE; a command that inherited that would not end with its reader.
    assert_eq!(output(&world.shell("grep SigIgn /proc/self/status; grep SigBlk /proc/self/status")), {
        "SigIgn:\t0000000000000000\nSigBlk:\t0000000000000000"
    });
}

pub(crate) fn directory_as_root(world: &World) {
    let mut spec = world.shell("touch /made && ls /bin/sh");
    spec.rootfs = executor::Rootfs::Directory(world.path("image"));
    assert_eq!(output(&spec), "/bin/sh");
    assert!(world.image("made").exists());
}
