//! The patterns of `${v#p}`, `${v%p}` and `${v/p/w}`: `*` and `?`, no brackets.
//!
//! Longest and shortest match as BuildKit has them, which differs from a POSIX shell in corners: the pattern
//! becomes a regular expression with greedy or lazy stars, and for suffixes both sides are reversed.

use regex::Regex;

use super::ExpandError;
use crate::limits::{REGEX_BYTES_MAX, SHELL_PATTERN_BYTES_MAX};

/// `${v#word}`, `${v##word}`, `${v%word}`, `${v%%word}`; `word` is what follows the first operator.
pub(super) fn trim(value: &str, word: &str, operator: char) -> Result<String, ExpandError> {
    let (pattern, longest) = match word.strip_prefix(operator) {
        Some(rest) => (rest, true),
        None => (word, false),
    };
    let mut tokens = tokens(pattern)?;
    if let Some(literal) = literal(&tokens) {
        let rest =
            if operator == '#' { value.strip_prefix(&*literal) } else { value.strip_suffix(&*literal) };
        return Ok(rest.unwrap_or(value).to_owned());
    }
    if operator == '#' {
        return Ok(trim_start(value, &tokens, longest)?.to_owned());
    }
    tokens.reverse();
    let reversed: String = value.chars().rev().collect();
    Ok(trim_start(&reversed, &tokens, longest)?.chars().rev().collect())
}

/// `${v/pattern/replacement}` and, with `all`, `${v//pattern/replacement}`.
pub(super) fn replace(
    value: &str,
    pattern: &str,
    replacement: &str,
    all: bool,
    bytes_max: usize,
) -> Result<String, ExpandError> {
    let regex = compile(pattern, &expression(&tokens(pattern)?, true))?;
    let mut out = String::new();
    let mut copied = 0;
    for found in regex.captures_iter(value) {
        let whole = found.get(0).expect("group 0 is the whole match");
        out.push_str(&value[copied..whole.start()]);
        if all {
            // References to groups count as in Go's `ReplaceAllString`.
            found.expand(replacement, &mut out);
        } else {
            out.push_str(replacement);
        }
        copied = whole.end();
        if out.len() > bytes_max {
            return Err(ExpandError::TooLong);
        }
        if !all {
            break;
        }
    }
    out.push_str(&value[copied..]);
    Ok(out)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Star,
    Any,
    Char(char),
}

fn tokens(pattern: &str) -> Result<Vec<Token>, ExpandError> {
    if pattern.len() > SHELL_PATTERN_BYTES_MAX {
        return Err(ExpandError::PatternTooLong);
    }
    let mut tokens = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Star,
            '?' => Token::Any,
            '\\' => match chars.next() {
                // `}` and `/` are escaped for the sake of `${}`; the escape is no part of the pattern.
                Some(c @ ('}' | '/' | '*' | '?' | '\\')) => Token::Char(c),
                escaped => return Err(ExpandError::Pattern { pattern: pattern.to_owned(), escaped }),
            },
            c => Token::Char(c),
        });
    }
    Ok(tokens)
}

fn literal(tokens: &[Token]) -> Option<String> {
    let char_of = |token: &Token| match token {
        Token::Char(c) => Some(*c),
        Token::Star | Token::Any => None,
    };
    tokens.iter().map(char_of).collect()
}

fn expression(tokens: &[Token], longest: bool) -> String {
    let mut out = String::new();
    for token in tokens {
        match token {
            Token::Star => out.push_str(if longest { ".*" } else { ".*?" }),
            Token::Any => out.push('.'),
            Token::Char(c) => out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    out
}

fn trim_start<'v>(value: &'v str, tokens: &[Token], longest: bool) -> Result<&'v str, ExpandError> {
    let expression = expression(tokens, longest);
    let regex = compile(&expression, &format!("^{expression}"))?;
    Ok(regex.find(value).map_or(value, |found| &value[found.end()..]))
}

/// Compiles what [`expression`] has made of a pattern, so only its size can be wrong.
fn compile(pattern: &str, expression: &str) -> Result<Regex, ExpandError> {
    regex::RegexBuilder::new(expression)
        .size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|_| ExpandError::PatternTooLarge { pattern: pattern.to_owned() })
}
