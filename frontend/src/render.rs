//! Shows a diagnostic with the line that it is about.

use std::fmt::Write;
use std::ops::Range;

use crate::limits::RENDERED_CHARS_MAX;
use crate::{Diagnostic, Severity};

/// The diagnostic as people read it, without colours, without a line feed at the end:
///
/// ```text
/// error: no stage named `biuld`
///  --> Dockerfile:7:13
/// 7 | COPY --from=biuld /app /app
///   |             ^^^^^ help: a stage `build` is defined on line 2
/// ```
pub fn render(diagnostic: &Diagnostic, file_name: &str, text: &str) -> String {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let main = Excerpt::new(text, &diagnostic.span);
    let others: Vec<_> =
        diagnostic.secondary.iter().map(|(span, label)| (Excerpt::new(text, span), label)).collect();
    let last_line = others.iter().map(|(excerpt, _)| excerpt.line).fold(main.line, usize::max);
    let width = last_line.to_string().len();

    let mut out = format!("{severity}: {}\n", diagnostic.message);
    let _ = write!(out, "{:width$}--> {file_name}:{}:{}", "", main.line, main.column);
    let help = diagnostic.help.as_ref().map(|help| format!("help: {help}")).unwrap_or_default();
    main.show(&mut out, width, '^', &help);
    for (excerpt, label) in &others {
        excerpt.show(&mut out, width, '-', label);
    }
    out
}

/// Line and column of a byte, both from 1; columns count characters.
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let offset = floor_char_boundary(text, offset);
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, text[line_start..offset].chars().count() + 1)
}

/// One source line and the underlined part of it.
struct Excerpt {
    line: usize,
    column: usize,
    /// The line, or the part of it around the span.
    shown: String,
    /// What stands in front of the underline: tabs stay tabs.
    padding: String,
    underlined: usize,
}

impl Excerpt {
    fn new(text: &str, span: &Range<usize>) -> Self {
        let start = floor_char_boundary(text, span.start);
        let end = floor_char_boundary(text, span.end).max(start);
        let (line, column) = position(text, start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let line_text = text[line_start..line_end].trim_end_matches('\r');
        let skipped = (column - 1).saturating_sub(RENDERED_CHARS_MAX / 2);
        let shown: String = line_text.chars().skip(skipped).take(RENDERED_CHARS_MAX).collect();
        let before = column - 1 - skipped;
        let padding =
            shown.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect::<String>();
        let marked = text[start..end.min(line_end)].trim_end().chars().count();
        let room = shown.chars().count().saturating_sub(before);
        Self { line, column, padding, underlined: marked.min(room).max(1), shown }
    }

    fn show(&self, out: &mut String, width: usize, mark: char, label: &str) {
        let marks: String = std::iter::repeat_n(mark, self.underlined).collect();
        let _ = write!(out, "\n{:>width$} | {}", self.line, self.shown);
        let _ = write!(out, "\n{:width$} | {}{marks} {label}", "", self.padding);
        out.truncate(out.trim_end().len());
    }
}

fn floor_char_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_line_and_the_advice() {
        let text = "FROM a AS build\n\n\tCOPY --from=biuld /a /a\n";
        let at = text.find("biuld").unwrap();
        let diagnostic = Diagnostic::error("X", at..at + 5, "no stage named `biuld`")
            .with_help("a stage `build` is defined on line 1".to_owned())
            .with_secondary(10..15, "this one");
        insta::assert_snapshot!(render(&diagnostic, "Dockerfile", text), @r"
        error: no stage named `biuld`
         --> Dockerfile:3:14
        3 | 	COPY --from=biuld /a /a
          | 	            ^^^^^ help: a stage `build` is defined on line 1
        1 | FROM a AS build
          |           ----- this one
        ");
    }

    #[test]
    fn long_lines_and_wrong_spans_are_cut() {
        let text = format!("{}é{}", "a".repeat(500), "b".repeat(500));
        let shown = render(&Diagnostic::warning("X", 500..700, "m"), "f", &text);
        assert!(shown.lines().all(|line| line.chars().count() < 250), "{shown}");
        let beyond = render(&Diagnostic::warning("X", 5000..9000, "m"), "f", "a\nb");
        insta::assert_snapshot!(beyond, @r"
        warning: m
         --> f:2:2
        2 | b
          |  ^
        ");
    }
}
