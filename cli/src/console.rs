//! Standard output, and the terminal that the user sits at.

use std::io::{self, IsTerminal, Read, Write};

use engine::WindowSize;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::report::{Exit, Report};

/// The size of a terminal that does not tell.
const SIZE_DEFAULT: WindowSize = WindowSize { rows: 24, columns: 80 };
/// Bytes that are copied at once.
const COPY_BYTES: usize = 16 << 10;

/// Writes text to standard output.
pub(crate) fn print(text: &str) -> Result<Exit, Report> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Exit::Success),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::BrokenPipe),
        Err(error) => Err(Report::new(Exit::Machine, format!("cannot write to standard output: {error}"))),
    }
}

/// Writes text to standard error. Nobody is left who could be told that this is not possible.
pub(crate) fn print_error(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Whether somebody reads standard output on a terminal.
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether somebody types standard input on a terminal.
pub(crate) fn stdin_is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Asks the user for a line; none without a terminal.
pub(crate) fn ask(prompt: &str) -> Option<String> {
    if !stdin_is_terminal() {
        return None;
    }
    print_error(prompt);
    let mut line = String::new();
    io::stdin().read_line(&mut line).ok()?;
    Some(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Asks for a line that does not appear on the terminal.
pub(crate) fn ask_hidden(prompt: &str) -> Option<String> {
    let before = tcgetattr(io::stdin()).ok()?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(io::stdin(), OptionalActions::Flush, &hidden).ok()?;
    let restored = RawMode { before };
    let answer = ask(prompt);
    drop(restored);
    print_error("\n");
    answer
}

/// The size of the user's terminal.
pub(crate) fn window_size() -> WindowSize {
    let sizes = [tcgetwinsize(io::stdout()), tcgetwinsize(io::stdin())];
    let known = sizes.into_iter().flatten().find(|size| size.ws_row > 0 && size.ws_col > 0);
    known.map_or(SIZE_DEFAULT, |size| WindowSize { rows: size.ws_row, columns: size.ws_col })
}

/// The terminal passes every key on as it is. Restores its mode when dropped.
pub(crate) struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Switches the terminal of standard input; none if there is no such terminal.
    pub(crate) fn enter() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that is gone needs no mode.
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.before);
    }
}

/// What comes from standard input.
pub(crate) enum Input<'a> {
    /// As it came.
    Bytes(&'a [u8]),
    /// Nothing will follow.
    End,
}

/// Passes on standard input until its end, or until `to` wants no more.
pub(crate) fn read_input(mut to: impl FnMut(Input<'_>) -> bool) {
    let mut stdin = io::stdin().lock();
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let goes_on = match stdin.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            // The kernel says EIO when the other side of a terminal has been closed.
            Ok(0) | Err(_) => {
                to(Input::End);
                false
            }
            Ok(count) => to(Input::Bytes(&buffer[..count])),
        };
        if !goes_on {
            return;
        }
    }
}
