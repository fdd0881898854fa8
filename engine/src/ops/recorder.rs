//! Takes what a step writes: to the progress, to a log on disk, and the last lines for a failure.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use executor::{Exit, Outcome};
use graph::{Run, Vertex};

use super::BuildWorker;
use crate::redact::{Redactor, Secretive};
use crate::steps::Steps;
use crate::{BuildError, DiskState, StepFailure, StepId, Stream};

/// Lines of output that a failure shows, as in BuildKit.
const TAIL_LINES_MAX: usize = 10;
/// Longest line of them; the rest is in the log.
const TAIL_LINE_BYTES_MAX: usize = 2000;
/// Most that the log of one step keeps on disk; the terminal still sees all.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// See the module. Nothing reaches it but through the redactors.
pub(super) struct Recorder {
    steps: Arc<Steps>,
    step: Option<StepId>,
    tail: Tail,
    log_path: PathBuf,
    log: Option<File>,
    log_bytes: u64,
    secrets: Option<Hidden>,
}

/// The secrets of a step, and its streams that may have the beginning of one.
struct Hidden {
    secretive: Secretive,
    stdout: Redactor,
    stderr: Redactor,
}

impl Recorder {
    /// `secretive` finds what nobody may see.
    pub(super) fn new(worker: &BuildWorker, step: Option<StepId>, secretive: Option<Secretive>) -> Self {
        let number = step.map_or(0, |step| step.0);
        Self {
            steps: worker.steps.clone(),
            step,
            tail: Tail::default(),
            log_path: worker.logs.join(format!("{number}.log")),
            log: None,
            log_bytes: 0,
            secrets: secretive.map(|secretive| {
                let (stdout, stderr) = (secretive.stream(), secretive.stream());
                Hidden { secretive, stdout, stderr }
            }),
        }
    }

    pub(super) fn take(&mut self, stream: executor::Stream, bytes: &[u8]) {
        let stream = match stream {
            executor::Stream::Stdout => Stream::Stdout,
            executor::Stream::Stderr => Stream::Stderr,
        };
        let shown = self.secrets.as_mut().map(|hidden| {
            let Hidden { secretive, stdout, stderr } = hidden;
            let redactor = if stream == Stream::Stdout { stdout } else { stderr };
            redactor.take(secretive, bytes)
        });
        self.show(stream, shown.as_deref().unwrap_or(bytes));
    }

    /// The step writes no more.
    pub(super) fn end(&mut self) {
        if let Some(Hidden { stdout, stderr, .. }) = &mut self.secrets {
            let (stdout, stderr) = (stdout.finish(), stderr.finish());
            self.show(Stream::Stdout, &stdout);
            self.show(Stream::Stderr, &stderr);
        }
    }

    fn show(&mut self, stream: Stream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.tail.take(bytes);
        self.write_log(bytes);
        if let Some(step) = self.step {
            self.steps.output(step, stream, bytes);
        }
    }

    /// A log that cannot be written is no reason to fail the step.
    fn write_log(&mut self, bytes: &[u8]) {
        if self.log_bytes >= LOG_BYTES_MAX {
            return;
        }
        if self.log.is_none() {
            let directory = self.log_path.parent().expect("a log is in a directory");
            self.log = fs::create_dir_all(directory).and_then(|()| File::create(&self.log_path)).ok();
            if self.log.is_none() {
                self.log_bytes = LOG_BYTES_MAX;
            }
        }
        if let Some(log) = &mut self.log {
            self.log_bytes += bytes.len() as u64;
            if let Err(error) = log.write_all(bytes) {
                tracing::warn!(%error, path = %self.log_path.display(), "cannot write the log of a step");
                self.log_bytes = LOG_BYTES_MAX;
            }
        }
    }

    pub(super) fn failure(
        &mut self,
        worker: &BuildWorker,
        vertex: &Vertex,
        run: &Run,
        outcome: Outcome,
        disk: DiskState,
    ) -> BuildError {
        let how = match outcome.exit {
            Exit::Code(code) => format!("exit code: {code}"),
            Exit::Signal(signal) => format!("killed by signal {signal}"),
        };
        let how = match outcome.account.and_then(|account| account.memory_kill()) {
            Some(killed) => format!("{how}, {killed}"),
            None => how,
        };
        let how = match disk {
            DiskState::Full => format!("{how}, and the disk of the store is full"),
            DiskState::HasRoom => how,
        };
        let command = run.argv.join(" ");
        BuildError::Step(Box::new(StepFailure {
            step: vertex.label.name.clone(),
            rendered: worker.render(vertex, &format!("this step failed, {how}"), None),
            command,
            how,
            tail: std::mem::take(&mut self.tail).finish(),
            log: self.log.is_some().then(|| self.log_path.clone()),
            disk,
        }))
    }
}

/// The last lines of a stream of bytes.
#[derive(Default)]
struct Tail {
    lines: VecDeque<Vec<u8>>,
    /// The line that has not ended yet.
    open: Vec<u8>,
}

impl Tail {
    fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = TAIL_LINE_BYTES_MAX.saturating_sub(self.open.len());
            self.open.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let mut line = std::mem::take(&mut self.open);
        while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            line.pop();
        }
        self.lines.push_back(line);
        if self.lines.len() > TAIL_LINES_MAX {
            self.lines.pop_front();
        }
    }

    fn finish(mut self) -> Vec<String> {
        if !self.open.is_empty() {
            self.end_line();
        }
        self.lines.into_iter().map(|line| String::from_utf8_lossy(&line).into_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_has_the_last_lines() {
        let mut tail = Tail::default();
        for line in 0..20 {
            tail.take(format!("line {line}\r\nrest").as_bytes());
        }
        let lines = tail.finish();
        assert_eq!(lines.len(), TAIL_LINES_MAX);
        assert_eq!(lines[TAIL_LINES_MAX - 1], "rest");
        assert_eq!(lines[TAIL_LINES_MAX - 2], "restline 19");
    }

    #[test]
    fn an_endless_line_is_cut() {
        let mut tail = Tail::default();
        for _ in 0..10_000 {
            tail.take(&[b'x'; 100]);
        }
        assert_eq!(tail.finish(), ["x".repeat(TAIL_LINE_BYTES_MAX)]);
    }
}
