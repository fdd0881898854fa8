//! Which namespaces a container shares with the machine, or with another container.

use std::os::fd::OwnedFd;
use std::path::Path;

use executor::{Neighbours, Whose};
use serde::{Deserialize, Serialize};

use super::ask;
use super::error::ContainerError;
use super::home::{self, Home};
use super::wire::{Neighbour, Reply, Request};
use crate::Engine;

/// How the name of another container begins.
const CONTAINER: &str = "container:";

/// `--pid`, `--ipc`, `--uts`, `--userns`, `--init`, and `--network container:NAME`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sharing {
    /// Whose processes it sees.
    pub processes: Processes,
    /// Whose queues and shared memory it has.
    pub queues: Queues,
    /// Whether it has the name of the host.
    pub has_name_of_host: bool,
    /// Whether somebody asked for the users that it has anyway.
    pub has_users_of_host: bool,
    /// The container whose network it has.
    pub network_of: Option<String>,
    /// Whether a process of ours is its first one; `None` if nobody said.
    pub has_init: Option<bool>,
}

/// `--pid`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Processes {
    /// Its own alone.
    #[default]
    Private,
    /// All of the machine.
    Host,
    /// Those of another container.
    Container(String),
}

/// `--ipc`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Queues {
    /// Its own alone.
    #[default]
    Private,
    /// Its own, which others may share.
    Shareable,
    /// Its own, without `/dev/shm`.
    WithoutMemory,
    /// Those of the machine.
    Host,
    /// Those of another container.
    Container(String),
}

impl std::str::FromStr for Processes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" | "private" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            _ => name_of(text).map(Self::Container).ok_or_else(|| "invalid PID mode".to_owned()),
        }
    }
}

impl std::str::FromStr for Queues {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" | "private" => Ok(Self::Private),
            "shareable" => Ok(Self::Shareable),
            "none" => Ok(Self::WithoutMemory),
            "host" => Ok(Self::Host),
            _ => name_of(text).map(Self::Container).ok_or_else(|| "invalid IPC mode".to_owned()),
        }
    }
}

impl std::fmt::Display for Processes {
    /// Docker's word.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Private => Ok(()),
            Self::Host => out.write_str("host"),
            Self::Container(id) => write!(out, "{CONTAINER}{id}"),
        }
    }
}

impl std::fmt::Display for Queues {
    /// Docker's word.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Private => out.write_str("private"),
            Self::Shareable => out.write_str("shareable"),
            Self::WithoutMemory => out.write_str("none"),
            Self::Host => out.write_str("host"),
            Self::Container(id) => write!(out, "{CONTAINER}{id}"),
        }
    }
}

/// The container in `container:NAME`.
pub fn name_of(text: &str) -> Option<String> {
    text.strip_prefix(CONTAINER).filter(|name| !name.is_empty()).map(str::to_owned)
}

impl Sharing {
    /// The other containers, each with what it shares.
    fn others_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let processes = match &mut self.processes {
            Processes::Container(name) => Some(name),
            Processes::Private | Processes::Host => None,
        };
        let queues = match &mut self.queues {
            Queues::Container(name) => Some(name),
            _ => None,
        };
        [processes, queues, self.network_of.as_mut()].into_iter().flatten()
    }

    /// The other containers, by name or id.
    pub fn others(&self) -> Vec<String> {
        let mut copy = self.clone();
        copy.others_mut().map(|name| name.clone()).collect()
    }

    /// `container:ID`, if the network is another container's.
    pub fn network_mode(&self) -> Option<String> {
        self.network_of.as_ref().map(|id| format!("{CONTAINER}{id}"))
    }

    /// What the sandbox shares, as far as that is known before the others have been asked.
    pub(super) fn of_sandbox(&self) -> executor::Sharing {
        executor::Sharing {
            processes: match self.processes {
                Processes::Private => Whose::Own,
                Processes::Host => Whose::Host,
                Processes::Container(_) => Whose::Joined,
            },
            queues: match self.queues {
                Queues::Private | Queues::Shareable | Queues::WithoutMemory => Whose::Own,
                Queues::Host => Whose::Host,
                Queues::Container(_) => Whose::Joined,
            },
            names: if self.has_name_of_host { Whose::Host } else { Whose::Own },
        }
    }
}

