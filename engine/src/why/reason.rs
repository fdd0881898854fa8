//! Compares a step that ran with the nearest earlier one: what is different?

use std::collections::BTreeMap;
use std::fmt;

use jiff::SignedDuration;
use serde::Serialize;

use super::log::{BuildLog, LoggedFile, LoggedFiles, LoggedStep, Outcome};

/// Files that are named one by one.
const FILES_NAMED_MAX: usize = 5;
/// Characters of a value that are shown.
const VALUE_CHARS_MAX: usize = 60;

/// Why a step ran, or a source is another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Reason {
    /// The user said so.
    NoCache,
    /// There is a result, and it is older than the user wants it to be.
    Expired {
        /// Its age in seconds.
        age_s: u64,
    },
    /// There is no earlier build of such a step.
    New,
    /// An input of the key is another one.
    Ingredient {
        /// `env VERSION`
        name: String,
        /// Its value before; none when it was not there.
        before: Option<String>,
        /// Its value now; none when it is not there.
        after: Option<String>,
    },
    /// A file that it copies is there now, and was not.
    FileAdded {
        /// In the source of the copy.
        path: String,
    },
    /// A file that it copied is not there any more.
    FileRemoved {
        /// In the source of the copy.
        path: String,
    },
    /// A file that it copies is another one.
    FileChanged {
        /// In the source of the copy.
        path: String,
        /// What of it: `content`, `mode 0664 -> 0644`.
        what: Vec<String>,
    },
    /// Some more files.
    MoreFiles {
        /// How many.
        count: usize,
    },
    /// It reads something that changed, and what that is is not known.
    Files,
    /// The step that it continues changed.
    Before {
        /// The name of that step.
        step: String,
    },
    /// Another stage or image that it reads changed.
    Input {
        /// The name of that step.
        step: String,
    },
    /// The source has other files.
    Moved {
        /// The beginning of its identity before.
        before: String,
        /// And now.
        after: String,
    },
    /// The build was for another platform.
    Platform {
        /// That of the earlier build.
        before: String,
        /// That of this build.
        after: String,
    },
    /// Nothing is different, but the earlier run did not come to an end.
    Unfinished,
    /// Nothing is different: the earlier result was removed.
    Gone,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCache => write!(f, "it had to run (--no-cache)"),
            Self::Expired { age_s } => {
                let age = SignedDuration::from_secs(i64::try_from(*age_s).unwrap_or(i64::MAX));
                write!(f, "its earlier result is {age:#} old (--cache-ttl)")
            }
            Self::New => write!(f, "it has not been built before"),
            Self::Ingredient { name, before, after } => match (before, after) {
                (Some(before), Some(after)) => write!(f, "{name} {} -> {}", short(before), short(after)),
                (None, Some(after)) => write!(f, "{name} {} is new", short(after)),
                (_, None) => write!(f, "{name} is gone"),
            },
            Self::FileAdded { path } => write!(f, "`{path}` is new"),
            Self::FileRemoved { path } => write!(f, "`{path}` is gone"),
            Self::FileChanged { path, what } => write!(f, "`{path}` changed ({})", what.join(", ")),
            Self::MoreFiles { count: 1 } => write!(f, "and one more file"),
            Self::MoreFiles { count } => write!(f, "and {count} more files"),
            Self::Files => write!(f, "files that it reads changed"),
            Self::Before { step } => write!(f, "the step before it changed: {step}"),
            Self::Input { step } => write!(f, "what it reads changed: {step}"),
            Self::Moved { before, after } => write!(f, "it moved from {before} to {after}"),
            Self::Platform { before, after } => write!(f, "platform {before} -> {after}"),
            Self::Unfinished => write!(f, "its earlier run did not come to an end"),
            Self::Gone => write!(f, "its earlier result is no longer in the store"),
        }
    }
}

fn short(value: &str) -> String {
    let mut shown: String = value.chars().take(VALUE_CHARS_MAX).collect();
    if shown.len() < value.len() {
        shown.push('…');
    }
    if shown.is_empty() || shown.contains(' ') { format!("\"{shown}\"") } else { shown }
}

