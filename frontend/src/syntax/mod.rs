//! Reads a Dockerfile. Never fails: what cannot be understood becomes a diagnostic, and reading goes on with
//! the next instruction.

mod command;
mod copy;
mod flags;
mod from;
mod healthcheck;
mod instructions;
mod line;
mod onbuild;
mod pairs;
mod reader;
mod request;
mod run;
mod surrogates;
pub(crate) mod tokens;
mod values;

use std::ops::Range;
use std::sync::Arc;

pub(crate) use reader::setting;
pub(crate) use run::csv;
pub(crate) use values::EMPTY_VOLUME;

use crate::ast::{Dockerfile, HereDocument, Instruction, Keyword, Kind, Stage};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::encoding;
use crate::limits::{INSTRUCTIONS_MAX, TEXT_BYTES_MAX, WORDS_MAX};
use instructions::{instruction_kind, word_count, written};
use line::Line;
use reader::Reader;
use request::Request;

/// A Dockerfile as far as it was understood, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// What was understood.
    pub dockerfile: Dockerfile,
    /// Findings in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// Where the instructions are that could not be understood.
    pub broken: Vec<Range<usize>>,
}

impl Parsed {
    /// Whether there is something that keeps the file from being built.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Reads a Dockerfile.
///
/// Never fails: whatever could not be understood becomes a diagnostic.
pub fn parse(text: &str) -> Parsed {
    let mut diagnostics = Diagnostics::default();
    let text = if text.len() > TEXT_BYTES_MAX {
        let message = format!("the Dockerfile is longer than {TEXT_BYTES_MAX} bytes");
        diagnostics.push(Diagnostic::error("TooLong", 0..0, message));
        ""
    } else if is_page(text) {
        diagnostics.push(
            Diagnostic::error("NotADockerfile", 0..0, "this is a page of a web site and not a Dockerfile")
                .with_help("use the URL of the file itself, which such pages often call `raw`".to_owned()),
        );
        ""
    } else {
        text
    };
    let mut parser = Parser { reader: Reader::new(text), diagnostics, broken: Vec::new() };
    let sorted = parser.instructions();
    let Parser { reader, mut diagnostics, broken } = parser;
    let (global_args, stages) = sorted.finish(&mut diagnostics);
    let dockerfile = Dockerfile {
        directives: reader.directives,
        escape: reader.escape,
        global_args,
        stages,
        comments: reader.comments,
        empty_continuations: reader.empty_continuations,
    };
    encoding::check(text, &dockerfile, &mut diagnostics);
    Parsed { dockerfile, diagnostics: diagnostics.into_sorted(), broken }
}

/// Whether a text is HTML, as of a server that shows a file where it was to send it.
fn is_page(text: &str) -> bool {
    let start = text.trim_start_matches('\u{feff}').trim_start();
    let begins = |with: &str| start.get(..with.len()).is_some_and(|found| found.eq_ignore_ascii_case(with));
    begins("<!doctype html") || begins("<html")
}

/// Reads an `ONBUILD` trigger; findings are reported at `span`, line `line`.
pub(crate) fn parse_trigger(
    trigger: &str,
    span: &Range<usize>,
    line: u32,
) -> Result<Instruction, Vec<Diagnostic>> {
    let mut parser =
        Parser { reader: Reader::new(trigger), diagnostics: Diagnostics::default(), broken: Vec::new() };
    let read = parser.reader.next_logical(&mut parser.diagnostics);
    let instruction = read.and_then(|first| {
        let first_text = first.text().to_owned();
        parser.instruction(&Line::elsewhere(&first_text, span.clone(), line))
    });
    if parser.reader.next_logical(&mut parser.diagnostics).is_some() {
        let message = "an `ONBUILD` trigger of the base is more than one instruction";
        parser.diagnostics.push(Diagnostic::error("InvalidTrigger", span.clone(), message));
    }
    match instruction {
        Some(instruction) if !parser.diagnostics.has_errors() => {
            Ok(Instruction { span: span.clone(), ..instruction })
        }
        _ => Err(parser.diagnostics.into_sorted()),
    }
}

/// Instructions, sorted into stages.
#[derive(Default)]
struct Sorted {
    global_args: Vec<Instruction>,
    stages: Vec<Stage>,
    /// The first instruction in front of all stages that cannot be there.
    homeless: Option<Keyword>,
    /// There was a stage whose beginning could not be read: what follows is not in front of all stages.
    has_broken_stage: bool,
}

impl Sorted {
    fn push(&mut self, instruction: Instruction) {
        match (instruction.kind, self.stages.last_mut()) {
            (Kind::From(from), _) => self.stages.push(Stage {
                span: instruction.span,
                line: instruction.line,
                keyword: instruction.keyword,
                comment: instruction.comment,
                from: *from,
                instructions: Vec::new(),
            }),
            (kind, Some(stage)) => stage.instructions.push(Instruction { kind, ..instruction }),
            (kind @ Kind::Arg(_), None) => self.global_args.push(Instruction { kind, ..instruction }),
            (_, None) if self.has_broken_stage => {}
            (_, None) => drop(self.homeless.get_or_insert(instruction.keyword)),
        }
    }

