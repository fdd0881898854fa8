//! What clients ask for.

use std::time::{Duration, Instant};

use executor::{Resources, WindowSize};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::life::Beginning;
use super::{Monitor, Source};
use crate::containers::sharing::Queues;
use crate::containers::signal;
use crate::containers::state::Status;
use crate::containers::wire::{self, End, Neighbour, Refusal, Reply, Request, Streams};

impl Monitor {
    /// Does what a client asks for.
    pub(super) fn answer(&mut self, index: usize, content: &[u8]) {
        let Ok(request) = wire::decode(content) else {
            self.clients[index].reply(&Reply::Problem("does not understand the request".to_owned()));
            return;
        };
        match request {
            Request::Start { spec, size, streams } => {
                self.begin(index, Beginning { spec: *spec, size }, streams);
            }
            Request::Attach(streams) => self.attach(index, streams),
            Request::Exec { spec, tty, streams } => self.exec(index, &spec, tty, streams),
            Request::Resize(size) => self.resize(index, size),
            Request::Detach => self.detach(index),
            Request::Signal(signal) => self.pass_on(index, signal),
            Request::Kill(signal) => self.kill_by_hand(index, signal),
            Request::Stop { signal, timeout_s } => self.stop(index, signal, timeout_s),
            Request::Freeze(is_frozen) => {
                let reply = self.freeze(is_frozen);
                self.clients[index].reply(&reply);
            }
            Request::Wait => self.wait_for_end(index),
            Request::Limit(resources) => {
                let reply = self.limit(&resources);
                self.clients[index].reply(&reply);
            }
            Request::Reload => self.reload(index),
            Request::Members => {
                let others = self.companions();
                let members = self.running.as_ref().map(|running| running.resident.members(&others));
                self.clients[index].reply(&Reply::Members(members.unwrap_or_default()));
            }
            Request::Root => self.show_root(index),
            Request::Neighbour => self.show_neighbour(index),
        }
    }

    fn begin(&mut self, index: usize, beginning: Beginning, streams: Streams) {
        if self.claim.is_none() {
            self.clients[index].reply(&Reply::Refused(Refusal::NotRunning));
            return;
        }
        if self.running.is_some() {
            self.attach(index, streams);
            return;
        }
        // Connected before the first byte is written.
        self.connect(index, Source::Container, streams);
        let reply = self.start(beginning);
        let client = &mut self.clients[index];
        client.waits = matches!(reply, Reply::Started { .. });
        client.reply(&reply);
    }

    pub(super) fn connect(&mut self, index: usize, source: Source, streams: Streams) {
        let client = &mut self.clients[index];
        (client.source, client.streams, client.waits) = (Some(source), streams, true);
        client.expects_more();
    }

    fn attach(&mut self, index: usize, streams: Streams) {
        if self.running.is_none() && self.timers.restart.is_none() {
            self.clients[index].reply(&Reply::Refused(Refusal::NotRunning));
            return;
        }
        if self.state.status == Status::Paused {
            self.clients[index].reply(&Reply::Refused(Refusal::Paused));
            return;
        }
        self.connect(index, Source::Container, streams);
        self.clients[index].reply(&Reply::Started { sees_all: false });
    }

    fn resize(&self, index: usize, size: WindowSize) {
        let source = self.clients[index].source.unwrap_or(Source::Container);
        if let Some(task) = self.task(source) {
            task.resize(size);
            if source == Source::Container {
                self.tell_size(size);
            }
        }
    }

    /// A signal that the client got itself.
    fn pass_on(&mut self, index: usize, signal: i32) {
        match self.clients[index].source {
            Some(Source::Exec(number)) => {
                if let Some(exec) = self.execs.iter().find(|exec| exec.number == number) {
                    exec.companion.signal(signal);
                }
            }
            _ => self.signal(signal),
        }
    }

    fn kill_by_hand(&mut self, index: usize, signal: i32) {
        if self.running.is_none() && !self.cancel_restart() {
            self.clients[index].reply(&Reply::Refused(Refusal::NotRunning));
            return;
        }
        let ends = [signal::KILL, signal::parse(&self.config.stop_signal).unwrap_or(signal::TERM)];
        if ends.contains(&signal) {
            self.state.is_stopped_by_hand = true;
        }
        self.tell_signal(signal);
        self.signal(signal);
        self.clients[index].reply(&Reply::Done);
    }