/// Why the step `at` of `logs[0]` came out as it did; nothing for a hit. Later logs are of earlier builds.
pub(crate) fn reasons(logs: &[BuildLog], at: usize) -> Vec<Reason> {
    let (build, earlier) = logs.split_first().expect("there is a build to explain");
    let step = &build.steps[at];
    match step.outcome {
        Outcome::Cached => Vec::new(),
        Outcome::Source => moved(step, earlier),
        Outcome::Ran | Outcome::Failed if step.no_cache => vec![Reason::NoCache],
        Outcome::Ran | Outcome::Failed if step.expired_age_s.is_some() => {
            step.expired_age_s.map(|age_s| Reason::Expired { age_s }).into_iter().collect()
        }
        Outcome::Ran | Outcome::Failed => {
            let Some((old_build, old)) = nearest(build, step, earlier) else { return vec![Reason::New] };
            let old_files = files_of(old, earlier);
            differences(build, step, old_build, old, old_files)
        }
    }
}

fn moved(step: &LoggedStep, earlier: &[BuildLog]) -> Vec<Reason> {
    let same = earlier.iter().flat_map(|log| &log.steps).find(|old| text(&old.name) == text(&step.name));
    match same.map(|old| (&old.key, &step.key)) {
        Some((Some(before), Some(after))) if before != after => {
            let short = |key: &String| key.chars().take(12).collect();
            vec![Reason::Moved { before: short(before), after: short(after) }]
        }
        _ => Vec::new(),
    }
}

/// The latest earlier step of the same text; if there is none, of the same place and instruction in a build of
/// the same context and target.
fn nearest<'a>(
    build: &BuildLog,
    step: &LoggedStep,
    earlier: &'a [BuildLog],
) -> Option<(&'a BuildLog, &'a LoggedStep)> {
    let related = || earlier.iter().filter(|log| is_related(build, log));
    let same = |wanted: fn(&str) -> (&str, &str), log: &'a BuildLog| {
        let found = log.steps.iter().find(|old| wanted(&old.name) == wanted(&step.name));
        found.map(|old| (log, old))
    };
    related()
        .find_map(|log| same(text, log))
        .or_else(|| related().find_map(|log| same(place, log)))
        .or_else(|| earlier.iter().find_map(|log| same(text, log)))
}

/// Whether two builds are of the same.
pub(super) fn is_related(build: &BuildLog, other: &BuildLog) -> bool {
    other.context == build.context && other.dockerfile == build.dockerfile && other.target == build.target
}

/// Whether the logs after the first have all that explains its step `at`: more could only add what is further away.
pub(super) fn is_enough(logs: &[BuildLog], at: usize) -> bool {
    let (build, earlier) = logs.split_first().expect("there is a build to explain");
    let step = &build.steps[at];
    let old = nearest(build, step, earlier).filter(|(log, _)| is_related(build, log));
    old.is_some_and(|(_, old)| {
        text(&old.name) == text(&step.name) && (step.files.is_none() || files_of(old, earlier).is_some())
    })
}

/// `[build 2/5] RUN make`: the stage and the instruction.
fn text(name: &str) -> (&str, &str) {
    match name.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((place, text)) => (place.rsplit_once(' ').map_or("", |(stage, _)| stage), text),
        None => ("", name),
    }
}

/// `[build 2/5] RUN make`: the place in its stage, without the number of its steps, and the first word.
fn place(name: &str) -> (&str, &str) {
    match name.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((place, text)) => {
            (place.split_once('/').map_or(place, |(at, _)| at), text.split(' ').next().unwrap_or(""))
        }
        None => ("", name),
    }
}

/// A step that was a hit has its files in the log of the build that ran it.
fn files_of<'a>(old: &'a LoggedStep, earlier: &'a [BuildLog]) -> Option<&'a LoggedFiles> {
    let of_key = || {
        let mut steps = earlier.iter().flat_map(|log| &log.steps);
        steps.find(|step| step.key == old.key && step.files.is_some())?.files.as_ref()
    };
    old.files.as_ref().or_else(of_key)
}

