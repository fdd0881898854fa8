//! From the start of a container to its end, and to its next start.

use std::time::{Duration, Instant};

use executor::{Exit, Io, Processes, Resident, SandboxError, Spec, WindowSize};

use super::task::{Input, Task};
use super::{Monitor, Running, Source};
use crate::containers::config::Config;
use crate::containers::home::now_unix_ns;
use crate::containers::settings::Restart;
use crate::containers::sharing;
use crate::containers::state::Status;
use crate::containers::wire::{End, Reply};
use crate::networks::{self, NetworkError, Owner, SetUp, SetUpError};

/// Before the first start that a restart policy wants, as in Docker.
pub(super) const RESTART_DELAY_MIN: Duration = Duration::from_millis(100);
/// Before any, however often it fails.
const RESTART_DELAY_MAX: Duration = Duration::from_secs(60);
/// After this time a container counts as having come up, and the delay begins anew.
const UP_TIME: Duration = Duration::from_secs(10);
/// What a shell adds to the number of the signal that ended a process.
const SIGNALLED: i32 = 128;
/// What Docker notes of a container that did not start for another reason than its command.
const EXIT_NOT_STARTED: i32 = 128;

/// How a container is started.
#[derive(Clone)]
pub(super) struct Beginning {
    pub(super) spec: Spec,
    pub(super) size: WindowSize,
}

/// The code that people see.
pub(super) fn code_of(exit: Exit) -> i32 {
    match exit {
        Exit::Code(code) => code,
        Exit::Signal(signal) => SIGNALLED + signal,
    }
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

    /// A command has ended.
    pub(super) fn note_end(&mut self, source: Source) {
        self.drain_output(source);
        match source {
            Source::Exec(number) => {
                let Some(index) = self.execs.iter().position(|exec| exec.number == number) else { return };
                let ended = self.execs.swap_remove(index).companion.reap();
                let code = ended.map_or(EXIT_NOT_STARTED, code_of);
                self.tell_exec_end(number, code);
                self.end_checkup(source, code);
                self.tell_end(source, &End::of(code));
            }
            Source::Container => {
                if let Some(running) = self.running.take() {
                    self.end(running);
                }
            }
        }
    }

    fn end(&mut self, running: Running) {
        let Running { resident, task, connected, began } = running;
        drop((task, connected));
        self.state.ports.clear();
        self.log.finish();
        self.timers.kill = None;
        self.checkup = None;
        let outcome = resident.reap();
        let code = outcome.as_ref().map_or(EXIT_NOT_STARTED, |outcome| code_of(outcome.exit));
        let note = outcome.ok().and_then(|outcome| outcome.account?.memory_kill());
        self.state.oom_killed = note.is_some();
        self.state.exit_code = code;
        self.state.pid = 0;
        self.state.finished_unix_ns = now_unix_ns();
        self.state.status = Status::Exited;
        self.tell_end_of(began.elapsed());
        if began.elapsed() >= UP_TIME {
            self.restart_delay = RESTART_DELAY_MIN;
        }
        if self.is_to_restart(code) {
            self.state.status = Status::Restarting;
            self.timers.restart = Some(Instant::now() + self.restart_delay);
            self.restart_delay = (self.restart_delay * 2).min(RESTART_DELAY_MAX);
            self.note();
            return;
        }
        if self.config.settings.auto_remove {
            self.remove();
        } else {
            self.note();
        }
        self.tell_end(Source::Container, &End { code, note });
    }

    fn is_to_restart(&self, code: i32) -> bool {
        if self.state.is_stopped_by_hand {
            return false;
        }
        match self.config.settings.restart {
            Restart::No => false,
            Restart::OnFailure(retries) => code != 0 && (retries == 0 || self.state.restart_count < retries),
            Restart::Always | Restart::UnlessStopped => true,
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

    /// Tells whoever waits for the end of a command.
    pub(super) fn tell_end(&mut self, source: Source, end: &End) {
        for client in self.clients.iter_mut().filter(|client| client.source == Some(source)) {
            if std::mem::take(&mut client.waits) {
                client.source = None;
                client.reply(&Reply::Exited(end.clone()));
            }
        }
    }

    /// Writes down what has become of the container.
    pub(super) fn note(&mut self) {
        if self.claim.is_some() {
            // On a full disk the old state stays: whoever reads it finds no monitor, and knows better.
            let _ = self.home.write_state(&self.state);
        }
    }

    /// Removes the container.
    pub(super) fn remove(&mut self) {
        // Its name may have changed meanwhile.
        let name = self.home.config().map_or_else(|_| self.config.name.clone(), |config| config.name);
        if let Some(claim) = self.claim.take() {
            // What cannot be removed is removed by the next one that looks around.
            self.retired = self.home.retire(&name, claim).ok();
            self.tell("destroy").note(self.home.root());
            self.remove_volumes();
        }
    }
}

impl Monitor {
    /// Removes the volumes that were made for this container alone: the only time that a monitor opens the store.
    fn remove_volumes(&self) {
        if self.config.anonymous_volumes.is_empty() {
            return;
        }
        let Ok(engine) = crate::Engine::open(self.home.root()) else { return };
        for name in &self.config.anonymous_volumes {
            // Somebody else may have it by now: then it stays.
            let _ = engine.remove_volume(name);
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
