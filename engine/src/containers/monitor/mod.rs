//! The process that keeps one container: our own binary, executed anew.
//!
//! It has a single thread and one loop. It starts the command as its child, reads what that writes, keeps the log, serves
//! whoever connects, and notes the end. It outlives the client that started it. When it dies, however that happens, the
//! kernel kills the container, and lets go of the lock by which everybody knows that it lives.

mod client;
mod end;
mod execs;
mod health;
mod life;
mod pump;
mod requests;
mod task;
mod tell;
mod turn;

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::config::Config;
use super::home::{Claim, Home, Retired};
use super::log::Writer;
use super::state::State;
use super::wire::{self, Kind, Refusal, Reply};
use crate::networks::Connected;
use client::Client;
use executor::{Companion, Resident};
use task::Task;

/// Name (`argv[0]`) under which the binary is executed to become a monitor.
pub(crate) const MONITOR: &str = "slipway-monitor";
/// Its argument when the container will want a private network.
pub(crate) const WITH_NETWORK: &str = "network";
/// Its argument otherwise.
pub(crate) const WITHOUT_NETWORK: &str = "no-network";

/// Exit status when it could not do its work.
const EXIT_FAILED: i32 = 125;

/// Becomes a monitor if this process was started as one, and then never returns.
pub(crate) fn dispatch() {
    let mut words = std::env::args_os();
    if words.next().is_some_and(|name| name == MONITOR) {
        let with_network = words.next().is_some_and(|word| word == WITH_NETWORK);
        std::process::exit(run(with_network).map_or(EXIT_FAILED, |()| 0));
    }
}

fn run(with_network: bool) -> io::Result<()> {
    // Out of the session of whoever started us: neither its end nor its keys are for us.
    rustix::process::setsid()?;
    rustix::thread::set_name(c"slipway-monitor")?;
    std::env::set_current_dir("/")?;
    if with_network {
        crate::network::prepare(graph::Network::Default);
    }
    let mut first = take_stdin()?;
    // The first frame says which container it is. Until then nothing has happened.
    let Some((Kind::Request, path)) = wire::read_frame(&mut first)? else { return Ok(()) };
    let path = PathBuf::from(String::from_utf8(path).map_err(io::Error::other)?);
    match Monitor::of(&path, first)? {
        Some(monitor) => monitor.run(),
        None => Ok(()),
    }
}

/// The connection to our first client, in another place, so that it ends when we let go of it.
fn take_stdin() -> io::Result<std::os::unix::net::UnixStream> {
    let first = io::stdin().as_fd().try_clone_to_owned()?;
    let null = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(first.into())
}

/// Which command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// That of the container.
    Container,
    /// One that was started later.
    Exec(u32),
}

/// A command of the container with its streams.
struct Exec {
    number: u32,
    companion: Companion,
    task: Task,
}

/// The command of the container with its streams.
struct Running {
    resident: Resident,
    task: Task,
    /// Its networks and ports.
    connected: Connected,
    began: Instant,
}

struct Monitor {
    home: Home,
    /// None once the container is gone.
    claim: Option<Claim>,
    /// What is left of it then. Nobody waits until that is deleted: to remove a directory may take a disk milliseconds.
    retired: Option<Retired>,
    listener: UnixListener,
    config: Config,
    state: State,
    clients: Vec<Client>,
    running: Option<Running>,
    execs: Vec<Exec>,
    execs_begun: u32,
    log: Writer,
    /// Looks how the container is, while it runs.
    checkup: Option<health::Checkup>,
    timers: Timers,
    /// How the container was started, for when it is started again.
    beginning: Option<life::Beginning>,
    /// Whether somebody stops it, so that its end is told as that.
    is_stopping: bool,
    /// Milliseconds before the next start that the restart policy wants.
    restart_delay: Duration,
    buffer: Vec<u8>,
}

/// What is to happen at a certain time.
#[derive(Debug, Default)]
struct Timers {
    /// SIGKILL for a container that does not stop.
    kill: Option<Instant>,
    /// Another start.
    restart: Option<Instant>,
}

impl Monitor {
    /// The monitor of the container in this directory, unless it has one.
    fn of(path: &Path, first: std::os::unix::net::UnixStream) -> io::Result<Option<Self>> {
        let mut first = Client::new(first.into())?;
        first.expects_more();
        let home = Home::at(path).ok_or(io::ErrorKind::InvalidInput)?;
        let Some(claim) = home.claim().map_err(io::Error::other)? else {
            first.reply(&Reply::Refused(Refusal::Busy));
            return Ok(None);
        };
        let (config, state) =
            (home.config().map_err(io::Error::other)?, home.state_as_it_is().map_err(io::Error::other)?);
        let listener = listen(&home)?;
        let log = Writer::new(&home.path, config.settings.log);
        Ok(Some(Self {
            home,
            claim: Some(claim),
            retired: None,
            listener,
            config,
            state,
            clients: vec![first],
            running: None,
            execs: Vec::new(),
            execs_begun: 0,
            log,
            checkup: None,
            timers: Timers::default(),
            beginning: None,
            is_stopping: false,
            restart_delay: life::RESTART_DELAY_MIN,
            buffer: vec![0; pump::READ_BYTES],
        }))
    }
}

fn listen(home: &Home) -> io::Result<UnixListener> {
    let (_directory, socket) = home.socket().map_err(io::Error::other)?;
    match std::fs::remove_file(&socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&socket)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
