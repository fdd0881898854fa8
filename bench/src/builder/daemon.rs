//! A daemon that lives as long as its builder.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::Error;

/// A daemon's first start makes its databases; more than this means that it hangs.
const START_SECONDS_MAX: u64 = 30;
/// Time for an orderly end, in which a daemon takes its mounts away.
const STOP_SECONDS_MAX: u64 = 20;
const POLL: Duration = Duration::from_millis(20);

/// A running daemon. Ends when dropped, in good order if it can.
pub(super) struct Daemon {
    child: Child,
}

impl Daemon {
    /// Starts `command` in a network of its own and waits until it listens on `socket`.
    ///
    /// The network is its own so that no daemon touches the host's bridges and rules. Should we be killed, the
    /// kernel ends the daemon.
    pub(super) fn start(
        name: &'static str,
        command: &Command,
        socket: &Path,
        log: &Path,
    ) -> Result<Self, Error> {
        let output = File::create(log).map_err(Error::at(log))?;
        let errors = output.try_clone().map_err(Error::at(log))?;
        let mut apart = Command::new("setpriv");
        apart
            .args(["--pdeathsig", "TERM", "--", "unshare", "--net", "--mount", "--"])
            .arg(command.get_program())
            .args(command.get_args());
        apart.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = apart.spawn().map_err(|source| Error::Start { command: name.to_owned(), source })?;
        let mut daemon = Self { child };
        if daemon.listens(socket) {
            return Ok(daemon);
        }
        let log = fs::read_to_string(log).unwrap_or_default();
        Err(Error::Silent {
            daemon: name,
            socket: socket.to_owned(),
            seconds: START_SECONDS_MAX,
            log: last_line(&log),
        })
    }

    fn listens(&mut self, socket: &Path) -> bool {
        let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        while Instant::now() < deadline && self.is_running() {
            if UnixStream::connect(socket).is_ok() {
                return true;
            }
            thread::sleep(POLL);
        }
        false
    }

    fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Best effort: a daemon that has ended by itself is what we want.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(STOP_SECONDS_MAX);
        while self.is_running() && Instant::now() < deadline {
            thread::sleep(POLL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last line that says something.
fn last_line(log: &str) -> String {
    log.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it wrote nothing").to_owned()
}

/// The state, log and socket of a daemon below `directory`.
pub(super) struct Places {
    pub(super) state: PathBuf,
    pub(super) log: PathBuf,
    pub(super) socket: PathBuf,
}

impl Places {
    pub(super) fn below(directory: &Path) -> Result<Self, Error> {
        fs::create_dir_all(directory).map_err(Error::at(directory))?;
        Ok(Self {
            state: directory.join("state"),
            log: directory.join("log"),
            socket: directory.join("socket"),
        })
    }

    /// The socket as an address that clients take.
    pub(super) fn address(&self) -> String {
        format!("unix://{}", self.socket.display())
    }
}
