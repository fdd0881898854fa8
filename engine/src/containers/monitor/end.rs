//! The end of a container, and of commands in it.

use std::time::{Duration, Instant};

use executor::Exit;

use super::life::{EXIT_NOT_STARTED, RESTART_DELAY_MIN};
use super::{Monitor, Running, Source};
use crate::containers::home::now_unix_ns;
use crate::containers::settings::Restart;
use crate::containers::state::Status;
use crate::containers::wire::{End, Reply};

/// Before any, however often it fails.
const RESTART_DELAY_MAX: Duration = Duration::from_secs(60);
/// After this time a container counts as having come up, and the delay begins anew.
const UP_TIME: Duration = Duration::from_secs(10);
/// What a shell adds to the number of the signal that ended a process.
const SIGNALLED: i32 = 128;

/// The code that people see.
pub(super) fn code_of(exit: Exit) -> i32 {
    match exit {
        Exit::Code(code) => code,
        Exit::Signal(signal) => SIGNALLED + signal,
    }
}

impl Monitor {
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

    /// Tells whoever waits for the end of a command.
    pub(super) fn tell_end(&mut self, source: Source, end: &End) {
        for client in self.clients.iter_mut().filter(|client| client.source == Some(source)) {
            if std::mem::take(&mut client.waits) {
                client.source = None;
                client.reply(&Reply::Exited(end.clone()));
            }
        }
    }

    /// Removes the container.
    pub(super) fn remove(&mut self) {
        // Its name may have changed meanwhile.
        let name = self.home.config().map_or_else(|_| self.config.name.clone(), |config| config.name);
        if let Some(claim) = self.claim.take() {
            self.home.note_volumes(&self.config.anonymous_volumes);
            // What cannot be removed is removed by the next one that looks around.
            self.retired = self.home.retire(&name, claim).ok();
            self.tell("destroy").note(self.home.root());
            self.remove_volumes();
        }
    }

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
