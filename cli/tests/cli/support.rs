//! A user with a home, a store and a small image, and nothing else in the environment.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// What the image `bb` can do.
const APPLETS: [&str; 24] = [
    "[", "cat", "echo", "env", "false", "head", "hostname", "id", "kill", "ls", "mkdir", "printf", "pwd",
    "rm", "sed", "seq", "sh", "sleep", "stty", "test", "touch", "trap", "true", "yes",
];

/// Where the only program of the image comes from: Debian's `busybox-static`.
const BUSYBOX: [&str; 2] = ["/bin/busybox", "/usr/bin/busybox"];

/// What a build says is told apart from what it did by a fixed time: 2023-11-14T22:13:20Z.
pub(crate) const EPOCH: &str = "1700000000";

/// The binary under test.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("SLIPWAY_BIN")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_slipway")), PathBuf::from)
}

/// Longest that a process may take to end that was killed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A user's home with a store, a build context and the image `bb`.
pub(crate) struct World {
    directory: TempDir,
}

impl World {
    /// With an empty store.
    pub(crate) fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("context")).unwrap();
        Self { directory }
    }

    /// With the image `bb`.
    pub(crate) fn new() -> Self {
        let world = Self::empty();
        world.write_rootfs("rootfs.tar");
        world.ok(["import", "--message", "busybox", "rootfs.tar", "bb"]);
        world
    }

    /// A path in the user's home, which is the working directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file of the build context.
    pub(crate) fn context(&self, name: &str, text: &str) -> &Self {
        let path = self.path("context").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// Writes a tar with busybox and two users.
    pub(crate) fn write_rootfs(&self, name: &str) {
        let rootfs = self.path("rootfs");
        for directory in ["bin", "etc", "tmp", "root"] {
            fs::create_dir_all(rootfs.join(directory)).unwrap();
        }
        let busybox = BUSYBOX.iter().map(Path::new).find(|path| path.exists());
        let busybox = busybox.expect("the tests need the package busybox-static");
        fs::copy(busybox, rootfs.join("bin/busybox")).unwrap();
        for applet in APPLETS {
            symlink("busybox", rootfs.join("bin").join(applet)).unwrap();
        }
        fs::write(rootfs.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nsailor:x:7:7::/tmp:/bin/sh\n")
            .unwrap();
        fs::write(rootfs.join("etc/group"), "root:x:0:\nsailor:x:7:\n").unwrap();
        let mut tar = Command::new("tar");
        tar.args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "-cf"]);
        let status = tar.arg(self.path(name)).arg("-C").arg(&rootfs).arg(".").status().unwrap();
        assert!(status.success());
        fs::remove_dir_all(rootfs).unwrap();
    }

    /// The command, to be run in the user's home.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(self.directory.path()).env_clear();
        command.env("HOME", self.directory.path()).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("TZ", "UTC").env("TERM", "xterm").env("SLIPWAY_ROOT", self.path("store"));
        command.env("SOURCE_DATE_EPOCH", EPOCH).stdin(Stdio::null());
        command
    }

    /// Runs a command.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        Ran::of(&self.command(arguments).output().unwrap())
    }

    /// Runs a command with an input.
    pub(crate) fn run_with<S: AsRef<OsStr>>(
        &self,
        input: &[u8],
        arguments: impl IntoIterator<Item = S>,
    ) -> Ran {
        let mut command = self.command(arguments);
        let mut child = spawn(command.stdin(Stdio::piped()));
        child.stdin.take().unwrap().write_all(input).unwrap();
        Ran::of(&child.wait_with_output().unwrap())
    }

    /// Runs a command that must succeed; returns its standard output.
    pub(crate) fn ok<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stdout
    }

    /// Replaces what differs from run to run, in the output of this user's commands.
    pub(crate) fn settings(&self) -> insta::Settings {
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(&regex_of(&self.directory.path().to_string_lossy()), "[home]");
        settings.add_filter("sha256:[0-9a-f]{64}", "sha256:<digest>");
        settings.add_filter(r"\b[0-9a-f]{12}\b", "<id>");
        settings.add_filter(r"\b[0-9a-f]{32}\b", "<layer>");
        settings.add_filter(r#""Size": \d+"#, r#""Size": <bytes>"#);
        settings.add_filter(r"\b(amd64|arm64)\b", "<arch>");
        settings.add_filter(r"\b[0-9]+\.[0-9]+s\b", "<time>");
        settings.add_filter(r"(?m)^(#\d+ )?\d+\.\d{3} ", "$1<time> ");
        settings.add_filter(r"/\d{20}-\d+/", "/<build>/");
        settings.add_filter(r"\b\d+(\.\d+)?[kMG]?B\b", "<size>");
        settings.add_filter(r"(Less than a second|About a minute|\d+ \w+) ago *", "<age> ");
        settings
    }
}

/// Containers that a test leaves behind, be it because it fails, end with it.
impl Drop for World {
    fn drop(&mut self) {
        let home = self.directory.path();
        let monitors: Vec<_> = processes().filter(|process| is_monitor(process, home)).collect();
        for process in &monitors {
            // One that has ended meanwhile is no mistake.
            let pid = process.file_name().unwrap();
            let _ = Command::new("kill").args(["-s", "KILL"]).arg(pid).stderr(Stdio::null()).status();
        }
        let begin = Instant::now();
        while monitors.iter().any(|process| is_monitor(process, home)) && begin.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Directories of all processes, see proc(5).
fn processes() -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let is_number = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().parse::<u32>().is_ok();
    entries.filter(is_number).map(|entry| entry.path())
}

/// Whether a process keeps a container of a store beneath a directory.
fn is_monitor(process: &Path, home: &Path) -> bool {
    // What has ended has an empty one.
    let command = fs::read(process.join("cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).into_owned();
    let mut words = command.split('\0');
    words.next() == Some("slipway-monitor") && words.any(|word| Path::new(word).starts_with(home))
}

fn regex_of(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '/' { c.to_string() } else { format!("\\{c}") })
        .collect()
}

/// Starts a command whose output is of interest.
pub(crate) fn spawn(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What a command did.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        Self { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "exit code {}", self.code)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                writeln!(f, "---- {name}\n{}", text.trim_end())?;
            }
        }
        Ok(())
    }
}

/// Asks a process to end, see signal(7).
pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    assert!(status.success());
}
