//! `buildctl build`.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum as _;
use daemon::client::{BuildOrder, CacheOrder, OutputOrder, Target};
use serde_json::Value as Json;

use super::debug::read;
use super::{Flags, Place, failed};
use crate::arguments::Global;
use crate::commands::build::{remarks, secret, ssh};
use crate::commands::csv::fields;
use crate::console;
use crate::drop_in::flags::{Flag, Kind};
use crate::drop_in::tell_ignored;
use crate::files::{Durability, replace};
use crate::progress::{Mode, Ui};
use crate::registries::own_credentials;
use crate::report::{Exit, Report};

use Kind::{Switch, Value};

#[rustfmt::skip]
const FLAGS: &[Flag] = &[
    ("allow", None, Value), ("export-cache", None, Value), ("frontend", None, Value), ("import-cache", None, Value),
    ("local", None, Value), ("metadata-file", None, Value), ("no-cache", None, Switch), ("oci-layout", None, Value),
    ("opt", None, Value), ("output", Some('o'), Value), ("progress", None, Value), ("secret", None, Value),
    ("ssh", None, Value),
];
/// What changes nothing in the result.
const IGNORED: &[Flag] = &[("debug-json-cache-metrics", None, Value), ("trace", None, Value)];
/// Outputs that are one file, and those that are a directory.
const FILES: [&str; 3] = ["docker", "oci", "tar"];
const DIRECTORY: &str = "local";

/// Builds, and shows how that goes.
pub(super) fn run(place: &Place, words: &[String]) -> Result<Exit, Report> {
    let flags = Flags::of(words, &[FLAGS, IGNORED].concat())?;
    let ignored = flags.0.iter().filter(|given| IGNORED.iter().any(|(name, ..)| *name == given.name));
    tell_ignored(super::NAME, &ignored.map(|given| format!("--{}", given.name)).collect::<Vec<_>>());
    let mode = flags.last("progress").unwrap_or("auto");
    let mode = Mode::from_str(mode, true).map_err(|_| {
        Report::mistake(format!(
            "invalid value `{mode}` of `--progress`, expected auto, plain, tty, rawjson or quiet"
        ))
    })?;
    let order = order(&flags)?;
    let ui = Ui::start(mode)?;
    let progress = ui.progress();
    let built = place
        .with(async |client| client.build(order, progress).await.map_err(|error| solving(failed(error))));
    let warnings = ui.finish();
    let Ok(facts) = built? else { return Ok(Exit::Interrupted) };
    console::print_error(&remarks(&warnings, &Global { root: None, debug: place.debug }));
    match flags.last("metadata-file") {
        None => Ok(Exit::Success),
        Some(path) => write_facts(Path::new(path), &facts).map(|()| Exit::Success),
    }
}

/// Scripts look for these words.
fn solving(report: Report) -> Report {
    report.with_prefix("failed to solve: ")
}

fn order(flags: &Flags) -> Result<BuildOrder, Report> {
    let secrets = flags.all("secret").map(|text| {
        text.parse().map_err(|error: secret::SpecError| wrong("secret", text, &error.to_string()))
    });
    let agents = flags.all("ssh").map(|text| match text.parse() {
        Ok(spec) => spec,
        Err(never) => match never {},
    });
    let frontend = flags.last("frontend").unwrap_or_default().to_owned();
    Ok(BuildOrder {
        definition: match frontend.is_empty() {
            true => Some(definition()?),
            false => None,
        },
        frontend,
        attributes: pairs(flags, "opt")?.collect(),
        is_uncached: flags.is_on("no-cache"),
        directories: directories(flags, "local")?,
        layouts: directories(flags, "oci-layout")?,
        outputs: flags.all("output").map(output).collect::<Result<_, _>>()?,
        cache_exports: flags
            .all("export-cache")
            .map(|text| cache("export-cache", text))
            .collect::<Result<_, _>>()?,
        cache_imports: flags
            .all("import-cache")
            .map(|text| cache("import-cache", text))
            .collect::<Result<_, _>>()?,
        entitlements: flags.texts("allow"),
        secrets: secret::read(secrets.collect::<Result<_, _>>()?)?,
        agents: ssh::read(agents.collect())?,
        credentials: own_credentials(),
    })
}

fn wrong(name: &str, value: &str, why: &str) -> Report {
    Report::mistake(format!("invalid value `{value}` of `--{name}`: {why}"))
}

/// A build that somebody else has described.
fn definition() -> Result<Vec<u8>, Report> {
    if io::stdin().is_terminal() {
        return Err(Report::mistake("nothing to build")
            .hint("name a `--frontend`, or give a definition on standard input"));
    }
    let bytes = read(io::stdin().lock(), Path::new("-"))?;
    match bytes.is_empty() {
        true => Err(Report::mistake("the definition on standard input is empty").hint("name a `--frontend`")),
        false => Ok(bytes),
    }
}

