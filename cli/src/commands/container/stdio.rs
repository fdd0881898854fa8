//! Connects the user to a command in a container: keys, output, window size, signals.

use std::io::{self, Write};
use std::time::Duration;

use engine::containers::{ContainerError, Session, SessionEvent, SessionWriter};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc as channel;

use crate::console::{self, Input, RawMode};
use crate::report::{Exit, Report};

/// SIGKILL.
const KILL: i32 = engine::containers::signal::KILL;
/// Requests to end that a container may ignore; the next one kills it, as with Docker.
const IGNORED_MAX: u32 = 2;
/// How long a monitor may take to let go of us, which it does unless its container takes nothing of what was typed.
const DETACH_PATIENCE: Duration = Duration::from_secs(2);
/// Signals and news that have come and have not been looked at yet.
const NEWS_MAX: usize = 16;

/// What goes from the user to the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyboard {
    /// Every key, as the command's terminal wants it.
    Terminal,
    /// What is read from standard input.
    Pipe,
    Ignored,
}

/// How the user is connected.
#[derive(Debug, Clone)]
pub(crate) struct Attaching {
    pub(crate) keyboard: Keyboard,
    /// Whether the command has a terminal, whose size follows ours.
    pub(crate) tty: bool,
    /// Whether signals that we get are meant for the command.
    pub(crate) passes_signals: bool,
    /// The keys after which we let go.
    pub(crate) detach_keys: Vec<u8>,
}

/// How it came to an end.
#[derive(Debug)]
pub(crate) enum End {
    /// The command has ended with this code.
    Code(i32),
    /// The user has let go of it.
    Detached,
    /// Nobody reads our output any more.
    NobodyReads,
}

impl End {
    /// Our own exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Code(code) => Exit::Command(u8::try_from(*code).unwrap_or(u8::MAX)),
            Self::Detached => Exit::Success,
            Self::NobodyReads => Exit::BrokenPipe,
        }
    }
}

enum News {
    End(Result<End, ContainerError>),
    Signal(SignalKind),
}

/// Starts something and stays connected with it until its end. Signals that come meanwhile are for the command.
pub(crate) fn run(
    attaching: &Attaching,
    start: impl FnOnce() -> Result<Session, Report>,
) -> Result<End, Report> {
    let machine =
        |error: io::Error| Report::new(Exit::NotStarted, format!("cannot start the runtime: {error}"));
    let runtime = Builder::new_current_thread().enable_all().build().map_err(machine)?;
    runtime.block_on(async {
        let (sender, receiver) = channel::channel(NEWS_MAX);
        // Caught from before the start: whenever a signal comes, it is for the command.
        catch(attaching, &sender).map_err(machine)?;
        let session = start()?;
        attach(session, attaching, sender, receiver).await
    })
}

async fn attach(
    session: Session,
    attaching: &Attaching,
    sender: channel::Sender<News>,
    mut news: channel::Receiver<News>,
) -> Result<End, Report> {
    let writer = session.writer();
    let raw_mode = (attaching.keyboard == Keyboard::Terminal).then(RawMode::enter).flatten();
    if attaching.keyboard != Keyboard::Ignored {
        let (writer, sender, keys) = (writer.clone(), sender.clone(), attaching.detach_keys.clone());
        let keys = if attaching.tty { keys } else { Vec::new() };
        std::thread::spawn(move || type_in(&writer, &keys, &sender));
    }
    // Threads and not tasks: whoever reads our output may take its time.
    std::thread::spawn(move || sender.blocking_send(News::End(show(session))));
    let mut ignored = 0;
    let end = loop {
        match news.recv().await {
            Some(News::End(end)) => break end,
            Some(News::Signal(kind)) => pass_on(kind, &writer, &mut ignored),
            None => break Ok(End::Detached),
        }
    };
    drop(raw_mode);
    Ok(end?)
}

/// Shows output until the end.
fn show(mut session: Session) -> Result<End, ContainerError> {
    loop {
        let shown = match session.event()? {
            SessionEvent::Ended(code) => return Ok(End::Code(code)),
            SessionEvent::Detached => return Ok(End::Detached),
            SessionEvent::Output(engine::containers::Stream::Stdout, bytes) => {
                put(io::stdout().lock(), &bytes)
            }
            SessionEvent::Output(engine::containers::Stream::Stderr, bytes) => {
                put(io::stderr().lock(), &bytes)
            }
        };
        if shown.is_err() {
            return Ok(End::NobodyReads);
        }
    }
}

