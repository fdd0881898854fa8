//! What we have to say about a Dockerfile: a place, a sentence, a suggestion.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::limits::DIAGNOSTICS_MAX;
use crate::lint::{self, Checks};
use crate::suggest::Suggester;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The build goes on.
    Warning,
    /// There is nothing to build.
    Error,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Name of the rule; BuildKit's where it has one (`UndefinedVar`).
    pub rule: &'static str,
    /// Byte range in the text.
    pub span: Range<usize>,
    /// One sentence, lower case, without a full stop.
    pub message: String,
    /// What to do, only when we are sure.
    pub help: Option<String>,
    /// Other places that explain this one.
    pub secondary: Box<[(Range<usize>, String)]>,
    /// The message in BuildKit's words, where those are others: programs look for them.
    pub(crate) buildkit: Option<Box<str>>,
}

impl Diagnostic {
    /// An error.
    pub fn error(rule: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, rule, span, message.into())
    }

    /// A warning.
    pub fn warning(rule: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, rule, span, message.into())
    }

    fn new(severity: Severity, rule: &'static str, span: Range<usize>, message: String) -> Self {
        Self { severity, rule, span, message, help: None, secondary: Box::default(), buildkit: None }
    }

    /// The same with advice, when there is any.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<Option<String>>) -> Self {
        self.help = help.into();
        self
    }

    /// The same with another place.
    #[must_use]
    pub fn with_secondary(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.secondary = Vec::from(self.secondary).into_iter().chain([(span, label.into())]).collect();
        self
    }

    /// The same with what BuildKit says.
    #[must_use]
    pub(crate) fn with_buildkit(mut self, words: impl Into<Box<str>>) -> Self {
        self.buildkit = Some(words.into());
        self
    }

    /// Whether there is nothing to build.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// A list of findings that cannot grow without end.
#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    found: Vec<Diagnostic>,
    has_errors: bool,
    checks: Checks,
    /// Comments in front of instructions do not count: what is looked at is not in the text.
    pub(crate) is_elsewhere: bool,
    /// For the advice in them.
    pub(crate) suggester: Suggester,
}

impl Diagnostics {
    /// An empty list that takes only the warnings that are asked for.
    pub(crate) fn new(checks: Checks) -> Self {
        Self { checks, ..Self::default() }
    }

    /// Adds a finding, unless nobody asks for it. Beyond the limit warnings are dropped, and errors too, except that there were some.
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        let place = diagnostic.span.clone();
        self.push_for(diagnostic, &place);
    }

    /// The same for a finding that the instruction at `cause` makes, and that stands at another place.
    pub(crate) fn push_for(&mut self, diagnostic: Diagnostic, cause: &Range<usize>) {
        let applies = |rule| match self.is_elsewhere {
            true => self.checks.options.applies(rule),
            false => self.checks.applies(rule, cause),
        };
        if lint::rule(diagnostic.rule).is_some_and(|rule| !applies(rule)) {
            return;
        }
        let first_error = diagnostic.is_error() && !self.has_errors;
        self.has_errors |= diagnostic.is_error();
        if self.found.len() < DIAGNOSTICS_MAX || first_error {
            self.found.push(diagnostic);
        }
    }

    /// Whether there was an error.
    pub(crate) fn has_errors(&self) -> bool {
        self.has_errors
    }

    /// The names of the rules that have found something, each once, sorted.
    pub(crate) fn violated(&self) -> BTreeSet<&'static str> {
        self.found.iter().filter(|found| !found.is_error()).map(|found| found.rule).collect()
    }

    /// The findings, in the order of the text.
    pub(crate) fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|diagnostic| diagnostic.span.start);
        self.found
    }
}