/// What a container has of others when it starts.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) neighbours: Neighbours,
    pub(super) sharing: executor::Sharing,
    /// The container whose network it has.
    pub(super) network: Option<Neighbour>,
}

/// Asks the other containers for what is shared with them. The problem is for people.
pub(super) fn shared(root: &Path, wanted: &Sharing) -> Result<Shared, String> {
    let mut shared =
        Shared { neighbours: Neighbours::default(), sharing: wanted.of_sandbox(), network: None };
    if let Processes::Container(id) = &wanted.processes {
        let (neighbour, process) = ask(root, id, "cannot join PID namespace of")?;
        // Whoever shares with one who has the host's has the host's.
        if neighbour.sharing.processes == Whose::Host {
            shared.sharing.processes = Whose::Host;
        }
        shared.neighbours.processes = Some(process);
    }
    if let Queues::Container(id) = &wanted.queues {
        let (neighbour, process) = ask(root, id, "cannot join IPC of")?;
        if !neighbour.lends_queues {
            return Err(format!(
                "can't join IPC of container {id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)"
            ));
        }
        if neighbour.sharing.queues == Whose::Host {
            shared.sharing.queues = Whose::Host;
        }
        shared.neighbours.queues = Some(process);
    }
    if let Some(id) = &wanted.network_of {
        let (neighbour, process) = ask(root, id, "cannot join network of")?;
        shared.neighbours.network = Some(process);
        shared.network = Some(neighbour);
    }
    Ok(shared)
}

/// What another container says of itself, with its first process.
fn ask(root: &Path, id: &str, doing: &str) -> Result<(Neighbour, OwnedFd), String> {
    let not_running = || format!("{doing} a non running container: {id}");
    let answer = ask::ask_for_descriptor(&Home::new(root, id), &Request::Neighbour);
    match answer {
        Ok(Some((Reply::Neighbour(neighbour), Some(process)))) => Ok((*neighbour, process)),
        Ok(_) => Err(not_running()),
        Err(error) => Err(format!("{doing} container {id}: {error}")),
    }
}

impl Engine {
    /// Writes ids for the names of other containers. Who has the network of another one is called like it.
    pub(super) fn settle_sharing(&self, sharing: &mut Sharing) -> Result<Option<String>, ContainerError> {
        for name in sharing.others_mut() {
            *name = self.container(name)?.config.id;
        }
        if sharing.has_name_of_host {
            let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
            return Ok(Some(name));
        }
        let lender = sharing.network_of.as_ref().map(|id| self.container(id)).transpose()?;
        Ok(lender.map(|lender| lender.config.hostname))
    }
}

/// The user namespace in which a container runs: who joins it has to be root there. None of one that does not run.
///
/// For a process that is not root yet; afterwards it is too late to look.
pub(crate) fn user_namespace(root: &Path, name: &str) -> Option<OwnedFd> {
    let home = home::find(root, name).ok()?;
    ask::user_namespace(&home)
}

/// The containers whose namespaces some containers will join, by id.
///
/// For a process that is not root yet: what it cannot read it passes over, and whoever starts them says what is wrong.
pub fn neighbours(root: &Path, names: &[String]) -> Vec<String> {
    let configs = names.iter().filter_map(|name| home::find(root, name).ok()?.config().ok());
    configs.flat_map(|config| config.settings.sharing.others()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_dockers() {
        for (text, shown) in [("", ""), ("host", "host"), ("container:web", "container:web")] {
            assert_eq!(text.parse::<Processes>().unwrap().to_string(), shown);
        }
        for (text, shown) in [
            ("", "private"),
            ("none", "none"),
            ("shareable", "shareable"),
            ("container:web", "container:web"),
        ] {
            assert_eq!(text.parse::<Queues>().unwrap().to_string(), shown);
        }
        for wrong in ["container:", "web", "shareable "] {
            assert!(wrong.parse::<Processes>().is_err() && wrong.parse::<Queues>().is_err(), "{wrong}");
        }
    }
}
