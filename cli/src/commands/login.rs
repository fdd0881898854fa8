//! `slipway login`.

use std::io::Read as _;

use engine::registries::{Client, LoginKind, LoginRequest, Secret};

use crate::console;
use crate::registries::RegistryArgs;
use crate::report::{Exit, Report};
use crate::runtime::{Interrupted, interruptible};

/// The registry that is meant when none is named.
pub(super) const DEFAULT_REGISTRY: &str = "docker.io";
/// Other names of it.
const DEFAULT_REGISTRY_NAMES: [&str; 3] =
    ["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];
/// No password comes near it.
const PASSWORD_BYTES_MAX: u64 = 64 << 10;

/// Authenticate to a registry
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway login [OPTIONS] [SERVER]", help_template = super::HELP)]
pub(crate) struct Args {
    /// The registry, Docker Hub when none is given
    #[arg(value_name = "SERVER", hide = true)]
    server: Option<String>,
    /// Password or Personal Access Token (PAT)
    #[arg(short, long, value_name = "PASSWORD")]
    password: Option<String>,
    /// Take the Password or Personal Access Token (PAT) from stdin
    #[arg(long, conflicts_with = "password", requires = "username")]
    password_stdin: bool,
    /// Username
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// Logs in.
pub(crate) fn run(args: Args) -> Result<Exit, Report> {
    let Args { server, password, password_stdin, username, registry } = args;
    let domain = domain(server.as_deref());
    let client = Client::new(registry.settings()?);
    if password.is_some() {
        console::print_error("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n");
    }
    let username = match username {
        Some(username) => username,
        None => ask_username(&client, &domain)?,
    };
    let password = match password {
        Some(password) => password,
        None if password_stdin => from_stdin()?,
        None => console::ask_hidden("Password: ").ok_or_else(|| {
            Report::mistake("cannot perform an interactive login from a non TTY device")
                .hint("use `--username NAME --password-stdin`")
        })?,
    };
    if username.is_empty() || password.is_empty() {
        return Err(Report::mistake("username and password are both required"));
    }
    let login = LoginRequest { domain, username, password: Secret::new(password) };
    let kept = match interruptible(client.login(login))? {
        Ok(kept) => kept?,
        Err(Interrupted) => return Ok(Exit::Interrupted),
    };
    if let LoginKind::File(path) = kept {
        console::print_error(&format!(
            "\nWARNING! Your credentials are stored unencrypted in '{}'.\nConfigure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n\n",
            path.display()
        ));
    }
    console::print("Login Succeeded\n")
}

/// The registry that a user means, whatever address of it was copied.
pub(super) fn domain(server: Option<&str>) -> String {
    let server = server.unwrap_or(DEFAULT_REGISTRY);
    let host = server.split_once("://").map_or(server, |(_, host)| host);
    let host = host.split('/').next().unwrap_or(host);
    if DEFAULT_REGISTRY_NAMES.contains(&host) { DEFAULT_REGISTRY.to_owned() } else { host.to_owned() }
}

fn ask_username(client: &Client, domain: &str) -> Result<String, Report> {
    let known = match interruptible(client.known_user(domain))? {
        Ok(known) => known?,
        Err(Interrupted) => None,
    };
    let prompt = known.as_ref().map_or("Username: ".to_owned(), |known| format!("Username ({known}): "));
    let typed = console::ask(&prompt).ok_or_else(|| {
        Report::mistake("cannot perform an interactive login from a non TTY device")
            .hint("use `--username NAME --password-stdin`")
    })?;
    Ok(if typed.is_empty() { known.unwrap_or_default() } else { typed })
}

fn from_stdin() -> Result<String, Report> {
    let mut text = String::new();
    let mut stdin = std::io::stdin().lock().take(PASSWORD_BYTES_MAX);
    let failed = |error| Report::mistake(format!("cannot read the password from standard input: {error}"));
    stdin.read_to_string(&mut text).map_err(failed)?;
    // The end of the line is of the tool that wrote it.
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_written_in_many_ways() {
        for (server, expected) in [
            (None, "docker.io"),
            (Some("https://index.docker.io/v1/"), "docker.io"),
            (Some("ghcr.io"), "ghcr.io"),
            (Some("http://localhost:5000/v2/"), "localhost:5000"),
        ] {
            assert_eq!(domain(server), expected);
        }
    }
}
