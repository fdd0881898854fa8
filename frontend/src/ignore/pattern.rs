//! One pattern.

use std::fmt;
use std::sync::OnceLock;

use regex::Regex;

use super::go_regex;
use crate::limits::{IGNORE_WILDCARD_BYTES_MAX, REGEX_BYTES_MAX};
use crate::lower::clean;

/// Patterns up to this length compile within [`REGEX_BYTES_MAX`]; longer ones are tried at once.
const SURELY_SMALL_BYTES_MAX: usize = 128;

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// `!` with nothing behind it.
    #[error("`!` without a pattern")]
    Empty,
    /// A bracket is not closed, a range is upside down, an escape has nothing behind it.
    #[error("syntax error in the pattern `{pattern}`")]
    Syntax {
        /// The pattern.
        pattern: String,
    },
    /// Too many wildcards.
    #[error("the pattern `{pattern}` is too long for one with wildcards")]
    TooLong {
        /// The pattern.
        pattern: String,
    },
}

/// One pattern.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    /// Its line or place, from 1.
    pub(super) line: usize,
    /// `!`.
    pub(super) is_exception: bool,
    text: String,
    kind: Kind,
    below: Below,
}

#[derive(Debug, Clone)]
enum Kind {
    /// The path itself.
    Exact,
    /// Paths that start so.
    Prefix(String),
    /// Paths that end so.
    Suffix(String),
    /// Compiled when it is first needed.
    Regex { expression: String, compiled: OnceLock<Option<Regex>> },
}

/// What is known about the paths that a pattern matches.
#[derive(Debug, Clone)]
enum Below {
    /// As many names as these, each matched by `*`, `?` and letters.
    Names(Vec<String>),
    /// Paths that start so.
    Prefix(String),
}

impl Pattern {
    /// Reads a pattern; none when there is nothing but blanks.
    pub(super) fn new(text: &str, line: usize) -> Result<Option<Self>, PatternError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let cleaned = clean(text);
        let (is_exception, text) = match cleaned.strip_prefix('!') {
            Some("") => return Err(PatternError::Empty),
            Some(rest) => (true, rest.to_owned()),
            None => (false, cleaned),
        };
        let syntax = || PatternError::Syntax { pattern: text.clone() };
        if !is_well_formed(&text) {
            return Err(syntax());
        }
        let kind = kind(&text).ok_or_else(syntax)?;
        if let Kind::Regex { expression, .. } = &kind {
            let too_long = || PatternError::TooLong { pattern: text.clone() };
            if text.len() > IGNORE_WILDCARD_BYTES_MAX
                || (text.len() > SURELY_SMALL_BYTES_MAX && compile(expression).is_none())
            {
                return Err(too_long());
            }
        }
        let below = below(&text, &kind);
        Ok(Some(Self { line, is_exception, text, kind, below }))
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        match &self.kind {
            Kind::Exact => path == self.text,
            Kind::Prefix(prefix) => path.starts_with(prefix),
            // `**/name` matches `name` at the root too.
            Kind::Suffix(suffix) => path.ends_with(suffix) || suffix.strip_prefix('/') == Some(path),
            Kind::Regex { expression, compiled } => {
                let regex = compiled.get_or_init(|| compile(expression));
                regex.as_ref().is_some_and(|regex| regex.is_match(path))
            }
        }
    }

    /// Whether some path below the directory can match.
    pub(super) fn can_match_below(&self, directory: &str) -> bool {
        match &self.below {
            Below::Prefix(prefix) => {
                let inside = format!("{directory}/");
                prefix.starts_with(&inside) || inside.starts_with(prefix)
            }
            Below::Names(names) => {
                let mut directories = directory.split('/');
                let mut names = names.iter();
                loop {
                    match (names.next(), directories.next()) {
                        (Some(_), None) => return true,
                        (Some(name), Some(directory)) if name_matches(name, directory) => {}
                        _ => return false,
                    }
                }
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_exception { "!" } else { "" }, self.text)
    }
}

fn compile(expression: &str) -> Option<Regex> {
    regex::RegexBuilder::new(expression).size_limit(REGEX_BYTES_MAX).build().ok()
}

