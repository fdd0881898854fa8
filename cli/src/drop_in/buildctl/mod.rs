//! As `buildctl`: a client of a daemon of ours, or of BuildKit's.

mod build;
mod debug;
mod dial;
mod usage;

use std::path::PathBuf;
use std::time::Duration;

use daemon::ClientTls;
use daemon::client::{Client, ClientError, DaemonPlace, InvalidPlace};
use tokio::task::LocalSet;

use super::buildkitd::places;
use super::flags::{self, Flag, Given, Kind};
use crate::console;
use crate::diagnostics;
use crate::report::{Exit, Report};
use crate::runtime::{Interrupted, interruptible};

use Kind::{Switch, Value};

/// The name that it is called by.
const NAME: &str = "buildctl";
/// Where a daemon is that nobody names.
const HOST_VARIABLE: &str = "BUILDKIT_HOST";
/// Files of `--tlsdir`.
const DIRECTORY_FILES: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];

/// How often a daemon that is waited for is looked for.
const WAIT_PAUSE: Duration = Duration::from_millis(100);

/// Before the command.
#[rustfmt::skip]
const FLAGS: &[Flag] = &[
    ("addr", None, Value), ("debug", None, Switch), ("help", Some('h'), Switch), ("timeout", None, Value),
    ("tlscacert", None, Value), ("tlscert", None, Value), ("tlsdir", None, Value), ("tlskey", None, Value),
    ("tlsservername", None, Value), ("version", Some('v'), Switch), ("wait", None, Switch),
];

const HELP: &str = "\
Usage: buildctl [OPTIONS] COMMAND

BuildKit's client, see docs/drop-ins.md.

Commands:
  build           Build
  du              Show what the cache takes
  prune           Remove what the cache does not need
  dial-stdio      Connect standard input and output with the daemon
  debug info      Show the version of the daemon
  debug workers   List the workers of the daemon
  debug dump-llb  Show the operations of a definition

Options:
  --addr ADDRESS  unix://PATH or tcp://HOST:PORT (default $BUILDKIT_HOST, unix:///run/buildkit/buildkitd.sock)
  --debug         Show messages for developers
  --timeout SECONDS  How long it may take to connect
  --wait          Wait until the daemon is there
  --tlsservername NAME, --tlscacert FILE, --tlscert FILE, --tlskey FILE, --tlsdir DIR
";

/// The flags that were given, by their names.
struct Flags(Vec<Given>);

impl Flags {
    /// Those of a command that takes no other words.
    fn of(words: &[String], known: &[Flag]) -> Result<Self, Report> {
        let (given, others) = flags::parse(words, known)?;
        match others.first() {
            Some(other) => Err(Report::mistake(format!("unexpected argument `{other}`"))),
            None => Ok(Self(given)),
        }
    }

    fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |given| given.name == name).map(|given| given.value.as_str())
    }

    fn texts(&self, name: &'static str) -> Vec<String> {
        self.all(name).map(str::to_owned).collect()
    }

    fn last(&self, name: &'static str) -> Option<&str> {
        self.all(name).last().filter(|value| !value.is_empty())
    }

    fn is_on(&self, name: &str) -> bool {
        self.0.iter().rev().find(|given| given.name == name).is_some_and(Given::is_on)
    }
}

/// Which daemon, and how it is known.
struct Place {
    daemon: DaemonPlace,
    tls: Option<ClientTls>,
    debug: bool,
    /// Whether a daemon that is not there is waited for.
    waits: bool,
    /// How long it may take to connect.
    patience: Option<Duration>,
}

/// Does what the words say.
pub(super) fn run(words: &[String]) -> Result<Exit, Report> {
    let at = command_place(words);
    let given = Flags::of(&words[..at], FLAGS)?;
    if given.is_on("version") {
        return console::print(&format!("{NAME} slipway v{}\n", env!("CARGO_PKG_VERSION")));
    }
    if given.is_on("help") || at == words.len() {
        return console::print(HELP);
    }
    diagnostics::install(given.is_on("debug"));
    let rest = &words[at + 1..];
    match words[at].as_str() {
        "build" | "b" => build::run(&place(&given)?, rest),
        "du" => usage::du(&place(&given)?, rest),
        "prune" => usage::prune(&place(&given)?, rest),
        "dial-stdio" => dial::run(&place(&given)?, rest),
        "debug" => debug::run(|| place(&given), rest),
        "help" | "h" => console::print(HELP),
        other => Err(Report::mistake(format!("slipway has no counterpart of `{NAME} {other}`"))
            .hint(format!("what it has: `{NAME} --help`"))),
    }
}

/// Which of the words is the command.
fn command_place(words: &[String]) -> usize {
    let mut at = 0;
    while let Some(flag) = words.get(at).and_then(|word| word.strip_prefix('-')) {
        let name = flag.strip_prefix('-').unwrap_or(flag);
        let takes_next = FLAGS.iter().any(|(known, _, kind)| *known == name && *kind == Value);
        at += if takes_next { 2 } else { 1 };
    }
    at.min(words.len())
}

