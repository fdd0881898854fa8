//! Connects the user to a running container: keys, output, window size, signals.

use std::io;

use engine::{Engine, Exit as End, RunError, RunHandle, RunRequest, Running, Terminal};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::console::{self, RawMode};
use crate::report::{Exit, Report};

/// What a shell adds to the number of the signal that ended a process.
const SIGNALLED: i32 = 128;
/// Requests to end that a container may ignore; the next one kills it, as with Docker.
const IGNORED_MAX: u32 = 2;
/// Signals that have been caught and not yet been passed on.
const SIGNALS_MAX: usize = 16;

/// Whether what the user types goes to the container's terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyboard {
    Attached,
    Ignored,
}

/// Runs a container until its end. Its exit code is ours.
pub(super) fn run(engine: &Engine, request: &RunRequest, keyboard: Keyboard) -> Result<Exit, Report> {
    let machine =
        |error: io::Error| Report::new(Exit::NotStarted, format!("cannot start the runtime: {error}"));
    let runtime = Builder::new_current_thread().enable_all().build().map_err(machine)?;
    let end = runtime.block_on(async {
        // Caught from before the start: whenever a signal comes, it is for the container.
        let signals = catch().map_err(machine)?;
        attach(engine.start(request)?, keyboard, signals).await
    })?;
    Ok(match end {
        End::Code(code) => Exit::Command(u8::try_from(code).unwrap_or(u8::MAX)),
        End::Signal(number) => Exit::Command(u8::try_from(SIGNALLED + number).unwrap_or(u8::MAX)),
    })
}

async fn attach(mut running: Running, keyboard: Keyboard, signals: Signals) -> Result<End, Report> {
    let target = Target { handle: running.handle(), terminal: running.take_terminal() };
    let raw_mode = (keyboard == Keyboard::Attached).then(RawMode::enter).flatten();
    let mut output = None;
    if let Some(terminal) = &target.terminal {
        if keyboard == Keyboard::Attached {
            console::copy_input(console::duplicate(terminal)?);
        }
        output = Some(console::copy_output(console::duplicate(terminal)?));
    }
    let end = wait(running, &target, signals).await;
    if let Some(output) = output {
        // Everything that the container wrote is shown before its end is told.
        let _ = output.join();
    }
    drop(raw_mode);
    Ok(end?)
}

/// What signals are passed on to.
struct Target {
    handle: RunHandle,
    terminal: Option<Terminal>,
}

/// Passes signals on until the container has ended.
async fn wait(running: Running, target: &Target, mut signals: Signals) -> Result<End, RunError> {
    let (ended, mut end) = oneshot::channel();
    // A thread and not a task: the container dies with the thread that waits for it.
    std::thread::spawn(move || ended.send(running.wait()));
    let mut ignored = 0;
    loop {
        tokio::select! {
            result = &mut end => return result.expect("the thread that waits does not panic"),
            Some(kind) = signals.recv() => pass_on(kind, target, &mut ignored),
        }
    }
}

fn pass_on(kind: SignalKind, target: &Target, ignored: &mut u32) {
    if kind == SignalKind::window_change() {
        if let Some(terminal) = &target.terminal {
            // The only error is that the container is gone, and its size with it.
            let _ = terminal.resize(console::window_size());
        }
        return;
    }
    if kind == SignalKind::interrupt() || kind == SignalKind::terminate() {
        *ignored += 1;
        if *ignored > IGNORED_MAX {
            target.handle.kill();
            return;
        }
    }
    target.handle.signal(kind.as_raw_value());
}

type Signals = mpsc::Receiver<SignalKind>;

/// The signals that a container gets from us, as they come.
fn catch() -> io::Result<Signals> {
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::quit(),
        SignalKind::user_defined1(),
        SignalKind::user_defined2(),
        SignalKind::window_change(),
    ];
    let (sender, receiver) = mpsc::channel(SIGNALS_MAX);
    for kind in kinds {
        let mut stream = signal(kind)?;
        let sender = sender.clone();
        tokio::spawn(
            async move { while stream.recv().await.is_some() && sender.send(kind).await.is_ok() {} },
        );
    }
    Ok(receiver)
}
