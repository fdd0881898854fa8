//! From the start of a container to its end, and to its next start.

use std::time::{Duration, Instant};

use executor::{Io, Processes, Resident, SandboxError, Spec, WindowSize};

use super::task::{Input, Task};
use super::{Monitor, Running, Source};
use crate::containers::config::Config;
use crate::containers::home::now_unix_ns;
use crate::containers::sharing;
use crate::containers::state::Status;
use crate::containers::wire::{End, Reply};
use crate::networks::{self, NetworkError, Owner, SetUp, SetUpError};

/// Before the first start that a restart policy wants, as in Docker.
pub(super) const RESTART_DELAY_MIN: Duration = Duration::from_millis(100);
/// What Docker notes of a container that did not start for another reason than its command.
pub(super) const EXIT_NOT_STARTED: i32 = 128;

/// How a container is started.
#[derive(Clone)]
pub(super) struct Beginning {
    pub(super) spec: Spec,
    pub(super) size: WindowSize,
}

impl Monitor {
    /// Starts the container; the reply for whoever asked.
    pub(super) fn start(&mut self, beginning: Beginning) -> Reply {
        self.timers.restart = None;
        let started = self.launch(&beginning);
        self.beginning = Some(beginning);
        match started {
            Ok(running) => {
                let sees_all = running.resident.processes() == Processes::All;
                self.state.status = Status::Running;
                self.state.pid = running.resident.pid();
                self.state.error.clear();
                self.state.oom_killed = false;
                self.state.exit_code = 0;
                self.state.is_stopped_by_hand = false;
                self.state.started_unix_ns = now_unix_ns();
                self.state.ports = running.connected.ports().to_vec();
                self.running = Some(running);
                self.begin_checkups();
                self.note();
                self.tell_start();
                Reply::Started { sees_all }
            }
            Err(reply) => {
                self.not_started(&reply);
                reply
            }
        }
    }

    fn launch(&mut self, beginning: &Beginning) -> Result<Running, Reply> {
        let shared = sharing::shared(self.home.root(), &self.config.settings.sharing);
        let shared = shared.map_err(Reply::Sharing)?;
        let setup = match &shared.network {
            None => self.set_up_network()?,
            Some(neighbour) => SetUp::of_neighbour(neighbour),
        };
        let spec = Spec {
            hosts: setup.hosts.clone(),
            resolv_conf: setup.resolv_conf.clone(),
            network: setup.network,
            sharing: shared.sharing,
            ..beginning.spec.clone()
        };
        self.home.fresh_work().map_err(|error| Reply::Problem(error.to_string()))?;
        let input = if self.config.settings.open_stdin { Input::Open } else { Input::Closed };
        let began = Instant::now();
        let reside = |io| {
            executor::reside_in(&spec, io, setup.attachment(), &shared.neighbours).map_err(Reply::Failed)
        };
        let (mut resident, task) = if self.config.settings.tty {
            let mut resident = reside(Io::Terminal { size: beginning.size })?;
            let task = terminal_task(&mut resident, input).map_err(Reply::Failed)?;
            (resident, task)
        } else {
            let (task, io) = Task::piped(input).map_err(|errno| kernel("pipe2()", &errno.into()))?;
            (reside(io)?, task)
        };
        if setup.is_shared() {
            resident.keep_network_apart();
        }
        let connected = setup.connect(resident.network_namespace()).map_err(|error| network_reply(&error))?;
        Ok(Running { resident, task, connected, began })
    }

    /// Joins the networks, and takes the ports: all or nothing.
    fn set_up_network(&self) -> Result<SetUp, Reply> {
        let Config { id, name, hostname, exposed_ports, settings, .. } = &self.config;
        let owner = Owner {
            id,
            name: Some(name),
            hostname,
            dns: &settings.dns,
            extra_hosts: &settings.surroundings.extra_hosts,
            exposed_by_image: exposed_ports.iter().map(String::as_str).collect(),
        };
        let setup = networks::set_up(self.home.root(), &settings.networks, settings.network, &owner);
        setup.map_err(|error| match error {
            SetUpError::HostGateway(error) => Reply::NoHostGateway(error.outlet().to_owned()),
            SetUpError::Network(error) => network_reply(&error),
        })
    }

    fn not_started(&mut self, reply: &Reply) {
        let (error, code) = match reply {
            Reply::Failed(error) => {
                (error.to_string(), error.exit_code().map_or(EXIT_NOT_STARTED, i32::from))
            }
            Reply::Problem(message) | Reply::Network { message, .. } | Reply::Sharing(message) => {
                (message.clone(), EXIT_NOT_STARTED)
            }
            _ => (String::new(), EXIT_NOT_STARTED),
        };
        (self.state.error, self.state.exit_code) = (error, code);
        if self.state.status.is_alive() {
            self.state.status = Status::Exited;
        }
        // The client tries again with copies of the layers.
        let will_try_again = matches!(reply, Reply::Failed(SandboxError::NoOverlay { .. }));
        if self.config.settings.auto_remove && !will_try_again {
            self.remove();
        } else {
            self.note();
        }
    }

    /// The start that the restart policy wants.
    pub(super) fn start_again(&mut self) {
        let Some(beginning) = self.beginning.clone() else { return };
        self.state.restart_count += 1;
        if !matches!(self.start(beginning), Reply::Started { .. }) {
            self.tell_end(Source::Container, &End::of(self.state.exit_code));
        }
    }

    /// Sends a signal to the command of the container. Who stands still goes on, to hear it.
    pub(super) fn signal(&mut self, signal: i32) {
        let others = self.companions();
        let Some(running) = &mut self.running else { return };
        running.resident.signal(signal);
        if self.state.status == Status::Paused && running.resident.freeze(false, &others).is_ok() {
            self.state.status = Status::Running;
            self.note();
            self.tell("unpause").note(self.home.root());
        }
    }

    /// Writes down what has become of the container.
    pub(super) fn note(&mut self) {
        if self.claim.is_some() {
            // On a full disk the old state stays: whoever reads it finds no monitor, and knows better.
            let _ = self.home.write_state(&self.state);
        }
    }
}

fn terminal_task(resident: &mut Resident, input: Input) -> Result<Task, SandboxError> {
    let lost = |problem: String| SandboxError::Helper { problem };
    let terminal = resident.take_terminal().ok_or_else(|| lost("sent no terminal".to_owned()))?;
    Task::of_terminal(terminal, input).map_err(|error| lost(format!("sent a terminal of no use: {error}")))
}

/// What is wrong with a network, with its causes.
fn network_reply(error: &NetworkError) -> Reply {
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let text = cause.to_string();
        // A transparent error says what its cause says.
        if !message.ends_with(&text) {
            message += &format!(": {text}");
        }
        source = cause.source();
    }
    Reply::Network { message, fault: error.fault() }
}

fn kernel(call: &str, source: &std::io::Error) -> Reply {
    Reply::Problem(format!("{call}: {source}"))
}
