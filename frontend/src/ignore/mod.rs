//! Ignore files: which paths of a build context exist for the build.
//!
//! The rules are those of `github.com/moby/patternmatcher` as BuildKit applies them while it walks a context:
//! patterns count in the order of the file, each is tried on a path and, through [`Parents`], on the
//! directories above it, and the last one that matches wins; `!` brings back what an earlier one took away.

mod go_regex;
mod pattern;

use std::ops::Range;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::limits::{IGNORE_BYTES_MAX, IGNORE_PATTERN_BYTES_MAX, IGNORE_PATTERNS_MAX};
use crate::lower::clean;
use pattern::Pattern;
pub use pattern::PatternError;

/// What the patterns say about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// It is part of the context.
    Included,
    /// It is not.
    Excluded {
        /// The line of the pattern that decided, from 1; the place in the list for [`Patterns::new`].
        line: usize,
    },
}

impl Match {
    /// Whether the path is not part of the context.
    pub fn is_excluded(self) -> bool {
        matches!(self, Self::Excluded { .. })
    }
}

/// The patterns of an ignore file.
#[derive(Debug, Clone, Default)]
pub struct Patterns {
    patterns: Vec<Pattern>,
}

/// Patterns that hide whatever there is.
const EVERYTHING: [&str; 3] = ["*", "**", "**/*"];

/// Which patterns matched a directory, for the paths in it. Cheap to copy; the default is the root's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parents {
    matched: Option<Box<[u64]>>,
}

impl Patterns {
    /// Reads an ignore file. Lines that are wrong are reported and left out.
    pub fn parse(text: &str) -> (Self, Vec<Diagnostic>) {
        let mut diagnostics = Diagnostics::default();
        let mut patterns = Self::default();
        if text.len() > IGNORE_BYTES_MAX {
            let message = format!("the ignore file is longer than {IGNORE_BYTES_MAX} bytes");
            diagnostics.push(Diagnostic::error("TooLong", 0..0, message));
            return (patterns, diagnostics.into_sorted());
        }
        let mut start = 0;
        for (index, raw) in text.split_inclusive('\n').enumerate() {
            let line = if index == 0 { raw.trim_start_matches('\u{feff}') } else { raw };
            let trimmed = line.trim();
            let at = start + (trimmed.as_ptr() as usize - raw.as_ptr() as usize);
            start += raw.len();
            if line.starts_with('#') || trimmed.is_empty() {
                continue;
            }
            if let Err(diagnostic) = patterns.add(&normal(trimmed), index + 1, at..at + trimmed.len()) {
                diagnostics.push(diagnostic);
            }
        }
        (patterns, diagnostics.into_sorted())
    }

    /// A list of patterns, as from `--exclude`.
    ///
    /// # Errors
    ///
    /// When one of them is wrong.
    pub fn new<'p>(list: impl IntoIterator<Item = &'p str>) -> Result<Self, PatternError> {
        let mut patterns = Self::default();
        for (index, text) in list.into_iter().enumerate() {
            patterns.patterns.extend(Pattern::new(text, index + 1)?);
        }
        Ok(patterns)
    }

    fn add(&mut self, text: &str, line: usize, span: Range<usize>) -> Result<(), Diagnostic> {
        let error = |message: String| Diagnostic::error("InvalidPattern", span.clone(), message);
        if text.len() > IGNORE_PATTERN_BYTES_MAX {
            return Err(error(format!("the pattern is longer than {IGNORE_PATTERN_BYTES_MAX} bytes")));
        }
        if self.patterns.len() >= IGNORE_PATTERNS_MAX {
            return Err(error(format!("more than {IGNORE_PATTERNS_MAX} patterns")));
        }
        self.patterns.extend(Pattern::new(text, line).map_err(|wrong| error(wrong.to_string()))?);
        Ok(())
    }

    /// Whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a pattern brings something back.
    pub fn has_exception(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.is_exception)
    }

    /// The line of a pattern that hides whatever there is.
    pub fn hiding_everything(&self) -> Option<usize> {
        let hides = |pattern: &&Pattern| EVERYTHING.contains(&&*pattern.to_string());
        self.patterns.iter().find(hides).map(|pattern| pattern.line)
    }

    /// The pattern of a line, as it was understood.
    pub fn pattern(&self, line: usize) -> Option<String> {
        self.patterns.iter().find(|pattern| pattern.line == line).map(Pattern::to_string)
    }

    /// What the patterns say about a path, given by its names from the root, joined by slashes.
    ///
    /// Looks at every directory above the path; in a walk, [`Patterns::matches_in`] does not.
    pub fn matches(&self, path: &str) -> Match {
        let mut parents = Parents::default();
        for (slash, _) in path.match_indices('/') {
            parents = self.descend(&parents, &path[..slash]).1;
        }
        self.matches_in(&parents, path)
    }

    /// What the patterns say about a path in a directory with these [`Parents`].
    pub fn matches_in(&self, parents: &Parents, path: &str) -> Match {
        self.decide(parents, path, |_| {})
    }

    /// The same for a directory, with the [`Parents`] for the paths in it.
    pub fn descend(&self, parents: &Parents, directory: &str) -> (Match, Parents) {
        let mut matched = vec![0_u64; self.patterns.len().div_ceil(64)];
        let decision = self.decide(parents, directory, |index| matched[index / 64] |= 1 << (index % 64));
        (decision, Parents { matched: Some(matched.into()) })
    }

    fn decide(&self, parents: &Parents, path: &str, mut on_match: impl FnMut(usize)) -> Match {
        let mut decision = Match::Included;
        if path.is_empty() || path == "." {
            return decision;
        }
        for (index, pattern) in self.patterns.iter().enumerate() {
            // A pattern that could not change the decision is not tried, and not remembered either: this is
            // how the reference behaves.
            let matches = parents.matched(index)
                || (pattern.is_exception == decision.is_excluded() && pattern.matches(path));
            if matches {
                on_match(index);
                decision = if pattern.is_exception {
                    Match::Included
                } else {
                    Match::Excluded { line: pattern.line }
                };
            }
        }
        decision
    }

    /// Whether an excluded directory holds nothing that a `!` brings back: then nobody needs to open it.
    pub fn can_prune(&self, directory: &str) -> bool {
        self.matches(directory).is_excluded() && !self.can_reinclude_below(directory)
    }

    /// Whether a `!` pattern can match a path somewhere below a directory. Says yes when in doubt.
    pub fn can_reinclude_below(&self, directory: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.is_exception && pattern.can_match_below(directory))
    }
}

impl Parents {
    fn matched(&self, index: usize) -> bool {
        self.matched.as_ref().is_some_and(|matched| matched[index / 64] >> (index % 64) & 1 == 1)
    }
}

/// A line of the file as a pattern: clean, without the slash in front.
fn normal(line: &str) -> String {
    let (mark, pattern) = match line.strip_prefix('!') {
        Some(rest) => ("!", rest.trim()),
        None => ("", line),
    };
    if pattern.is_empty() {
        return mark.to_owned();
    }
    let cleaned = clean(pattern);
    let relative = cleaned.strip_prefix('/').filter(|rest| !rest.is_empty()).unwrap_or(&cleaned);
    format!("{mark}{relative}")
}

#[cfg(test)]
mod tests;
