//! As much of Markdown as the project's documents use.

use std::fs;
use std::path::{Path, PathBuf};

/// The directory of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lives in a directory of the workspace")
}

/// The text of a file, given its path in the workspace.
pub(crate) fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents: those in the workspace's root and everything in `docs`.
pub(crate) fn documents() -> Vec<PathBuf> {
    let is_document = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    let in_directory = |directory: PathBuf| {
        let entries =
            fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        entries.map(|entry| entry.expect("a directory can be read to its end").path()).filter(is_document)
    };
    let mut all: Vec<_> = in_directory(root().to_owned()).chain(in_directory(root().join("docs"))).collect();
    all.sort();
    all
}

/// The table whose header holds all of `columns`: its header and its rows, cell by cell.
pub(crate) fn table(text: &str, columns: &[&str]) -> Vec<Vec<String>> {
    let lines: Vec<_> = text.lines().collect();
    let is_header = |line: &str| {
        let cells = cells(line);
        columns.iter().all(|column| cells.iter().any(|cell| cell == column))
    };
    let start = lines.iter().position(|line| line.starts_with('|') && is_header(line));
    let start = start.unwrap_or_else(|| panic!("no table has the columns {columns:?}"));
    let rows = lines[start..].iter().take_while(|line| line.starts_with('|'));
    // The second line only draws the rule below the header.
    rows.enumerate().filter(|(at, _)| *at != 1).map(|(_, line)| cells(line)).collect()
}

fn cells(line: &str) -> Vec<String> {
    line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// The lines outside of fenced blocks, without what stands between backticks.
pub(crate) fn prose(text: &str) -> String {
    let mut fenced = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            prose.extend(line.split('`').step_by(2));
            prose.push('\n');
        }
    }
    prose
}

/// The lines inside of fenced blocks, in order.
pub(crate) fn fenced_lines(text: &str) -> Vec<&str> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            lines.push(line);
        }
    }
    lines
}
