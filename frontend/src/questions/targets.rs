//! What can be built (`frontend.targets`).

use super::json::{Fields, Json};
use super::text::table;
use super::{Inquiry, Lines, description};
use crate::Diagnostic;

/// Blanks between the columns.
const PADDING: usize = 1;

/// The stages of a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets {
    /// In the order of the text.
    pub targets: Vec<Target>,
    text: String,
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name, empty when it has none.
    pub name: String,
    /// It is built when no target is named.
    pub is_default: bool,
    /// What its comment says about it.
    pub description: String,
    /// What it starts from, variables not expanded.
    pub base: String,
    /// Its `--platform`, variables not expanded.
    pub platform: String,
    /// The lines of its `FROM`.
    pub lines: Lines,
}

pub(super) fn targets(inquiry: &Inquiry) -> Result<Targets, Vec<Diagnostic>> {
    let errors = inquiry.parsed.diagnostics.iter().filter(|found| found.is_error());
    let errors: Vec<_> = errors.cloned().collect();
    if !errors.is_empty() {
        return Err(errors);
    }
    let stages = &inquiry.parsed.dockerfile.stages;
    let target = |(index, stage): (usize, &std::sync::Arc<crate::ast::Stage>)| {
        let text = |word: Option<&crate::ast::Word>| word.map(|word| word.value.clone()).unwrap_or_default();
        let name = text(stage.from.name.as_ref());
        Target {
            description: description(&stage.comment, &name),
            name,
            is_default: index + 1 == stages.len(),
            base: stage.from.base.value.clone(),
            platform: text(stage.from.platform.as_ref()),
            lines: inquiry.lines(&stage.span),
        }
    };
    Ok(Targets {
        targets: stages.iter().enumerate().map(target).collect(),
        text: inquiry.source().text.clone(),
    })
}

impl Targets {
    /// The answer as BuildKit's JSON.
    pub fn json(&self) -> String {
        let targets = self.targets.iter().map(|target| {
            Fields::default()
                .text("name", &target.name)
                .flag("default", target.is_default)
                .text("description", &target.description)
                .text("base", &target.base)
                .text("platform", &target.platform)
                .with("location", Json::location(&target.lines))
                .object()
        });
        Fields::default()
            .with("targets", Json::List(targets.collect()))
            .with("sources", Json::List(vec![Json::base64(self.text.as_bytes())]))
            .object()
            .render()
    }

    /// The answer as BuildKit's table.
    pub fn text(&self) -> String {
        let mut rows = vec![vec!["TARGET".to_owned(), "DESCRIPTION".to_owned()]];
        for target in &self.targets {
            let name = match (target.name.as_str(), target.is_default) {
                ("", true) => "(default)".to_owned(),
                (name, true) => format!("{name} (default)"),
                (name, false) => name.to_owned(),
            };
            rows.push(vec![name, target.description.clone()]);
        }
        table(&rows, PADDING)
    }
}
