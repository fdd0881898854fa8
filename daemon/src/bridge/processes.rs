//! Processes in containers of a build, as far as a client talks with them: input, output, signals and the end.

use std::cell::Cell;
use std::collections::HashMap;
use std::os::unix::net::UnixStream as StdStream;
use std::rc::Rc;
use std::sync::Arc;

use engine::{AttendedExit, Steering, TakeOutput};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::oneshot;
use tonic::{Status, Streaming};

use super::containers::{self, Container, MESSAGES_WAITING_MAX, descriptor};
use crate::Daemon;
use crate::builds::Build;
use crate::failure::chain;
use crate::proto::bridge::exec_message::Input;
use crate::proto::bridge::{DoneMessage, ExecMessage, ExitMessage, FdMessage, InitMessage, StartedMessage};
use crate::proto::rpc;

/// Processes of one call.
const PROCESSES_MAX: usize = 64;
/// The exit code of a process that did not come to one, as in BuildKit.
const UNKNOWN_EXIT: u32 = 255;
/// The code of an error of which nothing else is known, see google.rpc.Code.
const UNKNOWN: i32 = 2;

type Answer = Result<ExecMessage, Status>;

/// A process of this call.
struct Talking {
    input: Sender<FdMessage>,
    steering: Steering,
}

/// Answers a call. When its client is gone, so are its processes.
pub(super) async fn serve(
    daemon: Rc<Daemon>,
    build: Arc<Build>,
    mut arriving: Streaming<ExecMessage>,
    tell: Sender<Answer>,
) {
    let mut talking: HashMap<String, Talking> = HashMap::new();
    loop {
        // When the client says no more, what runs may have more to say.
        let Ok(Some(message)) = arriving.message().await else { return };
        let ExecMessage { process_id, input } = message;
        let known = talking.get(&process_id);
        let problem = match (input, known) {
            (Some(Input::Init(_)), Some(_)) => Some(format!("the process `{process_id}` is there already")),
            (Some(Input::Init(_)), None) if talking.len() >= PROCESSES_MAX => {
                Some(format!("more than {PROCESSES_MAX} processes in one call"))
            }
            (Some(Input::Init(init)), None) => {
                let (input, brought) = mpsc::channel(MESSAGES_WAITING_MAX);
                let steering = Steering::default();
                talking.insert(process_id.clone(), Talking { input, steering: steering.clone() });
                let process = Process { id: process_id, tell: tell.clone(), steering };
                tokio::task::spawn_local(process.serve(daemon.clone(), build.clone(), init, brought));
                None
            }
            (_, None) => Some(format!("no such process: {process_id}")),
            (Some(Input::File(data)), Some(known)) => {
                // One that does not read any more has ended.
                let _ = known.input.send(data).await;
                None
            }
            (Some(Input::Signal(signal)), Some(known)) => {
                // One that is not known, or to a process that has ended, does nothing.
                known.steering.signal(&signal.name);
                None
            }
            // There are no terminals.
            (Some(Input::Resize(_)), Some(_)) => None,
            (_, Some(_)) => Some("a message that only a daemon sends".to_owned()),
        };
        if let Some(problem) = problem {
            let _ = tell.send(Err(Status::invalid_argument(problem))).await;
            return;
        }
    }
}

struct Process {
    id: String,
    tell: Sender<Answer>,
    steering: Steering,
}

impl Process {
    fn message(&self, input: Input) -> Answer {
        Ok(ExecMessage { process_id: self.id.clone(), input: Some(input) })
    }

    /// What cannot be told is told to nobody.
    async fn say(&self, input: Input) {
        let _ = self.tell.send(self.message(input)).await;
    }

