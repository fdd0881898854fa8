//! `slipway store check`.

use engine::{Checked, Problem, Repair};
use serde_json::json;

use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

/// Verify everything in the store: the bytes of blobs and layers, records, names and marks
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway store check [OPTIONS]", help_template = super::HELP)]
pub(crate) struct Args {
    /// Take away what is wrong: what needs it is built, pulled or imported anew
    #[arg(long)]
    repair: bool,
    /// Format output ("text", "json")
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    #[arg(hide_possible_values = true)]
    format: String,
}

/// Verifies the store. Fails when something is wrong that was not repaired.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let repair = if args.repair { Repair::TakeAway } else { Repair::Leave };
    let checked = store::open(global)?.check(repair).map_err(|error| Report::of_store(&error))?;
    console::print(&match args.format.as_str() {
        "json" => format!("{:#}\n", json_of(&checked)),
        _ => text(&checked),
    })?;
    let is_sound = checked.problems.iter().all(|problem| problem.is_repaired);
    Ok(if is_sound { Exit::Success } else { Exit::Failure })
}

fn json_of(checked: &Checked) -> serde_json::Value {
    let Checked { blobs, layers, records, images, tags, others, problems } = checked;
    let problems: Vec<_> = problems
        .iter()
        .map(|Problem { path, fault, is_repaired }| {
            json!({"path": path, "problem": fault.to_string(), "repaired": is_repaired})
        })
        .collect();
    json!({
        "checked": {
            "blobs": blobs, "layers": layers, "records": records, "images": images, "tags": tags, "others": others
        },
        "problems": problems,
    })
}

fn text(checked: &Checked) -> String {
    let Checked { blobs, layers, records, images, tags, others, problems } = checked;
    let mut text = format!(
        "Checked {images} images with {tags} names, {layers} layers, {blobs} blobs, {records} records and {others} other files\n"
    );
    for Problem { path, fault, is_repaired } in problems {
        text += &format!("{path}: {fault}{}\n", if *is_repaired { " (removed)" } else { "" });
    }
    let left = problems.iter().filter(|problem| !problem.is_repaired).count();
    text + &match (problems.len(), left) {
        (0, _) => "Nothing is wrong\n".to_owned(),
        (all, 0) => format!("Problems: {all}, all of them repaired\n"),
        (all, left) => format!(
            "Problems: {all}, {left} of them left; `slipway store check --repair` removes what nobody uses\n"
        ),
    }
}
