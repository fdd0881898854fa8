//! The lines of one instruction: its text on one line, and where the lines broke.

use std::ops::Range;

use super::INDENT;
use super::pieces::Piece;

/// An instruction without its here-documents.
pub(super) struct Layout<'t> {
    /// The joined text, with blanks around it.
    joined: String,
    /// Where the text without the blanks around it is.
    start: usize,
    end: usize,
    /// In order, each place once.
    breaks: Vec<Break<'t>>,
    /// Comments that no line of the instruction follows.
    trailing: Vec<&'t str>,
    escape: char,
}

/// Between two lines.
#[derive(Default)]
struct Break<'t> {
    /// Place in the joined text.
    at: usize,
    /// Comments between the lines, with the blanks in front of them.
    comments: Vec<&'t str>,
}

impl<'t> Layout<'t> {
    /// Reads the lines at a place, which moves behind them.
    pub(super) fn read(text: &'t str, at: &mut usize, escape: char) -> Self {
        let mut joined = String::new();
        let mut breaks: Vec<Break<'t>> = Vec::new();
        let mut comments = Vec::new();
        let mut is_first = true;
        while *at < text.len() {
            let rest = &text[*at..];
            let raw = &rest[..rest.find('\n').map_or(rest.len(), |end| end + 1)];
            *at += raw.len();
            let line = raw.trim_end_matches(['\r', '\n']);
            let content = line.trim_start();
            if !is_first && content.starts_with('#') {
                comments.push(line.trim_end());
                continue;
            }
            if !is_first && content.is_empty() {
                continue;
            }
            if !is_first {
                match breaks.last_mut().filter(|last| last.at == joined.len()) {
                    Some(last) => last.comments.append(&mut comments),
                    None => breaks.push(Break { at: joined.len(), comments: std::mem::take(&mut comments) }),
                }
            }
            let line = if is_first { content } else { line };
            is_first = false;
            match continued(line, escape) {
                Some(part) => joined.push_str(part),
                None => {
                    joined.push_str(line);
                    break;
                }
            }
        }
        let start = joined.len() - joined.trim_start().len();
        let end = joined.trim_end().len().max(start);
        Self { joined, start, end, breaks, trailing: comments, escape }
    }

    /// The instruction on one line.
    pub(super) fn text(&self) -> &str {
        &self.joined[self.start..self.end]
    }

    /// Comments behind the last word.
    pub(super) fn comments_after(&self) -> impl Iterator<Item = &'t str> {
        let after = self.breaks.iter().filter(|it| it.at >= self.end && it.at > self.start);
        after.flat_map(|it| it.comments.iter().copied()).chain(self.trailing.iter().copied())
    }

    /// The instruction with its lines broken where they were; without a line end.
    pub(super) fn written(&self, pieces: &[Piece], line_end: &str) -> String {
        let mut out = String::new();
        let mut last = self.start;
        // On a line of its own it would be a comment.
        let looks_like_comment = |piece: &Piece| self.text()[piece.range.clone()].starts_with('#');
        let stays_in_front = pieces.get(1).is_none_or(looks_like_comment);
        if stays_in_front {
            self.write_comments_in_front(line_end, &mut out);
        }
        for (index, piece) in pieces.iter().enumerate() {
            let (start, end) = (self.start + piece.range.start, self.start + piece.range.end);
            if index > 0 {
                // Comments in front of the keyword, but behind a continuation, describe nothing: they move
                // behind it and stay inside the instruction, if there is something behind it.
                let from = if index == 1 && !stays_in_front { 0 } else { last };
                self.write_gap(from, start, piece.is_glued, line_end, &mut out);
            }
            self.write_piece(piece, start, end, line_end, &mut out);
            last = end;
        }
        self.keep_last_escape(&mut out);
        out
    }

    /// Comments in front of the keyword, behind a continuation as they were.
    fn write_comments_in_front(&self, line_end: &str, out: &mut String) {
        let breaks = self.breaks_within(0..self.start + 1);
        let mut comments = breaks.iter().flat_map(|it| &it.comments).peekable();
        if comments.peek().is_some() {
            out.push_str(&format!("{}{line_end}", self.escape));
        }
        comments.for_each(|comment| out.push_str(&format!("{}{line_end}", comment.trim_start())));
    }

    /// An escape character at the end must not become a continuation: what kept it from being one stays, which
    /// is a blank that is none for continuations, or a continuation at the end of the file.
    fn keep_last_escape(&self, out: &mut String) {
        let line_start = out.rfind('\n').map_or(0, |at| at + 1);
        if continued(&out[line_start..], self.escape).is_none() {
            return;
        }
        out.push_str(&self.joined[self.end..]);
        if continued(&out[line_start..], self.escape).is_some() {
            out.push(self.escape);
        }
    }

    /// The breaks at these places.
    fn breaks_within(&self, places: Range<usize>) -> &[Break<'t>] {
        let index = |place| self.breaks.partition_point(|it| it.at < place);
        let (first, behind) = (index(places.start), index(places.end));
        &self.breaks[first..behind.max(first)]
    }

    /// What separates two pieces: a line break where there was one.
    fn write_gap(&self, from: usize, to: usize, is_glued: bool, line_end: &str, out: &mut String) {
        let breaks = self.breaks_within(from..to + 1).iter();
        // In front of the keyword only comments count.
        let mut breaks = breaks.filter(|it| it.at > self.start || !it.comments.is_empty()).peekable();
        if breaks.peek().is_none() {
            out.push_str(if is_glued { "" } else { " " });
            return;
        }
        out.push_str(&format!(" {}{line_end}", self.escape));
        for comment in breaks.flat_map(|it| &it.comments) {
            out.push_str(&format!("{INDENT}{}{line_end}", comment.trim_start()));
        }
        out.push_str(INDENT);
    }

    /// A piece to the byte, with the line breaks inside it.
    fn write_piece(&self, piece: &Piece, start: usize, end: usize, line_end: &str, out: &mut String) {
        let mut from = start;
        for inner in self.breaks_within(start + 1..end) {
            out.push_str(&self.joined[from..inner.at]);
            out.push_str(&format!("{}{line_end}", self.escape));
            inner.comments.iter().for_each(|comment| out.push_str(&format!("{comment}{line_end}")));
            from = inner.at;
        }
        let rest = &self.joined[from..end];
        if piece.is_keyword && from == start {
            out.push_str(&rest.to_uppercase());
        } else {
            out.push_str(rest);
        }
    }
}

/// The line without its continuation character, when it ends in one that is not escaped itself.
fn continued(line: &str, escape: char) -> Option<&str> {
    let text = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!text.ends_with(escape)).then_some(text)
}
