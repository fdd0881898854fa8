//! Moves what commands write to the log and to clients, and what clients type to commands.

use rustix::event::PollFlags;

use super::{Monitor, Source, task};
use crate::containers::wire::Kind;

/// Bytes that are read at once: the size of a pipe that has been full.
pub(super) const READ_BYTES: usize = task::PIPE_BYTES;

impl Monitor {
    /// Reads what a command has written. False when nothing has come.
    pub(super) fn pump_output(&mut self, source: Source) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        let Self { running, execs, clients, log, checkup, .. } = self;
        let task = match source {
            Source::Container => running.as_mut().map(|running| &mut running.task),
            Source::Exec(number) => {
                execs.iter_mut().find(|exec| exec.number == number).map(|exec| &mut exec.task)
            }
        };
        let has_read = task.is_some_and(|task| {
            task.read_outputs(&mut buffer, |stream, bytes| {
                if source == Source::Container {
                    log.write(stream, bytes);
                }
                if let Some(checkup) = checkup.as_mut() {
                    checkup.hear(source, bytes);
                }
                let kind = match stream {
                    executor::Stream::Stdout => Kind::Stdout,
                    executor::Stream::Stderr => Kind::Stderr,
                };
                for client in clients.iter_mut() {
                    if client.source == Some(source) && client.streams.output {
                        client.send(kind, bytes);
                    }
                }
            })
        });
        self.buffer = buffer;
        has_read
    }

    pub(super) fn read_output(&mut self, source: Source) {
        self.pump_output(source);
    }

    /// Reads everything that a command which has ended has left in its pipes.
    pub(super) fn drain_output(&mut self, source: Source) {
        while self.pump_output(source) {}
    }

    pub(super) fn write_input(&mut self, source: Source) {
        if let Some(task) = self.task_mut(source) {
            task.write_input();
        }
    }

    /// Sends to a client what waits for it, and does what it asks for.
    pub(super) fn serve(&mut self, index: usize, flags: PollFlags) {
        if flags.contains(PollFlags::OUT) {
            self.clients[index].flush();
        }
        if !flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            return;
        }
        for (kind, content) in self.clients[index].receive() {
            match kind {
                Kind::Stdin => self.type_in(index, &content),
                Kind::Request => self.answer(index, &content),
                Kind::Stdout | Kind::Stderr | Kind::Reply => {}
            }
        }
    }

    fn type_in(&mut self, index: usize, bytes: &[u8]) {
        let client = &self.clients[index];
        if let Some(source) = client.source.filter(|_| client.streams.stdin)
            && let Some(task) = self.task_mut(source)
        {
            task.put_input(bytes);
        }
    }
}
