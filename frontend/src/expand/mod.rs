//! Expands variables, quotes and escapes as BuildKit's Dockerfile frontend does: like a POSIX shell without
//! commands, arithmetic and globbing.
//!
//! `$v`, `${v}`, `${v:-w}`, `${v-w}`, `${v:+w}`, `${v+w}`, `${v:?w}`, `${v?w}`, `${v#p}`, `${v##p}`,
//! `${v%p}`, `${v%%p}`, `${v/p/w}`, `${v//p/w}`.

mod pattern;
mod words;

use std::ops::Range;

use crate::diagnostic::Diagnostic;
use crate::environment::Variables;
use crate::limits::{EXPANSION_BYTES_MAX, EXPANSION_DEPTH_MAX, SHELL_PATTERN_BYTES_MAX};
use words::Words;

/// How much more work a byte is that goes through a pattern.
const PATTERN_WORK: usize = 8;

/// Why a text cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// A quote is not closed.
    #[error("no closing `{quote}`")]
    Unterminated {
        /// The opening quote.
        quote: char,
    },
    /// `${` without `}`.
    #[error("no closing `}}` after `${{`")]
    MissingBrace,
    /// `${v/p` without the second slash.
    #[error("no second `/` in `${{{name}/`")]
    MissingSlash {
        /// The variable.
        name: String,
    },
    /// `${}`, `${:...}` or `${{`.
    #[error("no name after `${{`")]
    BadSubstitution,
    /// `${v^}` and the like.
    #[error("unsupported modifier `{modifier}` in `${{{name}{modifier}}}`")]
    Modifier {
        /// The variable.
        name: String,
        /// What follows it.
        modifier: String,
    },
    /// `${v:?w}` and `v` has no value.
    #[error("`{name}`: {message}")]
    Required {
        /// The variable.
        name: String,
        /// The text after the `?`.
        message: String,
    },
    /// A pattern that is none.
    #[error("invalid pattern `{pattern}`")]
    Pattern {
        /// The pattern.
        pattern: String,
    },
    /// The pattern is longer than any real one.
    #[error("pattern is longer than {SHELL_PATTERN_BYTES_MAX} bytes")]
    PatternTooLong,
    /// The result is longer than the kernel takes.
    #[error("the value is longer than {EXPANSION_BYTES_MAX} bytes")]
    TooLong,
    /// The nesting is deeper than any real one.
    #[error("more than {EXPANSION_DEPTH_MAX} substitutions inside one another")]
    TooDeep,
}

impl ExpandError {
    /// The finding for a text at a place.
    pub(crate) fn diagnostic(&self, text: &str, span: &Range<usize>) -> Diagnostic {
        let found = Diagnostic::error("Expansion", span.clone(), self.to_string());
        match self.buildkit() {
            Some(words) => found.with_buildkit(format!("failed to process {text:?}: {words}")),
            None => found,
        }
    }