    /// Runs the process and tells of it.
    async fn serve(
        self,
        daemon: Rc<Daemon>,
        build: Arc<Build>,
        init: InitMessage,
        brought: Receiver<FdMessage>,
    ) {
        let has_input = init.fds.contains(&0);
        let outputs: Vec<u32> = init.fds.iter().copied().filter(|fd| *fd > 0).collect();
        let prepared = containers::prepare(&daemon, &build, init, &self.steering).await;
        let ended = match prepared {
            Ok((container, process)) => {
                tokio::select! {
                    ended = self.run(&container, process, (has_input, &outputs), brought) => ended,
                    () = container.released() => Err("the container was released".to_owned()),
                    () = self.tell.closed() => return,
                    status = daemon.builds.ended(&build) => Err(status.message().to_owned()),
                }
            }
            Err(status) => Err(status.message().to_owned()),
        };
        for fd in outputs {
            self.say(Input::File(FdMessage { fd, eof: true, data: Vec::new() })).await;
        }
        self.say(Input::Exit(exit(ended))).await;
        self.say(Input::Done(DoneMessage {})).await;
    }

    async fn run(
        &self,
        container: &Container,
        process: engine::Attended,
        (has_input, outputs): (bool, &[u32]),
        brought: Receiver<FdMessage>,
    ) -> Result<AttendedExit, String> {
        let (theirs, ours) = StdStream::pair().map_err(|error| error.to_string())?;
        let (tell_begun, begun) = oneshot::channel();
        let running = container.attend(process, theirs.into(), self.taking(outputs.to_vec(), begun));
        let steering = self.steering.clone();
        let feeding = async {
            if !has_input {
                // It finds the end of its input at once.
                return drop(ours);
            }
            if let Err(error) = feed(ours, brought).await {
                tracing::debug!(%error, "a process takes no more input");
            }
        };
        let is_told = Cell::new(false);
        let telling = async {
            steering.started().await;
            is_told.set(true);
            self.say(Input::Started(StartedMessage {})).await;
            // What it writes may follow.
            let _ = tell_begun.send(());
        };
        let aside = futures_util::future::join(feeding, telling);
        tokio::pin!(running, aside);
        let ended = tokio::select! {
            ended = &mut running => ended,
            _ = &mut aside => running.await,
        };
        if ended.is_ok() && !is_told.get() {
            self.say(Input::Started(StartedMessage {})).await;
        }
        ended.map_err(|error| chain(&error))
    }

    /// Passes on what the process writes, as far as the client wants it, once it knows that the process has begun.
    fn taking(&self, wanted: Vec<u32>, begun: oneshot::Receiver<()>) -> TakeOutput {
        let (id, tell) = (self.id.clone(), self.tell.clone());
        let mut begun = Some(begun);
        Box::new(move |stream, bytes| {
            // Where nobody tells it any more, nobody listens either.
            let _ = begun.take().map(oneshot::Receiver::blocking_recv);
            let fd = descriptor(stream);
            if wanted.contains(&fd) {
                let input = Input::File(FdMessage { fd, eof: false, data: bytes.to_vec() });
                // A client that is gone takes its process along.
                let _ = tell.blocking_send(Ok(ExecMessage { process_id: id.clone(), input: Some(input) }));
            }
        })
    }
}

/// Gives a process what the client has for it, until the client says that this was all.
async fn feed(to: StdStream, mut brought: Receiver<FdMessage>) -> std::io::Result<()> {
    to.set_nonblocking(true)?;
    let mut to = UnixStream::from_std(to)?;
    while let Some(FdMessage { fd, eof, data }) = brought.recv().await {
        if fd == 0 {
            to.write_all(&data).await?;
            if eof {
                break;
            }
        }
    }
    to.shutdown().await
}

fn exit(ended: Result<AttendedExit, String>) -> ExitMessage {
    let failed = |code: u32, message: String| {
        let error = rpc::Status { code: UNKNOWN, message, details: Vec::new() };
        ExitMessage { code, error: Some(error) }
    };
    match ended {
        Ok(AttendedExit::Code(0)) => ExitMessage::default(),
        Ok(AttendedExit::Code(code)) => {
            failed(u32::try_from(code).unwrap_or(UNKNOWN_EXIT), format!("exit code: {code}"))
        }
        Ok(AttendedExit::Killed) => failed(UNKNOWN_EXIT, "it was killed".to_owned()),
        Err(message) => failed(UNKNOWN_EXIT, message),
    }
}
