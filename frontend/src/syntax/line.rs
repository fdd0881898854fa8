//! One logical line: the text of an instruction with its continuations joined, and where it came from.

use std::borrow::Cow;
use std::ops::Range;

/// A logical line.
#[derive(Debug, Clone)]
pub(super) struct Line<'t> {
    /// The joined text.
    text: Cow<'t, str>,
    /// Where the first piece comes from.
    start: usize,
    /// Offsets in the joined text with the source offsets that they come from, ascending; without the first.
    pieces: Vec<(usize, usize)>,
    /// Byte range of all its physical lines, without the last line feed.
    pub(super) span: Range<usize>,
    /// Number of the first physical line, from 1.
    pub(super) number: u32,
    /// The line is not in the source: every span is this one.
    elsewhere: bool,
}

impl<'t> Line<'t> {
    /// A line of one piece.
    pub(super) fn single(text: &'t str, start: usize, number: u32) -> Self {
        let span = start..start + text.len();
        Self { text: Cow::Borrowed(text), start, pieces: Vec::new(), span, number, elsewhere: false }
    }

    /// A line that is not part of the source; everything in it is reported at one place.
    pub(super) fn elsewhere(text: &'t str, span: Range<usize>, number: u32) -> Self {
        Self {
            text: Cow::Borrowed(text),
            start: span.start,
            pieces: Vec::new(),
            span,
            number,
            elsewhere: true,
        }
    }

    /// Joins a continuation.
    pub(super) fn join(&mut self, text: &str, start: usize) {
        self.pieces.push((self.text.len(), start));
        self.text.to_mut().push_str(text);
        if !self.elsewhere {
            self.span.end = start + text.len();
        }
    }

    /// The joined text without blanks around it.
    pub(super) fn text(&self) -> &str {
        self.text.trim()
    }

    /// Where a slice of [`Line::text`] stands in the source.
    pub(super) fn span_of(&self, part: &str) -> Range<usize> {
        if self.elsewhere {
            return self.span.clone();
        }
        let start = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let start = start.min(self.text.len());
        let end = (start + part.len()).min(self.text.len());
        let first = self.source(start);
        // The end belongs to the piece that holds the last byte.
        let last = if end > start { self.source(end - 1) + 1 } else { first };
        first..last.max(first)
    }

    fn source(&self, offset: usize) -> usize {
        let next = self.pieces.partition_point(|(joined, _)| *joined <= offset);
        let (joined, source) = next.checked_sub(1).map_or((0, self.start), |last| self.pieces[last]);
        source + (offset - joined)
    }
}
