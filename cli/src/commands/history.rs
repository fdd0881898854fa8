//! `slipway history`.

use std::time::SystemTime;

use engine::images::HistoryEntry;

use super::images::created_since;
use crate::arguments::Global;
use crate::console;
use crate::output::{Format, Headers, ellipsis, rfc3339, size, truncate_id};
use crate::report::{Exit, Report};
use crate::store;
use crate::template::Value;

const TABLE: &str = "table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
const EXACT_TABLE: &str = "table {{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
const QUIET: &str = "{{.ID}}";
const HEADERS: &Headers = &[
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];
/// What stands for the image as it was after an older step.
const MISSING: &str = "<missing>";
/// Columns of an instruction unless everything is shown.
const INSTRUCTION_COLUMNS: usize = 45;
const SIZE_DIGITS: usize = 3;

/// Show the history of an image
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway history [OPTIONS] IMAGE",
    help_template = super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway image history, slipway history"
)]
pub(crate) struct Args {
    /// Name or ID
    #[arg(value_name = "IMAGE", hide = true)]
    image: String,
    #[arg(long, value_name = "FORMAT", default_value = "table", hide_default_value = true)]
    #[arg(help = super::LIST_FORMAT_HELP)]
    format: String,
    /// Print sizes and dates in human readable format
    #[arg(short = 'H', long, num_args = 0..=1, require_equals = true, value_name = "BOOL")]
    #[arg(default_value = "true", hide_possible_values = true, default_missing_value = "true")]
    human: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
}

/// Shows how an image came to be.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let table = match (args.quiet, args.human) {
        (true, _) => QUIET,
        (false, true) => TABLE,
        (false, false) => EXACT_TABLE,
    };
    let format = Format::parse(&args.format, table)?;
    let entries = store::open(global)?.image_history(&args.image)?;
    let now = SystemTime::now();
    let rows: Vec<_> = entries.iter().map(|entry| row(entry, args, now)).collect();
    console::print(&format.render(&rows, HEADERS)?)
}

fn row(entry: &HistoryEntry, args: &Args, now: SystemTime) -> Value {
    let id = entry.id.map_or_else(|| MISSING.to_owned(), |id| id.to_string());
    let created_by = entry.created_by.replace('\t', " ");
    let created_at = rfc3339(entry.created_unix_s);
    let bytes = entry.size_bytes;
    Value::record([
        ("Comment", Value::from(entry.comment.as_str())),
        ("CreatedAt", Value::from(created_at.as_str())),
        (
            "CreatedBy",
            Value::from(if args.no_trunc { created_by } else { ellipsis(&created_by, INSTRUCTION_COLUMNS) }),
        ),
        (
            "CreatedSince",
            Value::from(if args.human { created_since(entry.created_unix_s, now) } else { created_at }),
        ),
        ("ID", Value::from(if args.no_trunc { id } else { truncate_id(&id) })),
        ("Size", Value::from(if args.human { size(bytes, SIZE_DIGITS) } else { bytes.to_string() })),
    ])
}
