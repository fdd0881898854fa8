//! Shows how a build goes: a thread takes the events and writes to standard error.
//!
//! Every layout is a pure function of events and the clock; only this file knows threads and descriptors.

mod meter;
mod plain;
mod rawjson;
mod screen;
mod trace;
mod transfer;
mod tty;
mod windows;

#[cfg(test)]
mod tests;

use std::io::IsTerminal;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use clap::ValueEnum;
use engine::{Event, Progress};

pub(crate) use meter::Meter;
use plain::Plain;
use rawjson::RawJson;
use screen::{Colors, Screen};
use trace::Trace;
pub(crate) use trace::Warning;
pub(crate) use transfer::{Layers, Stream};
use tty::{Size, View};
use windows::Windows;

use crate::console::print_error;

/// Time between two updates of what is shown.
const INTERVAL: Duration = Duration::from_millis(80);
/// Time between two looks for events. Waking the display for each would cost a short build more than all else that it
/// shows; nobody sees the difference.
const LOOK: Duration = Duration::from_millis(20);
/// Events that may wait to be shown; a step that writes faster than the terminal takes it is slowed down.
const EVENTS_MAX: usize = 1024;
/// Lines of a failed step that are repeated below the live view.
const FAILURE_LINES_MAX: usize = 100;
/// The size of a terminal that does not tell.
const SIZE_DEFAULT: Size = Size { columns: 80, rows: 24 };

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// `tty` when standard error is a terminal, `plain` otherwise.
    Auto,
    /// Lines, for logs and pipes.
    Plain,
    /// A live view.
    Tty,
    /// BuildKit's JSON, an object a line.
    Rawjson,
    /// Nothing but errors.
    Quiet,
}

/// There is no terminal to draw on.
#[derive(Debug, thiserror::Error)]
#[error("`--progress tty` draws on standard error, which is not a terminal")]
pub(crate) struct NoTerminal;

/// The display of one build. Dropping it without [`Ui::finish`] leaves the terminal in order as well.
pub(crate) struct Ui(Place);

/// Where the display works.
enum Place {
    /// On a thread of its own, which whoever makes events does not wait for.
    Thread { messages: SyncSender<Message>, thread: JoinHandle<Vec<Warning>> },
    /// Wherever something happens: it has next to nothing to show.
    Here(Arc<Mutex<Display>>),
    /// It has ended.
    Nowhere,
}

enum Message {
    /// What happened, and when.
    Event(Event, SystemTime),
    /// A line that has nothing to do with any step.
    Note(String),
    Stop,
}

impl Ui {
    /// Begins to show a build.
    pub(crate) fn start(mode: Mode) -> Result<Self, NoTerminal> {
        let display = Display::new(mode)?;
        if let Display::Quiet(_) = display {
            let display = Arc::new(Mutex::new(display));
            let notes = display.clone();
            crate::diagnostics::redirect(Some(Box::new(move |line| {
                handle(&mut lock(&notes), Message::Note(line));
            })));
            return Ok(Self(Place::Here(display)));
        }
        let (messages, queue) = sync_channel(EVENTS_MAX);
        let thread = std::thread::spawn(move || show(display, &queue));
        let notes = messages.clone();
        // Once the display has ended, its sink is gone as well.
        crate::diagnostics::redirect(Some(Box::new(move |line| drop(notes.send(Message::Note(line))))));
        Ok(Self(Place::Thread { messages, thread }))
    }

    /// Where the events go. After the end nobody listens, and nobody needs to.
    pub(crate) fn progress(&self) -> Progress {
        match &self.0 {
            Place::Thread { messages, .. } => {
                let messages = messages.clone();
                Arc::new(move |event| drop(messages.send(Message::Event(event, SystemTime::now()))))
            }
            Place::Here(display) => {
                let display = display.clone();
                Arc::new(move |event| handle(&mut lock(&display), Message::Event(event, SystemTime::now())))
            }
            Place::Nowhere => Arc::new(drop),
        }
    }

    /// Shows the end of the build; whatever still runs counts as canceled. Returns the remarks.
    pub(crate) fn finish(mut self) -> Vec<Warning> {
        self.stop()
    }

    fn stop(&mut self) -> Vec<Warning> {
        crate::diagnostics::redirect(None);
        match std::mem::replace(&mut self.0, Place::Nowhere) {
            Place::Thread { messages, thread } => {
                // It is there to take it, unless it has panicked.
                let _ = messages.send(Message::Stop);
                thread.thread().unpark();
                thread.join().unwrap_or_default()
            }
            Place::Here(display) => {
                end(std::mem::replace(&mut lock(&display), Display::Quiet(Trace::default())))
            }
            Place::Nowhere => Vec::new(),
        }
    }
}

