//! The loop of a monitor: waits for something to happen, and handles it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::client::Client;
use super::task::Task;
use super::{Monitor, Source, Timers};
use crate::containers::signal;

/// Clients that are served at the same time. More wait until one goes.
const CLIENTS_MAX: usize = 256;

/// How soon it is looked again whether those who follow the log have read on.
const LOG_PAUSE: Duration = Duration::from_millis(2);
/// The same when the container is gone, and nobody waits.
const END_PAUSE: Duration = Duration::from_millis(50);

/// What a descriptor that is waited for means.
#[derive(Debug, Clone, Copy)]
enum Token {
    Listener,
    Client(usize),
    Output(Source),
    Input(Source),
    End(Source),
}

impl Monitor {
    pub(super) fn run(mut self) -> io::Result<()> {
        while self.has_work() {
            self.turn()?;
        }
        let Self { home, retired, listener, claim, clients, .. } = self;
        let mut followed = None;
        match retired {
            Some(retired) if retired.is_followed() => followed = Some(retired),
            // Best effort: the next one that looks around does the same.
            Some(retired) => drop(retired.delete()),
            None => {
                if let Ok((_directory, socket)) = home.socket() {
                    // Whoever connects in this moment sees the end, and looks again.
                    let _ = std::fs::remove_file(socket);
                }
            }
        }
        // From here on another monitor may have the container, or somebody may remove it.
        drop((listener, claim));
        linger(clients);
        if let Some(retired) = followed {
            while retired.is_followed() {
                std::thread::sleep(END_PAUSE);
            }
            drop(retired.delete());
        }
        Ok(())
    }

    fn has_work(&self) -> bool {
        let is_asked = || self.clients.iter().any(|client| !client.is_told());
        self.running.is_some() || self.timers.restart.is_some() || is_asked()
    }

    /// Waits for something to happen, and handles it.
    fn turn(&mut self) -> io::Result<()> {
        let has_room = self.log.has_room();
        for (token, flags) in self.wait(has_room)? {
            match token {
                Token::Listener => self.accept(),
                Token::Client(index) => self.serve(index, flags),
                Token::Output(source) => self.read_output(source),
                Token::Input(source) => self.write_input(source),
                Token::End(source) => self.note_end(source),
            }
        }
        self.clients.retain(|client| !client.is_gone());
        self.ring();
        Ok(())
    }

    /// What has happened; nothing when a timer rings.
    fn wait(&self, log_has_room: bool) -> io::Result<Vec<(Token, PollFlags)>> {
        let mut tokens = Vec::new();
        let mut fds = Vec::new();
        let mut add = |token, fd, flags| {
            tokens.push(token);
            fds.push(PollFd::from_borrowed_fd(fd, flags));
        };
        if self.clients.len() < CLIENTS_MAX {
            add(Token::Listener, self.listener.as_fd(), PollFlags::IN);
        }
        for (index, client) in self.clients.iter().enumerate() {
            let accepts = client.source.is_none_or(|source| self.task(source).is_none_or(Task::wants_input));
            add(Token::Client(index), client.descriptor(), client.interest(accepts));
        }
        for (source, task, end) in self.tasks() {
            let is_behind = |client: &Client| client.source == Some(source) && client.is_behind();
            let is_heard = source != Source::Container || log_has_room;
            if is_heard && !self.clients.iter().any(is_behind) {
                task.outputs().for_each(|fd| add(Token::Output(source), fd, PollFlags::IN));
            }
            if let Some(fd) = task.blocked_input() {
                add(Token::Input(source), fd, PollFlags::OUT);
            }
            add(Token::End(source), end, PollFlags::IN);
        }
        let look = (!log_has_room).then(|| Instant::now() + LOG_PAUSE);
        let next = [self.timers.next(), self.next_checkup(), look].into_iter().flatten().min();
        let timeout = next.map(|at| timespec(at.saturating_duration_since(Instant::now())));
        match poll(&mut fds, timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            result => result?,
        };
        let happened = tokens.into_iter().zip(fds.iter().map(PollFd::revents));
        Ok(happened.filter(|(_, flags)| !flags.is_empty()).collect())
    }

    /// All commands, with the descriptor that tells their end. Those that came later go first: the kernel waits for them
    /// to be buried before it lets the first one go.
    fn tasks(&self) -> impl Iterator<Item = (Source, &Task, rustix::fd::BorrowedFd<'_>)> {
        let execs = self
            .execs
            .iter()
            .map(|exec| (Source::Exec(exec.number), &exec.task, exec.companion.descriptor()));
        let container = self
            .running
            .iter()
            .map(|running| (Source::Container, &running.task, running.resident.descriptor()));
        execs.chain(container)
    }

    pub(super) fn task(&self, source: Source) -> Option<&Task> {
        self.tasks().find(|(other, ..)| *other == source).map(|(_, task, _)| task)
    }

    pub(super) fn task_mut(&mut self, source: Source) -> Option<&mut Task> {
        match source {
            Source::Container => self.running.as_mut().map(|running| &mut running.task),
            Source::Exec(number) => {
                self.execs.iter_mut().find(|exec| exec.number == number).map(|exec| &mut exec.task)
            }
        }
    }

    fn accept(&mut self) {
        // A client that is gone again is no error of ours.
        if let Ok((socket, _)) = self.listener.accept()
            && let Ok(client) = Client::new(OwnedFd::from(socket))
        {
            self.clients.push(client);
        }
    }

    /// Does what is due.
    fn ring(&mut self) {
        let now = Instant::now();
        if self.timers.kill.is_some_and(|at| at <= now) {
            self.timers.kill = None;
            self.tell_signal(signal::KILL);
            self.signal(signal::KILL);
        }
        if self.timers.restart.is_some_and(|at| at <= now) {
            self.timers.restart = None;
            self.start_again();
        }
        self.check_health(now);
    }
}

/// Sends what clients were told and have not read, however long they take. Nobody else waits for them.
fn linger(mut clients: Vec<Client>) {
    clients.retain(Client::has_more);
    while !clients.is_empty() {
        let mut fds: Vec<_> = clients
            .iter()
            .map(|client| PollFd::from_borrowed_fd(client.descriptor(), PollFlags::OUT))
            .collect();
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
        clients.iter_mut().for_each(Client::flush);
        clients.retain(|client| !client.is_gone() && client.has_more());
    }
}

impl Timers {
    fn next(&self) -> Option<Instant> {
        [self.kill, self.restart].into_iter().flatten().min()
    }
}

fn timespec(time: Duration) -> Timespec {
    // Rounded up, so that a timer has rung when it is looked at.
    let time = time + Duration::from_micros(1);
    Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) }
}
