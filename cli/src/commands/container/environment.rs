//! `--env` and `--env-file`.

use std::env;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::report::Report;

/// No file of variables comes near it.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// All variables in order: those of the files first, so that those of the command line win.
pub(super) fn read(files: &[PathBuf], texts: &[String]) -> Result<Vec<(String, String)>, Report> {
    let mut variables = Vec::new();
    for path in files {
        variables.extend(parse_file(path, &read_file(path)?)?);
    }
    for text in texts {
        variables.extend(variable(text)?);
    }
    Ok(variables)
}

fn read_file(path: &Path) -> Result<String, Report> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| Report::file(path, &error))?;
    let mut file = file.take(FILE_BYTES_MAX + 1);
    file.read_to_string(&mut text).map_err(|error| Report::file(path, &error))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(Report::mistake(format!("`{}` is larger than {FILE_BYTES_MAX} bytes", path.display())));
    }
    Ok(text)
}

/// The lines of files that are neither blank nor comments.
pub(super) fn lines(files: &[PathBuf]) -> Result<Vec<String>, Report> {
    let mut lines = Vec::new();
    for path in files {
        let text = read_file(path)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let kept =
            text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.extend(kept.map(str::to_owned));
    }
    Ok(lines)
}

/// A line is `NAME=VALUE` with the value as it is, or `NAME`; blank lines and those that begin with `#` are not.
fn parse_file(path: &Path, text: &str) -> Result<Vec<(String, String)>, Report> {
    let mut variables = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |problem: &str| {
            Report::mistake(format!(
                "`{}`, line {}: poorly formatted environment: {problem}",
                path.display(),
                index + 1
            ))
        };
        let name = line.split('=').next().unwrap_or(line);
        if name.is_empty() {
            return Err(wrong("no variable name"));
        }
        if name.trim_end() != name && line.contains('=') || name.trim_end().contains([' ', '\t']) {
            return Err(wrong(&format!("variable `{name}` contains white space")));
        }
        variables.extend(variable(line)?);
    }
    Ok(variables)
}

/// `NAME=VALUE`, or `NAME` for the value of the environment, if it has one.
fn variable(text: &str) -> Result<Option<(String, String)>, Report> {
    match text.split_once('=') {
        Some(("", _)) => Err(Report::mistake(format!("invalid environment variable: `{text}`"))),
        Some((name, value)) => Ok(Some((name.to_owned(), value.to_owned()))),
        None if text.trim().is_empty() => {
            Err(Report::mistake("invalid environment variable: its name is empty"))
        }
        None => match env::var(text.trim_end()) {
            Ok(value) => Ok(Some((text.trim_end().to_owned(), value))),
            Err(env::VarError::NotPresent) => Ok(None),
            Err(env::VarError::NotUnicode(_)) => {
                Err(Report::mistake(format!("the value of `{text}` in the environment is not UTF-8")))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
        parse_file(Path::new("file"), text).map_err(|report| report.text())
    }

    #[test]
    fn a_file_has_a_variable_a_line() {
        let variables =
            parse("\u{feff}# comment\n\n  A=1 # not a comment\nB=\nC = x\n".replace("C = x\n", "").as_str());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(variables, Ok(vec![pair("A", "1 # not a comment"), pair("B", "")]));
        assert_eq!(parse("SLIPWAY_SURELY_NOT_SET\n"), Ok(Vec::new()));
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        insta::assert_snapshot!(parse("A=1\nB C=2").unwrap_err(), @"ERROR: `file`, line 2: poorly formatted environment: variable `B C` contains white space");
        insta::assert_snapshot!(parse("C = 1").unwrap_err(), @"ERROR: `file`, line 1: poorly formatted environment: variable `C ` contains white space");
        insta::assert_snapshot!(parse("=1").unwrap_err(), @"ERROR: `file`, line 1: poorly formatted environment: no variable name");
    }
}
