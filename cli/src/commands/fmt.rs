//! `slipway fmt`.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use engine::questions::{format_dockerfile, read_dockerfile};

use crate::console;
use crate::files::{self, Durability};
use crate::report::{Exit, Report};

/// No Dockerfile comes near it.
const DOCKERFILE_BYTES_MAX: u64 = 16 << 20;
/// Where a path may be standard input.
const STDIN: &str = "-";

/// Format Dockerfiles, without changing what they build
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway fmt [OPTIONS] [FILE...]", help_template = super::HELP)]
pub(crate) struct Args {
    /// Dockerfiles to rewrite (default: "Dockerfile"), or "-" from standard input to standard output
    #[arg(value_name = "FILE", default_value = "Dockerfile", hide = true)]
    files: Vec<PathBuf>,
    /// Write nothing; list the files that are not formatted, and fail if there are any
    #[arg(long)]
    check: bool,
}

/// Formats files.
pub(crate) fn run(args: &Args) -> Result<Exit, Report> {
    let mut unformatted = String::new();
    for path in &args.files {
        if path == Path::new(STDIN) {
            let (text, formatted) = stdin()?;
            if !args.check {
                console::print(&formatted)?;
            } else if text != formatted {
                unformatted += "-\n";
            }
            continue;
        }
        let text = read_dockerfile(path)?;
        let formatted = format_dockerfile(&path.to_string_lossy(), &text)?;
        match text == formatted {
            true => {}
            false if args.check => unformatted += &format!("{}\n", path.display()),
            false => rewrite(path, &formatted)?,
        }
    }
    let written = console::print(&unformatted)?;
    Ok(if unformatted.is_empty() { written } else { Exit::Failure })
}

/// The text on standard input, and its usual form.
fn stdin() -> Result<(String, String), Report> {
    let mut text = String::new();
    let mut stdin = std::io::stdin().lock().take(DOCKERFILE_BYTES_MAX + 1);
    stdin.read_to_string(&mut text).map_err(|error| Report::file(Path::new(STDIN), &error))?;
    if text.len() as u64 > DOCKERFILE_BYTES_MAX {
        let message = format!("the Dockerfile on standard input is larger than {DOCKERFILE_BYTES_MAX} bytes");
        return Err(Report::mistake(message));
    }
    let formatted = format_dockerfile(STDIN, &text)?;
    Ok((text, formatted))
}

/// The file keeps its mode, and a link stays one.
fn rewrite(path: &Path, text: &str) -> Result<(), Report> {
    let report = |error: std::io::Error| Report::file(path, &error);
    let file = path.canonicalize().map_err(report)?;
    let mode = file.metadata().map_err(report)?.permissions().mode();
    files::replace(&file, Durability::Durable, |out| out.write_all(text.as_bytes()).map_err(report))?;
    std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).map_err(report)
}
