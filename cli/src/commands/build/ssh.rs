//! `--ssh` in the syntax of buildx.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::str::FromStr;

use engine::{Agent, Agents};

use crate::report::Report;

/// The agent that a step means when it names none.
const DEFAULT_ID: &str = "default";
/// Where ssh(1) finds its agent.
const AGENT_VARIABLE: &str = "SSH_AUTH_SOCK";

/// One `--ssh`: `ID`, `ID=SOCKET` or `ID=KEY[,KEY...]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SshSpec {
    id: String,
    /// None for the user's agent.
    paths: Vec<PathBuf>,
}

impl FromStr for SshSpec {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, paths) = text.split_once('=').unwrap_or((text, ""));
        let id = if id.is_empty() { DEFAULT_ID } else { id };
        let paths = match paths {
            "" => Vec::new(),
            paths => paths.split(',').map(PathBuf::from).collect(),
        };
        Ok(Self { id: id.to_owned(), paths })
    }
}

/// What the texts stand for on this machine.
pub(crate) fn read(specs: Vec<SshSpec>) -> Result<Agents, Report> {
    let mut agents: Agents = BTreeMap::new();
    for SshSpec { id, paths } in specs {
        if agents.contains_key(&id) {
            return Err(Report::mistake(format!("duplicate agent ID `{id}` in `--ssh`")));
        }
        let agent = if paths.is_empty() { Agent::Socket(own_agent(&id)?) } else { agent(&id, paths)? };
        agents.insert(id, agent);
    }
    Ok(agents)
}

/// The user's agent, if there is one.
pub(super) fn of_user() -> Agents {
    let socket = env::var_os(AGENT_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    socket.map(|socket| (DEFAULT_ID.to_owned(), Agent::Socket(socket))).into_iter().collect()
}

fn own_agent(id: &str) -> Result<PathBuf, Report> {
    match env::var_os(AGENT_VARIABLE) {
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => Err(Report::mistake(format!(
            "`--ssh {id}`: {AGENT_VARIABLE} does not name the socket of an agent"
        ))
        .hint(format!("start one (`eval $(ssh-agent)`), or name a socket or keys: `--ssh {id}=PATH`"))),
    }
}

/// Either a socket or keys.
fn agent(id: &str, paths: Vec<PathBuf>) -> Result<Agent, Report> {
    let mut sockets = 0;
    for path in &paths {
        let meta = fs::metadata(path).map_err(|error| Report::file(path, &error))?;
        sockets += usize::from(meta.file_type().is_socket());
        if meta.is_dir() {
            let message = format!("`--ssh {id}`: `{}` is a directory, not a socket or a key", path.display());
            return Err(Report::mistake(message));
        }
    }
    match (sockets, paths.len()) {
        (0, _) => Ok(Agent::Keys(paths)),
        (1, 1) => Ok(Agent::Socket(paths.into_iter().next().expect("there is one"))),
        (sockets, count) if sockets == count => {
            Err(Report::mistake(format!("`--ssh {id}`: only a single socket is allowed")))
        }
        _ => Err(Report::mistake(format!("`--ssh {id}`: either a socket or keys, not both"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_written_as_in_buildx() {
        for (text, id, paths) in [
            ("default", "default", &[][..]),
            ("", "default", &[]),
            ("=a", "default", &["a"]),
            ("id=a", "id", &["a"]),
            ("id=", "id", &[]),
            ("id=a,b=c", "id", &["a", "b=c"]),
        ] {
            let paths = paths.iter().map(PathBuf::from).collect();
            assert_eq!(text.parse(), Ok(SshSpec { id: id.to_owned(), paths }), "{text}");
        }
    }
}