/// Translates a pattern; none when the reference's regular expression would not compile.
fn kind(pattern: &str) -> Option<Kind> {
    enum Found {
        Exact,
        Prefix,
        Suffix,
        Regex,
    }
    let mut found = Found::Exact;
    let mut expression = String::from("^");
    let mut chars = pattern.chars().peekable();
    let mut at_start = true;
    while let Some(c) = chars.next() {
        match c {
            '*' if chars.next_if_eq(&'*').is_some() => {
                chars.next_if_eq(&'/');
                found = match (chars.peek(), found) {
                    (None, Found::Exact) => Found::Prefix,
                    (None, _) => {
                        expression.push_str(".*");
                        Found::Regex
                    }
                    (Some(_), _) => {
                        expression.push_str("(.*/)?");
                        Found::Regex
                    }
                };
                if at_start {
                    found = Found::Suffix;
                }
            }
            '*' => {
                expression.push_str("[^/]*");
                found = Found::Regex;
            }
            '?' => {
                expression.push_str("[^/]");
                found = Found::Regex;
            }
            '.' | '+' | '(' | ')' | '|' | '{' | '}' | '$' => expression.extend(['\\', c]),
            '\\' => {
                expression.push('\\');
                expression.extend(chars.next());
                found = Found::Regex;
            }
            '[' | ']' => {
                expression.push(c);
                found = Found::Regex;
            }
            c => expression.push(c),
        }
        at_start = false;
    }
    Some(match found {
        Found::Exact => Kind::Exact,
        Found::Prefix => Kind::Prefix(pattern[..pattern.len() - 2].to_owned()),
        Found::Suffix => Kind::Suffix(pattern[2..].to_owned()),
        Found::Regex => {
            expression.push('$');
            Kind::Regex { expression: go_regex::translate(&expression)?, compiled: OnceLock::new() }
        }
    })
}

fn below(pattern: &str, kind: &Kind) -> Below {
    let is_simple = !pattern.contains("**") && !pattern.contains(['[', ']', '\\', '^']);
    match kind {
        Kind::Exact => Below::Names(pattern.split('/').map(str::to_owned).collect()),
        Kind::Regex { .. } if is_simple => Below::Names(pattern.split('/').map(str::to_owned).collect()),
        Kind::Prefix(prefix) => Below::Prefix(prefix.clone()),
        Kind::Suffix(_) => Below::Prefix(String::new()),
        Kind::Regex { .. } => {
            let end = pattern.find(['*', '?', '[', ']', '\\', '^']).unwrap_or(pattern.len());
            Below::Prefix(pattern[..end].to_owned())
        }
    }
}

/// One name against `*`, `?` and letters.
fn name_matches(pattern: &str, name: &str) -> bool {
    let (mut rest, mut left) = (pattern, name);
    // Where to go on when the last star takes one more letter.
    let mut retry: Option<(&str, &str)> = None;
    loop {
        let (mut pattern_chars, mut chars) = (rest.chars(), left.chars());
        match (pattern_chars.next(), chars.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                rest = pattern_chars.as_str();
                retry = Some((rest, left));
            }
            (Some(wanted), Some(c)) if wanted == '?' || wanted == c => {
                (rest, left) = (pattern_chars.as_str(), chars.as_str());
            }
            _ => {
                let Some((after_star, from)) = retry else { return false };
                let mut skipped = from.chars();
                if skipped.next().is_none() {
                    return false;
                }
                (rest, left) = (after_star, skipped.as_str());
                retry = Some((after_star, left));
            }
        }
    }
}

/// Whether Go's `filepath.Match` finds no error in the pattern.
fn is_well_formed(pattern: &str) -> bool {
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        let good = match c {
            '\\' => chars.next().is_some(),
            '[' => is_class(&mut chars),
            _ => true,
        };
        if !good {
            return false;
        }
    }
    true
}

/// Reads a class up to its `]`: at least one character or range, none of them `-` or `]` unless escaped.
fn is_class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    fn member(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
        match chars.next()? {
            '-' | ']' => None,
            '\\' => chars.next(),
            c => Some(c),
        }
    }
    chars.next_if_eq(&'^');
    let mut is_first = true;
    loop {
        if !is_first && chars.next_if_eq(&']').is_some() {
            return true;
        }
        is_first = false;
        if member(chars).is_none() {
            return false;
        }
        if chars.next_if_eq(&'-').is_some() && member(chars).is_none() {
            return false;
        }
        // A class must go on or end here.
        if chars.peek().is_none() {
            return false;
        }
    }
}
