//! A store, a base image, and eyes that are not ours.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Programs of busybox that the base image has.
const APPLETS: [&str; 22] = [
    "sh", "cat", "chmod", "chown", "cp", "echo", "env", "false", "id", "kill", "ln", "ls", "mkdir", "mv",
    "od", "pwd", "rm", "sleep", "stat", "test", "touch", "true",
];
/// Debian's package `busybox-static`.
const BUSYBOX: &str = "/bin/busybox";

/// A user's world: a store and a directory to work in, both gone afterwards.
pub(crate) struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    /// With the base image `base:latest`.
    pub(crate) fn new() -> Self {
        let home = Self::without_base();
        home.import_base();
        home
    }

    pub(crate) fn without_base() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// What builds left in the staging area, but for work directories, which a sweep takes away in passing.
    pub(crate) fn staged(&self) -> Vec<String> {
        let names = |directory: PathBuf| {
            let entries = fs::read_dir(directory).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name().into_string().unwrap()).collect::<Vec<_>>()
        };
        let staging = self.store().join("staging");
        let sessions = names(staging.clone()).into_iter();
        sessions.flat_map(|it| names(staging.join(it))).filter(|name| name != "work").collect()
    }

    fn import_base(&self) {
        let root = self.path("base");
        for directory in ["bin", "etc", "tmp", "old/deep"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        fs::copy(BUSYBOX, root.join("bin/busybox")).expect("Debian's package busybox-static");
        for applet in APPLETS {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\napp:x:100:200::/home/app:/bin/sh\n")
            .unwrap();
        fs::write(root.join("etc/group"), "root:x:0:\napp:x:200:\nextra:x:300:app\n").unwrap();
        fs::write(root.join("old/deep/file"), "old\n").unwrap();
        fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        let tar = self.path("base.tar");
        let flags = ["--owner=0", "--group=0", "--numeric-owner", "--sort=name"];
        check(Command::new("tar").args(flags).arg("-cf").arg(&tar).arg("-C").arg(&root).arg("."));
        self.ok(&["import", tar.to_str().unwrap(), "base:latest"]);
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let binary = std::env::var_os("SLIPWAY_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_slipway").into());
        let mut command = Command::new(binary);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("SLIPWAY_ROOT", self.store());
        command.args(arguments).stdin(Stdio::null()).current_dir(self.dir.path());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command with an input; one that it does not read is no reason to fail.
    pub(crate) fn run_with(&self, input: &[u8], arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    /// Runs a command that must succeed; its standard output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "slipway {arguments:?}:\n{}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs a command that must fail; its exit code and standard error.
    pub(crate) fn fails(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap_or_else(|| panic!("killed by a signal: {error}")), error)
    }

    /// A context with a Dockerfile.
    pub(crate) fn context(&self, dockerfile: &str, files: &[(&str, &str)]) -> String {
        let context = self.path("context");
        fs::create_dir_all(&context).unwrap();
        for (name, content) in files.iter().chain([&("Dockerfile", dockerfile)]) {
            let path = context.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        context.to_str().unwrap().to_owned()
    }

    /// Builds, and says of each step whether it ran or hit.
    pub(crate) fn log(&self, arguments: &[&str]) -> String {
        let output = self.run(&[&["build", "--progress=plain"], arguments].concat());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}");
        log(&text)
    }
}

/// The vertices of a plain progress: `run` or `hit`, and the name.
pub(crate) fn log(progress: &str) -> String {
    let mut lines = Vec::new();
    for line in progress.lines() {
        let Some((number, name)) = line.strip_prefix('#').and_then(|line| line.split_once(' ')) else {
            continue;
        };
        if !name.starts_with('[') || name.starts_with("[internal]") || name.contains(" FROM ") {
            continue;
        }
        let is_cached = progress.contains(&format!("\n#{number} CACHED ("));
        let line = format!("{} {name}", if is_cached { "hit" } else { "run" });
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.join("\n")
}

pub(crate) fn check(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// An image unpacked by others.
pub(crate) struct Unpacked {
    rootfs: PathBuf,
}

impl Home {
    /// Exports an image and unpacks it with skopeo and umoci.
    pub(crate) fn unpack(&self, image: &str) -> Unpacked {
        let (archive, layout, bundle) = (self.path("image.tar"), self.path("layout"), self.path("bundle"));
        for old in [&layout, &bundle] {
            let _ = fs::remove_dir_all(old);
        }
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        self.ok(&["save", "-o", &text(&archive), image]);
        let from = format!("docker-archive:{}", text(&archive));
        let to = format!("oci:{}:latest", text(&layout));
        check(Command::new("skopeo").args(["copy", "--insecure-policy", "-q", &from, &to]));
        let image = format!("{}:latest", text(&layout));
        check(Command::new("umoci").args(["unpack", "--image", &image, &text(&bundle)]));
        Unpacked { rootfs: bundle.join("rootfs") }
    }

    /// The config of an image with all of Docker's fields, as skopeo finds it in what we save.
    pub(crate) fn raw_config(&self, image: &str) -> serde_json::Value {
        let archive = self.path("config.tar");
        self.ok(&["save", "-o", archive.to_str().unwrap(), image]);
        let from = format!("docker-archive:{}", archive.display());
        let config = check(Command::new("skopeo").args(["inspect", "--config", "--raw", &from]));
        serde_json::from_str(&config).unwrap()
    }
}

impl Unpacked {
    /// A file of the image.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.rootfs.join(name)
    }

    /// Everything but the base image's programs: mode, owner, path, and what is in it.
    pub(crate) fn listing(&self) -> String {
        let mut text = String::new();
        list(&self.rootfs, &self.rootfs, &mut text);
        text
    }
}

fn list(root: &Path, directory: &Path, text: &mut String) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.strip_prefix(root).unwrap();
        if name.starts_with("bin") {
            continue;
        }
        let meta = fs::symlink_metadata(&path).unwrap();
        let (mode, owner) = (meta.mode() & 0o7777, format!("{}:{}", meta.uid(), meta.gid()));
        let links = if meta.is_file() && meta.nlink() > 1 {
            format!(" ({} links)", meta.nlink())
        } else {
            String::new()
        };
        write!(text, "{mode:04o} {owner:7} {}", name.display()).unwrap();
        if meta.is_symlink() {
            writeln!(text, " -> {}", fs::read_link(&path).unwrap().display()).unwrap();
        } else if meta.is_dir() {
            text.push_str("/\n");
            list(root, &path, text);
        } else {
            let content = fs::read(&path).unwrap();
            writeln!(text, "{links}: {}", String::from_utf8_lossy(&content).trim_end().escape_debug())
                .unwrap();
        }
    }
}

/// A Dockerfile of `testdata/builds`, with its context.
pub(crate) fn testdata(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/builds").join(name);
    path.canonicalize().unwrap().to_str().unwrap().to_owned()
}

/// Whether a process has this in its command line.
pub(crate) fn is_running(command: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines.any(|line| String::from_utf8_lossy(&line).contains(command))
}

pub(crate) fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(60), "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
