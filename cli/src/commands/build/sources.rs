//! Where the build context and the Dockerfile come from.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use engine::{Context, DockerfileSource, RemoteFiles, StreamContent};

use crate::console;
use crate::report::Report;

/// No Dockerfile comes near it.
const DOCKERFILE_BYTES_MAX: u64 = 16 << 20;
/// Where a path may be standard input.
const STDIN: &str = "-";

/// Reads the arguments `PATH | URL | -` and `--file`. A directory goes before a URL of the same text.
pub(in crate::commands) fn sources(
    context: &Path,
    file: Option<PathBuf>,
) -> Result<(Context, DockerfileSource), Report> {
    let file_is_stdin = file.as_deref() == Some(Path::new(STDIN));
    if context == Path::new(STDIN) {
        if file_is_stdin {
            return Err(Report::mistake(
                "standard input cannot be both the build context and the Dockerfile",
            )
            .hint("pass a directory, or the Dockerfile as `--file PATH`"));
        }
        return from_stdin(file);
    }
    if !context.is_dir()
        && let Some(remote) = remote(&context.to_string_lossy())?
    {
        return Ok((Context::Remote(remote), dockerfile(file)?));
    }
    if !context.is_dir() && context.to_string_lossy().contains("://") {
        let message = format!("build context `{}` is not supported", context.display());
        return Err(
            Report::mistake(message).hint("pass a directory, or the URL of a file or a git repository")
        );
    }
    Ok((Context::Directory(directory(context)?), dockerfile(file)?))
}

/// What a text names elsewhere, if it is no path.
pub(super) fn remote(text: &str) -> Result<Option<RemoteFiles>, Report> {
    RemoteFiles::parse(text).map_err(|error| Report::mistake(error.to_string()))
}

/// The directory of a context, as the user means it here and now.
pub(super) fn directory(path: &Path) -> Result<PathBuf, Report> {
    std::path::absolute(path).map_err(|error| Report::file(path, &error))
}

fn dockerfile(file: Option<PathBuf>) -> Result<DockerfileSource, Report> {
    Ok(match file {
        None => DockerfileSource::Context,
        Some(path) if path == Path::new(STDIN) => DockerfileSource::Text(read_dockerfile(io::stdin())?),
        Some(path) if !path.exists() && is_url(&path) => {
            DockerfileSource::Url(path.to_string_lossy().into_owned())
        }
        Some(path) => DockerfileSource::Path(path),
    })
}

/// Whether a file is one of a web server.
fn is_url(path: &Path) -> bool {
    let text = path.to_string_lossy().to_ascii_lowercase();
    ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme))
}

/// A tar is the context, anything else the Dockerfile, as in Docker.
fn from_stdin(file: Option<PathBuf>) -> Result<(Context, DockerfileSource), Report> {
    if console::stdin_is_terminal() {
        return Err(Report::mistake(
            "a tar or a Dockerfile is expected on standard input, which is a terminal",
        )
        .hint("pass a directory, for example `.`"));
    }
    match StreamContent::detect(io::stdin()).map_err(|error| Report::file(Path::new(STDIN), &error))? {
        StreamContent::Archive(stream) => Ok((Context::Archive(stream), dockerfile(file)?)),
        StreamContent::Text(_) if file.is_some() => Err(Report::mistake(
            "ambiguous Dockerfile source: both standard input and `--file` are Dockerfiles",
        )
        .hint("pass the directory of the build context in place of `-`")),
        StreamContent::Text(text) => Ok((Context::Empty, DockerfileSource::Text(read_dockerfile(text)?))),
    }
}

fn read_dockerfile(from: impl Read) -> Result<String, Report> {
    let mut bytes = Vec::new();
    let read = from.take(DOCKERFILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| Report::file(Path::new(STDIN), &error))?;
    if bytes.len() as u64 > DOCKERFILE_BYTES_MAX {
        let message = format!("the Dockerfile on standard input is larger than {DOCKERFILE_BYTES_MAX} bytes");
        return Err(Report::mistake(message));
    }
    engine::decode_dockerfile(bytes)
        .ok_or_else(|| Report::mistake("the Dockerfile on standard input is not UTF-8 text"))
}
