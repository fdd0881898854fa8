//! Runs git with an environment of its own.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use super::{GitAccess, GitError};

/// Longest time for one command. A connection that is silent ends earlier.
const TIME_MAX: Duration = Duration::from_secs(6 * 3600);
/// Most that git can answer: the names of all references of a repository, or of all its files.
const OUTPUT_BYTES_MAX: u64 = 256 << 20;
/// Most of what git says to people that is read.
const SAID_BYTES_MAX: u64 = 64 << 10;
/// Lines of it that are told.
const SAID_LINES_MAX: usize = 4;
/// Seconds after which a silent connection is given up.
const SILENCE_SECONDS: &str = "60";
/// The transports that git may use, whatever a repository or a server says.
const PROTOCOLS: &str = "http:https:ssh:git";
/// The name of the repository that is fetched; what it is called is in the environment, not among the arguments.
pub(super) const ORIGIN: &str = "origin";

/// What holds in every command, wherever the repository is from.
const CONFIG: [(&str, &str); 20] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.autocrlf", "false"),
    ("core.protectHFS", "true"),
    ("core.protectNTFS", "true"),
    ("core.logAllRefUpdates", "false"),
    ("core.attributesFile", "/dev/null"),
    ("core.excludesFile", "/dev/null"),
    ("credential.helper", ""),
    ("protocol.version", "2"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("submodule.recurse", "false"),
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", SILENCE_SECONDS),
    ("fetch.fsckObjects", "true"),
    // Old tools made these, and they harm nobody.
    ("fetch.fsck.zeroPaddedFilemode", "ignore"),
    ("fetch.fsck.badTimezone", "ignore"),
    ("fetch.fsck.missingSpaceBeforeDate", "ignore"),
];

/// Git, for one repository.
pub(super) struct Git<'a> {
    access: &'a GitAccess,
    /// Where the repository is.
    pub(super) remote: String,
    /// The repository that the user has named: what is for all repositories is for its server alone.
    named: String,
}

/// How a command ended that may fail.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) output: Vec<u8>,
    /// The last lines that git said to people, without passwords.
    pub(super) said: String,
}

impl<'a> Git<'a> {
    pub(super) fn new(access: &'a GitAccess, remote: &str) -> Self {
        Self { access, remote: remote.to_owned(), named: remote.to_owned() }
    }

    /// For a repository that another one names.
    pub(super) fn of_submodule(parent: &Self, remote: String) -> Self {
        Self { access: parent.access, remote, named: parent.named.clone() }
    }

    /// The repository, as people may see it.
    pub(super) fn shown(&self) -> String {
        graph::redacted(&self.remote)
    }

    /// Runs a command that succeeds unless something is wrong with the repository.
    pub(super) async fn run(&self, command: &'static str, arguments: &[&OsStr]) -> Result<Vec<u8>, GitError> {
        let ended = self.try_run(command, arguments).await?;
        match ended.status.success() {
            true => Ok(ended.output),
            false => Err(GitError::Failed { command, remote: self.shown(), said: ended.said }),
        }
    }

