//! `buildctl debug`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use daemon::client::{CollectionRule, Worker, describe_definition};

use super::usage::aligned;
use super::{Flags, Place, failed};
use crate::console;
use crate::drop_in::flags::{self, Flag, Kind};
use crate::output::size_fixed;
use crate::report::{Exit, Report};

const WORKERS: &[Flag] = &[("filter", Some('f'), Kind::Value), ("verbose", Some('v'), Kind::Switch)];
const DUMP: &[Flag] = &[("dot", None, Kind::Switch)];
/// Bytes of a definition; messages of BuildKit have no more.
const DEFINITION_BYTES_MAX: u64 = 16 << 20;

/// Answers a question about a daemon, or shows a definition, for which none is needed.
pub(super) fn run(place: impl Fn() -> Result<Place, Report>, words: &[String]) -> Result<Exit, Report> {
    let (command, rest) = words.split_first().ok_or_else(|| {
        Report::mistake("no command")
            .hint("`buildctl debug info`, `buildctl debug workers`, `buildctl debug dump-llb`")
    })?;
    match command.as_str() {
        "info" => info(&place()?, rest),
        "workers" => workers(&place()?, rest),
        "dump-llb" => dump(rest),
        other => Err(Report::mistake(format!("slipway has no counterpart of `buildctl debug {other}`"))),
    }
}

fn info(place: &Place, words: &[String]) -> Result<Exit, Report> {
    Flags::of(words, &[])?;
    place.ask(async |client| {
        let version = client.info().await.map_err(failed)?;
        let text = format!("BuildKit:\t{} {} {}", version.package, version.version, version.revision);
        console::print(&aligned(&format!("{}\n", text.trim_end()))?)
    })
}

fn workers(place: &Place, words: &[String]) -> Result<Exit, Report> {
    let flags = Flags::of(words, WORKERS)?;
    place.ask(async |client| {
        let workers = client.workers(flags.texts("filter")).await.map_err(failed)?;
        let text = match flags.is_on("verbose") {
            true => workers.iter().map(details).collect(),
            false => {
                let row = |worker: &Worker| format!("{}\t{}\n", worker.id, worker.platforms.join(","));
                format!("ID\tPLATFORMS\n{}", workers.iter().map(row).collect::<String>())
            }
        };
        console::print(&aligned(&text)?)
    })
}

fn details(worker: &Worker) -> String {
    let version = &worker.version;
    let version = format!("{} {} {}", version.package, version.version, version.revision);
    let labels: String = worker.labels.iter().map(|(name, value)| format!("\t{name}:\t{value}\n")).collect();
    let platforms = worker.platforms.join(",");
    let rules: String = worker.rules.iter().enumerate().map(|(number, it)| rule(number, it)).collect();
    format!(
        "ID:\t{}\nPlatforms:\t{platforms}\nBuildKit:\t{}\nLabels:\n{labels}{rules}\n",
        worker.id,
        version.trim_end()
    )
}

/// A rule of the collection of the cache, as BuildKit's client shows it.
fn rule(number: usize, rule: &CollectionRule) -> String {
    let mut text = format!("GC Policy rule#{number}:\n\tAll:\t{}\n", rule.all);
    if !rule.filters.is_empty() {
        let _ = writeln!(text, "\tFilters:\t{}", rule.filters.join(" "));
    }
    if !rule.keep_duration.is_zero() {
        let _ = writeln!(text, "\tKeep Duration:\t{}s", rule.keep_duration.as_secs());
    }
    for (name, bytes) in [
        ("Reserved Space", rule.reserved_bytes),
        ("Maximum Used Space", rule.max_used_bytes),
        ("Minimum Free Space", rule.min_free_bytes),
    ] {
        if bytes > 0 {
            let _ = writeln!(text, "\t{name}:\t{}", size_fixed(bytes));
        }
    }
    text
}

/// Shows the operations of a definition: of a file, or of standard input.
fn dump(words: &[String]) -> Result<Exit, Report> {
    let (given, others) = flags::parse(words, DUMP)?;
    let ([] | [_]) = others.as_slice() else {
        return Err(Report::mistake(format!("unexpected argument `{}`", others[1])));
    };
    let bytes = match others.first().map(String::as_str) {
        None | Some("-") => read(io::stdin().lock(), Path::new("-"))?,
        Some(path) => {
            let file = File::open(path).map_err(|error| Report::file(Path::new(path), &error))?;
            read(file, Path::new(path))?
        }
    };
    let definition = describe_definition(&bytes).map_err(|error| Report::mistake_of(&error))?;
    let is_dot = given.iter().any(|flag| flag.name == "dot" && flag.is_on());
    console::print(&if is_dot { definition.dot() } else { definition.json() })
}

/// Reads a definition.
pub(super) fn read(from: impl Read, path: &Path) -> Result<Vec<u8>, Report> {
    let mut bytes = Vec::new();
    let read = from.take(DEFINITION_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| Report::file(path, &error))?;
    match bytes.len() as u64 > DEFINITION_BYTES_MAX {
        true => {
            Err(Report::mistake(format!("`{}` has more than {DEFINITION_BYTES_MAX} bytes", path.display())))
        }
        false => Ok(bytes),
    }
}
