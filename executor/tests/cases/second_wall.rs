//! What holds when the first wall has a hole: seccomp is switched off, and a descriptor of the host slips through.

use std::fs::{self, File};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

use executor::{Capabilities, Capability, Exit, Io, Seccomp, Spec, spawn};

use crate::isolation::host_programs;
use crate::support::{Collected, World, host_mounts, output};

/// Attempts to reach the file `treasure`. Each prints a line: its name, and what it found or the error's number.
const ATTEMPTS: &str = r#"
    use strict; use Fcntl; use POSIX ();
    my ($host, $engine) = @ARGV;
    sub tell_ { my ($name, $what) = @_; syswrite STDOUT, "$name $what\n" }
    sub found { my ($name, $path) = @_;
        if (open my $file, '<', $path) { tell_($name, <$file> // '') } else { tell_($name, $!+0) } }
    sub call { my ($name, @words) = @_; $! = 0; my $r = syscall(shift @words, @words); tell_($name, $r < 0 ? $!+0 : 0); $r }
    sub child { my ($code) = @_; my $pid = fork; if (!$pid) { $code->(); POSIX::_exit(0) } waitpid $pid, 0 }

    found('path', "$host/treasure");
    found('descriptor', '/proc/self/fd/0/treasure');
    found('parent', '/proc/self/fd/0/../../..' . "$host/treasure");
    found('first', "/proc/1/root$host/treasure");
    found('first-descriptor', '/proc/1/fd/0/treasure');
    my $name = "treasure\0";
    my $fd = syscall(257, 0, $name, 0);
    if ($fd < 0) { tell_('openat', $!+0) } else { found('openat', "/proc/self/fd/$fd") }
    child(sub { my $r = syscall(81, 0); if ($r < 0) { tell_('fchdir', $!+0) } else { found('fchdir', 'treasure') } });
    my $moved = "/tmp/treasure\0";
    call('link', 265, 0, $name, -100, $moved, 0);
    call('rename', 264, 0, $name, -100, $moved);
    call('remove', 263, 0, $name, 0);
    my $new = "new\0";
    call('create', 257, 0, $new, O_CREAT | O_WRONLY, 0644);
    my $handle = pack('Ll', 128, 0) . ("\0" x 128); my $id = pack('q', 0);
    if (syscall(303, 0, $name, $handle, $id, 0) == 0) {
        my $open = syscall(304, 0, $handle, 0);
        if ($open < 0) { tell_('handle', $!+0) } else { found('handle', "/proc/self/fd/$open") }
    } else { tell_('handle', $!+0) }
    call('ptrace', 101, 16, $engine + 0, 0, 0);
    call('pidfd_open', 434, $engine + 0, 0);
    call('signal', 62, $engine + 0, 0);
    my ($none, $tmpfs, $tmp) = ("none\0", "tmpfs\0", "/tmp\0");
    call('mount', 165, $none, $tmp, $tmpfs, 0, 0);
    call('open_tree', 428, 0, $name, 1);
    child(sub {
        return tell_('own-namespace', $!+0) if syscall(272, 0x10020000) < 0;
        call('own-namespace-mount', 165, $none, $tmp, $tmpfs, 0, 0);
        my ($dot) = ".\0"; call('own-namespace-pivot', 155, $dot, $dot);
    });
    child(sub {
        mkdir '/tmp/cell'; opendir my $root, '/'; chroot '/tmp/cell' or return tell_('chroot', $!+0);
        chdir $root; chdir '..' for 1..40; chroot '.'; found('chroot', "$host/treasure");
    });
"#;

/// What each attempt says when it found nothing: the words of the kernel.
fn attempts(world: &World, host: &Path, capabilities: Capabilities) -> Vec<(String, String)> {
    let mut spec = world.spec(&["/usr/bin/perl", "-e", ATTEMPTS, "--", host.to_str().unwrap()]);
    spec.argv.push(std::process::id().to_string());
    spec.mounts = host_programs();
    (spec.seccomp, spec.capabilities) = (Seccomp::Unconfined, capabilities);
    let (reader, writer) = std::io::pipe().unwrap();
    let leak = File::open(host).unwrap();
    let stderr = writer.try_clone().unwrap();
    let io = Io::Files { stdin: leak.into(), stdout: writer.into(), stderr: stderr.into() };
    let child = spawn(&spec, io).unwrap();
    let text = std::io::read_to_string(reader).unwrap();
    assert_eq!(child.wait().unwrap().exit, Exit::Code(0), "{text}");
    text.lines()
        .map(|line| line.split_once(' ').unwrap_or_else(|| panic!("{text}")))
        .map(|(name, rest)| (name.to_owned(), rest.to_owned()))
        .collect()
}

/// Everything but the capability to mount.
fn all_but_mounts() -> Capabilities {
    Capabilities::ALL.without(Capability::from_name("SYS_ADMIN").unwrap())
}

pub(crate) fn without_seccomp_the_host_is_out_of_reach(world: &World) {
    let host = world.path("canary");
    fs::create_dir(&host).unwrap();
    fs::write(host.join("treasure"), "gold").unwrap();
    let mounts = host_mounts();
    for capabilities in [Capabilities::default(), all_but_mounts()] {
        let found = attempts(world, &host, capabilities);
        assert!(found.len() >= 20, "{found:?}");
        for (name, what) in &found {
            let refused = [libc::EPERM, libc::EACCES, libc::ENOENT, libc::ESRCH, libc::EXDEV, libc::EBADF];
            let is_refused = what.parse().is_ok_and(|errno| refused.contains(&errno));
            assert!(is_refused, "{name} {what}: {found:?}");
        }
        let names: Vec<_> = fs::read_dir(&host).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["treasure"]);
        assert_eq!(fs::read_to_string(host.join("treasure")).unwrap(), "gold");
    }
    assert_eq!(host_mounts(), mounts);
}

/// The attack on containerd-shim, CVE-2020-15257: a socket with an abstract name belongs to a network namespace.
pub(crate) fn abstract_sockets_of_the_host_are_out_of_reach(world: &World) {
    let name = format!("slipway-test-{}-{:?}", std::process::id(), world.mode);
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let script = r#"use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die;
        print connect($s, pack('S', AF_UNIX) . "\0$ARGV[0]") ? 'connected' : $!+0"#;
    let perl = |words: &[&str]| {
        let argv = [&["/usr/bin/perl", "-e"], words].concat();
        output(&Spec { mounts: host_programs(), ..world.spec(&argv) })
    };
    assert_eq!(perl(&[script, &name]), libc::EPERM.to_string());
    // Its own it may have.
    let own = r#"use Socket; my $a = pack('S', AF_UNIX) . "\0own"; socket(my $l, AF_UNIX, SOCK_STREAM, 0);
        bind($l, $a) && listen($l, 1) or die; socket(my $s, AF_UNIX, SOCK_STREAM, 0); print connect($s, $a) ? 1 : 0"#;
    assert_eq!(perl(&[own]), "1");
    drop(listener);
}

pub(crate) fn who_may_mount_mounts(world: &World) {
    let script = "mount -t tmpfs none /tmp && mkdir /tmp/deep && mount --bind /etc /tmp/deep && ls /tmp/deep | grep -c passwd";
    let refused = world.shell(&format!("{script}; echo $?"));
    assert_eq!(output(&refused), "1");
    let mounting = Capabilities::default().with(Capability::from_name("SYS_ADMIN").unwrap());
    assert_eq!(output(&Spec { capabilities: mounting, ..world.shell(script) }), "1");
}

/// Streams that are files of the host can be opened again, as every shell script does with `/dev/stderr`.
pub(crate) fn streams_can_be_opened_again(world: &World) {
    let (input, printed) = (world.path("input"), world.path("printed"));
    fs::write(&input, "hello\n").unwrap();
    let stream = || File::options().append(true).create(true).open(&printed).unwrap();
    let io = Io::Files {
        stdin: File::open(&input).unwrap().into(),
        stdout: stream().into(),
        stderr: stream().into(),
    };
    let script = "cat /dev/stdin >> /dev/stdout && echo error >> /proc/self/fd/2";
    let outcome = spawn(&world.shell(script), io).unwrap().wait().unwrap();
    assert_eq!(outcome.exit, Exit::Code(0));
    assert_eq!(fs::read_to_string(&printed).unwrap(), "hello\nerror\n");
    // Nothing at all is a device file of the host.
    let collected = Collected::default();
    let child = spawn(&world.shell("cat /dev/stdin; echo > /dev/stderr"), collected.io()).unwrap();
    assert_eq!(child.wait().unwrap().exit, Exit::Code(0), "{}", collected.stderr());
}

/// Renames and links between directories and mounts work as without: what `dpkg` and `apt` do all day.
pub(crate) fn files_move_between_directories(world: &World) {
    let script = "mkdir -p a/b c && echo 1 > a/b/file && mv a/b/file c/ && ln c/file a/hard && mv c a/ && mv /etc/group /tmp/ &&
        truncate -s 3 a/hard 2>/dev/null || : > a/hard; ls a a/c /tmp | tr '\\n' ' '";
    assert_eq!(output(&world.shell(script)), "/tmp: group  a: b c hard  a/c: file");
}
