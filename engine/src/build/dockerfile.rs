//! Reads the Dockerfile and its ignore file.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::context::{ContextRoot, IgnoreText};
use crate::{BuildError, BuildRequest, DockerfileSource};

/// No Dockerfile that a person or a program writes comes near it.
const DOCKERFILE_BYTES_MAX: u64 = 16 << 20;
/// The same for ignore files.
const IGNORE_FILE_BYTES_MAX: u64 = 16 << 20;

/// A Dockerfile's text and where it is from.
pub(super) struct Source {
    /// As diagnostics name it.
    pub(super) name: String,
    pub(super) text: String,
    /// Its path, unless it came as text.
    pub(super) path: Option<PathBuf>,
}

/// Reads the Dockerfile of a build; `fetched` is the text of one that came from a web server.
pub(super) fn read(
    request: &BuildRequest,
    context: &ContextRoot,
    fetched: Option<&str>,
) -> Result<Source, BuildError> {
    if context.is_own() {
        check_directory(context.path())?;
    }
    let path = match &request.dockerfile {
        DockerfileSource::Text(text) => {
            return Ok(Source { name: "Dockerfile".to_owned(), text: text.clone(), path: None });
        }
        DockerfileSource::Graph(given) => {
            let (name, text) = given.source.clone().unwrap_or_default();
            return Ok(Source { name, text, path: None });
        }
        DockerfileSource::Url(_) => {
            let text = fetched.expect("a Dockerfile of a web server is fetched before it is read").to_owned();
            return Ok(Source { name: "Dockerfile".to_owned(), text, path: None });
        }
        DockerfileSource::Path(path) => path.clone(),
        DockerfileSource::Context => in_context(context),
    };
    let text = read_lenient(context.open(&path), &path)?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Ok(Source { name, text, path: Some(path) })
}

/// The text of a Dockerfile that has been fetched; errors call it `name`.
pub(super) fn read_fetched(opened: io::Result<File>, name: &str) -> Result<String, BuildError> {
    read_lenient(opened, Path::new(name))
}

/// The text of a Dockerfile that is to be built.
fn read_lenient(opened: io::Result<File>, path: &Path) -> Result<String, BuildError> {
    let bytes = read_bytes(opened, path, DOCKERFILE_BYTES_MAX)?;
    let bytes = bytes.ok_or_else(|| BuildError::NoDockerfile { path: path.to_owned() })?;
    frontend::decode(bytes).ok_or_else(|| BuildError::NotUtf8 { path: path.to_owned(), offset: 0 })
}

/// The text of the Dockerfile at a path, to the byte.
pub(super) fn read_path(path: &Path) -> Result<String, BuildError> {
    let text = read_text(File::open(path), path, DOCKERFILE_BYTES_MAX)?;
    text.ok_or_else(|| BuildError::NoDockerfile { path: path.to_owned() })
}

/// A context that is no directory is told before anything else.
pub(super) fn check_directory(path: &Path) -> Result<(), BuildError> {
    if path.is_dir() { Ok(()) } else { Err(BuildError::NoContext { path: path.to_owned() }) }
}

/// Docker takes `dockerfile` where there is no `Dockerfile`.
fn in_context(context: &ContextRoot) -> PathBuf {
    if let Some(only) = context.dockerfile() {
        return PathBuf::from(only);
    }
    let [usual, lower] = ["Dockerfile", "dockerfile"].map(|name| context.place(Path::new(name)));
    let is_there = |path: &PathBuf| context.open(path).is_ok();
    if !is_there(&usual) && is_there(&lower) { lower } else { usual }
}

/// `NAME.dockerignore` beside the Dockerfile goes before `.dockerignore` in the context.
pub(super) fn read_ignore_file(
    context: &Path,
    source: Option<&Source>,
) -> Result<Option<IgnoreText>, BuildError> {
    let beside = source.and_then(|source| source.path.as_ref()).map(|path| {
        let mut name = path.clone().into_os_string();
        name.push(".dockerignore");
        PathBuf::from(name)
    });
    for path in beside.into_iter().chain([context.join(".dockerignore")]) {
        if let Some(text) = read_text(File::open(&path), &path, IGNORE_FILE_BYTES_MAX)? {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
            return Ok(Some(IgnoreText { name, text }));
        }
    }
    Ok(None)
}

/// The text of a file; none when there is no such file.
fn read_text(
    opened: io::Result<File>,
    path: &Path,
    size_bytes_max: u64,
) -> Result<Option<String>, BuildError> {
    let Some(bytes) = read_bytes(opened, path, size_bytes_max)? else { return Ok(None) };
    String::from_utf8(bytes).map(Some).map_err(|error| BuildError::NotUtf8 {
        path: path.to_owned(),
        offset: error.utf8_error().valid_up_to(),
    })
}

/// The bytes of a file; none when there is no such file.
fn read_bytes(
    opened: io::Result<File>,
    path: &Path,
    size_bytes_max: u64,
) -> Result<Option<Vec<u8>>, BuildError> {
    let read_error = |source| BuildError::Read { path: path.to_owned(), source };
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(None),
        Err(error) => return Err(read_error(error)),
    };
    let mut bytes = Vec::new();
    file.take(size_bytes_max + 1).read_to_end(&mut bytes).map_err(read_error)?;
    if bytes.len() as u64 > size_bytes_max {
        return Err(BuildError::TooLarge { path: path.to_owned(), size_bytes_max });
    }
    Ok(Some(bytes))
}