    /// Runs a command. Dropping the future ends it and all that it has started.
    pub(super) async fn try_run(&self, name: &'static str, arguments: &[&OsStr]) -> Result<Ended, GitError> {
        let mut command = self.command();
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut group = Group(command.spawn().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => GitError::NotInstalled { remote: self.shown() },
            _ => GitError::Start { source },
        })?);
        let ended = tokio::time::timeout(TIME_MAX, group.wait()).await;
        let slow = |_| GitError::Slow { command: name, remote: self.shown(), time_max: TIME_MAX };
        let (status, output, said) = ended.map_err(slow)?.map_err(|source| GitError::Start { source })?;
        if output.len() as u64 > OUTPUT_BYTES_MAX {
            let (remote, size_bytes_max) = (self.shown(), OUTPUT_BYTES_MAX);
            return Err(GitError::TooMuch { command: name, remote, size_bytes_max });
        }
        Ok(Ended { status, output, said: self.said(&said) })
    }

    fn command(&self) -> Command {
        let mut command = Command::new("git");
        command.env_clear().process_group(0).kill_on_drop(true);
        for name in ["PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
            command.envs(env::var_os(name).map(|value| (name, value)));
        }
        // Git of some systems reads no other name.
        command.envs(env::var_os("SSL_CERT_FILE").map(|value| ("GIT_SSL_CAINFO", value)));
        for (name, value) in &self.access.proxy_env {
            // What curl reads is in lower case.
            command.env(name, value).env(name.to_ascii_lowercase(), value);
        }
        command.envs([("HOME", "/dev/null"), ("XDG_CONFIG_HOME", "/dev/null")]);
        command.envs([
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_SYSTEM", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ALLOW_PROTOCOL", PROTOCOLS),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_SSH_VARIANT", "ssh"),
            ("LC_ALL", "C"),
        ]);
        command.env("GIT_SSH_COMMAND", ssh_command());
        command.envs(self.access.agent.as_ref().map(|socket| ("SSH_AUTH_SOCK", socket)));
        self.configure(&mut command);
        command
    }

    /// Settings in the environment: nobody else sees them there, and no repository can take them back.
    fn configure(&self, command: &mut Command) {
        let header = self.access.credentials.header(&self.remote, &self.named);
        let url = ("remote.origin.url".to_owned(), self.remote.clone());
        let own = header.map(|header| ("http.extraHeader".to_owned(), header)).into_iter().chain([url]);
        let fixed = CONFIG.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut count = 0;
        for (name, value) in fixed.chain(own) {
            command.env(format!("GIT_CONFIG_KEY_{count}"), name);
            command.env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        command.env("GIT_CONFIG_COUNT", count.to_string());
    }

    fn said(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes).replace(&self.remote, &self.shown());
        let text = self.access.credentials.redact(&text);
        let plain = |line: &'_ str| -> String {
            let line = line.trim();
            ["fatal: ", "error: "].iter().find_map(|word| line.strip_prefix(word)).unwrap_or(line).to_owned()
        };
        let lines: Vec<String> = text.lines().map(plain).filter(|line| !line.is_empty()).collect();
        let last = &lines[lines.len().saturating_sub(SAID_LINES_MAX)..];
        let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
        last.join("; ").chars().map(shown).collect()
    }
}

/// The user's known hosts count, and nothing else of the user's settings: a host that is not among them is none to
/// talk to.
fn ssh_command() -> OsString {
    let mut command = OsString::from("ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=yes");
    command
        .push(" -o ConnectTimeout=30 -o ServerAliveInterval=15 -o ForwardAgent=no -o PermitLocalCommand=no");
    let home = env::var_os("HOME").filter(|home| home.as_encoded_bytes().iter().all(|byte| is_plain(*byte)));
    if let Some(home) = home {
        command.push(" -o UserKnownHostsFile=");
        command.push(home);
        command.push("/.ssh/known_hosts");
    }
    command
}

/// Whether a shell takes it for what it is.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/._-+@".contains(&byte)
}

/// Git and all that it has started. Dropping it ends them.
struct Group(Child);

impl Group {
    async fn wait(&mut self) -> io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
        let output = read(self.0.stdout.take(), OUTPUT_BYTES_MAX);
        let said = read(self.0.stderr.take(), SAID_BYTES_MAX);
        let (output, said) = futures_util::future::try_join(output, said).await?;
        Ok((self.0.wait().await?, output, said))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // None when it has ended and was waited for.
        let Some(pid) = self.0.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) else {
            return;
        };
        if let Err(error) = kill_process_group(pid, Signal::KILL) {
            tracing::debug!(%error, "cannot end git");
        }
    }
}

/// Reads to the end, and keeps one byte more than allowed of it.
async fn read(from: Option<impl AsyncRead + Unpin>, size_bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        (&mut from).take(size_bytes_max + 1).read_to_end(&mut bytes).await?;
        tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    }
    Ok(bytes)
}