fn lock(display: &Mutex<Display>) -> MutexGuard<'_, Display> {
    display.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Ui {
    fn drop(&mut self) {
        self.stop();
    }
}

fn show(mut display: Display, queue: &Receiver<Message>) -> Vec<Warning> {
    let mut next = Instant::now() + INTERVAL;
    'shown: loop {
        for message in queue.try_iter() {
            match message {
                Message::Stop => break 'shown,
                other => handle(&mut display, other),
            }
        }
        std::thread::park_timeout(LOOK);
        if Instant::now() >= next {
            print_error(&display.flush(SystemTime::now(), terminal_size()));
            next = Instant::now() + INTERVAL;
        }
    }
    end(display)
}

fn handle(display: &mut Display, message: Message) {
    match message {
        Message::Event(event, time) => display.apply(&event, time),
        Message::Note(line) => print_error(&display.note(&line, SystemTime::now(), terminal_size())),
        Message::Stop => {}
    }
}

fn end(mut display: Display) -> Vec<Warning> {
    print_error(&display.finish(SystemTime::now(), terminal_size()));
    display.into_warnings()
}

fn terminal_size() -> Size {
    let known = rustix::termios::tcgetwinsize(std::io::stderr())
        .ok()
        .filter(|size| size.ws_col > 0 && size.ws_row > 0);
    known.map_or(SIZE_DEFAULT, |size| Size { columns: size.ws_col.into(), rows: size.ws_row.into() })
}

/// One of the layouts with its state.
enum Display {
    Plain(Box<Plain>),
    Tty { trace: Trace, windows: Windows, screen: Screen },
    RawJson { state: RawJson, text: String },
    Quiet(Trace),
}

impl Display {
    fn new(mode: Mode) -> Result<Self, NoTerminal> {
        let is_terminal = std::io::stderr().is_terminal();
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Ok(match mode {
            Mode::Tty if !is_terminal => return Err(NoTerminal),
            Mode::Auto if is_terminal && !is_dumb => Self::tty(),
            Mode::Tty => Self::tty(),
            Mode::Auto | Mode::Plain => Self::Plain(Box::new(Plain::new())),
            Mode::Rawjson => Self::RawJson { state: RawJson::default(), text: String::new() },
            Mode::Quiet => Self::Quiet(Trace::default()),
        })
    }

    fn tty() -> Self {
        // See no-color.org.
        let without = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let screen = Screen::new(if without { Colors::Off } else { Colors::On });
        Self::Tty { trace: Trace::default(), windows: Windows::default(), screen }
    }

    fn apply(&mut self, event: &Event, now: SystemTime) {
        match self {
            Self::Plain(plain) => plain.apply(event, now),
            Self::RawJson { state, text } => *text += &state.apply(event),
            Self::Quiet(trace) => drop(trace.apply(event)),
            Self::Tty { trace, windows, .. } => {
                trace.apply(event);
                match event {
                    Event::Output { step, bytes, .. } => windows.write(*step, bytes),
                    Event::Completed { step, .. } => windows.close(*step),
                    _ => {}
                }
            }
        }
    }

    fn flush(&mut self, now: SystemTime, size: Size) -> String {
        match self {
            Self::Plain(plain) => plain.flush(now),
            Self::RawJson { text, .. } => std::mem::take(text),
            Self::Quiet(_) => String::new(),
            Self::Tty { trace, windows, screen } => {
                screen.draw(&tty::lines(trace, windows, now, size, View::Live), size)
            }
        }
    }

    /// Shows a line above the live view, or between the other lines.
    fn note(&mut self, line: &str, now: SystemTime, size: Size) -> String {
        match self {
            Self::Tty { trace, windows, screen } => {
                let erased = screen.draw(&[], size);
                erased + line + &screen.draw(&tty::lines(trace, windows, now, size, View::Live), size)
            }
            // A line of another kind would break the format.
            Self::RawJson { .. } => String::new(),
            Self::Plain(_) | Self::Quiet(_) => line.to_owned(),
        }
    }

    fn finish(&mut self, now: SystemTime, size: Size) -> String {
        match self {
            Self::Plain(plain) => plain.finish(now),
            Self::RawJson { state, text } => std::mem::take(text) + &state.finish(now),
            Self::Quiet(trace) => trace.failures(FAILURE_LINES_MAX),
            Self::Tty { trace, windows, screen } => {
                trace.cancel(now);
                let lines = tty::lines(trace, windows, now, size, View::Last);
                screen.draw(&lines, size) + Screen::release() + &trace.failures(FAILURE_LINES_MAX)
            }
        }
    }

    fn into_warnings(self) -> Vec<Warning> {
        match self {
            Self::Plain(plain) => plain.trace.warnings,
            Self::Tty { trace, .. } | Self::Quiet(trace) => trace.warnings,
            Self::RawJson { state, .. } => state.trace.warnings,
        }
    }
}
