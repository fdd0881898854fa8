//! `slipway __generate DIR`: shell completions and man pages, for packages.
//!
//! No command of the parser's: it would be in the completions itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::report::{Exit, Report};

const WORD: &str = "__generate";

/// The directory, if this is what was asked for.
pub(crate) fn requested() -> Option<PathBuf> {
    let mut words = std::env::args_os().skip(1);
    words.next().filter(|word| word == WORD).and(words.next()).map(PathBuf::from)
}

/// Writes `completions/` and `man1/` below the directory.
pub(crate) fn run(directory: &Path) -> Result<Exit, Report> {
    let report = |error: io::Error| Report::file(directory, &error);
    completions(&directory.join("completions")).map_err(report)?;
    man_pages(&directory.join("man1")).map_err(report)?;
    Ok(Exit::Success)
}

fn completions(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Arguments::command(), "slipway", directory)?;
    }
    Ok(())
}

fn man_pages(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    clap_mangen::generate_to(Arguments::command(), directory)
}
