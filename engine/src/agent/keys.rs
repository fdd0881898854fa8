//! Keys in files: held by an `ssh-agent` of the host that is started for the build.
//!
//! No key is ever read by us. What signs with every kind of key and is well kept is OpenSSH; the crates that could
//! do it need `rsa`, which leaks its keys through timing (RUSTSEC-2023-0071), or know no RSA keys.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::AgentError;

/// Says who the agent is and where, adds the keys, says that it has, and stays until its input ends.
///
/// Keys come through standard input: it does not matter who else can read the file, as in BuildKit.
const SCRIPT: &str = r#"echo "$SSH_AGENT_PID" && echo "$SSH_AUTH_SOCK" || exit
    for key; do ssh-add -q - < "$key" || { printf %s "-$key"; exit 1; }; done
    echo + && exec cat > /dev/null"#;
/// Most that is kept of what `ssh-add` says.
const SAID_BYTES_MAX: u64 = 4 << 10;

/// How long an agent may take to remove its socket; it needs a millisecond.
const END_MAX: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// An agent with keys. It ends when this is dropped, or when this process ends, however it does.
pub(super) struct KeyAgent {
    /// The parent of the agent, which ends with it.
    parent: Child,
    /// What the parent waits for the end of.
    input: Option<ChildStdin>,
    agent: Option<OwnedFd>,
    socket: PathBuf,
}

impl KeyAgent {
    pub(super) fn start(files: &[PathBuf]) -> Result<Self, AgentError> {
        let start = |source| AgentError::Start { source };
        let mut command = Command::new("ssh-agent");
        command.args(["sh", "-c", SCRIPT, "sh"]).args(files);
        // A passphrase is an error, not a question.
        command.env("SSH_ASKPASS", "/bin/false").env("SSH_ASKPASS_REQUIRE", "force");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut parent = command.spawn().map_err(start)?;
        let input = parent.stdin.take();
        let mut started = Self { parent, input, agent: None, socket: PathBuf::new() };
        match started.refused_key().map_err(start)? {
            None => Ok(started),
            Some(key) => Err(started.refusal(key)),
        }
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Reads what the script says. The key that was not added, if it ends with one.
    fn refused_key(&mut self) -> io::Result<Option<PathBuf>> {
        let mut output = BufReader::new(self.parent.stdout.take().expect("it is a pipe"));
        let (mut number, mut socket, mut ready) = (String::new(), Vec::new(), Vec::new());
        output.read_line(&mut number)?;
        output.read_until(b'\n', &mut socket)?;
        socket.pop();
        // The parent is there, and so no other process has the agent's number.
        if let Some(agent) = number.trim().parse().ok().and_then(Pid::from_raw) {
            self.agent = Some(pidfd_open(agent, PidfdFlags::empty())?);
        }
        self.socket = PathBuf::from(OsString::from_vec(socket));
        output.read_until(b'\n', &mut ready)?;
        match ready.as_slice() {
            b"+\n" if self.agent.is_some() => Ok(None),
            [b'-', key @ ..] => Ok(Some(PathBuf::from(OsString::from_vec(key.to_vec())))),
            _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        }
    }

    /// What there is to say about a key that was not added.
    fn refusal(&mut self, path: PathBuf) -> AgentError {
        let mut said = Vec::new();
        let errors = self.parent.stderr.take().expect("it is a pipe");
        match errors.take(SAID_BYTES_MAX).read_to_end(&mut said) {
            Ok(_) => AgentError::Key { path, said: String::from_utf8_lossy(&said).trim().to_owned() },
            Err(source) => AgentError::Start { source },
        }
    }
}

impl Drop for KeyAgent {
    fn drop(&mut self) {
        // The agent takes its socket along. If it is gone, somebody else ended it.
        if let Some(agent) = &self.agent
            && pidfd_send_signal(agent, Signal::TERM).is_ok()
        {
            let _ = poll(&mut [PollFd::new(agent, PollFlags::IN)], Some(&END_MAX));
        }
        self.input = None;
        let _ = self.parent.wait();
    }
}
