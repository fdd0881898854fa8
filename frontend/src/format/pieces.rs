//! Which parts of an instruction are kept to the byte; the blanks between them are free.

use std::ops::Range;

use super::Shape;
use crate::syntax::tokens::{self, Json};

/// A part of an instruction.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Where it is in the text.
    pub(super) range: Range<usize>,
    /// No blank stands in front of it.
    pub(super) is_glued: bool,
    /// It is written in upper case.
    pub(super) is_keyword: bool,
}

/// The pieces of an instruction on one line.
pub(super) fn of(text: &str, shape: Shape, escape: char) -> Vec<Piece> {
    let mut pieces = Pieces { text, found: Vec::new() };
    let (keyword, rest) = tokens::keyword(text);
    pieces.keyword(keyword);
    let (flags, arguments) = tokens::flags(rest);
    for flag in &flags {
        pieces.word(flag.raw);
    }
    pieces.end_of_flags(arguments);
    pieces.arguments(arguments, shape, escape);
    pieces.found
}

struct Pieces<'l> {
    text: &'l str,
    found: Vec<Piece>,
}

impl Pieces<'_> {
    /// Where a slice of the text is.
    fn place(&self, part: &str) -> Range<usize> {
        let start = part.as_ptr() as usize - self.text.as_ptr() as usize;
        start..start + part.len()
    }

    fn push(&mut self, part: &str, is_glued: bool, is_keyword: bool) {
        if !part.is_empty() {
            self.found.push(Piece { range: self.place(part), is_glued, is_keyword });
        }
    }

    fn word(&mut self, part: &str) {
        self.push(part, false, false);
    }

    fn keyword(&mut self, part: &str) {
        self.push(part, false, true);
    }

    /// A `--` alone ends the flags.
    fn end_of_flags(&mut self, arguments: &str) {
        let from = self.found.last().map_or(0, |last| last.range.end);
        let to = if arguments.is_empty() { self.text.len() } else { self.place(arguments).start };
        let text = self.text;
        self.word(text[from..to.max(from)].trim());
    }

    fn arguments(&mut self, arguments: &str, shape: Shape, escape: char) {
        let ends_with_escape = |word: &str| word.ends_with(escape);
        match shape {
            // The blanks behind an escape decide what the next words are.
            Shape::Words | Shape::WordsOrJson if tokens::plain_words(arguments).any(ends_with_escape) => {
                self.word(arguments);
            }
            Shape::Words => tokens::plain_words(arguments).for_each(|word| self.word(word)),
            Shape::From => {
                for (index, word) in tokens::plain_words(arguments).enumerate() {
                    self.push(word, false, index == 1);
                }
            }
            Shape::WordsOrJson if is_json(arguments) => self.json(arguments),
            Shape::WordsOrJson => tokens::plain_words(arguments).for_each(|word| self.word(word)),
            Shape::Quoted => {
                tokens::quoted_words(arguments, escape).into_iter().for_each(|word| self.word(word));
            }
            Shape::NameAndRest => {
                let (name, rest) = tokens::keyword(arguments);
                if name.ends_with(escape) {
                    // The blanks behind it decide what the instruction is.
                    return self.word(arguments);
                }
                self.word(name);
                self.word(rest);
            }
            Shape::Command if is_json(arguments) => self.json(arguments),
            Shape::WordAndCommand => {
                let (kind, command) = tokens::keyword(arguments);
                self.keyword(kind);
                if is_json(command) { self.json(command) } else { self.word(command) }
            }
            Shape::Command | Shape::Verbatim => self.word(arguments),
        }
    }

    /// `["a", "b"]`.
    fn json(&mut self, list: &str) {
        let mut at = 0;
        let mut is_after_bracket = false;
        while let Some(c) = list[at..].chars().next() {
            let length = match c {
                '"' => string_length(&list[at..]),
                c => c.len_utf8(),
            };
            let part = &list[at..at + length];
            at += length;
            if c.is_whitespace() {
                continue;
            }
            self.push(part, is_after_bracket || matches!(c, ',' | ']'), false);
            is_after_bracket = c == '[';
        }
    }
}

fn is_json(text: &str) -> bool {
    matches!(tokens::json(text), Json::Strings(_))
}

/// Bytes of the JSON string at the start, quotes included.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str, shape: Shape) -> String {
        let show = |piece: &Piece| {
            let glue = if piece.is_glued { "+" } else { "" };
            format!("{glue}<{}>", &text[piece.range.clone()])
        };
        of(text, shape, '\\').iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn only_what_may_change_is_split() {
        for (text, shape, expected) in [
            ("RUN  --a=b   --c  x   y", Shape::Command, "<RUN> <--a=b> <--c> <x   y>"),
            ("RUN  --  x  y", Shape::Command, "<RUN> <--> <x  y>"),
            ("CMD [ \"a b\" ,\"\\\"\" ]", Shape::Command, "<CMD> <[> +<\"a b\"> +<,> <\"\\\"\"> +<]>"),
            ("CMD []", Shape::Command, "<CMD> <[> +<]>"),
            ("ENV  a=\"b  c\"   d=e", Shape::Quoted, "<ENV> <a=\"b  c\"> <d=e>"),
            ("ENV a   b  c", Shape::NameAndRest, "<ENV> <a> <b  c>"),
            ("HEALTHCHECK --x=1  CMD  a  b", Shape::WordAndCommand, "<HEALTHCHECK> <--x=1> <CMD> <a  b>"),
            ("COPY \\  <<E  a", Shape::WordsOrJson, "<COPY> <\\  <<E  a>"),
            ("FROM  a  as  b", Shape::From, "<FROM> <a> <as> <b>"),
        ] {
            assert_eq!(pieces(text, shape), expected, "{text}");
        }
    }
}
