//! What this machine can do for a sandbox: each feature of the kernel, and how far it isolates all in all.
//!
//! Everything is tried out, nothing is guessed from a version number: distributions take features away and give
//! others back.

mod features;
mod rung;

use std::path::Path;

use serde::Serialize;

use crate::namespace::{Ids, NamespaceError, become_root};

pub use rung::Rung;

/// Whether something is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "state", content = "detail")]
pub enum Presence {
    /// It is, and this is what is known of it.
    Present(String),
    /// It is not, and this is why.
    Absent(String),
}

/// One thing of the kernel, or of the host, that sandboxes are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Feature {
    /// What it is called.
    pub name: &'static str,
    /// What it is used for.
    pub used_for: &'static str,
    /// What happens without it.
    pub without: &'static str,
    /// Whether it is there.
    #[serde(flatten)]
    pub presence: Presence,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Examination {
    /// How far a sandbox isolates here.
    pub rung: Rung,
    /// Why it is not a higher one.
    pub reason: Option<String>,
    /// Every feature, in the order in which a sandbox needs them.
    pub features: Vec<Feature>,
}

/// Tries out what this machine has. `directory` is on the file system where layers will be.
///
/// The process becomes root of a user namespace as for a sandbox, so it must have a single thread. Nothing is left
/// behind: what is mounted is attached nowhere.
pub fn examine(directory: &Path) -> Examination {
    let ids = become_root();
    let features = features::all(&ids, directory);
    let is_present = |name| {
        let mut named = features.iter().filter(|feature| feature.name == name);
        named.any(|feature| matches!(feature.presence, Presence::Present(_)))
    };
    let kernel =
        rung::Kernel { stacks: is_present(features::OVERLAY), shows_own: is_present(features::PROC) };
    let (rung, reason) = rung::of(&ids, kernel);
    Examination { rung, reason, features }
}

/// What becoming root came to.
type Root = Result<Ids, NamespaceError>;

#[cfg(test)]
mod tests {
    use super::*;

    /// The table in the documentation is this one.
    #[test]
    fn the_document_lists_every_feature() {
        let text = include_str!("../../../docs/kernel-features.md");
        let rows = |heading: &str| -> Vec<String> {
            let section = text.split(heading).nth(1).expect("the section is there");
            let section = section.split("\n## ").next().unwrap_or_default();
            section.lines().filter(|line| line.starts_with("| ")).skip(2).map(str::to_owned).collect()
        };
        let features: Vec<String> = features::ROWS
            .iter()
            .map(|row| format!("| {} | {} | {} |", row.name, row.used_for, row.without))
            .collect();
        assert_eq!(rows("## Features").join("\n"), features.join("\n"));
        let rungs: Vec<String> =
            Rung::ALL.iter().map(|rung| format!("| {} | {} |", rung.name(), rung.not_isolated())).collect();
        assert_eq!(rows("## The ladder").join("\n"), rungs.join("\n"));
    }
}
