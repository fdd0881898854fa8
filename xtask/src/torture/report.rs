//! What was tried, and what was found.

use std::collections::BTreeMap;
use std::fmt;

/// Findings that are told in full.
const TOLD_MAX: usize = 20;

/// Numbers of rounds by what they were, and whatever should not have been.
#[derive(Default)]
pub(crate) struct Report {
    rounds: BTreeMap<String, u64>,
    findings: Vec<String>,
}

impl Report {
    /// One more round of this name.
    pub(crate) fn round(&mut self, name: impl Into<String>) {
        *self.rounds.entry(name.into()).or_default() += 1;
    }

    /// Something that should not be.
    pub(crate) fn finding(&mut self, finding: String) {
        eprintln!("finding: {finding}");
        self.findings.push(finding);
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// How many things should not be.
    pub(crate) fn findings(&self) -> usize {
        self.findings.len()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rounds.keys().map(String::len).max().unwrap_or(0);
        for (name, rounds) in &self.rounds {
            writeln!(out, "{name:width$}  {rounds:>6}")?;
        }
        writeln!(out, "{} findings", self.findings.len())?;
        self.findings.iter().take(TOLD_MAX).try_for_each(|finding| writeln!(out, "- {finding}"))
    }
}
