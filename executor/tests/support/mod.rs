//! A small world for one sandbox: layers, an upper directory, and a command in them.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use executor::{Child, Exit, Io, Outcome, Rootfs, SandboxError, Spec, Stream, spawn};

/// Commands of busybox that the tests use.
const APPLETS: &[&str] = &[
    "ash", "cat", "chmod", "chown", "cp", "cut", "date", "dd", "df", "echo", "env", "false", "find", "grep",
    "head", "hostname", "id", "ip", "kill", "ln", "ls", "mkdir", "mkfifo", "mknod", "mount", "mv", "nc",
    "printf", "ps", "pwd", "readlink", "realpath", "rm", "rmdir", "sed", "seq", "sh", "sleep", "sort",
    "stat", "stty", "tail", "test", "su", "touch", "tr", "true", "tty", "umount", "uname", "unshare", "wc",
    "yes",
];

const PASSWD: &str = "\
root:x:0:0:root:/root:/bin/sh
# a comment
broken:x:nonsense:0::/:/bin/sh
app:x:1000:1001:An App:/home/app:/bin/sh
other:x:1002:1002::/home/other:/bin/sh
";

const GROUP: &str = "\
root:x:0:
apps:x:1001:
wheel:x:10:other,app
video:x:44:app
tty:x:5:
";

/// As whom the sandboxes of a test are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Root of the host.
    Root,
    /// An ordinary user with subordinate ids, after `become_root`.
    Ranges,
    /// An ordinary user with a single id, after `become_root`.
    Single,
}

/// Directories of one test. They vanish with it.
pub(crate) struct World {
    pub(crate) mode: Mode,
    directory: tempfile::TempDir,
}

/// What a finished command left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub outcome: Outcome,
    pub stdout: String,
    pub stderr: String,
}

impl World {
    pub(crate) fn new(mode: Mode) -> Self {
        let directory = tempfile::Builder::new().prefix("slipway-sandbox-").tempdir_in("/tmp").unwrap();
        let world = Self { mode, directory };
        for name in ["image", "upper", "work"] {
            fs::create_dir(world.path(name)).unwrap();
        }
        world.fill_image();
        world
    }

    fn fill_image(&self) {
        let image = self.path("image");
        for directory in ["bin", "etc", "tmp", "root", "home/app", "usr/bin", "dev", "proc", "sys"] {
            fs::create_dir_all(image.join(directory)).unwrap();
        }
        fs::set_permissions(image.join("tmp"), Permissions::from_mode(0o1777)).unwrap();
        fs::copy("/bin/busybox", image.join("bin/busybox")).expect("Debian's busybox-static is installed");
        for applet in APPLETS {
            symlink("busybox", image.join("bin").join(applet)).unwrap();
        }
        fs::write(image.join("etc/passwd"), PASSWD).unwrap();
        fs::write(image.join("etc/group"), GROUP).unwrap();
    }

    /// A path of the host in this world.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file of the image.
    pub(crate) fn image(&self, name: &str) -> PathBuf {
        self.path("image").join(name)
    }

    /// A file of the upper directory.
    pub(crate) fn upper(&self, name: &str) -> PathBuf {
        self.path("upper").join(name)
    }

    /// A command on the image with Docker's defaults, and a fresh work directory.
    pub(crate) fn spec(&self, argv: &[&str]) -> Spec {
        let work = self.path("work").join(fs::read_dir(self.path("work")).unwrap().count().to_string());
        fs::create_dir(&work).unwrap();
        let rootfs = Rootfs::Overlay {
            lowers: vec![self.path("image")],
            upper: self.path("upper"),
            work,
            volatile: true,
        };
        let argv = argv.iter().map(ToString::to_string).collect();
        Spec { env: vec![("PATH".into(), "/usr/bin:/bin".into())], ..Spec::new(rootfs, argv) }
    }

    /// A shell command.
    pub(crate) fn shell(&self, script: &str) -> Spec {
        self.spec(&["sh", "-c", script])
    }

    /// Names in a directory of the upper one, sorted.
    pub(crate) fn upper_names(&self, directory: &str) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.upper(directory))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// Output of a command that is collected while it runs.
#[derive(Clone, Default)]
pub(crate) struct Collected(Arc<Mutex<(Vec<u8>, Vec<u8>)>>);

impl Collected {
    pub(crate) fn io(&self) -> Io {
        let collected = self.clone();
        let output = Box::new(move |stream, bytes: &[u8]| {
            let mut both = collected.0.lock().unwrap();
            match stream {
                Stream::Stdout => both.0.extend(bytes),
                Stream::Stderr => both.1.extend(bytes),
            }
        });
        Io::Pipes { stdin: None, output }
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap().0).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap().1).into_owned()
    }
}

/// Runs a command to its end.
pub(crate) fn run(spec: &Spec) -> Result<Ran, SandboxError> {
    let collected = Collected::default();
    let outcome = spawn(spec, collected.io())?.wait()?;
    Ok(Ran { outcome, stdout: collected.stdout(), stderr: collected.stderr() })
}

/// Runs a command that must succeed, and returns its output without the last line break.
#[track_caller]
pub(crate) fn output(spec: &Spec) -> String {
    let ran = run(spec).unwrap_or_else(|error| panic!("{error}: {error:?}"));
    assert_eq!(ran.outcome.exit, Exit::Code(0), "stdout: {}\nstderr: {}", ran.stdout, ran.stderr);
    ran.stdout.trim_end().to_string()
}

/// Runs a command that must not start.
#[track_caller]
pub(crate) fn refused(spec: &Spec) -> SandboxError {
    match run(spec) {
        Err(error) => error,
        Ok(ran) => panic!("it ran: {ran:?}"),
    }
}

/// Starts a command that prints `ready` and then goes on; returns when it has.
pub(crate) fn start(spec: &Spec) -> Child {
    let (sender, receiver) = std::sync::mpsc::channel();
    let (reader, writer) = std::io::pipe().unwrap();
    let null = || fs::OpenOptions::new().read(true).write(true).open("/dev/null").unwrap();
    let io = Io::Files { stdin: null().into(), stdout: writer.into(), stderr: null().into() };
    let child = spawn(spec, io).unwrap();
    std::thread::spawn(move || {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(reader), &mut line).unwrap();
        sender.send(line).unwrap();
    });
    let line = receiver.recv_timeout(std::time::Duration::from_secs(10)).expect("the command is ready");
    assert_eq!(line, "ready\n");
    child
}

/// The mount table of this process.
pub(crate) fn host_mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

/// Whether a file or link of the host exists.
pub(crate) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
