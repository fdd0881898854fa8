//! An instruction on its way from text to meaning.

use std::ops::Range;

use super::flags::Flags;
use super::line::Line;
use super::{tokens, written};
use crate::ast::{HereDocument, Instruction, Keyword, Kind, Word};
use crate::diagnostic::{Diagnostic, Diagnostics};

/// The parts of one instruction.
pub(super) struct Request<'l> {
    pub(super) line: &'l Line<'l>,
    pub(super) keyword: &'l str,
    /// What follows the flags, without blanks around it.
    pub(super) arguments: &'l str,
    pub(super) escape: char,
    pub(super) documents: Vec<HereDocument>,
    flags: Vec<tokens::RawFlag<'l>>,
    /// Where the last here-document ends.
    documents_end: usize,
}

impl<'l> Request<'l> {
    pub(super) fn new(
        line: &'l Line<'l>,
        keyword: &'l str,
        rest: &'l str,
        escape: char,
        documents: Vec<HereDocument>,
    ) -> Self {
        let (flags, arguments) = tokens::flags(rest);
        let documents_end = documents.last().map_or(0, |last| last.span.end);
        Self { line, keyword, arguments, escape, documents, flags, documents_end }
    }

    /// The flags of the instruction, checked against those that it knows.
    pub(super) fn flags(
        &mut self,
        known: &'static [&'static str],
        diagnostics: &mut Diagnostics,
    ) -> Option<Flags> {
        Flags::new(&std::mem::take(&mut self.flags), self.line, self.keyword, known, diagnostics)
    }

    /// Refuses flags.
    pub(super) fn no_flags(&mut self, diagnostics: &mut Diagnostics) -> Option<()> {
        self.flags(&[], diagnostics).map(|_| ())
    }

    /// A part of the line as a word.
    pub(super) fn word(&self, part: &str) -> Word {
        Word { value: part.to_owned(), span: self.line.span_of(part) }
    }

    /// Where the arguments stand, or the keyword when there are none.
    pub(super) fn arguments_span(&self) -> Range<usize> {
        let part = if self.arguments.is_empty() { self.keyword } else { self.arguments };
        self.line.span_of(part)
    }

    /// Reports that there are no arguments.
    pub(super) fn need_arguments(&self, expected: &str, diagnostics: &mut Diagnostics) -> Option<()> {
        if !self.arguments.is_empty() {
            return Some(());
        }
        let keyword = self.keyword.to_ascii_uppercase();
        let message = format!("`{keyword}` without {expected}");
        diagnostics.push(
            Diagnostic::error("MissingArgument", self.line.span_of(self.keyword), message)
                .with_buildkit(missing(&keyword)),
        );
        None
    }

    pub(super) fn into_instruction(self, kind: Kind) -> Instruction {
        let mut span = self.line.span.clone();
        span.end = span.end.max(self.documents_end);
        Instruction {
            span,
            line: self.line.number,
            keyword: Keyword { value: written(self.keyword), span: self.line.span_of(self.keyword) },
            code: self.line.text().to_owned(),
            comment: Vec::new(),
            kind,
        }
    }
}

/// What BuildKit says of an instruction without what it needs.
pub(super) fn missing(keyword: &str) -> String {
    match keyword {
        "FROM" => "FROM requires either one or three arguments".to_owned(),
        "ADD" | "COPY" => format!(
            "{keyword} requires at least two arguments, but only one was provided. Destination could not be determined"
        ),
        "MAINTAINER" | "STOPSIGNAL" | "USER" | "WORKDIR" => {
            format!("{keyword} requires exactly one argument")
        }
        _ => format!("{keyword} requires at least one argument"),
    }
}