    /// The same in BuildKit's words, where it has the limit too.
    fn buildkit(&self) -> Option<String> {
        const UNTERMINATED: &str = "unexpected end of statement while looking for matching";
        Some(match self {
            Self::Unterminated { quote: '"' } => format!("{UNTERMINATED} double-quote"),
            Self::Unterminated { .. } => format!("{UNTERMINATED} single-quote"),
            Self::MissingBrace => "syntax error: missing '}'".to_owned(),
            Self::MissingSlash { .. } => "syntax error: missing '/' in ${}".to_owned(),
            Self::BadSubstitution => "syntax error: bad substitution".to_owned(),
            Self::Modifier { modifier, .. } => format!("unsupported modifier ({modifier}) in substitution"),
            Self::Required { name, message } => format!("{name}: {message}"),
            Self::Pattern { .. } | Self::PatternTooLong | Self::TooLong | Self::TooDeep => return None,
        })
    }
}

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

    fn dollar(&mut self, depth: usize) -> Result<String, ExpandError> {
        self.next();
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(match self.value(&name) {
                Some(value) => value,
                None if self.options.keep_unset => format!("${name}"),
                None => String::new(),
            });
        }
        self.next();
        if depth >= EXPANSION_DEPTH_MAX {
            return Err(ExpandError::TooDeep);
        }
        match self.peek() {
            None => Err(ExpandError::MissingBrace),
            Some('{' | '}' | ':') => Err(ExpandError::BadSubstitution),
            Some(_) => self.braced(depth + 1),
        }
    }

    /// What follows `${`.
    fn braced(&mut self, depth: usize) -> Result<String, ExpandError> {
        let name = self.name();
        match self.next() {
            None => Err(ExpandError::MissingBrace),
            Some('}') => Ok(match self.value(&name) {
                Some(value) => value,
                None if self.options.keep_unset => format!("${{{name}}}"),
                None => String::new(),
            }),
            Some(':') => match self.next() {
                Some(operator) => self.modified(&name, operator, true, depth),
                None => Err(ExpandError::MissingBrace),
            },
            Some('/') => self.replaced(&name, depth),
            Some(operator) => self.modified(&name, operator, false, depth),
        }
    }

    fn modified(
        &mut self,
        name: &str,
        operator: char,
        empty_is_unset: bool,
        depth: usize,
    ) -> Result<String, ExpandError> {
        let written = format!("{}{operator}", if empty_is_unset { ":" } else { "" });
        if !matches!(operator, '+' | '-' | '?' | '#' | '%') {
            return Err(ExpandError::Modifier { name: name.to_owned(), modifier: written });
        }
        let word = self.word('}', matches!(operator, '#' | '%'), depth)?.ok_or(ExpandError::MissingBrace)?;
        let is_trim = matches!(operator, '#' | '%');
        let value = if is_trim { self.pattern_value(name) } else { self.value(name) };
        if value.is_none() && self.options.keep_unset {
            return Ok(format!("${{{name}{written}{word}}}"));
        }
        let usable = value.clone().filter(|value| !(empty_is_unset && value.is_empty()));
        match operator {
            '-' => Ok(usable.unwrap_or(word)),
            '+' => Ok(usable.map(|_| word).unwrap_or_default()),
            '?' => usable.ok_or_else(|| required(name, word, value.is_some())),
            _ => pattern::trim(&value.unwrap_or_default(), &word, operator),
        }
    }

    fn replaced(&mut self, name: &str, depth: usize) -> Result<String, ExpandError> {
        let all = self.peek() == Some('/');
        if all {
            self.next();
        }
        let missing_slash = || ExpandError::MissingSlash { name: name.to_owned() };
        let pattern = self.word('/', true, depth)?.ok_or_else(missing_slash)?;
        let replacement = self.word('}', true, depth)?.ok_or(ExpandError::MissingBrace)?;
        match self.pattern_value(name) {
            None if self.options.keep_unset => Ok(format!("${{{name}/{pattern}/{replacement}}}")),
            value => {
                pattern::replace(&value.unwrap_or_default(), &pattern, &replacement, all, self.bytes_max)
            }
        }
    }

    fn word(&mut self, stop: char, keep_escapes: bool, depth: usize) -> Result<Option<String>, ExpandError> {
        let mut out = Words::default();
        let stopped = self.until(Some(stop), keep_escapes, depth, &mut out)?;
        Ok(stopped.then(|| out.finish().0))
    }

    /// A name: letters, digits and `_`; or digits alone; or one of the shell's special parameters.
    fn name(&mut self) -> String {
        let first = self.peek();
        let length = match first {
            Some(c) if c.is_numeric() => prefix(self.rest, char::is_numeric),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => 1,
            _ => prefix(self.rest, |c| c.is_alphabetic() || c.is_numeric() || c == '_'),
        };
        let (name, rest) = self.rest.split_at(length);
        self.rest = rest;
        name.to_owned()
    }

    /// The value of a variable; when there is none, that is reported.
    fn value(&mut self, name: &str) -> Option<String> {
        let value = self.look_up(name);
        if value.is_none() && !self.unset.iter().any(|unset| unset == name) {
            self.unset.push(name.to_owned());
        }
        value
    }

    /// The same for a value that a pattern is tried on.
    fn pattern_value(&mut self, name: &str) -> Option<String> {
        let value = self.value(name);
        self.work_bytes += PATTERN_WORK * value.as_ref().map_or(0, String::len);
        value
    }

    fn look_up(&mut self, name: &str) -> Option<String> {
        let value = self.variables.get(name);
        self.work_bytes += value.map_or(0, str::len);
        value.map(str::to_owned)
    }
}

/// Bytes of the longest prefix whose characters are all accepted.
fn prefix(text: &str, accepted: impl Fn(char) -> bool) -> usize {
    text.find(|c| !accepted(c)).unwrap_or(text.len())
}

fn required(name: &str, word: String, is_set: bool) -> ExpandError {
    let message = match (word.is_empty(), is_set) {
        (false, _) => word,
        (true, true) => "is not allowed to be empty".to_owned(),
        (true, false) => "is not allowed to be unset".to_owned(),
    };
    ExpandError::Required { name: name.to_owned(), message }
}

#[cfg(test)]
mod tests;
