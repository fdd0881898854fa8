//! What is tortured: a binary, a store, and a build whose result is known.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::disk::quietly;
use crate::error::Error;
use crate::packages;

/// A build with all that leaves something in a store: copies, mounts, several stages, commands.
const DOCKERFILE: &str = r#"FROM base AS tree
COPY tree /tree
RUN --mount=type=cache,target=/cache seq 3000 > /cache/numbers; cp /cache/numbers /numbers; cp -r /tree /copy
FROM base
RUN seq 20000 > /one && mkdir -p /etc/deep/er && ln /one /etc/deep/link
COPY --from=tree /copy /numbers /from/
RUN --mount=type=bind,from=tree,source=/tree,target=/bound cat /bound/* > /all && rm -r /etc/deep
"#;
const PRINTS: &str = "whole\n";
const FILES: u32 = 60;
const APPLETS: [&str; 10] = ["sh", "cat", "cp", "echo", "ln", "mkdir", "rm", "seq", "sleep", "true"];
/// Times of files and images, so that every build gives the same bytes.
const EPOCH: &str = "1700000000";
/// A command that takes longer hangs.
const TIME_MAX: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(2);

/// Something that a user does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Build,
    Import,
    Load,
    Save,
    Collect,
    Run,
}

impl Deed {
    pub(crate) const ALL: [Self; 8] = [
        Self::Build,
        Self::Build,
        Self::Build,
        Self::Import,
        Self::Load,
        Self::Save,
        Self::Collect,
        Self::Run,
    ];
}

/// See the module.
pub(crate) struct Subject {
    binary: PathBuf,
    directory: PathBuf,
    store: PathBuf,
    /// The files that the build makes, as a tar.
    reference: Vec<u8>,
}

impl Subject {
    /// Makes everything in `directory`, and builds once in peace.
    pub(crate) fn new(binary: &Path, directory: &Path) -> Result<Self, Error> {
        let context = directory.join("context");
        make_files(directory, &context)
            .map_err(|source| Error::File { path: directory.to_owned(), source })?;
        let mut subject = Self {
            binary: binary.to_owned(),
            directory: directory.to_owned(),
            store: directory.join("store"),
            reference: Vec::new(),
        };
        subject.prepare()?;
        quietly(&mut subject.build())?;
        quietly(&mut subject.command(&["save", "-o", "app.tar", "app"]))?;
        subject.reference = subject.result()?;
        Ok(subject)
    }

    /// With an empty store in another place.
    pub(crate) fn move_store(&mut self, store: PathBuf) -> Result<(), Error> {
        self.store = store;
        self.prepare()
    }

    pub(crate) fn store(&self) -> &Path {
        &self.store
    }

    /// What every build stands on.
    pub(crate) fn prepare(&self) -> Result<(), Error> {
        quietly(&mut self.command(&["import", "base.tar", "base"]))
    }

    /// Forgets what was built, so that it is built anew.
    pub(crate) fn forget(&self) -> Result<(), Error> {
        quietly(&mut self.command(&["system", "prune", "-f"]))?;
        if self.command(&["inspect", "app"]).output().is_ok_and(|output| output.status.success()) {
            quietly(&mut self.command(&["rmi", "app"]))?;
        }
        quietly(&mut self.command(&["system", "prune", "-f", "-a", "--filter", "until=0s"])).or(Ok(()))?;
        self.prepare()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--root").arg(&self.store).args(arguments).current_dir(&self.directory).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", &self.directory);
        command.env("SOURCE_DATE_EPOCH", EPOCH).stdin(Stdio::null());
        command
    }

    fn build(&self) -> Command {
        let output = format!("type=tar,dest={}", self.result_path().display());
        self.command(&["build", "--progress=plain", "--memory=1g", "-t", "app", "-o", &output, "context"])
    }

    fn result_path(&self) -> PathBuf {
        self.directory.join("result.tar")
    }

    fn result(&self) -> Result<Vec<u8>, Error> {
        let path = self.result_path();
        fs::read(&path).map_err(|source| Error::File { path, source })
    }

    /// The command of a deed.
    pub(crate) fn deed(&self, deed: Deed) -> Command {
        match deed {
            Deed::Build => self.build(),
            Deed::Import => self.command(&["import", "base.tar", "imported"]),
            Deed::Load => self.command(&["load", "-i", "app.tar"]),
            Deed::Save => self.command(&["save", "-o", "saved.tar", "base"]),
            Deed::Collect => self.command(&["builder", "prune", "-f", "--all"]),
            Deed::Run => {
                self.command(&["run", "--rm", "--memory=1g", "base", "sh", "-c", "sleep 0.05; seq 99 > /x"])
            }
        }
    }

    /// Builds in peace, and compares the result with the reference, and runs it. What is wrong, as a sentence.
    pub(crate) fn examine(&self) -> Result<(), String> {
        let output = patiently(&mut self.build())?;
        if !output.status.success() {
            return Err(format!("the next build: {}: {}", output.status, tail(&output.stderr)));
        }
        let result = self.result().map_err(|error| error.to_string())?;
        if result != self.reference {
            return Err("the next build came to another result".to_owned());
        }
        let output = patiently(&mut self.command(&["run", "--rm", "app", "echo", "whole"]))?;
        if output.stdout != PRINTS.as_bytes() {
            return Err(format!("the image does not run: {}", tail(&output.stderr)));
        }
        Ok(())
    }
}

/// Starts a command whose output nobody reads.
pub(crate) fn start(command: &mut Command) -> Result<Child, Error> {
    let line = format!("{command:?}");
    let silent = command.stdout(Stdio::null()).stderr(Stdio::null());
    silent.spawn().map_err(|source| Error::Start { command: line, source })
}

/// Runs a command to its end, or kills it when that takes too long.
pub(crate) fn patiently(command: &mut Command) -> Result<Output, String> {
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = piped.spawn().map_err(|error| format!("{command:?}: {error}"))?;
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let read = |stream: Option<&mut dyn std::io::Read>| {
        let mut bytes = Vec::new();
        stream.map(|stream| stream.read_to_end(&mut bytes));
        bytes
    };
    std::thread::scope(|scope| {
        let out = scope.spawn(|| read(stdout.as_mut().map(|it| it as &mut dyn std::io::Read)));
        let err = scope.spawn(|| read(stderr.as_mut().map(|it| it as &mut dyn std::io::Read)));
        let until = Instant::now() + TIME_MAX;
        loop {
            match child.try_wait() {
                Ok(Some(status)) => {
                    let (stdout, stderr) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
                    return Ok(Output { status, stdout, stderr });
                }
                Ok(None) if Instant::now() < until => std::thread::sleep(PAUSE),
                Ok(None) => {
                    // The pipes end with the last of its group: what strace(1) watches outlives strace.
                    let group = format!("-{}", child.id());
                    let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
                    let _ = child.wait();
                    return Err(format!("hangs: {command:?}"));
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    })
}

/// The last lines of what a command said.
pub(crate) fn tail(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(4)..].join(" | ")
}

fn make_files(directory: &Path, context: &Path) -> std::io::Result<()> {
    let (tree, root) = (context.join("tree"), directory.join("base"));
    fs::create_dir_all(&tree)?;
    for number in 0..FILES {
        let mut file = fs::File::create(tree.join(format!("file{number}")))?;
        write!(file, "{}", format!("{number} ").repeat(400 * usize::try_from(number % 7 + 1).unwrap_or(1)))?;
    }
    fs::write(context.join("Dockerfile"), DOCKERFILE)?;
    for name in ["bin", "etc", "tmp"] {
        fs::create_dir_all(root.join(name))?;
    }
    let busybox = packages::find_program("busybox").unwrap_or_else(|| PathBuf::from("/bin/busybox"));
    fs::copy(busybox, root.join("bin/busybox"))?;
    for applet in APPLETS {
        symlink("busybox", root.join("bin").join(applet))?;
    }
    let mut tar = Command::new("tar");
    tar.args(["--owner=0", "--group=0", "--numeric-owner", "--sort=name", "--mtime=@0", "-cf"]);
    let status = tar.arg(directory.join("base.tar")).arg("-C").arg(&root).arg(".").status()?;
    if status.success() { Ok(()) } else { Err(std::io::Error::other(format!("tar: {status}"))) }
}