    fn finish(self, diagnostics: &mut Diagnostics) -> (Vec<Instruction>, Vec<Arc<Stage>>) {
        let Self { global_args, stages, homeless, has_broken_stage: _ } = self;
        if let Some(keyword) = homeless {
            let message = format!("`{}` in front of the first `FROM`", keyword.value);
            diagnostics.push(
                Diagnostic::error("NoStage", keyword.span, message)
                    .with_help("only `ARG` may stand in front of the first `FROM`".to_owned())
                    .with_buildkit("no build stage in current context"),
            );
        }
        if stages.is_empty() && !diagnostics.has_errors() {
            diagnostics.push(match global_args.is_empty() {
                true => Diagnostic::error("Empty", 0..0, "the Dockerfile has no instructions")
                    .with_help("start with `FROM`".to_owned())
                    .with_buildkit("file with no instructions"),
                false => no_stage(),
            });
        }
        (global_args, stages.into_iter().map(Arc::new).collect())
    }
}

/// The finding for a file with arguments only.
pub(crate) fn no_stage() -> Diagnostic {
    Diagnostic::error("NoStage", 0..0, "the Dockerfile has no `FROM`")
        .with_buildkit("dockerfile contains no stages to build")
}

struct Parser<'t> {
    reader: Reader<'t>,
    diagnostics: Diagnostics,
    /// Where the instructions are that could not be understood.
    broken: Vec<Range<usize>>,
}

impl Parser<'_> {
    fn instructions(&mut self) -> Sorted {
        let mut sorted = Sorted::default();
        let (mut count, mut words) = (0, 0);
        while let Some(line) = self.reader.next_logical(&mut self.diagnostics) {
            let instruction = self.instruction(&line);
            count += 1;
            words += instruction.as_ref().map_or(0, |instruction| word_count(&instruction.kind));
            let limits = [(count, INSTRUCTIONS_MAX, "instructions"), (words, WORDS_MAX, "words")];
            if let Some((_, max, what)) = limits.iter().find(|(count, max, _)| count > max) {
                let message = format!("more than {max} {what}");
                self.diagnostics.push(Diagnostic::error("TooMany", line.span, message));
                break;
            }
            match instruction {
                Some(instruction) => sorted.push(instruction),
                None => {
                    self.broken.push(line.span.start..line.span.end.max(self.reader.end_of_line()));
                    sorted.has_broken_stage |= tokens::keyword(line.text()).0.eq_ignore_ascii_case("FROM");
                }
            }
        }
        sorted
    }

    fn instruction(&mut self, line: &Line<'_>) -> Option<Instruction> {
        let (keyword, rest) = tokens::keyword(line.text());
        let documents = self.documents(line, keyword, rest);
        let mut request = Request::new(line, keyword, rest, self.reader.escape, documents);
        let kind = instruction_kind(&mut request, &mut self.diagnostics)?;
        Some(Instruction { comment: self.reader.comment_before(), ..request.into_instruction(kind) })
    }

    /// Reads the here-documents of a line.
    fn documents(&mut self, line: &Line<'_>, keyword: &str, rest: &str) -> Vec<HereDocument> {
        if !can_have_documents(keyword, rest) {
            return Vec::new();
        }
        let mut documents = Vec::new();
        let mut searched = line.text();
        for marker in tokens::markers(line.text()) {
            // The same marker twice stands at two places.
            let at = searched.find(&marker.written).unwrap_or(0);
            let written = searched.get(at..at + marker.written.len()).unwrap_or(searched);
            searched = &searched[at + written.len()..];
            documents.push(self.document(marker, line.span_of(written)));
        }
        documents
    }

    fn document(&mut self, marker: tokens::Marker, marker_span: Range<usize>) -> HereDocument {
        let start = self.reader.position();
        let mut end = None;
        while let Some(line) = self.reader.next_physical() {
            let text = if marker.chomp { line.text.trim_start_matches('\t') } else { line.text };
            if text == marker.name {
                end = Some(line.start);
                break;
            }
        }
        if end.is_none() {
            let message = format!("here-document without its end `{}`", marker.name);
            let is_shift = marker.name.starts_with(|c: char| c.is_ascii_digit());
            let help = "a shift has no blank in front of it: `$((1<<2))`";
            self.diagnostics.push(
                Diagnostic::error("UnterminatedHereDocument", marker_span.clone(), message)
                    .with_help(is_shift.then(|| help.to_owned()))
                    .with_buildkit("unterminated heredoc"),
            );
        }
        let span = start..end.unwrap_or(self.reader.position());
        HereDocument {
            name: marker.name,
            marker: marker_span,
            expand: marker.expand,
            chomp: marker.chomp,
            content: self.reader.text(&span).to_owned(),
            span,
        }
    }
}

/// `RUN`, `COPY` and `ADD` take here-documents, also behind `ONBUILD`, but not in exec form.
fn can_have_documents(keyword: &str, rest: &str) -> bool {
    if !rest.contains("<<") {
        return false;
    }
    if keyword.eq_ignore_ascii_case("ONBUILD") {
        let (inner, inner_rest) = tokens::keyword(rest);
        return !inner.eq_ignore_ascii_case("ONBUILD") && can_have_documents(inner, inner_rest);
    }
    let takes_documents =
        ["RUN", "COPY", "ADD"].iter().any(|candidate| keyword.eq_ignore_ascii_case(candidate));
    takes_documents && tokens::json(tokens::flags(rest).1) == tokens::Json::No
}
