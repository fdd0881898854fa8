//! `$v` and `${v...}`.

use super::words::Words;
use super::{ExpandError, Lexer, pattern, prefix};
use crate::limits::EXPANSION_DEPTH_MAX;

/// How much more work a byte is that goes through a pattern.
const PATTERN_WORK: usize = 8;

impl Lexer<'_> {
    /// What follows a dollar, the dollar included.
    pub(super) fn dollar(&mut self, depth: usize) -> Result<String, ExpandError> {
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
            None => Err(ExpandError::MissingModifier),
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
        let is_known = matches!(operator, '+' | '-' | '?' | '#' | '%');
        let unknown = || ExpandError::Modifier { name: name.to_owned(), modifier: written.clone() };
        if !is_known && !empty_is_unset {
            return Err(unknown());
        }
        let is_trim = matches!(operator, '#' | '%');
        let word = self.word('}', is_trim, depth)?.ok_or(ExpandError::MissingBrace)?;
        if !is_known {
            return Err(unknown());
        }
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

fn required(name: &str, word: String, is_set: bool) -> ExpandError {
    let message = match (word.is_empty(), is_set) {
        (false, _) => word,
        (true, true) => "is not allowed to be empty".to_owned(),
        (true, false) => "is not allowed to be unset".to_owned(),
    };
    ExpandError::Required { name: name.to_owned(), message }
}