fn put(mut to: impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes).and_then(|()| to.flush())
}

/// Passes on what is typed, until the keys that detach.
fn type_in(writer: &SessionWriter, detach_keys: &[u8], news: &channel::Sender<News>) {
    let mut is_over = false;
    let mut scan = DetachScan::new(detach_keys);
    console::read_input(|input| {
        let Input::Bytes(bytes) = input else {
            let _ = writer.input(&[]);
            return false;
        };
        let (pass, is_detached) = scan.feed(bytes);
        if !pass.is_empty() && writer.input(&pass).is_err() {
            return false;
        }
        is_over |= is_detached;
        !is_detached
    });
    if is_over {
        // Whoever shows the output hears that it is done, unless nobody answers.
        if writer.detach().is_ok() {
            std::thread::sleep(DETACH_PATIENCE);
        }
        // Nobody is left to tell if the command has ended in this moment.
        let _ = news.blocking_send(News::End(Ok(End::Detached)));
    }
}

/// Finds the keys that detach in what is typed. A beginning of them is held back until it is clear what it is.
struct DetachScan {
    keys: Vec<u8>,
    matched: usize,
}

impl DetachScan {
    fn new(keys: &[u8]) -> Self {
        Self { keys: keys.to_vec(), matched: 0 }
    }

    /// What to pass on, and whether the keys were complete.
    fn feed(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut pass = Vec::with_capacity(bytes.len());
        for byte in bytes {
            if self.keys.get(self.matched) == Some(byte) {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    return (pass, true);
                }
                continue;
            }
            pass.extend_from_slice(&self.keys[..self.matched]);
            self.matched = usize::from(self.keys.first() == Some(byte));
            if self.matched == 0 {
                pass.push(*byte);
            }
        }
        (pass, false)
    }
}

/// `ctrl-p,ctrl-q`, `a`, `ctrl-@,x`: keys as bytes.
pub(super) fn parse_keys(text: &str) -> Result<Vec<u8>, String> {
    let wrong = |key: &str| format!("unknown character: '{key}'");
    let key = |key: &str| match key.strip_prefix("ctrl-").map(str::as_bytes) {
        Some([letter @ b'a'..=b'z']) => Ok(letter - b'a' + 1),
        Some([sign @ (b'@' | b'[' | b'\\' | b']' | b'^' | b'_')]) => Ok(sign - b'@'),
        None if key.len() == 1 => Ok(key.as_bytes()[0]),
        _ => Err(wrong(key)),
    };
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(',').map(key).collect()
}

fn pass_on(kind: SignalKind, writer: &SessionWriter, ignored: &mut u32) {
    // The only error is that the command is gone, which we hear in a moment.
    if kind == SignalKind::window_change() {
        let _ = writer.resize(console::window_size());
        return;
    }
    if kind == SignalKind::interrupt() || kind == SignalKind::terminate() {
        *ignored += 1;
        if *ignored > IGNORED_MAX {
            let _ = writer.signal(KILL);
            return;
        }
    }
    let _ = writer.signal(kind.as_raw_value());
}

/// Has the signals told that a command gets from us, as they come.
fn catch(attaching: &Attaching, sender: &channel::Sender<News>) -> io::Result<()> {
    let mut kinds = Vec::new();
    if attaching.passes_signals {
        kinds.extend([
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
            SignalKind::quit(),
            SignalKind::user_defined1(),
            SignalKind::user_defined2(),
        ]);
    }
    if attaching.tty {
        kinds.push(SignalKind::window_change());
    }
    for kind in kinds {
        let mut stream = signal(kind)?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() && sender.send(News::Signal(kind)).await.is_ok() {}
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read() {
        assert_eq!(parse_keys("ctrl-p,ctrl-q"), Ok(vec![16, 17]));
        assert_eq!(parse_keys("a,ctrl-@"), Ok(vec![b'a', 0]));
        assert_eq!(parse_keys(""), Ok(Vec::new()));
        assert!(parse_keys("ctrl-1").is_err());
        assert!(parse_keys("ab").is_err());
    }

    #[test]
    fn keys_are_found_however_they_come() {
        let mut scan = DetachScan::new(&[16, 17]);
        assert_eq!(scan.feed(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(scan.feed(b"\x10x"), (b"\x10\x10x".to_vec(), false));
        assert_eq!(scan.feed(b"\x10"), (Vec::new(), false));
        assert_eq!(scan.feed(b"\x11rest"), (Vec::new(), true));
        assert_eq!(DetachScan::new(&[]).feed(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
    }
}
