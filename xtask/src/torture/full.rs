//! A disk that is full at any write: a clear error or success, and the next build, with room again, is right.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Rack;
use super::disk::{Disk, quietly};
use super::subject::{Deed, patiently};
use crate::error::Error;

/// As much as all of it needs has room; most rounds are to have less.
const FREE_BYTES_MAX: u64 = 6 << 20;
/// What ext4 needs to say which blocks a file has.
const OWN_BYTES_MAX: u64 = 1 << 20;
/// One round in so many begins with a store that has everything.
const WARM_EVERY: u64 = 4;

pub(crate) fn run(rack: &mut Rack<'_>, rounds_max: u64) -> Result<(), Error> {
    let directory = rack.subject.store().parent().expect("a store is in a directory").to_owned();
    let disk = Disk::new(&directory)?;
    rack.subject.move_store(disk.root().join("store"))?;
    let mut rounds = 0;
    while rack.goes_on(rounds, rounds_max) {
        if !rounds.is_multiple_of(WARM_EVERY) {
            rack.subject.forget()?;
        }
        let deed = *rack.random.one_of(&Deed::ALL);
        // Next to nothing, more often than much.
        let free_bytes =
            rack.random.below(FREE_BYTES_MAX) * rack.random.below(FREE_BYTES_MAX) / FREE_BYTES_MAX;
        match round(rack, &disk, deed, free_bytes) {
            Ok(outcome) => rack.report.round(format!("full disk in {deed:?}, which {outcome}")),
            Err(problem) => rack
                .report
                .finding(format!("{deed:?} with {free_bytes} bytes free, round {rounds}: {problem}")),
        }
        rounds += 1;
    }
    disk.unmount()
}

/// What became of the command.
fn round(rack: &Rack<'_>, disk: &Disk, deed: Deed, free_bytes: u64) -> Result<&'static str, String> {
    let ballast = Ballast::new(disk.root(), free_bytes)?;
    let output = patiently(&mut rack.subject.deed(deed))?;
    drop(ballast);
    super::faults::judge(&output)?;
    rack.subject.examine()?;
    Ok(if output.status.success() { "went on" } else { "failed" })
}

/// A file that takes almost all that is free. Removed when dropped.
struct Ballast(PathBuf);

impl Ballast {
    fn new(root: &Path, free_bytes: u64) -> Result<Self, String> {
        let ballast = Self(root.join("ballast"));
        let size_bytes = Self::free_bytes(root)?.saturating_sub(free_bytes);
        if size_bytes > 0 {
            let mut fallocate = Command::new("fallocate");
            let taken = quietly(fallocate.args(["-l", &size_bytes.to_string()]).arg(&ballast.0));
            // The file system may need the last blocks for its own lists: then all others are taken all the same.
            if let Err(error) = taken
                && Self::free_bytes(root)? > free_bytes + OWN_BYTES_MAX
            {
                return Err(error.to_string());
            }
        }
        Ok(ballast)
    }

    fn free_bytes(root: &Path) -> Result<u64, String> {
        let output = patiently(Command::new("stat").args(["-f", "-c", "%a %S"]).arg(root))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        match numbers[..] {
            [blocks, block_bytes] => Ok(blocks * block_bytes),
            _ => Err(format!("stat: {text}")),
        }
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        // Without it there is nothing to remove; else the next round says what is wrong.
        let _ = fs::remove_file(&self.0);
    }
}
