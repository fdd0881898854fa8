//! The logs of builds: which steps were there already, which ran, and what they were made from.
//!
//! `ROOT/builds/<id>.json`, one for each build that ran something. They explain, nothing depends on them: one
//! that is lost or damaged explains nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Builds that are remembered; the oldest is forgotten first.
const BUILDS_MAX: usize = 64;
/// So many more may lie there for a while, so that not every build has to remove a file.
const BUILDS_SPARE: usize = 32;
/// Of one log; a longer one is none of ours.
const LOG_BYTES_MAX: u64 = 64 << 20;
const SUFFIX: &str = ".json";

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// A base image or a build context.
    Source,
    /// Its result was there.
    Cached,
    /// It ran.
    Ran,
    /// It ran, and did not come to an end.
    Failed,
}

/// A file that a step copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LoggedFile {
    pub(crate) path: String,
    /// `-0644`: the kind and the permissions.
    pub(crate) mode: String,
    /// `0:0`
    pub(crate) owner: String,
    pub(crate) size_bytes: u64,
    /// The beginning of a digest, or where a link leads; empty where it is not known.
    pub(crate) content: String,
}

/// Files that a step copied.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct LoggedFiles {
    pub(crate) files: Vec<LoggedFile>,
    /// Whether these are all.
    pub(crate) is_whole: bool,
}

/// A step that the build needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LoggedStep {
    /// `[build 2/5] RUN make`
    pub(crate) name: String,
    /// Its number among the steps that people see, which names the file with what it wrote.
    #[serde(default)]
    pub(crate) number: Option<u32>,
    pub(crate) outcome: Outcome,
    /// The key by which it is found; for a source, who it is.
    pub(crate) key: Option<String>,
    /// The key that those who build on it see.
    pub(crate) offered: Option<String>,
    /// Steps that it builds on or reads, by their names, the one that it continues first.
    pub(crate) inputs: Vec<String>,
    /// What the key was made from, as people wrote it.
    pub(crate) ingredients: Vec<(String, String)>,
    pub(crate) files: Option<LoggedFiles>,
    /// Whether it had to run.
    pub(crate) no_cache: bool,
    /// How old its earlier result was, when that was too old.
    #[serde(default)]
    pub(crate) expired_age_s: Option<u64>,
}

/// A build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BuildLog {
    /// The time, then the process: ids sort by age.
    pub(crate) id: String,
    pub(crate) ended_unix_ns: i64,
    pub(crate) context: String,
    /// As the user named it.
    #[serde(default)]
    pub(crate) dockerfile: String,
    pub(crate) target: Option<String>,
    pub(crate) platform: String,
    pub(crate) tags: Vec<String>,
    /// None for a build that failed.
    pub(crate) image: Option<String>,
    pub(crate) steps: Vec<LoggedStep>,
}

/// The directory of the logs.
pub(crate) fn directory(root: &Path) -> PathBuf {
    root.join("builds")
}

/// Keeps a log, whole or not at all. Does not sync.
pub(crate) fn write(root: &Path, log: &BuildLog) -> io::Result<()> {
    let directory = directory(root);
    let staged = directory.join(format!(".{}", log.id));
    let bytes = serde_json::to_vec(log)?;
    if let Err(error) = fs::write(&staged, &bytes) {
        if error.kind() != io::ErrorKind::NotFound {
            // The error that matters is the first one.
            let _ = fs::remove_file(&staged);
            return Err(error);
        }
        fs::create_dir_all(&directory)?;
        fs::write(&staged, &bytes)?;
    }
    fs::rename(&staged, directory.join(format!("{}{SUFFIX}", log.id)))?;
    forget_oldest(&directory)
}

fn forget_oldest(directory: &Path) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.push(entry?.file_name());
    }
    if names.len() <= BUILDS_MAX + BUILDS_SPARE {
        return Ok(());
    }
    // Also what somebody who was killed left half-written: the name is that of the log with a dot before it.
    names.sort_by_key(|name| name.to_string_lossy().trim_start_matches('.').to_owned());
    for name in &names[..names.len() - BUILDS_MAX] {
        match fs::remove_file(directory.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Every log that can be read, the newest first. Each is read when it is asked for.
pub(crate) fn newest_first(root: &Path) -> impl Iterator<Item = BuildLog> {
    let entries = fs::read_dir(directory(root)).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort_unstable_by(|a, b| b.cmp(a));
    paths.into_iter().filter_map(|path| read(&path))
}

/// Whether a file of the directory can be read, or is one that somebody writes at the moment.
pub(crate) fn check_log(path: &Path) -> bool {
    let is_staged = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    is_staged || read(path).is_some() || !path.exists()
}

fn read(path: &Path) -> Option<BuildLog> {
    let name = path.file_name()?.to_str()?;
    let id = name.strip_suffix(SUFFIX)?;
    if fs::metadata(path).ok()?.len() > LOG_BYTES_MAX {
        return None;
    }
    let log: BuildLog = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    (log.id == id).then_some(log)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(id: String) -> BuildLog {
        BuildLog {
            id,
            ended_unix_ns: 1,
            context: "/c".into(),
            dockerfile: "Dockerfile".into(),
            target: None,
            platform: "linux/amd64".into(),
            tags: Vec::new(),
            image: None,
            steps: Vec::new(),
        }
    }

    #[test]
    fn the_newest_are_kept_and_damage_is_left_out() {
        let root = tempfile::tempdir().expect("a directory");
        let read_all = || newest_first(root.path()).collect::<Vec<_>>();
        let put = |number| {
            write(root.path(), &log(format!("{number:03}"))).expect("it is written");
            read_all().len()
        };
        let counts: Vec<_> = (0..=BUILDS_MAX + BUILDS_SPARE).map(put).collect();
        assert_eq!(counts.iter().max(), Some(&(BUILDS_MAX + BUILDS_SPARE)));
        let logs = read_all();
        assert_eq!(logs.len(), BUILDS_MAX, "too many, and so the oldest were forgotten");
        assert_eq!((logs[0].id.as_str(), logs[BUILDS_MAX - 1].id.as_str()), ("096", "033"));
        let path = directory(root.path()).join("096.json");
        fs::write(&path, "{").expect("it is damaged");
        assert_eq!(read_all()[0].id, "095");
        fs::rename(directory(root.path()).join("095.json"), &path).expect("it is another one's");
        assert_eq!(read_all()[0].id, "094");
    }
}
