//! RUN: one process on top of the layers below.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use cache::{ActiveLayer, Layer};
use executor::{Child, Exit, Io, Rootfs, SandboxError, Spec};
use graph::{Run, Vertex, VertexId};

use super::{BuildWorker, Output, ahead, mount};
use crate::blocking::blocking;
use crate::run::cancel::Cancel;
use crate::run::files::{HOSTNAME_OF_BUILDS, hosts, resolv_conf};
use crate::steps::Steps;
use crate::{BuildError, StepFailure, StepId, Stream};

/// Lines of output that a failure shows, as in BuildKit.
const TAIL_LINES_MAX: usize = 10;
/// Longest line of them; the rest is in the log.
const TAIL_LINE_BYTES_MAX: usize = 2000;
/// Most that the log of one step keeps on disk; the terminal still sees all.
const LOG_BYTES_MAX: u64 = 64 << 20;

pub(super) async fn execute(
    worker: &BuildWorker,
    id: VertexId,
    vertex: &Vertex,
    run: &Run,
    inputs: &[Output],
) -> Result<Layer, BuildError> {
    let mounts = mount::Mounts::new(worker, run, inputs).await?;
    let layer = worker.store.begin_layer()?;
    let spec = specification(worker, run, inputs, &layer, mounts.specs())?;
    let recorder = Arc::new(Mutex::new(Recorder::new(worker, worker.step(id))));
    let cancel = Cancel::new();
    let _kill_when_dropped = cancel.guard();
    let more_to_come = worker.ahead.started(id);
    let (thread_recorder, thread_cancel) = (recorder.clone(), cancel.clone());
    // The layer goes along: when nobody waits any more, it is thrown away after the process is gone.
    let (ended, layer, _mounts) = blocking(move || {
        let child = start(&spec, thread_recorder);
        if more_to_come {
            ahead::prepare();
        }
        (child.and_then(|child| run_to_end(child, &thread_cancel)), layer, mounts)
    })
    .await;
    match ended {
        Ok(Exit::Code(0)) => Ok(blocking(move || layer.commit()).await?),
        Ok(exit) => {
            let mut recorder = recorder.lock().expect("no holder of the lock panics");
            Err(recorder.failure(worker, vertex, run, exit))
        }
        Err(source) => {
            let rendered = worker.render(vertex, "this step could not be started", None);
            Err(BuildError::Sandbox { step: vertex.label.name.clone(), rendered, source })
        }
    }
}

fn start(spec: &Spec, recorder: Arc<Mutex<Recorder>>) -> Result<Child, SandboxError> {
    let output = Box::new(move |stream, bytes: &[u8]| {
        recorder.lock().expect("no holder of the lock panics").take(stream, bytes);
    });
    executor::spawn(spec, Io::Pipes { stdin: None, output })
}

fn run_to_end(child: Child, cancel: &Cancel) -> Result<Exit, SandboxError> {
    cancel.watch(child.handle());
    Ok(child.wait()?.exit)
}

fn specification(
    worker: &BuildWorker,
    run: &Run,
    inputs: &[Output],
    layer: &ActiveLayer,
    mounts: Vec<executor::Mount>,
) -> Result<Spec, BuildError> {
    let rootfs = Rootfs::Overlay {
        lowers: mount::lowers(worker, &inputs[0])?,
        upper: layer.fs_path(),
        work: layer.work_path(),
        volatile: true,
    };
    let mut env = run.env.clone();
    env.extend(run.proxy_env.iter().cloned());
    Ok(Spec {
        env,
        cwd: run.cwd.clone(),
        user: run.user.clone(),
        hostname: HOSTNAME_OF_BUILDS.to_owned(),
        hosts: hosts(HOSTNAME_OF_BUILDS),
        resolv_conf: resolv_conf(),
        network: match run.network {
            graph::Network::Default | graph::Network::Host => executor::Network::Host,
            graph::Network::None => executor::Network::None,
        },
        mounts,
        ..Spec::new(rootfs, run.argv.clone())
    })
}

/// Takes the output of a step: to the progress, to a log on disk, and the last lines for a failure.
struct Recorder {
    steps: Arc<Steps>,
    step: Option<StepId>,
    tail: Tail,
    log_path: PathBuf,
    log: Option<File>,
    log_bytes: u64,
}

impl Recorder {
    fn new(worker: &BuildWorker, step: Option<StepId>) -> Self {
        let number = step.map_or(0, |step| step.0);
        Self {
            steps: worker.steps.clone(),
            step,
            tail: Tail::default(),
            log_path: worker.logs.join(format!("{number}.log")),
            log: None,
            log_bytes: 0,
        }
    }

    fn take(&mut self, stream: executor::Stream, bytes: &[u8]) {
        self.tail.take(bytes);
        self.write_log(bytes);
        let stream = match stream {
            executor::Stream::Stdout => Stream::Stdout,
            executor::Stream::Stderr => Stream::Stderr,
        };
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

    fn failure(&mut self, worker: &BuildWorker, vertex: &Vertex, run: &Run, exit: Exit) -> BuildError {
        let how = match exit {
            Exit::Code(code) => format!("exit code: {code}"),
            Exit::Signal(signal) => format!("killed by signal {signal}"),
        };
        let command = run.argv.join(" ");
        BuildError::Step(Box::new(StepFailure {
            step: vertex.label.name.clone(),
            rendered: worker.render(vertex, &format!("this step failed, {how}"), None),
            command,
            how,
            tail: std::mem::take(&mut self.tail).finish(),
            log: self.log.is_some().then(|| self.log_path.clone()),
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
