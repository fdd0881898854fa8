//! Further commands in a container, and clients that let go of a command.

use executor::{Io, SandboxError, Spec, WindowSize};

use super::task::{Input, Task};
use super::{Exec, Monitor, Source};
use crate::containers::state::Status;
use crate::containers::wire::{Refusal, Reply, Streams};

impl Monitor {
    pub(super) fn exec(&mut self, index: usize, spec: &Spec, tty: Option<WindowSize>, streams: Streams) {
        let started = self.start_exec(spec, tty, streams);
        match started {
            Err(reply) => self.clients[index].reply(&reply),
            Ok(exec) => {
                let source = Source::Exec(exec.number);
                self.execs.push(exec);
                self.connect(index, source, streams);
                self.clients[index].reply(&Reply::Started { sees_all: false });
            }
        }
    }

    pub(super) fn start_exec(
        &mut self,
        spec: &Spec,
        tty: Option<WindowSize>,
        streams: Streams,
    ) -> Result<Exec, Reply> {
        let Some(running) = &self.running else { return Err(Reply::Refused(Refusal::NotRunning)) };
        if self.state.status == Status::Paused {
            return Err(Reply::Refused(Refusal::Paused));
        }
        let input = if streams.stdin { Input::Open } else { Input::Closed };
        let lost = |error: std::io::Error| Reply::Problem(format!("cannot make streams: {error}"));
        let (companion, task) = match tty {
            Some(size) => {
                let mut companion =
                    running.resident.exec(spec, Io::Terminal { size }).map_err(Reply::Failed)?;
                let no_terminal = || SandboxError::Helper { problem: "sent no terminal".to_owned() };
                let terminal = companion.take_terminal().ok_or_else(no_terminal).map_err(Reply::Failed)?;
                (companion, Task::of_terminal(terminal, input).map_err(lost)?)
            }
            None => {
                let (task, io) = Task::piped(input).map_err(|errno| lost(errno.into()))?;
                (running.resident.exec(spec, io).map_err(Reply::Failed)?, task)
            }
        };
        self.execs_begun += 1;
        self.tell_exec(self.execs_begun, &spec.argv);
        Ok(Exec { number: self.execs_begun, companion, task })
    }

    /// Lets a client go, unless it has been told of the end of its command before it asked for that.
    pub(super) fn detach(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let Some(source) = client.source.take() else { return };
        (client.streams, client.waits) = (Streams::default(), false);
        client.reply(&Reply::Done);
        self.tell_detached(source);
    }
}
