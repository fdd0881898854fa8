//! Questions about a Dockerfile that need no build: what could be better, what it takes, what it can make.
//!
//! The answers are BuildKit's (`frontend.lint`, `frontend.outline`, `frontend.targets`), as data, as the JSON
//! that its clients read, and as the text that they show.

mod check;
mod json;
mod outline;
mod requests;
mod targets;
mod text;
mod wording;

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use crate::ignore::Patterns;
use crate::plan::{Bases, Purpose, mistakes};
use crate::{BaseImage, Diagnostic, Parsed, Plan, PlanOptions, parse, plan};
pub use check::{Check, Finding};
pub use outline::{Outline, OutlineArg, OutlineMount};
pub use requests::Requests;
pub use targets::{Target, Targets};

/// The text of a Dockerfile and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// As answers name it.
    pub name: String,
    /// The text.
    pub text: String,
}

/// Lines of a source, from 1.
pub type Lines = RangeInclusive<usize>;

/// A Dockerfile about which questions are asked.
#[derive(Debug, Clone)]
pub struct Inquiry {
    source: Source,
    /// Where the lines start.
    line_starts: Vec<usize>,
    parsed: Parsed,
    plan: Result<Plan, Vec<Diagnostic>>,
}

impl Inquiry {
    /// Reads the text. Mistakes in it are part of the answers.
    pub fn new(source: Source, options: &PlanOptions) -> Self {
        let parsed = parse(&source.text);
        let plan = match parsed.has_errors() {
            true => Err(mistakes(&parsed, options)),
            false => plan(&parsed.dockerfile, options),
        };
        let line_ends = source.text.match_indices('\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(line_ends).collect();
        Self { source, line_starts, parsed, plan }
    }

    /// The same, with what the ignore file of the main context hides.
    #[must_use]
    pub fn ignoring(self, patterns: Arc<Patterns>) -> Self {
        Self { plan: self.plan.map(|plan| plan.ignoring(patterns)), ..self }
    }

    /// The Dockerfile.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The images whose configs make the answers better and that `bases` does not have. Ask again after
    /// resolving them. Those that cannot be resolved may stay away: nothing is said about variables and
    /// triggers that they could bring.
    pub fn missing_images(&self, bases: &Bases) -> Vec<BaseImage> {
        let Ok(plan) = &self.plan else { return Vec::new() };
        let Ok(reach) = plan.reach(plan.targets(Purpose::Check), bases) else { return Vec::new() };
        let is_missing =
            |image: &BaseImage| !bases.contains_key(&(image.reference.clone(), image.platform.clone()));
        reach.images.into_iter().filter(is_missing).collect()
    }

    /// What the build checks find, in every stage unless a target is named.
    pub fn check(&self, bases: &Bases) -> Check {
        check::check(self, bases)
    }

    /// What the target takes.
    ///
    /// # Errors
    ///
    /// Everything that keeps the target from being built.
    pub fn outline(&self, bases: &Bases) -> Result<Outline, Vec<Diagnostic>> {
        outline::outline(self, bases)
    }

    /// What can be built.
    ///
    /// # Errors
    ///
    /// When the text is no Dockerfile.
    pub fn targets(&self) -> Result<Targets, Vec<Diagnostic>> {
        targets::targets(self)
    }

    /// The lines of a byte range.
    fn lines(&self, span: &Range<usize>) -> Lines {
        let line = |at| self.line_starts.partition_point(|start| *start <= at).max(1);
        // What follows the last line feed is no line.
        let text = self.source.text.trim_end_matches(['\r', '\n']).len();
        line(span.start)..=line(span.end.min(text).max(span.start))
    }
}

/// The description in a comment: the rest of its first line that begins with the name.
fn description(comment: &[String], name: &str) -> String {
    let described = |line: &String| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned);
    if name.is_empty() { String::new() } else { comment.iter().find_map(described).unwrap_or_default() }
}
