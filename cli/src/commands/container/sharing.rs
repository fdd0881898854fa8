//! Which namespaces a container of `run` shares with the machine or with another container.

use engine::containers::{Processes, Queues, Settings, Sharing};

use crate::report::Report;

/// The options.
#[derive(Debug, clap::Args)]
pub(crate) struct SharingArgs {
    /// Run an init inside the container that forwards signals and reaps processes
    #[arg(long, value_name = "BOOL")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    init: Option<bool>,
    /// IPC mode to use ("private", "shareable", "none", "host", "container:NAME")
    #[arg(long, value_name = "MODE", default_value = "", hide_default_value = true)]
    ipc: Queues,
    /// PID namespace to use ("host", "container:NAME")
    #[arg(long, value_name = "MODE", default_value = "", hide_default_value = true)]
    pid: Processes,
    /// User namespace to use ("host")
    #[arg(long, value_name = "MODE", default_value = "", hide_default_value = true)]
    #[arg(value_parser = parse_users)]
    userns: Users,
    /// UTS namespace to use ("host")
    #[arg(long, value_name = "MODE", default_value = "", hide_default_value = true)]
    #[arg(value_parser = parse_names)]
    uts: Names,
}

/// `--userns`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Users {
    Default,
    Host,
}

/// `--uts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    Private,
    Host,
}

impl SharingArgs {
    pub(super) fn settings(self, network_of: Option<String>) -> Sharing {
        Sharing {
            processes: self.pid,
            queues: self.ipc,
            has_name_of_host: self.uts == Names::Host,
            has_users_of_host: self.userns == Users::Host,
            network_of,
            has_init: self.init,
        }
    }
}

fn parse_users(text: &str) -> Result<Users, String> {
    let refused = |why: &str| Err(format!("`{text}` is not supported: {why}"));
    match text.split(':').next().unwrap_or(text) {
        "" => Ok(Users::Default),
        "host" if text == "host" => Ok(Users::Host),
        "keep-id" | "nomap" => refused(
            "the user who starts a container is its user 0, and files of the image would need other owners; \
             what the container makes belongs to you all the same",
        ),
        "auto" | "private" => {
            refused("containers of one user share its ids; those of root have the ids of the machine")
        }
        _ => Err("invalid USER mode".to_owned()),
    }
}

fn parse_names(text: &str) -> Result<Names, String> {
    match text {
        "" | "private" => Ok(Names::Private),
        "host" => Ok(Names::Host),
        _ => Err("invalid UTS mode".to_owned()),
    }
}

/// What contradicts what is shared, in Docker's words.
pub(super) fn check(settings: &Settings) -> Result<(), Report> {
    let Settings { sharing, networks, hostname, dns, surroundings, .. } = settings;
    let has_hostname = hostname.is_some();
    let is_shared = sharing.network_of.is_some();
    let conflicts = [
        (sharing.has_name_of_host && has_hostname, "hostname and the UTS mode"),
        (is_shared && has_hostname, "hostname and the network mode"),
        (is_shared && *dns != engine::Dns::default(), "dns and the network mode"),
        (is_shared && !surroundings.extra_hosts.is_empty(), "custom host-to-IP mapping and the network mode"),
        (
            is_shared && (!networks.ports.is_empty() || networks.publishes_all),
            "port publishing and the container type network mode",
        ),
        (is_shared && !networks.exposed.is_empty(), "port exposing and the container type network mode"),
        (
            is_shared && !networks.networks.is_empty(),
            "addresses or names and the container type network mode",
        ),
    ];
    match conflicts.iter().find(|(is_there, _)| *is_there) {
        None => Ok(()),
        Some((_, what)) => Err(Report::mistake(format!("conflicting options: {what}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_of_users_and_names() {
        assert_eq!(parse_users("host"), Ok(Users::Host));
        assert_eq!(parse_users(""), Ok(Users::Default));
        assert!(parse_users("keep-id:uid=7").unwrap_err().contains("not supported"));
        assert!(parse_users("auto").unwrap_err().contains("not supported"));
        assert_eq!(parse_users("sailor"), Err("invalid USER mode".to_owned()));
        assert_eq!(parse_names("host"), Ok(Names::Host));
        assert!(parse_names("container:x").is_err());
    }
}
