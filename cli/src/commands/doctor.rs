//! `slipway doctor`.

use std::path::{Path, PathBuf};

use engine::sandbox::{Examination, Feature, Presence, Rung, examine};

use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;
use crate::template::{Functions, Template, Value};

/// Show what this machine can do for a sandbox, and what it does not isolate
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway doctor [OPTIONS]", help_template = super::HELP)]
pub(crate) struct Args {
    #[arg(short, long, value_name = "FORMAT", help = super::FORMAT_HELP)]
    format: Option<String>,
}

/// Tries everything out, in a process that does nothing else. Fails where no sandbox is possible.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let template = match args.format.as_deref() {
        None | Some("") => None,
        Some("json") => Some(Template::parse("{{json .}}")?),
        Some(source) => Some(Template::parse(source)?),
    };
    let found = examine(&existing(&store::root(global)?));
    let text = match template {
        Some(template) => template.render(&value(&found), Functions::Values)? + "\n",
        None => describe(&found),
    };
    let printed = console::print(&text)?;
    Ok(if found.rung == Rung::Nothing { Exit::Machine } else { printed })
}

/// The directory itself, or the first above it that is there: the store need not exist yet.
fn existing(root: &Path) -> PathBuf {
    root.ancestors().find(|path| path.is_dir()).map_or_else(|| PathBuf::from("/"), Path::to_owned)
}

fn value(found: &Examination) -> Value {
    let Examination { rung, reason, features } = found;
    Value::record([
        ("Rung", Value::from(rung.name())),
        ("NotIsolated", Value::from(rung.not_isolated())),
        ("Reason", Value::from(reason.as_deref().unwrap_or_default())),
        ("Features", Value::List(features.iter().map(feature_value).collect())),
    ])
}

fn feature_value(feature: &Feature) -> Value {
    let Feature { name, used_for, without, presence } = feature;
    let (is_present, detail) = match presence {
        Presence::Present(detail) => (true, detail),
        Presence::Absent(detail) => (false, detail),
    };
    Value::record([
        ("Name", Value::from(*name)),
        ("Present", Value::Bool(is_present)),
        ("Detail", Value::from(detail.as_str())),
        ("UsedFor", Value::from(*used_for)),
        ("Without", Value::from(*without)),
    ])
}

fn describe(found: &Examination) -> String {
    let mut text = format!("{}\n", found.rung.name());
    if let Some(reason) = &found.reason {
        text += &format!("  because: {reason}\n");
    }
    text += &format!("  not isolated: {}\n\n", found.rung.not_isolated());
    for Feature { name, used_for, without, presence } in &found.features {
        text += &match presence {
            Presence::Present(detail) => format!("yes  {name}: {detail}\n       {used_for}\n"),
            Presence::Absent(reason) => {
                format!("NO   {name}: {reason}\n       {used_for}\n       without: {without}\n")
            }
        };
    }
    text
}
