//! Under the names of other builders: their arguments become ours, and what has no counterpart is named.

mod buildah;
mod buildctl;
mod buildkitd;
mod flags;
mod kaniko;

use std::ffi::OsString;
use std::path::Path;

use crate::arguments::{self, Arguments};
use crate::commands;
use crate::console;
use crate::report::{Exit, Report};

/// What arguments of another builder come to.
#[derive(Debug, Default)]
struct Translated {
    /// Our own words, without the name of the program.
    words: Vec<String>,
    /// Flags without a counterpart, which change nothing in the image.
    ignored: Vec<String>,
    /// What is written afterwards.
    digests: Option<kaniko::DigestFiles>,
}

/// Runs as the builder whose name this process was started under; none when that is our own.
pub(crate) fn run() -> Option<Exit> {
    let mut words = std::env::args_os();
    let name = words.next()?;
    let name = Path::new(&name).file_name()?.to_str()?.to_owned();
    let run: fn(&[String]) -> Result<Exit, Report> = match name.as_str() {
        "executor" => |words| build("executor", kaniko::translate(words)?),
        "buildah" => |words| build("buildah", buildah::translate(words)?),
        "buildctl" => buildctl::run,
        "buildkitd" => buildkitd::run,
        _ => return None,
    };
    let result = texts(words).and_then(|words| run(&words));
    Some(result.unwrap_or_else(|report| report.print()))
}

fn texts(words: impl Iterator<Item = OsString>) -> Result<Vec<String>, Report> {
    let text = |word: OsString| {
        word.into_string().map_err(|word| Report::mistake(format!("`{}` is no text", word.to_string_lossy())))
    };
    words.map(text).collect()
}

/// Says what of another builder's arguments counts for nothing.
fn tell_ignored(name: &str, ignored: &[String]) {
    if !ignored.is_empty() {
        console::print_error(&format!("slipway as {name} ignores {}\n", ignored.join(", ")));
    }
}

fn build(name: &str, translated: Translated) -> Result<Exit, Report> {
    let Translated { words, ignored, digests } = translated;
    tell_ignored(name, &ignored);
    let words = std::iter::once("slipway".to_owned()).chain(words).map(OsString::from).collect();
    let arguments = match Arguments::of(words) {
        Ok(arguments) => arguments,
        Err(error) => return Ok(arguments::print(&error)),
    };
    let exit = commands::run(arguments)?;
    match digests {
        Some(digests) if exit == Exit::Success => digests.write().map(|()| exit),
        _ => Ok(exit),
    }
}
