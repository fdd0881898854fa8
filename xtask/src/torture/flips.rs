//! Bytes of the store that are not what they were: noticed, and made again.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::Rack;
use super::subject::{Deed, patiently, tail};
use crate::error::Error;

/// Files that are never read.
const LOCKS: [&str; 3] = ["names", "leases", "lock"];

pub(crate) fn run(rack: &mut Rack<'_>, rounds_max: u64) -> Result<(), Error> {
    let mut rounds = 0;
    while rack.goes_on(rounds, rounds_max) {
        super::disk::quietly(&mut rack.subject.deed(Deed::Build))?;
        let mut files = Vec::new();
        let store = rack.subject.store().to_owned();
        collect(&store, &mut files).map_err(|source| Error::File { path: store.clone(), source })?;
        files.sort();
        let file = rack.random.one_of(&files).clone();
        let name = file.strip_prefix(&store).unwrap_or(&file).display().to_string();
        // Whoever takes it away meanwhile has no use for it.
        let flipped = seen(flip(rack, &file));
        let Some(at) = flipped.map_err(|source| Error::File { path: file, source })? else { continue };
        // Programs in containers read it, which notice nothing.
        if is_of_layer(&name)
            && let Err(problem) = repaired(rack)
        {
            rack.report.finding(format!("byte {at} of {name} flipped: {problem}"));
        }
        // What came from outside cannot be made again here: that it is damaged is told, and it is brought again.
        if rack.subject.examine().is_err() {
            rack.subject.prepare()?;
            rack.report.round("what came from outside was damaged, told, and brought again");
            if let Err(problem) = rack.subject.examine() {
                rack.report.finding(format!("byte {at} of {name} flipped: {problem}"));
                rack.subject.forget()?;
            }
        }
        let kind = if is_of_layer(&name) { "a file of a layer" } else { kind_of(&name) };
        rack.report.round(format!("byte flipped in {kind}"));
        rounds += 1;
    }
    Ok(())
}

fn kind_of(name: &str) -> &str {
    name.split('/').next().unwrap_or_default()
}

/// Whether it is a file of a layer that is a directory.
fn is_of_layer(name: &str) -> bool {
    name.starts_with("layers/") && (name.contains("/fs/") || name.contains("/unpacked-"))
}

/// Takes away whatever is wrong. Of a layer that no record has nothing need be known, so there may be nothing.
fn repaired(rack: &Rack<'_>) -> Result<(), String> {
    let repaired = patiently(&mut rack.subject.command(&["store", "check", "--repair"]))?;
    if repaired.status.success() {
        return Ok(());
    }
    Err(format!("`store check --repair`: {}", tail(&repaired.stdout)))
}

/// Changes a byte, and tells which.
fn flip(rack: &mut Rack<'_>, file: &Path) -> std::io::Result<u64> {
    let file = fs::OpenOptions::new().read(true).write(true).open(file)?;
    let at = rack.random.below(file.metadata()?.len());
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    byte[0] ^= 1 << rack.random.below(8);
    file.write_all_at(&byte, at)?;
    Ok(at)
}

/// All files with something in them, without those that are inside of cache mounts: these are the user's. What a command
/// that has just ended still takes away is left out.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in seen(fs::read_dir(directory))?.into_iter().flatten() {
        let entry = entry?;
        let name = entry.file_name();
        let Some(metadata) = seen(entry.metadata())? else { continue };
        if metadata.is_dir() && name != "data" && name != "staging" && name != "logs" {
            collect(&entry.path(), files)?;
        } else if metadata.is_file()
            && !LOCKS.iter().any(|lock| name == *lock)
            && name != "format"
            && metadata.len() > 0
        {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// None for what is gone.
fn seen<T>(result: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}
