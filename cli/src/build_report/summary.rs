//! `--summary`: how a build went in a few lines of Markdown, as CI systems show it beside a job.

use std::collections::BTreeSet;

use engine::report::{BuildReport, ReportedStep, StepResult};

use super::text::{cut, escape, time};

/// Steps that have a line: the slowest of those that ran. A summary is read at a glance, and GitHub takes 1 MiB.
const LINES_MAX: usize = 50;
/// As much of a step as a table has room for.
const NAME_CHARS_MAX: usize = 120;

/// The summary: what hit, what that saved, what ran and why.
pub(super) fn summary(report: &BuildReport) -> String {
    let of = |result| report.steps.iter().filter(move |step| step.result == result);
    let cached: Vec<_> = of(StepResult::Cached).collect();
    let mut ran: Vec<_> = of(StepResult::Ran).chain(of(StepResult::Failed)).collect();
    let mut text = format!("### {}\n\n", title(report));
    let steps = cached.len() + of(StepResult::Ran).count() + of(StepResult::Failed).count();
    let percent = (cached.len() * 100).checked_div(steps).unwrap_or(100);
    let took = time(report.duration_us);
    text += &format!("{} of {steps} steps were cached ({percent} %). The build took {took}", cached.len());
    match cached.iter().filter_map(|step| step.saved_us).sum::<u64>() {
        0 => text += ".\n",
        saved => text += &format!("; steps from caches had taken {} elsewhere.\n", time(saved)),
    }
    if let Some(error) = &report.error {
        text += &format!("\n**It failed:** {}\n", cell(error));
    }
    for problem in cache_problems(report) {
        text += &format!("\n**A cache was of no use:** {}\n", cell(&problem));
    }
    if ran.is_empty() {
        return text + "\n";
    }
    ran.sort_by_key(|step| std::cmp::Reverse(step.duration_us()));
    text += "\n| Step | Time | Why it ran |\n| --- | --: | --- |\n";
    for step in ran.iter().take(LINES_MAX) {
        let why: BTreeSet<&str> = step.reasons.iter().map(|reason| reason.text.as_str()).collect();
        let why = why.into_iter().collect::<Vec<_>>().join("; ");
        let failed = if step.result == StepResult::Failed { "**failed** " } else { "" };
        let name = cell(&cut(&step.name, NAME_CHARS_MAX));
        text += &format!("| {failed}<code>{name}</code> | {} | {} |\n", time(step.duration_us()), cell(&why));
    }
    if ran.len() > LINES_MAX {
        text += &format!("\nand {} that were faster\n", ran.len() - LINES_MAX);
    }
    text + "\n"
}

fn title(report: &BuildReport) -> String {
    match (report.tags.first(), &report.target) {
        (Some(tag), _) => cell(tag),
        (None, Some(target)) => format!("Stage {}", cell(target)),
        (None, None) => "Build".to_owned(),
    }
}

/// What went wrong with caches: jobs of the engine that failed while the build went on.
fn cache_problems(report: &BuildReport) -> Vec<String> {
    let is_cache = |step: &&ReportedStep| {
        step.name.starts_with("importing cache ") || step.name.starts_with("exporting cache ")
    };
    let failed = report.steps.iter().filter(is_cache);
    failed.filter_map(|step| Some(format!("{}: {}", step.name, step.error.as_ref()?))).collect()
}

/// A text of others, which shall be no markup: neither HTML nor Markdown.
fn cell(text: &str) -> String {
    let mut safe = String::new();
    for c in escape(text).chars() {
        if matches!(c, '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '~' | '!') {
            safe.push('\\');
        }
        safe.push(c);
    }
    safe
}
