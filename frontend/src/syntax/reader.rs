//! Reads physical lines and joins them to logical ones; knows comments, directives, BOM and CRLF.

use std::ops::Range;

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while};
use nom::character::complete::{alphanumeric0, char, satisfy, space0};
use nom::combinator::recognize;
use nom::sequence::{pair, preceded, separated_pair};
use nom::{IResult, Parser};

use super::line::Line;
use crate::ast::{Directive, Word};
use crate::diagnostic::{Diagnostic, Diagnostics};

/// The escape character unless `# escape=` says otherwise.
pub(super) const ESCAPE: char = '\\';

/// Reads a text line by line.
pub(super) struct Reader<'t> {
    text: &'t str,
    at: usize,
    line_number: u32,
    /// Whether the lines so far were directives only.
    at_top: bool,
    /// The first line is `#!`: the directives behind it count, except for those that change how the text is read.
    has_shebang: bool,
    pub(super) escape: char,
    pub(super) directives: Vec<Directive>,
    pub(super) comments: Vec<Range<usize>>,
    /// For each instruction with empty lines in it, the place of the first one.
    pub(super) empty_continuations: Vec<usize>,
    /// The comments directly in front of the latest instruction.
    comments_before: Range<usize>,
}

/// A line as it stands in the text.
pub(super) struct Physical<'t> {
    /// Without its line feed.
    pub(super) text: &'t str,
    /// Where it starts.
    pub(super) start: usize,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self {
            text,
            at,
            line_number: 0,
            at_top: true,
            has_shebang: text[at..].starts_with("#!"),
            escape: ESCAPE,
            directives: Vec::new(),
            comments: Vec::new(),
            empty_continuations: Vec::new(),
            comments_before: 0..0,
        }
    }

    /// A part of the text.
    pub(super) fn text(&self, span: &Range<usize>) -> &'t str {
        &self.text[span.clone()]
    }

    /// Where the next line starts.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The end of the latest line, without its line feed.
    pub(super) fn end_of_line(&self) -> usize {
        self.text[..self.at].trim_end_matches(['\r', '\n']).len()
    }

    pub(super) fn next_physical(&mut self) -> Option<Physical<'t>> {
        let rest = &self.text[self.at..];
        if rest.is_empty() {
            return None;
        }
        let length = rest.find('\n').map_or(rest.len(), |at| at + 1);
        let (start, raw) = (self.at, &rest[..length]);
        self.at += length;
        self.line_number += 1;
        Some(Physical { text: raw.trim_end_matches(['\r', '\n']), start })
    }

    /// The next instruction on one line.
    pub(super) fn next_logical(&mut self, diagnostics: &mut Diagnostics) -> Option<Line<'t>> {
        self.comments_before = self.comments.len()..self.comments.len();
        loop {
            let physical = self.next_physical()?;
            let text = physical.text.trim_start();
            let start = physical.start + (physical.text.len() - text.len());
            if text.starts_with('#') {
                self.comment(text, start, diagnostics);
                continue;
            }
            self.at_top = false;
            if text.is_empty() {
                self.comments_before.start = self.comments.len();
                continue;
            }
            self.comments_before.end = self.comments.len();
            let line = match self.continued(text) {
                Some(text) => self.join(Line::single(text, start, self.line_number)),
                None => Line::single(text, start, self.line_number),
            };
            if !line.text().is_empty() {
                return Some(line);
            }
        }
    }

    /// The comment directly in front of the latest instruction, line by line. A `#` alone separates, as an
    /// empty line does.
    pub(super) fn comment_before(&self) -> Vec<String> {
        let comments = &self.comments[self.comments_before.clone()];
        let mut lines: Vec<_> = comments.iter().map(|span| self.text[span.clone()][1..].trim()).collect();
        if let Some(separator) = lines.iter().rposition(|line| line.is_empty()) {
            lines.drain(..=separator);
        }
        lines.into_iter().map(str::to_owned).collect()
    }

    fn join(&mut self, mut line: Line<'t>) -> Line<'t> {
        let mut first_empty = None;
        while let Some(physical) = self.next_physical() {
            let trimmed = physical.text.trim_start();
            if trimmed.starts_with('#') {
                let start = physical.start + (physical.text.len() - trimmed.len());
                self.comments.push(start..start + trimmed.len());
                continue;
            }
            if trimmed.is_empty() {
                first_empty.get_or_insert(physical.start);
                continue;
            }
            match self.continued(physical.text) {
                Some(text) => line.join(text, physical.start),
                None => {
                    line.join(physical.text, physical.start);
                    break;
                }
            }
        }
        self.empty_continuations.extend(first_empty);
        line
    }

    /// The line without its continuation character, when it ends in one that is not escaped itself.
    fn continued<'l>(&self, line: &'l str) -> Option<&'l str> {
        let text = line.trim_end_matches([' ', '\t']).strip_suffix(self.escape)?;
        (!text.ends_with(self.escape)).then_some(text)
    }

    fn comment(&mut self, text: &str, start: usize, diagnostics: &mut Diagnostics) {
        let span = start..start + text.len();
        self.comments.push(span.clone());
        let is_shebang = self.has_shebang && self.line_number == 1;
        if !self.at_top || is_shebang {
            return;
        }
        let Ok((_, (name, value))) = directive(text) else {
            self.at_top = false;
            return;
        };
        let name = name.to_ascii_lowercase();
        if !matches!(&*name, "syntax" | "escape" | "check") {
            self.at_top = false;
            return;
        }
        let at = start + (value.as_ptr() as usize - text.as_ptr() as usize);
        let value = Word { value: value.to_owned(), span: at..at + value.len() };
        if self.directives.iter().any(|directive| directive.name == name) {
            if self.has_shebang {
                self.at_top = false;
                return;
            }
            let message = format!("only one `{name}` directive can be used");
            let words = format!("only one {name} parser directive can be used");
            diagnostics.push(Diagnostic::error("DuplicateDirective", span, message).with_buildkit(words));
            return;
        }
        if name == "escape" && !self.has_shebang {
            self.set_escape(&value, diagnostics);
        }
        self.directives.push(Directive { name, value });
        self.comments_before.start = self.comments.len();
    }

    fn set_escape(&mut self, value: &Word, diagnostics: &mut Diagnostics) {
        match &*value.value {
            "\\" => self.escape = '\\',
            "`" => self.escape = '`',
            other => {
                let message = format!("invalid escape character `{other}`");
                diagnostics.push(
                    Diagnostic::error("InvalidEscape", value.span.clone(), message)
                        .with_help("use `\\` or the backtick".to_owned())
                        .with_buildkit(format!("invalid escape token '{other}' does not match ` or \\")),
                );
            }
        }
    }
}

/// `# name = value`.
fn directive(text: &str) -> IResult<&str, (&str, &str)> {
    preceded((alt((tag("#"), tag("//"))), blanks), assignment).parse(text)
}

/// The name and the value of a comment that is like a directive, without its `#`.
pub(crate) fn setting(comment: &str) -> Option<(&str, &str)> {
    assignment(comment).ok().map(|(_, setting)| setting)
}

/// `name = value`, the value without blanks around it and not empty.
fn assignment(text: &str) -> IResult<&str, (&str, &str)> {
    let name = recognize(pair(satisfy(|c| c.is_ascii_alphabetic()), alphanumeric0));
    let equals = (space0, char('='), space0);
    let value = take_while(|_| true).map(str::trim);
    let (rest, (name, value)) = separated_pair(name, equals, value).parse(text)?;
    if value.is_empty() {
        return Err(nom::Err::Error(nom::error::Error::new(rest, nom::error::ErrorKind::NonEmpty)));
    }
    Ok((rest, (name, value)))
}

fn blanks(text: &str) -> IResult<&str, &str> {
    take_while(char::is_whitespace).parse(text)
}