fn pairs<'a>(
    flags: &'a Flags,
    name: &'static str,
) -> Result<impl Iterator<Item = (String, String)> + use<'a>, Report> {
    let split = |text: &str| {
        let pair = text.split_once('=').ok_or_else(|| wrong(name, text, "expected NAME=VALUE"))?;
        Ok::<_, Report>((pair.0.to_owned(), pair.1.to_owned()))
    };
    Ok(flags.all(name).map(split).collect::<Result<Vec<_>, _>>()?.into_iter())
}

fn directories(flags: &Flags, name: &'static str) -> Result<BTreeMap<String, std::path::PathBuf>, Report> {
    let mut found = BTreeMap::new();
    for (known_as, path) in pairs(flags, name)? {
        let absolute =
            std::fs::canonicalize(&path).map_err(|error| Report::file(Path::new(&path), &error))?;
        if !absolute.is_dir() {
            return Err(wrong(name, &path, "it is not a directory"));
        }
        found.insert(known_as, absolute);
    }
    Ok(found)
}

/// The kind, and what else stands in a list of NAME=VALUE.
fn kind(name: &str, text: &str) -> Result<(String, BTreeMap<String, String>), Report> {
    let mut attributes = BTreeMap::new();
    for field in fields(text).map_err(|error| wrong(name, text, &error.to_string()))? {
        let (key, value) =
            field.split_once('=').ok_or_else(|| wrong(name, text, "expected NAME=VALUE,..."))?;
        attributes.insert(key.to_lowercase(), value.to_owned());
    }
    let kind = attributes.remove("type").filter(|kind| !kind.is_empty());
    Ok((kind.ok_or_else(|| wrong(name, text, "it needs `type=`"))?, attributes))
}

fn cache(name: &str, text: &str) -> Result<CacheOrder, Report> {
    let (kind, attributes) = kind(name, text)?;
    let directory = if name == "import-cache" { "src" } else { "dest" };
    if kind == "local" && !attributes.contains_key(directory) {
        return Err(wrong(name, text, &format!("`type=local` needs `{directory}=DIRECTORY`")));
    }
    Ok(CacheOrder { kind, attributes })
}

fn output(text: &str) -> Result<OutputOrder, Report> {
    let (kind, mut attributes) = kind("output", text)?;
    let is_directory = kind == DIRECTORY
        || (FILES.contains(&kind.as_str())
            && kind != "tar"
            && attributes.get("tar").is_some_and(|tar| tar == "false"));
    let is_file = FILES.contains(&kind.as_str());
    let destination = attributes.get("dest").cloned();
    let target = match destination.filter(|path| path != "-" && !path.is_empty()) {
        Some(path) if is_directory && kind != DIRECTORY => Some(Target::Layout(path.into())),
        Some(path) if is_directory => {
            let is_replaced = attributes.get("mode").is_some_and(|mode| mode == "delete");
            Some(Target::Directory { path: path.into(), is_replaced })
        }
        Some(path) if is_file && Path::new(&path).is_dir() => {
            return Err(wrong("output", text, "the destination is a directory"));
        }
        Some(path) if is_file => Some(Target::File(path.into())),
        Some(_) => return Err(wrong("output", text, &format!("`type={kind}` has no destination here"))),
        None if is_directory => return Err(wrong("output", text, "it needs `dest=DIRECTORY`")),
        None if is_file && io::stdout().is_terminal() => {
            return Err(wrong("output", text, "it needs `dest=FILE`: a terminal shows no archive"));
        }
        None if is_file => Some(Target::Stdout),
        None => None,
    };
    if target.is_some() {
        attributes.remove("dest");
    }
    Ok(OutputOrder { kind, attributes, target })
}

/// Writes what is said of the result; what is JSON in a wrapping, as JSON.
fn write_facts(path: &Path, facts: &BTreeMap<String, String>) -> Result<(), Report> {
    let unwrapped = |text: &String| {
        let inner = STANDARD.decode(text).ok().and_then(|bytes| serde_json::from_slice::<Json>(&bytes).ok());
        inner.filter(|it| it.is_object() || it.is_array()).unwrap_or_else(|| Json::String(text.clone()))
    };
    let facts: BTreeMap<_, _> = facts.iter().map(|(name, value)| (name, unwrapped(value))).collect();
    let text = serde_json::to_string_pretty(&facts).expect("texts become JSON");
    replace(path, Durability::Fast, |file| {
        writeln!(file, "{text}").map_err(|error| Report::file(path, &error))
    })
}
