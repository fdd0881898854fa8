//! Which checks are made of a file, and of each of its instructions.

use std::ops::Range;
use std::sync::Arc;

use super::{CheckOptions, Rule};
use crate::ast::{Dockerfile, Instruction};
use crate::syntax::setting;

/// Rules that look at the whole file, at what users do not write, or at a place between instructions: a comment in front
/// of an instruction does not reach them, as in BuildKit.
const OF_THE_WHOLE: [&str; 6] = [
    "ConsistentInstructionCasing",
    "DuplicateStageName",
    "InvalidBaseImagePlatform",
    "InvalidDefaultArgInFrom",
    "NoEmptyContinuation",
    "ReservedStageName",
];

/// The options of a file, and those of single instructions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checks {
    /// What the directive or the build argument says.
    pub(crate) options: CheckOptions,
    /// Instructions with a `# check=` in front of them, in the order of the text.
    beside: Arc<[(Range<usize>, CheckOptions)]>,
}

impl Checks {
    /// The options of a file with what the comments in front of its instructions add to them.
    pub(crate) fn new(options: CheckOptions, dockerfile: &Dockerfile) -> Self {
        let beside = |instruction: &Instruction| beside(&instruction.span, &instruction.comment);
        let mut found: Vec<_> = dockerfile.global_args.iter().filter_map(beside).collect();
        for stage in &dockerfile.stages {
            found.extend(self::beside(&stage.span, &stage.comment));
            found.extend(stage.instructions.iter().filter_map(beside));
        }
        found.sort_by_key(|(place, _)| place.start);
        Self { options, beside: found.into() }
    }

    /// Whether a rule is applied at a place.
    pub(crate) fn applies(&self, rule: &Rule, place: &Range<usize>) -> bool {
        let beside = self.around(place).filter(|_| !OF_THE_WHOLE.contains(&rule.name));
        let also = |options: &CheckOptions| options.applies(rule);
        match rule.experimental {
            true => self.options.applies(rule) || beside.is_some_and(also),
            false => self.options.applies(rule) && beside.is_none_or(also),
        }
    }

    /// What the comment in front of the instruction at a place says.
    fn around(&self, place: &Range<usize>) -> Option<&CheckOptions> {
        let next = self.beside.partition_point(|(instruction, _)| instruction.start <= place.start);
        let (instruction, options) = &self.beside[next.checked_sub(1)?];
        (place.start <= instruction.end).then_some(options)
    }
}

/// An instruction with the options in the comment in front of it. The first one counts, and one that cannot be read
/// says nothing.
fn beside(span: &Range<usize>, comment: &[String]) -> Option<(Range<usize>, CheckOptions)> {
    let text = comment.iter().find_map(|line| option_text(line))?;
    Some((span.clone(), CheckOptions::parse(first_word(text)).ok()?))
}

/// What a line of a comment says about checks.
pub(super) fn option_text(line: &str) -> Option<&str> {
    let (name, value) = setting(line)?;
    name.eq_ignore_ascii_case(CheckOptions::DIRECTIVE).then_some(value)
}

/// The part of a directive that counts: what follows a blank is there for people.
pub(crate) fn first_word(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}
