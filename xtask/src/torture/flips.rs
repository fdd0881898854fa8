//! Bytes of the store that are not what they were: noticed, and made again.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::Rack;
use super::subject::Deed;
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
        let at = flip(rack, &file).map_err(|source| Error::File { path: file, source })?;
        // What came from outside cannot be made again here: that it is damaged is told, and it is brought again.
        if rack.subject.examine().is_err() {
            rack.subject.prepare()?;
            rack.report.round("what came from outside was damaged, told, and brought again");
            if let Err(problem) = rack.subject.examine() {
                rack.report.finding(format!("byte {at} of {name} flipped: {problem}"));
                rack.subject.forget()?;
            }
        }
        let kind = name.split('/').next().unwrap_or_default();
        rack.report.round(format!("byte flipped in {kind}"));
        rounds += 1;
    }
    Ok(())
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

/// All files with something in them, without those that are inside of layers and cache mounts: these are the user's,
/// and `store check` looks after them.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        if kind.is_dir() && name != "fs" && name != "data" && name != "staging" && name != "logs" {
            collect(&entry.path(), files)?;
        } else if kind.is_file()
            && !LOCKS.iter().any(|lock| name == *lock)
            && name != "format"
            && entry.metadata()?.len() > 0
        {
            files.push(entry.path());
        }
    }
    Ok(())
}
