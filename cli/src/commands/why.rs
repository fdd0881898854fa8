//! `slipway why`.

use std::time::SystemTime;

use engine::why::{ExplainedStep, Explanation};

use super::images::created_since;
use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

/// Columns of the results: the longest is `cached`.
const RESULT_COLUMNS: usize = 6;
const NANOSECONDS: i64 = 1_000_000_000;

/// Explain why the steps of a build ran
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway why [OPTIONS] [IMAGE|BUILD] [STEP]", help_template = super::HELP)]
pub(crate) struct Args {
    /// An image, or the beginning of a build's ID; the last build that ran something unless it is given
    #[arg(value_name = "IMAGE|BUILD", hide = true)]
    build: Option<String>,
    /// The number of a step, or a part of its name
    #[arg(value_name = "STEP", hide = true)]
    step: Option<String>,
    /// Format output ("text", "json")
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    #[arg(hide_possible_values = true)]
    format: String,
}

/// Explains a build.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let explained = store::open(global)?.why(args.build.as_deref(), args.step.as_deref());
    let explanation = explained.map_err(|error| Report::mistake(error.to_string()))?;
    console::print(&match args.format.as_str() {
        "json" => serde_json::to_string_pretty(&explanation).expect("texts and numbers are JSON") + "\n",
        _ => text(&explanation, SystemTime::now()),
    })
}

fn text(explanation: &Explanation, now: SystemTime) -> String {
    let ended = created_since(explanation.ended_unix_ns / NANOSECONDS, now);
    let mut text = format!("build {} of {}, {ended}", explanation.build, explanation.context);
    match &explanation.image {
        Some(image) => text += &format!("\nimage {image}\n\n"),
        None => text += "\nno image, it failed\n\n",
    }
    let columns = explanation.steps.last().map_or(1, |step| step.number.to_string().len());
    explanation.steps.iter().for_each(|step| text += &step_text(step, columns));
    text
}

fn step_text(step: &ExplainedStep, columns: usize) -> String {
    let ExplainedStep { number, result, name, .. } = step;
    let mut text = format!("{number:>columns$} {result:<RESULT_COLUMNS$} {name}\n");
    let indent = columns + RESULT_COLUMNS + 2;
    for reason in &step.reasons {
        text += &format!("{:indent$}- {reason}\n", "");
    }
    text
}