fn differences(
    build: &BuildLog,
    step: &LoggedStep,
    old_build: &BuildLog,
    old: &LoggedStep,
    old_files: Option<&LoggedFiles>,
) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if build.platform != old_build.platform {
        reasons.push(Reason::Platform { before: old_build.platform.clone(), after: build.platform.clone() });
    }
    ingredients(&old.ingredients, &step.ingredients, &mut reasons);
    if let (Some(before), Some(after)) = (old_files, &step.files) {
        files(before, after, &mut reasons);
    }
    let offered = |build: &BuildLog, name: &String| {
        build.steps.iter().find(|step| step.name == *name).and_then(|step| step.offered.clone())
    };
    for (at, (name, old_name)) in step.inputs.iter().zip(&old.inputs).enumerate() {
        let (now, before) = (offered(build, name), offered(old_build, old_name));
        // A context offers nothing; an input that nobody needed is not in the log.
        if now.is_none() || before.is_none() || now == before {
            continue;
        }
        let step = name.clone();
        reasons.push(if at == 0 { Reason::Before { step } } else { Reason::Input { step } });
    }
    if reasons.is_empty() {
        reasons.push(match old.key == step.key {
            true if old.outcome == Outcome::Failed => Reason::Unfinished,
            true => Reason::Gone,
            false => Reason::Files,
        });
    }
    reasons
}

fn ingredients(before: &[(String, String)], after: &[(String, String)], reasons: &mut Vec<Reason>) {
    let group = |all: &[(String, String)]| {
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        all.iter().for_each(|(name, value)| groups.entry(name.clone()).or_default().push(value.clone()));
        groups
    };
    let (mut old, new) = (group(before), group(after));
    for (name, values) in new {
        let was = old.remove(&name).unwrap_or_default();
        if was == values {
            continue;
        }
        for at in 0..was.len().max(values.len()) {
            let (before, after) = (was.get(at).cloned(), values.get(at).cloned());
            if before != after {
                reasons.push(Reason::Ingredient { name: name.clone(), before, after });
            }
        }
    }
    for (name, values) in old {
        reasons.extend(values.into_iter().map(|value| Reason::Ingredient {
            name: name.clone(),
            before: Some(value),
            after: None,
        }));
    }
}

fn files(before: &LoggedFiles, after: &LoggedFiles, reasons: &mut Vec<Reason>) {
    let by_path = |files: &'_ LoggedFiles| -> BTreeMap<String, LoggedFile> {
        files.files.iter().map(|file| (file.path.clone(), file.clone())).collect()
    };
    let (mut old, new) = (by_path(before), by_path(after));
    let mut found = Vec::new();
    for (path, file) in new {
        match old.remove(&path) {
            Some(was) if was == file => {}
            Some(was) => found.push(Reason::FileChanged { path, what: changes(&was, &file) }),
            // Beyond what was remembered, it may have been there.
            None if before.is_whole => found.push(Reason::FileAdded { path }),
            None => {}
        }
    }
    if after.is_whole {
        found.extend(old.into_keys().map(|path| Reason::FileRemoved { path }));
    }
    let more = found.len().saturating_sub(FILES_NAMED_MAX);
    found.truncate(FILES_NAMED_MAX);
    reasons.append(&mut found);
    if more > 0 {
        reasons.push(Reason::MoreFiles { count: more });
    }
}

fn changes(before: &LoggedFile, after: &LoggedFile) -> Vec<String> {
    let mut what = Vec::new();
    let (kind, mode) = before.mode.split_at(1);
    let (new_kind, new_mode) = after.mode.split_at(1);
    if kind != new_kind {
        what.push(format!("kind {kind} -> {new_kind}"));
    } else if before.content != after.content || before.size_bytes != after.size_bytes {
        what.push(if kind == "l" { "target" } else { "content" }.to_owned());
    }
    if mode != new_mode {
        what.push(format!("mode {mode} -> {new_mode}"));
    }
    if before.owner != after.owner {
        what.push(format!("owner {} -> {}", before.owner, after.owner));
    }
    what
}
