//! Layers on their way from or to a registry, as Docker shows them: lines for logs, bars on a terminal.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use engine::images::{OnTransfer, Stage, Transfer};

use super::{INTERVAL, terminal_size};
use crate::console;
use crate::output::size;

/// Columns of a bar, as Docker draws it.
const BAR_COLUMNS: u64 = 50;
/// Significant digits of an amount.
const SIZE_DIGITS: usize = 4;

/// The stream that the layers are shown on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// Shows the layers of one pull or push.
pub(crate) struct Layers {
    stream: Stream,
    state: Mutex<State>,
}

enum State {
    Silent,
    Lines,
    Bars { rows: Rows, next: Instant, drawn: usize },
}

/// What is known of every layer, in the order in which they were announced.
#[derive(Default)]
struct Rows(Vec<(String, Stage)>);

impl Layers {
    /// Shows nothing.
    pub(crate) fn silent() -> Arc<Self> {
        Arc::new(Self { stream: Stream::Stderr, state: Mutex::new(State::Silent) })
    }

    /// Bars on a terminal, lines elsewhere.
    pub(crate) fn on(stream: Stream) -> Arc<Self> {
        let is_terminal = match stream {
            Stream::Stdout => std::io::stdout().is_terminal(),
            Stream::Stderr => std::io::stderr().is_terminal(),
        };
        let state = match is_terminal {
            true => State::Bars { rows: Rows::default(), next: Instant::now(), drawn: 0 },
            false => State::Lines,
        };
        Arc::new(Self { stream, state: Mutex::new(state) })
    }

    /// Where the news goes.
    pub(crate) fn listener(self: &Arc<Self>) -> OnTransfer {
        let layers = self.clone();
        Arc::new(move |transfer| layers.hear(transfer))
    }

    /// Shows where the layers came to; whatever is printed next stands below.
    pub(crate) fn finish(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Bars { rows, drawn, .. } = &mut *state {
            let text = rows.draw(drawn);
            self.print(&text);
            *state = State::Silent;
        }
    }

    fn hear(&self, transfer: Transfer) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            State::Silent => {}
            State::Lines => {
                if let Some(word) = word(&transfer.stage) {
                    self.print(&format!("{}: {word}\n", transfer.layer));
                }
            }
            State::Bars { rows, next, drawn } => {
                rows.apply(transfer);
                if Instant::now() >= *next {
                    let text = rows.draw(drawn);
                    self.print(&text);
                    *next = Instant::now() + INTERVAL;
                }
            }
        }
    }

    fn print(&self, text: &str) {
        match self.stream {
            // Nobody reads it: the end of the command notices.
            Stream::Stdout => drop(console::print(text)),
            Stream::Stderr => console::print_error(text),
        }
    }
}

impl Rows {
    fn apply(&mut self, transfer: Transfer) {
        match self.0.iter_mut().find(|(layer, _)| *layer == transfer.layer) {
            Some((_, stage)) => *stage = transfer.stage,
            None => self.0.push((transfer.layer, transfer.stage)),
        }
    }

    /// Draws over what was drawn before. When there are more layers than rows of the terminal, the last are shown.
    fn draw(&self, drawn: &mut usize) -> String {
        let size = terminal_size();
        let mut text = if *drawn > 0 { format!("\x1b[{drawn}A") } else { String::new() };
        let shown = self.0.len().min(size.rows.saturating_sub(1));
        for (layer, stage) in &self.0[self.0.len() - shown..] {
            let line: String = row(layer, stage).chars().take(size.columns.saturating_sub(1)).collect();
            write!(text, "\r{line}\x1b[K\n").expect("a string takes everything");
        }
        *drawn = shown;
        text
    }
}

/// A layer on a terminal.
fn row(layer: &str, stage: &Stage) -> String {
    let measured = match stage {
        Stage::Downloading { current, total } => Some(("Downloading", *current, *total)),
        Stage::Extracting { current, total } => Some(("Extracting", *current, *total)),
        Stage::Pushing { current, total } => Some(("Pushing", *current, *total)),
        _ => None,
    };
    match (measured, word(stage)) {
        (Some((verb, current, total)), _) => {
            let amount = format!("{:>8}/{}", size(current, SIZE_DIGITS), size(total, SIZE_DIGITS));
            format!("{layer}: {verb} {} {amount}", bar(current, total))
        }
        (None, Some(word)) => format!("{layer}: {word}"),
        (None, None) => layer.to_owned(),
    }
}

/// `[=====>     ]`
fn bar(current: u64, total: u64) -> String {
    let done = current.saturating_mul(BAR_COLUMNS).checked_div(total).unwrap_or(BAR_COLUMNS).min(BAR_COLUMNS);
    let (done, rest) = (done as usize, (BAR_COLUMNS - done) as usize);
    format!("[{}>{}]", "=".repeat(done), " ".repeat(rest))
}

/// What Docker says of a stage; nothing of those that only count.
fn word(stage: &Stage) -> Option<String> {
    Some(match stage {
        Stage::Waiting => "Pulling fs layer".to_owned(),
        Stage::Downloaded => "Download complete".to_owned(),
        Stage::Pulled => "Pull complete".to_owned(),
        Stage::Present => "Already exists".to_owned(),
        Stage::Preparing => "Preparing".to_owned(),
        Stage::Pushed => "Pushed".to_owned(),
        Stage::PresentThere => "Layer already exists".to_owned(),
        Stage::Mounted { from } => format!("Mounted from {from}"),
        Stage::Foreign => "Skipped foreign layer".to_owned(),
        Stage::Downloading { .. } | Stage::Extracting { .. } | Stage::Pushing { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_have_dockers_words_and_bars() {
        let stages = [
            Stage::Waiting,
            Stage::Downloading { current: 0, total: 2_000_000 },
            Stage::Downloading { current: 1_234_567, total: 2_000_000 },
            Stage::Extracting { current: 2_000_000, total: 2_000_000 },
            Stage::Pushing { current: 0, total: 0 },
            Stage::Mounted { from: "library/debian".into() },
        ];
        let shown: Vec<_> = stages.iter().map(|stage| row("a1b2c3d4e5f6", stage)).collect();
        insta::assert_snapshot!(shown.join("\n"), @"
        a1b2c3d4e5f6: Pulling fs layer
        a1b2c3d4e5f6: Downloading [>                                                  ]       0B/2MB
        a1b2c3d4e5f6: Downloading [==============================>                    ]  1.235MB/2MB
        a1b2c3d4e5f6: Extracting [==================================================>]      2MB/2MB
        a1b2c3d4e5f6: Pushing [==================================================>]       0B/0B
        a1b2c3d4e5f6: Mounted from library/debian
        ");
    }

    #[test]
    fn rows_are_drawn_over_the_old_ones() {
        let mut rows = Rows::default();
        let mut drawn = 0;
        let transfer = |layer: &str, stage| Transfer { layer: layer.to_owned(), stage };
        rows.apply(transfer("a", Stage::Waiting));
        rows.apply(transfer("b", Stage::Waiting));
        let first = rows.draw(&mut drawn);
        rows.apply(transfer("a", Stage::Pulled));
        let second = rows.draw(&mut drawn);
        insta::assert_snapshot!(format!("{first}{second}").replace('\x1b', "^").replace('\r', "<"), @"
        <a: Pulling fs layer^[K
        <b: Pulling fs layer^[K
        ^[2A<a: Pull complete^[K
        <b: Pulling fs layer^[K
        ");
    }
}