    fn stop(&mut self, index: usize, signal: i32, timeout_s: i64) {
        self.connect(index, Source::Container, Streams::default());
        self.state.is_stopped_by_hand = true;
        if self.cancel_restart() {
            return;
        }
        if self.running.is_none() {
            self.clients[index].waits = false;
            self.clients[index].reply(&Reply::Exited(End::of(self.state.exit_code)));
            return;
        }
        if let Ok(timeout_s) = u64::try_from(timeout_s) {
            let at = Instant::now() + Duration::from_secs(timeout_s);
            self.timers.kill = Some(self.timers.kill.map_or(at, |earlier| earlier.min(at)));
        }
        // Whoever removes it has no time for it to stop.
        self.is_stopping = signal != signal::KILL;
        self.tell_signal(signal);
        self.signal(signal);
    }

    /// Gives up the next start that the restart policy wanted. False if it wanted none.
    fn cancel_restart(&mut self) -> bool {
        if self.timers.restart.take().is_none() {
            return false;
        }
        self.state.status = Status::Exited;
        self.state.is_stopped_by_hand = true;
        self.note();
        self.tell_end(Source::Container, &End::of(self.state.exit_code));
        true
    }

    /// Processes that were started later, by the host's numbers.
    pub(super) fn companions(&self) -> Vec<i32> {
        self.execs.iter().map(|exec| exec.companion.pid()).collect()
    }

    fn freeze(&mut self, is_frozen: bool) -> Reply {
        let others = self.companions();
        let Some(running) = &mut self.running else { return Reply::Refused(Refusal::NotRunning) };
        match (is_frozen, self.state.status == Status::Paused) {
            (true, true) => return Reply::Refused(Refusal::Paused),
            (false, false) => return Reply::Refused(Refusal::NotPaused),
            _ => {}
        }
        if let Err(error) = running.resident.freeze(is_frozen, &others) {
            return Reply::Failed(error);
        }
        self.state.status = if is_frozen { Status::Paused } else { Status::Running };
        self.note();
        self.tell(if is_frozen { "pause" } else { "unpause" }).note(self.home.root());
        Reply::Done
    }

    fn limit(&mut self, resources: &Resources) -> Reply {
        let others = self.companions();
        match &mut self.running {
            None => Reply::Refused(Refusal::NotRunning),
            Some(running) => {
                running.resident.limit(resources, &others).map_or_else(Reply::Failed, |()| Reply::Done)
            }
        }
    }

    fn wait_for_end(&mut self, index: usize) {
        if self.running.is_none() && self.timers.restart.is_none() {
            self.clients[index].reply(&Reply::Exited(End::of(self.state.exit_code)));
            return;
        }
        self.connect(index, Source::Container, Streams::default());
    }

    /// Only we may look there: a client of an ordinary user is in another user namespace.
    fn show_root(&mut self, index: usize) {
        let root = self.running.as_ref().map(|running| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            // Not reaped yet, so it is no other process.
            rustix::fs::open(format!("/proc/{}/root", running.resident.pid()), flags, Mode::empty())
        });
        let client = &mut self.clients[index];
        match root {
            // It is about to be reaped.
            None | Some(Err(Errno::NOENT | Errno::SRCH)) => {
                client.reply(&Reply::Refused(Refusal::NotRunning));
            }
            Some(Err(errno)) => client.reply(&Reply::Problem(format!("cannot open the root: {errno}"))),
            Some(Ok(root)) => client.reply_with(&Reply::Done, &root),
        }
    }

    /// Tells another container what it can share.
    fn show_neighbour(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let Some(running) = &self.running else {
            client.reply(&Reply::Refused(Refusal::NotRunning));
            return;
        };
        let spec = running.resident.spec();
        let neighbour = Neighbour {
            sharing: spec.sharing,
            lends_queues: matches!(
                self.config.settings.sharing.queues,
                Queues::Shareable | Queues::Host | Queues::Container(_)
            ),
            has_network_of_host: spec.network == executor::Network::Host,
            hosts: spec.hosts.clone(),
            resolv_conf: spec.resolv_conf.clone(),
        };
        client.reply_with(&Reply::Neighbour(Box::new(neighbour)), running.resident.descriptor());
    }

    fn reload(&mut self, index: usize) {
        let reply = match self.home.config() {
            Ok(config) => {
                if let Some(beginning) = &mut self.beginning {
                    beginning.spec.resources = config.settings.resources.clone();
                }
                self.config = config;
                Reply::Done
            }
            Err(error) => Reply::Problem(error.to_string()),
        };
        self.clients[index].reply(&reply);
    }
}
