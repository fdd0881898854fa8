//! Expands variables, quotes and escapes as BuildKit's Dockerfile frontend does: like a POSIX shell without
//! commands, arithmetic and globbing.
//!
//! `$v`, `${v}`, `${v:-w}`, `${v-w}`, `${v:+w}`, `${v+w}`, `${v:?w}`, `${v?w}`, `${v#p}`, `${v##p}`,
//! `${v%p}`, `${v%%p}`, `${v/p/w}`, `${v//p/w}`.

mod error;
mod pattern;
mod substitution;
mod words;

use crate::environment::Variables;
use crate::limits::EXPANSION_BYTES_MAX;
pub use error::ExpandError;
use words::Words;

/// How a text is read.
#[derive(Debug, Clone, Copy)]
pub struct Expander {
    /// The escape character, `\` or the backtick.
    pub escape: char,
    /// Whether quotes stay in the result, are removed, or mean nothing.
    pub quotes: Quotes,
    /// Whether escape characters stay in the result.
    pub keep_escapes: bool,
    /// Whether variables without a value stay in the result as they are.
    pub keep_unset: bool,
    /// Whether blanks after `<<` are part of the word, as they may stand in front of a here-document's name.
    pub joins_markers: bool,
}

/// What quotes mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quotes {
    /// They quote and are removed.
    Remove,
    /// They quote and stay.
    Keep,
    /// They are ordinary characters.
    Ignore,
}

/// What came out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expansion {
    /// The text.
    pub text: String,
    /// The text split at blanks outside of quotes, after expansion.
    pub words: Vec<String>,
    /// Names without a value, also those for whose absence the text provides: BuildKit reports them as well.
    pub unset: Vec<String>,
    /// Bytes that were looked at, for budgets.
    pub work_bytes: usize,
}

impl Expander {
    /// The way of most instructions.
    pub fn new(escape: char) -> Self {
        Self { escape, quotes: Quotes::Remove, keep_escapes: false, keep_unset: false, joins_markers: false }
    }

    /// Expands a text.
    pub fn expand(&self, text: &str, variables: &dyn Variables) -> Result<Expansion, ExpandError> {
        let mut lexer = Lexer {
            options: *self,
            variables,
            rest: text,
            unset: Vec::new(),
            work_bytes: text.len(),
            bytes_max: EXPANSION_BYTES_MAX + text.len(),
        };
        let mut out = Words::default();
        lexer.until(None, self.keep_escapes, 0, &mut out)?;
        let (text, words) = out.finish();
        Ok(Expansion { text, words, unset: lexer.unset, work_bytes: lexer.work_bytes })
    }

    /// Whether expanding this text is a copy of it.
    pub fn is_plain(&self, text: &str) -> bool {
        let special = |c: char| c == '$' || c == self.escape || matches!(c, '"' | '\'');
        !text.contains(special)
    }
}

struct Lexer<'a> {
    options: Expander,
    variables: &'a dyn Variables,
    rest: &'a str,
    unset: Vec<String>,
    work_bytes: usize,
    bytes_max: usize,
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    fn check(&mut self, made: &str) -> Result<(), ExpandError> {
        if made.len() > self.bytes_max { Err(ExpandError::TooLong) } else { Ok(()) }
    }

    /// Reads up to an unquoted `stop`, or to the end when there is none.
    fn until(
        &mut self,
        stop: Option<char>,
        keep_escapes: bool,
        depth: usize,
        out: &mut Words,
    ) -> Result<bool, ExpandError> {
        let quotes = self.options.quotes != Quotes::Ignore;
        while let Some(c) = self.peek() {
            if Some(c) == stop {
                self.next();
                return Ok(true);
            }
            match c {
                '$' => out.push_splitting(&self.dollar(depth)?),
                '\'' if quotes => out.push_quoted(&self.single_quoted()?),
                '"' if quotes => out.push_quoted(&self.double_quoted(keep_escapes, depth)?),
                '<' if self.options.joins_markers && self.rest.starts_with("<<") => self.marker(out),
                _ => self.plain(keep_escapes, out),
            }
            self.check(out.text())?;
        }
        Ok(stop.is_none())
    }

    fn plain(&mut self, keep_escapes: bool, out: &mut Words) {
        match self.next() {
            Some(c) if c == self.options.escape => {
                if keep_escapes {
                    out.push_quoted_char(c);
                }
                if let Some(escaped) = self.next() {
                    out.push_quoted_char(escaped);
                }
            }
            Some(c) => out.push_char(c),
            None => {}
        }
    }

    /// `<<` or `<<-` with the blanks behind it.
    fn marker(&mut self, out: &mut Words) {
        let angles = if self.rest.starts_with("<<-") { 3 } else { 2 };
        let length = angles + prefix(&self.rest[angles..], char::is_whitespace);
        let (marker, rest) = self.rest.split_at(length);
        out.push_quoted(marker);
        self.rest = rest;
    }

    fn single_quoted(&mut self) -> Result<String, ExpandError> {
        self.next();
        let end = self.rest.find('\'').ok_or(ExpandError::Unterminated { quote: '\'' })?;
        let inner = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        let keep = self.options.quotes == Quotes::Keep;
        Ok(if keep { format!("'{inner}'") } else { inner.to_owned() })
    }

    fn double_quoted(&mut self, keep_escapes: bool, depth: usize) -> Result<String, ExpandError> {
        self.next();
        let keep = self.options.quotes == Quotes::Keep;
        let mut out = String::from(if keep { "\"" } else { "" });
        loop {
            match self.peek() {
                None => return Err(ExpandError::Unterminated { quote: '"' }),
                Some('"') => {
                    self.next();
                    out.push_str(if keep { "\"" } else { "" });
                    return Ok(out);
                }
                Some('$') => out.push_str(&self.dollar(depth)?),
                Some(c) if c == self.options.escape => self.escape_in_quotes(keep_escapes, &mut out),
                Some(c) => {
                    self.next();
                    out.push(c);
                }
            }
            self.check(&out)?;
        }
    }

    /// Inside double quotes only the quote, the dollar and the escape character can be escaped.
    fn escape_in_quotes(&mut self, keep_escapes: bool, out: &mut String) {
        let escape = self.options.escape;
        self.next();
        if keep_escapes {
            out.push(escape);
        }
        match self.peek() {
            None => {}
            Some(c) if c == '"' || c == '$' || c == escape => {
                self.next();
                out.push(c);
            }
            Some(_) => out.push(escape),
        }
    }
}

/// Bytes of the longest prefix whose characters are all accepted.
fn prefix(text: &str, accepted: impl Fn(char) -> bool) -> usize {
    text.find(|c| !accepted(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests;
