//! Replaces a block of lines at the cursor of a terminal.

use unicode_width::UnicodeWidthStr;

use super::tty::{Line, Size, Style};

const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";
const CLEAR_TO_END_OF_LINE: &str = "\x1b[K";
const CLEAR_TO_END_OF_SCREEN: &str = "\x1b[J";
const RESET: &str = "\x1b[0m";

/// Whether a terminal gets colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colors {
    On,
    Off,
}

/// What stands on the terminal now.
#[derive(Debug)]
pub(super) struct Screen {
    colors: Colors,
    /// Columns of each line that was drawn.
    drawn: Vec<usize>,
}

impl Screen {
    pub(super) fn new(colors: Colors) -> Self {
        Self { colors, drawn: Vec::new() }
    }

    /// The bytes that replace what was drawn before by `lines`.
    pub(super) fn draw(&mut self, lines: &[Line], size: Size) -> String {
        let mut text = String::from(HIDE_CURSOR);
        let up = self.rows(size);
        if up > 0 {
            text += &format!("\x1b[{up}A");
        }
        text.push('\r');
        for line in lines {
            let color = if self.colors == Colors::On { color(line.style) } else { "" };
            text += color;
            text += &line.text;
            if !color.is_empty() {
                text += RESET;
            }
            text += CLEAR_TO_END_OF_LINE;
            text.push('\n');
        }
        text += CLEAR_TO_END_OF_SCREEN;
        self.drawn = lines.iter().map(|line| line.text.width()).collect();
        text
    }

    /// The bytes that leave the terminal as it was found, but for what stands on it.
    pub(super) fn release() -> &'static str {
        SHOW_CURSOR
    }

    /// Rows that the drawn lines take now: a narrower window has wrapped them.
    fn rows(&self, size: Size) -> usize {
        let columns = size.columns.max(1);
        let rows = self.drawn.iter().map(|width| width.div_ceil(columns).max(1)).sum::<usize>();
        rows.min(size.rows.saturating_sub(1))
    }
}

fn color(style: Style) -> &'static str {
    match style {
        Style::Plain => "",
        Style::Done => "\x1b[34m",
        Style::Warning => "\x1b[33m",
        Style::Error => "\x1b[31m",
        Style::Faint => "\x1b[2m",
    }
}
