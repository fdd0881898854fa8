//! How fast a container can write, and whether all of it is kept.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::super::{Amount, Finding};
use super::CONTAINER;
use crate::base;
use crate::builder::{Runner, Setup};
use crate::error::Error;
use crate::process;

/// As a log has them.
const LINE_BYTES: usize = 100;
const LINES: usize = 5_000_000;
/// 200 MB in each second.
const MOST: Amount = Amount::Time(Duration::from_millis((LINES * LINE_BYTES) as u64 / 200_000));
/// More than all of it takes in any format: nothing of it goes because a file is full.
const FILE_SIZE_MAX: &str = "max-size=4g";

pub(super) fn measure(runner: &dyn Runner, setup: &Setup) -> Result<Vec<Finding>, Error> {
    let lines = lines(&setup.directory)?;
    let (megabytes, title) = (LINES * LINE_BYTES / 1_000_000, runner.title().to_owned());
    rustix::fs::sync();
    let begin = Instant::now();
    process::run(&mut writer(runner, &lines))?;
    process::run(runner.command().args(["wait", CONTAINER]))?;
    let written =
        Finding::time(format!("{megabytes} MB from a container to its log, {title}"), begin.elapsed());
    let begin = Instant::now();
    require_whole(&mut logs(runner, "--since=0"), &lines)?;
    let read = Finding::time(format!("the same read with `logs`, {title}"), begin.elapsed());
    process::run(runner.command().args(["rm", CONTAINER]))?;
    let is_ours = title.starts_with("slipway");
    let mut findings = vec![if is_ours { written.at_most(MOST) } else { written }, read];
    if is_ours {
        process::run(&mut writer(runner, &lines))?;
        let begin = Instant::now();
        require_whole(&mut logs(runner, "--follow"), &lines)?;
        findings.push(Finding::time("the same read with `logs -f` while it is written", begin.elapsed()));
        process::run(runner.command().args(["rm", CONTAINER]))?;
    }
    Ok(findings)
}

/// A file of lines, each with its number.
fn lines(directory: &Path) -> Result<PathBuf, Error> {
    let path = directory.join("lines");
    if path.exists() {
        return Ok(path);
    }
    let mut file = std::io::BufWriter::new(File::create(&path).map_err(Error::at(&path))?);
    let width = LINE_BYTES - 1;
    (0..LINES).try_for_each(|line| writeln!(file, "{line:width$}")).map_err(Error::at(&path))?;
    file.flush().map_err(Error::at(&path))?;
    Ok(path)
}

fn writer(runner: &dyn Runner, lines: &Path) -> Command {
    let mut command = runner.command();
    command.args(["run", "-d", "--name", CONTAINER, "--network", "host", "--log-opt", FILE_SIZE_MAX]);
    command.arg("--volume").arg(format!("{}:/lines:ro", lines.display()));
    command.args([base::NAME, "cat", "/lines"]);
    command
}

fn logs(runner: &dyn Runner, how: &str) -> Command {
    let mut command = runner.command();
    command.args(["logs", how, CONTAINER]);
    command
}

/// Reads what a command writes, which shall be the lines and nothing else.
fn require_whole(command: &mut Command, lines: &Path) -> Result<(), Error> {
    let copy = lines.with_extension("copy");
    let file = File::create(&copy).map_err(Error::at(&copy))?;
    let status = command.stdin(Stdio::null()).stdout(file).status();
    let status = status.map_err(|source| Error::Start { command: "logs".to_owned(), source })?;
    let mut compare = Command::new("cmp");
    compare.arg(lines).arg(&copy);
    if !status.success() {
        return Err(Error::Status { command: "logs".to_owned(), status, output: String::new() });
    }
    process::run(&mut compare)?;
    fs::remove_file(&copy).map_err(Error::at(&copy))
}