fn place(given: &Flags) -> Result<Place, Report> {
    let variable = std::env::var(HOST_VARIABLE).ok().filter(|address| !address.is_empty());
    let address = given.last("addr").map(str::to_owned).or(variable).unwrap_or_else(places::address);
    let daemon = address.parse().map_err(|error: InvalidPlace| {
        Report::mistake(error.to_string())
            .hint(format!("name the daemon with `--addr`, or `{HOST_VARIABLE}`"))
    })?;
    let seconds = |text: &str| match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => Err(Report::mistake(format!("invalid value `{text}` of `--timeout`, expected seconds"))),
    };
    Ok(Place {
        daemon,
        tls: tls(given)?,
        debug: given.is_on("debug"),
        waits: given.is_on("wait"),
        patience: given.last("timeout").map(seconds).transpose()?.filter(|patience| !patience.is_zero()),
    })
}

fn tls(given: &Flags) -> Result<Option<ClientTls>, Report> {
    let file = |name| given.last(name).map(PathBuf::from);
    let files = match given.last("tlsdir") {
        None => [file("tlscacert"), file("tlscert"), file("tlskey")],
        Some(_) if ["tlscacert", "tlscert", "tlskey"].iter().any(|name| given.last(name).is_some()) => {
            return Err(Report::mistake("`--tlsdir` has the files that the other flags name as well"));
        }
        Some(directory) => DIRECTORY_FILES.map(|name| Some(PathBuf::from(directory).join(name))),
    };
    let server_name = given.last("tlsservername").map(str::to_owned);
    match files {
        [None, None, None] if server_name.is_none() => Ok(None),
        [authority, Some(certificate), Some(key)] => {
            Ok(Some(ClientTls { authority, identity: Some((certificate, key)), server_name }))
        }
        [authority, None, None] => Ok(Some(ClientTls { authority, identity: None, server_name })),
        _ => Err(Report::mistake("a certificate and its key belong together")
            .hint("give both `--tlscert FILE` and `--tlskey FILE`")),
    }
}

impl Place {
    async fn connect(&self) -> Result<Client, ClientError> {
        loop {
            match Client::connect(&self.daemon, self.tls.as_ref()).await {
                Err(ClientError::Connect { .. }) if self.waits => tokio::time::sleep(WAIT_PAUSE).await,
                connected => return connected,
            }
        }
    }

    fn late(&self, patience: Duration) -> Report {
        let seconds = patience.as_secs();
        Report::new(Exit::Network, format!("{} does not answer within {seconds} seconds", self.daemon))
    }

    /// Does something with the daemon, until the user has had enough.
    fn with<T>(
        &self,
        work: impl AsyncFnOnce(&Client) -> Result<T, Report>,
    ) -> Result<Result<T, Interrupted>, Report> {
        let tasks = LocalSet::new();
        let working = tasks.run_until(async {
            let connected = match self.patience {
                None => self.connect().await,
                Some(patience) => match tokio::time::timeout(patience, self.connect()).await {
                    Ok(connected) => connected,
                    Err(_) => return Err(self.late(patience)),
                },
            };
            work(&connected.map_err(failed)?).await
        });
        match interruptible(working)? {
            Ok(done) => done.map(Ok),
            Err(interrupted) => Ok(Err(interrupted)),
        }
    }

    /// The same where an interrupted question needs no answer.
    fn ask(&self, work: impl AsyncFnOnce(&Client) -> Result<Exit, Report>) -> Result<Exit, Report> {
        Ok(self.with(work)?.unwrap_or(Exit::Interrupted))
    }
}

/// What a user is told of a daemon that does not do what it should.
fn failed(error: ClientError) -> Report {
    match error {
        ClientError::Connect { .. } => {
            Report::unavailable(&error).hint(format!("name the daemon with `--addr`, or `{HOST_VARIABLE}`"))
        }
        ClientError::Lost { .. } => Report::unavailable(&error),
        ClientError::Tls(_) | ClientError::Offer { .. } => Report::mistake_of(&error),
        ClientError::Refused { message, excerpt } => {
            let report = Report::mistake(message);
            match excerpt {
                Some(excerpt) => report.excerpt(excerpt),
                None => report,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_stands_after_the_flags_of_all() {
        for (text, expected) in
            [("du", 0), ("--debug du", 1), ("--addr a du", 2), ("--addr=a du -v", 1), ("--addr a", 2)]
        {
            let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            assert_eq!(command_place(&words), expected, "{text}");
        }
    }

    #[test]
    fn certificates_are_named_one_by_one_or_all_at_once() {
        let shown = |text: &str| {
            let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            match tls(&Flags::of(&words, FLAGS).unwrap()) {
                Ok(tls) => format!("{tls:?}"),
                Err(report) => report.text(),
            }
        };
        assert_eq!(shown("--debug"), "None");
        assert_eq!(
            shown("--tlsdir d"),
            "Some(ClientTls { authority: Some(\"d/ca.pem\"), identity: Some((\"d/cert.pem\", \"d/key.pem\")), server_name: None })"
        );
        assert!(shown("--tlscert c").contains("belong together"));
        assert!(shown("--tlsdir d --tlskey k").contains("as well"));
    }
}
