//! A daemon, and a stock client that knows nothing of us.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::support::Home;

/// Where Debian's package has it.
const BUILDX: &str = "/usr/libexec/docker/cli-plugins/docker-buildx";

/// The client. Without one, nothing is shown of how it is served: that is a failure.
fn buildx() -> PathBuf {
    let given = std::env::var_os("SLIPWAY_BUILDX").map(PathBuf::from);
    let found = given.unwrap_or_else(|| BUILDX.into());
    assert!(
        found.exists(),
        "`{}` is not there: `cargo xtask test` brings buildx and says where it is in SLIPWAY_BUILDX",
        found.display()
    );
    found
}

/// A daemon with a store, and a client that is told where it is. It ends with this value.
pub(crate) struct Served {
    pub(crate) home: Home,
    pub(crate) daemon: Child,
    /// Where it listens.
    pub(crate) address: String,
    /// What it said before it did.
    pub(crate) told: String,
}

impl Served {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let served = Self::alone(arguments);
        served.create("slipway", &[]);
        served
    }

    /// Without a client of others.
    pub(crate) fn alone(arguments: &[&str]) -> Self {
        let home = Home::new();
        let address = format!("unix://{}", home.path("d.sock").display());
        let command = home.command(&[&["daemon", "--addr", &address], arguments].concat());
        let served = Self::listening(home, command);
        assert_eq!((served.told.as_str(), &served.address), ("", &address));
        served
    }

    /// Of a daemon that this command starts, whose client needs these options as well.
    pub(crate) fn of(home: Home, command: Command, driver_options: &[&str]) -> Self {
        let served = Self::listening(home, command);
        served.create("slipway", driver_options);
        served
    }

    /// Of a daemon that this command starts, without a client of others.
    pub(crate) fn listening(home: Home, mut command: Command) -> Self {
        let mut daemon = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(daemon.stderr.take().unwrap());
        let mut told = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).unwrap() > 0, "it does not listen:\n{told}");
            match line.strip_prefix("listening at ") {
                Some(address) => break address.trim_end().to_owned(),
                None => told += &line,
            }
        };
        // Nobody waits for what it says later.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Self { home, daemon, address, told }
    }

    /// Tells the client of the daemon.
    pub(crate) fn create(&self, name: &str, driver_options: &[&str]) {
        let create = ["create", "--name", name, "--driver", "remote"];
        self.ok(&[&create, driver_options, &[self.address.as_str()]].concat());
    }

    pub(crate) fn client(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(buildx());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", self.home.path("user"));
        command.env("BUILDX_BUILDER", "slipway");
        // There is no daemon of Docker's.
        command.env("DOCKER_HOST", "unix:///nonexistent");
        command.args(arguments).stdin(Stdio::null()).current_dir(self.home.path("."));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.client(arguments).output().unwrap()
    }

    /// Runs a command that must succeed; standard output and standard error.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "buildx {arguments:?}:\n{text}");
        text
    }

    /// Builds; what the client shows.
    pub(crate) fn build(&self, arguments: &[&str]) -> String {
        self.ok(&[&["build", "--progress=plain"], arguments].concat())
    }

    /// Runs a command that must fail; what the client shows.
    pub(crate) fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(&[&["build", "--progress=plain"], arguments].concat());
        assert!(!output.status.success(), "buildx {arguments:?} succeeded");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.home.path(name)).unwrap()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.home.path("d.sock")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// Whether a process with this in its command line is there.
pub(crate) fn is_running(mark: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| std::fs::read(Path::new(&entry.path()).join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .any(|line| line.starts_with("sleep") && line.contains(mark))
}
