//! `buildctl du` and `buildctl prune`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::SystemTime;

use daemon::client::{PruneOrder, Usage};
use tabwriter::TabWriter;

use super::{Flags, Place, failed};
use crate::console;
use crate::drop_in::flags::{Flag, Kind};
use crate::output::{age, size_fixed};
use crate::report::{Exit, Report};

use Kind::{Switch, Value};

const DU: &[Flag] = &[("filter", Some('f'), Value), ("verbose", Some('v'), Switch)];
#[rustfmt::skip]
const PRUNE: &[Flag] = &[
    ("all", None, Switch), ("filter", Some('f'), Value), ("free-storage", None, Value), ("keep-duration", None, Value),
    ("keep-storage", None, Value), ("keep-storage-min", None, Value), ("verbose", Some('v'), Switch),
];
const MEGABYTE: f64 = 1e6;
const HEADER: &str = "ID\tRECLAIMABLE\tSIZE\tLAST ACCESSED\n";

/// Shows what the cache takes.
pub(super) fn du(place: &Place, words: &[String]) -> Result<Exit, Report> {
    let flags = Flags::of(words, DU)?;
    place.ask(async |client| {
        let usage = client.disk_usage(flags.texts("filter")).await.map_err(failed)?;
        let is_verbose = flags.is_on("verbose");
        let mut text = if is_verbose { String::new() } else { HEADER.to_owned() };
        usage.iter().for_each(|item| text += &if is_verbose { details(item) } else { row(item) });
        let bytes = |wanted: fn(&Usage) -> bool| {
            usage.iter().filter(|item| wanted(item)).map(|item| item.size_bytes).sum::<u64>()
        };
        let mut shown = aligned(&text)?;
        if flags.last("filter").is_none() {
            let (free, all) = (bytes(|item| !item.is_in_use), bytes(|_| true));
            let sums = format!("Reclaimable:\t{}\nTotal:\t{}\n", size_fixed(free), size_fixed(all));
            shown += &aligned(&sums)?;
        }
        console::print(&shown)
    })
}

/// Removes what the cache does not need.
pub(super) fn prune(place: &Place, words: &[String]) -> Result<Exit, Report> {
    let flags = Flags::of(words, PRUNE)?;
    let order = PruneOrder {
        filters: flags.texts("filter"),
        all: flags.is_on("all"),
        keep_duration_ns: duration_ns(&flags)?,
        reserved_bytes: megabytes(&flags, "keep-storage-min")?,
        max_used_bytes: megabytes(&flags, "keep-storage")?,
        min_free_bytes: megabytes(&flags, "free-storage")?,
    };
    place.ask(async |client| {
        let is_verbose = flags.is_on("verbose");
        let (mut text, mut bytes) = (String::new(), 0);
        let pruned = client.prune(order, |item| {
            if text.is_empty() && !is_verbose {
                text += HEADER;
            }
            text += &if is_verbose { details(&item) } else { row(&item) };
            bytes += item.size_bytes;
        });
        pruned.await.map_err(failed)?;
        console::print(&format!(
            "{}{}",
            aligned(&text)?,
            aligned(&format!("Total:\t{}\n", size_fixed(bytes)))?
        ))
    })
}

fn row(item: &Usage) -> String {
    let mark = if item.is_mutable { "*" } else { "" };
    let used = item.last_used.map(ago).unwrap_or_default();
    format!("{}{mark}\t{}\t{}\t{used}\n", item.id, !item.is_in_use, size_fixed(item.size_bytes))
}

fn details(item: &Usage) -> String {
    let mut text = format!("ID:\t{}\n", item.id);
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            writeln!(text, "{name}:\t{value}").expect("a text takes all");
        }
    };
    line("Parents", item.parents.join(","));
    line("Created at", item.created.map(ago).unwrap_or_default());
    line("Mutable", item.is_mutable.to_string());
    line("Reclaimable", (!item.is_in_use).to_string());
    line("Shared", item.is_shared.to_string());
    line("Size", size_fixed(item.size_bytes));
    line("Description", item.description.clone());
    line("Usage count", item.usage_count.to_string());
    line("Last used", item.last_used.map(ago).unwrap_or_default());
    line("Type", item.kind.clone());
    text + "\n"
}

fn ago(time: SystemTime) -> String {
    format!("{} ago", age(SystemTime::now().duration_since(time).unwrap_or_default()))
}

/// Columns that are as wide as they have to be.
pub(super) fn aligned(text: &str) -> Result<String, Report> {
    let mut table = TabWriter::new(Vec::new());
    let written = table.write_all(text.as_bytes()).and_then(|()| table.flush());
    written.map_err(|error| Report::mistake(error.to_string()))?;
    let bytes = table.into_inner().map_err(|error| Report::mistake(error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn megabytes(flags: &Flags, name: &'static str) -> Result<i64, Report> {
    let Some(text) = flags.last(name) else { return Ok(0) };
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok((number * MEGABYTE) as i64),
        _ => Err(Report::mistake(format!("invalid value `{text}` of `--{name}`, expected megabytes"))),
    }
}

fn duration_ns(flags: &Flags) -> Result<i64, Report> {
    let Some(text) = flags.last("keep-duration") else { return Ok(0) };
    let duration = crate::output::parse_age(text).map_err(|_| {
        Report::mistake(format!("invalid value `{text}` of `--keep-duration`, expected a time (24h)"))
    })?;
    Ok(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}
