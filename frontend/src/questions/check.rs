//! What the build checks find (`frontend.lint`).

use std::ops::Range;

use super::json::{Fields, Json};
use super::text::excerpt;
use super::{Inquiry, Lines, Source, wording};
use crate::lint::{Rule, rule};
use crate::lower;
use crate::plan::{Bases, Purpose};
use crate::{Diagnostic, render};

/// The language of the source, as its JSON names it.
const LANGUAGE: &str = "Dockerfile";

/// The finding whose place is the end of its instruction, as in BuildKit.
const AT_THE_END: &str = "NoEmptyContinuation";

/// What the build checks find.
#[derive(Debug, Clone)]
pub struct Check {
    /// In the order of the lines.
    pub findings: Vec<Finding>,
    /// What keeps the file from being built. Then there can be more to find than is listed.
    pub errors: Vec<Diagnostic>,
    source: Source,
    /// The first error in the words of BuildKit.
    message: String,
    /// Its lines.
    error_lines: Option<Lines>,
}

/// One finding of a build check.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The check.
    pub rule: &'static Rule,
    /// What is wrong.
    pub detail: String,
    /// What to do, when we are sure.
    pub help: Option<String>,
    /// The lines of the instruction.
    pub lines: Lines,
    /// The place in the instruction.
    pub span: Range<usize>,
}

pub(super) fn check(inquiry: &Inquiry, bases: &Bases) -> Check {
    let found = match &inquiry.plan {
        Ok(plan) => {
            let examined = lower::examine(plan, bases, Purpose::Check);
            plan.warnings().iter().cloned().chain(examined.diagnostics).collect()
        }
        Err(diagnostics) => diagnostics.clone(),
    };
    let (errors, warnings): (Vec<_>, Vec<_>) = found.into_iter().partition(Diagnostic::is_error);
    let places = Places::new(inquiry);
    let mut findings: Vec<_> =
        warnings.into_iter().filter_map(|warning| finding(warning, inquiry, &places)).collect();
    findings.sort_by_key(|finding| *finding.lines.start());
    let first = wording::first(&errors, inquiry);
    let placed = first.filter(|error| !error.span.is_empty());
    let error_lines = placed.map(|error| inquiry.lines(&places.around(&error.span)));
    let line = error_lines.as_ref().map(|lines| *lines.start());
    let message = first.map(|error| wording::message(error, inquiry, line)).unwrap_or_default();
    Check { findings, errors, source: inquiry.source().clone(), message, error_lines }
}

fn finding(warning: Diagnostic, inquiry: &Inquiry, places: &Places) -> Option<Finding> {
    let rule = rule(warning.rule)?;
    let mut lines = inquiry.lines(&places.around(&warning.span));
    if rule.name == AT_THE_END {
        lines = *lines.end()..=*lines.end();
    }
    Some(Finding { rule, detail: warning.message, help: warning.help, lines, span: warning.span })
}

/// Where the instructions stand.
struct Places(Vec<Range<usize>>);

impl Places {
    fn new(inquiry: &Inquiry) -> Self {
        let dockerfile = &inquiry.parsed.dockerfile;
        let mut places = inquiry.parsed.broken.clone();
        places.extend(dockerfile.global_args.iter().map(|it| it.span.clone()));
        for stage in &dockerfile.stages {
            places.push(stage.span.clone());
            places.extend(stage.instructions.iter().map(|it| it.span.clone()));
        }
        places.sort_by_key(|place| place.start);
        Self(places)
    }

    /// The instruction that a place is in, or the place itself.
    fn around(&self, span: &Range<usize>) -> Range<usize> {
        let next = self.0.partition_point(|place| place.start <= span.start);
        let before = next.checked_sub(1).map(|index| &self.0[index]);
        before.filter(|place| span.start <= place.end).unwrap_or(span).clone()
    }
}

impl Check {
    /// Whether there is nothing that makes the check fail, see [`Rule::is_binding`].
    pub fn is_clean(&self) -> bool {
        !self.findings.iter().any(|finding| finding.rule.is_binding()) && self.errors.is_empty()
    }

    /// The answer as BuildKit's JSON.
    pub fn json(&self) -> String {
        let warnings = self.findings.iter().map(|finding| {
            Fields::default()
                .with("ruleName", Json::Text(finding.rule.name.to_owned()))
                .text("description", finding.rule.description)
                .text("url", finding.rule.url)
                .text("detail", &finding.detail)
                .with("location", Json::location(&finding.lines))
                .object()
        });
        let source = Fields::default()
            .with("filename", Json::Text(self.source.name.clone()))
            .with("data", Json::base64(self.source.text.as_bytes()))
            .with("language", Json::Text(LANGUAGE.to_owned()))
            .object();
        let mut fields = Fields::default()
            .with(
                "warnings",
                if self.findings.is_empty() { Json::Null } else { Json::List(warnings.collect()) },
            )
            .with("sources", Json::List(vec![source]));
        if !self.errors.is_empty() {
            let location = self.error_lines.as_ref().map_or(Json::Object(Vec::new()), Json::location);
            let error = Fields::default()
                .with("message", Json::Text(self.message.clone()))
                .with("location", location);
            fields = fields.with("buildError", error.object());
        }
        fields.object().render()
    }

    /// The answer as BuildKit's clients show it; errors are not part of it, see [`Check::error_text`].
    pub fn text(&self) -> String {
        let count = match self.findings.len() {
            0 if self.errors.is_empty() => return "Check complete, no warnings found.\n".to_owned(),
            0 => return String::new(),
            1 => "1 warning has been found!".to_owned(),
            count => format!("{count} warnings have been found!"),
        };
        let mut out = format!("Check complete, {count}\n");
        let lines: Vec<&str> = self.source.text.split('\n').collect();
        for finding in &self.findings {
            let url = finding.rule.url;
            let url = if url.is_empty() { String::new() } else { format!(" - {url}") };
            out.push_str(&format!("\nWARNING: {}{url}\n{}\n", finding.rule.name, finding.detail));
            out.push_str(&excerpt(&self.source.name, &lines, &finding.lines));
        }
        out
    }

    /// Each error with its source line.
    pub fn error_text(&self) -> Vec<String> {
        self.errors.iter().map(|error| render(error, &self.source.name, &self.source.text)).collect()
    }
}
