//! Writes a Dockerfile the way it is usually written, without changing what it means.
//!
//! Keywords become upper case, words are separated by one blank, continued lines are indented, at most one
//! empty line stays between instructions, directives and JSON lists get their usual form. Commands for a shell,
//! values with blanks in them, `ONBUILD` triggers and here-documents are kept to the byte: they go into the
//! image and into the keys of the cache, so that a formatted file builds the same image from the same cache.

mod layout;
mod pieces;

use std::ops::Range;

use crate::ast::{Dockerfile, Kind};
use crate::diagnostic::Diagnostic;
use crate::syntax::parse;
use layout::Layout;

/// What stands in front of a continued line.
const INDENT: &str = "    ";

/// Formats a Dockerfile. Formatting the result again changes nothing, and parsing it gives the same tree, apart
/// from places, the case of keywords and the blanks in [`crate::ast::Instruction::code`].
///
/// # Errors
///
/// The errors of a text that is no Dockerfile, which is left alone.
pub fn format(text: &str) -> Result<String, Vec<Diagnostic>> {
    let parsed = parse(text);
    let errors: Vec<_> = parsed.diagnostics.into_iter().filter(Diagnostic::is_error).collect();
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(Formatter::new(text, &parsed.dockerfile).run())
}

/// A place where an instruction starts, with what formatting has to know about it.
struct Start {
    span: Range<usize>,
    shape: Shape,
}

/// How the arguments of an instruction are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Words between blanks.
    Words,
    /// `FROM`: words, among them `AS`.
    From,
    /// Words, or a JSON list.
    WordsOrJson,
    /// Words in which quotes count.
    Quoted,
    /// A name, and a value with blanks in it.
    NameAndRest,
    /// A line for the shell, or a JSON list.
    Command,
    /// A word, then a line for the shell or a JSON list.
    WordAndCommand,
    /// To be kept.
    Verbatim,
}

impl Shape {
    fn of(kind: &Kind) -> Self {
        match kind {
            Kind::Add(_) | Kind::Copy(_) | Kind::Volume(_) => Self::WordsOrJson,
            Kind::Arg(_) => Self::Quoted,
            Kind::Env(pairs) | Kind::Label(pairs) => {
                if pairs.iter().any(|pair| pair.legacy) {
                    Self::NameAndRest
                } else {
                    Self::Quoted
                }
            }
            Kind::Cmd(_) | Kind::Entrypoint(_) | Kind::Run(_) | Kind::Shell(_) => Self::Command,
            Kind::Expose(_) => Self::Words,
            Kind::From(_) => Self::From,
            Kind::Healthcheck(_) => Self::WordAndCommand,
            Kind::Maintainer(_)
            | Kind::Onbuild(_)
            | Kind::Stopsignal(_)
            | Kind::User(_)
            | Kind::Workdir(_) => Self::Verbatim,
        }
    }
}

struct Formatter<'t> {
    text: &'t str,
    dockerfile: &'t Dockerfile,
    /// The instructions in the order of the text.
    starts: Vec<Start>,
    line_end: &'static str,
    at: usize,
    out: String,
    /// Empty lines were passed since the last one that was written.
    is_apart: bool,
}

impl<'t> Formatter<'t> {
    fn new(text: &'t str, dockerfile: &'t Dockerfile) -> Self {
        let start = |span: &Range<usize>, shape| Start { span: span.clone(), shape };
        let args = dockerfile.global_args.iter().map(|it| start(&it.span, Shape::of(&it.kind)));
        let stages = dockerfile.stages.iter().flat_map(|stage| {
            let own = stage.instructions.iter().map(|it| start(&it.span, Shape::of(&it.kind)));
            std::iter::once(start(&stage.span, Shape::From)).chain(own)
        });
        let mut starts: Vec<_> = args.chain(stages).collect();
        starts.sort_by_key(|start| start.span.start);
        let first_end = text.find('\n').unwrap_or(text.len());
        let line_end = if text[..first_end].ends_with('\r') { "\r\n" } else { "\n" };
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { text, dockerfile, starts, line_end, at, out: String::new(), is_apart: false }
    }

    fn run(mut self) -> String {
        let starts = std::mem::take(&mut self.starts);
        let mut next = starts.iter().peekable();
        while self.at < self.text.len() {
            let (line, raw) = self.line();
            let content = line.trim_start();
            let place = self.at + (line.len() - content.len());
            if let Some(start) = next.next_if(|start| start.span.start == place) {
                self.instruction(start);
                continue;
            }
            self.at += raw.len();
            match content {
                "" => self.is_apart = true,
                comment if comment.starts_with('#') => self.comment(comment.trim_end(), place),
                // Continuation characters that continue nothing.
                other => self.write_line(other.trim_end()),
            }
        }
        self.out
    }

    /// The line here, without its end and with it.
    fn line(&self) -> (&'t str, &'t str) {
        let rest = &self.text[self.at..];
        let raw = &rest[..rest.find('\n').map_or(rest.len(), |at| at + 1)];
        (raw.trim_end_matches(['\r', '\n']), raw)
    }

    fn instruction(&mut self, start: &Start) {
        let layout = Layout::read(self.text, &mut self.at, self.dockerfile.escape);
        self.separate(false);
        let line_end = self.line_end;
        self.out.push_str(
            &layout.written(&pieces::of(layout.text(), start.shape, self.dockerfile.escape), line_end),
        );
        self.out.push_str(line_end);
        // Here-documents, with the lines that end them.
        while self.at < self.text.len() && self.at <= start.span.end {
            let (line, raw) = self.line();
            self.at += raw.len();
            self.out.push_str(raw);
            self.out.push_str(if line.len() == raw.len() { line_end } else { "" });
        }
        for comment in layout.comments_after() {
            self.write_line(comment.trim());
        }
    }

    fn comment(&mut self, comment: &str, place: usize) {
        let span = place..place + comment.len();
        let directives = &self.dockerfile.directives;
        match directives.iter().find(|directive| span.contains(&directive.value.span.start)) {
            Some(directive) => self.write_line(&format!("# {}={}", directive.name, directive.value.value)),
            None => self.write_line(comment),
        }
    }

    fn write_line(&mut self, line: &str) {
        self.separate(line.starts_with('#'));
        self.out.push_str(line);
        self.out.push_str(self.line_end);
    }

    /// Writes the empty line that stands for those that were passed. At the start of the file it stays only in
    /// front of a comment, which could become a directive.
    fn separate(&mut self, is_comment: bool) {
        if std::mem::take(&mut self.is_apart) && (!self.out.is_empty() || is_comment) {
            self.out.push_str(self.line_end);
        }
    }
}
