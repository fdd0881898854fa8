//! What can be wrong with a text that is to be expanded.

use std::ops::Range;

use crate::diagnostic::Diagnostic;
use crate::limits::{EXPANSION_BYTES_MAX, EXPANSION_DEPTH_MAX, REGEX_BYTES_MAX, SHELL_PATTERN_BYTES_MAX};

/// What Go's scanner gives for a character at the end of a text.
const END: char = char::REPLACEMENT_CHARACTER;

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
    /// The same where the name ends the text: BuildKit takes the end for a modifier.
    #[error("no closing `}}` after `${{`")]
    MissingModifier,
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
        /// What is escaped and need not be, where that is the reason; none at the end of the pattern.
        escaped: Option<char>,
    },
    /// The pattern is longer than any real one.
    #[error("pattern is longer than {SHELL_PATTERN_BYTES_MAX} bytes")]
    PatternTooLong,
    /// The pattern takes more memory than any real one.
    #[error("the pattern `{pattern}` takes more than {REGEX_BYTES_MAX} bytes")]
    PatternTooLarge {
        /// The pattern.
        pattern: String,
    },
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
            Self::MissingModifier => format!("unsupported modifier ({END}) in substitution"),
            Self::MissingSlash { .. } => "syntax error: missing '/' in ${}".to_owned(),
            Self::BadSubstitution => "syntax error: bad substitution".to_owned(),
            Self::Modifier { modifier, .. } => format!("unsupported modifier ({modifier}) in substitution"),
            Self::Required { name, message } => format!("{name}: {message}"),
            Self::Pattern { pattern, escaped } => {
                let escaped = escaped.unwrap_or(END);
                format!("invalid pattern ({pattern}) in substitution: invalid escape '\\{escaped}'")
            }
            Self::PatternTooLong | Self::PatternTooLarge { .. } | Self::TooLong | Self::TooDeep => {
                return None;
            }
        })
    }
}
