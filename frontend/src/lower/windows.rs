//! Paths of Windows images, as BuildKit reads them: backslashes are slashes, and there is one drive, `C:`.

use std::ops::Range;

use super::paths;
use crate::diagnostic::Diagnostic;

/// The only drive that an image has.
const DRIVE: &str = "c";

/// Why a text is no path of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PathError {
    /// The directory that a drive is in is no place.
    #[error("there is no path behind the drive of `{path}`")]
    NoPath {
        /// As written.
        path: String,
    },
    /// A file of another machine.
    #[error("`{path}` is on another machine")]
    Unc {
        /// As written.
        path: String,
    },
    /// An image has one drive.
    #[error("`{path}` is not on the drive `C:`")]
    Drive {
        /// As written.
        path: String,
    },
}

impl PathError {
    /// The finding for a path at a place.
    pub(super) fn at(&self, span: &Range<usize>) -> Box<Diagnostic> {
        let words = match self {
            Self::NoPath { path } => format!("No relative path specified in {path:?}"),
            Self::Unc { .. } => "UNC paths are not supported".to_owned(),
            Self::Drive { .. } => "The specified path is not on the system drive (C:)".to_owned(),
        };
        let words = format!("removing drive letter: {words}");
        Box::new(Diagnostic::error("InvalidPath", span.clone(), self.to_string()).with_buildkit(words))
    }
}

/// A path with slashes, cleaned and without its drive. One that names a directory by a slash at its end keeps that.
pub(super) fn path(written: &str) -> Result<String, PathError> {
    let path = || written.to_owned();
    let slashed = with_slashes(written);
    if slashed.len() == 2 && slashed.ends_with(':') {
        return Err(PathError::NoPath { path: path() });
    }
    if slashed.starts_with("//") {
        return Err(PathError::Unc { path: path() });
    }
    let on_drive = match slashed.split_once(':') {
        None => slashed.as_str(),
        Some((drive, rest)) if drive.eq_ignore_ascii_case(DRIVE) => rest,
        Some(_) => return Err(PathError::Drive { path: path() }),
    };
    if on_drive.is_empty() {
        return Ok(String::new());
    }
    let cleaned = paths::clean(on_drive);
    let keeps_slash = on_drive.ends_with('/') && !matches!(&*cleaned, "/" | ".");
    Ok(if keeps_slash { format!("{cleaned}/") } else { cleaned })
}

/// As on Linux.
pub(super) fn with_slashes(path: &str) -> String {
    path.replace('\\', "/")
}

/// As the config of an image has it.
pub(super) fn with_backslashes(path: &str) -> String {
    let directory = if path == "/" { path } else { path.trim_end_matches('/') };
    directory.replace('/', "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_their_drive() {
        for (written, expected) in [
            ("C:\\app", "/app"),
            ("c:\\a\\..\\b\\", "/b/"),
            ("c:a", "a"),
            ("\\app", "/app"),
            ("/app/", "/app/"),
            ("C:/", "/"),
            ("C:\\", "/"),
            (".\\a\\", "a/"),
            ("..", ".."),
            ("", ""),
            ("C:", "there is no path behind the drive of `C:`"),
            ("d:\\app", "`d:\\app` is not on the drive `C:`"),
            ("\\\\host\\share", "`\\\\host\\share` is on another machine"),
        ] {
            let found = path(written).unwrap_or_else(|error| error.to_string());
            assert_eq!(found, expected, "{written}");
        }
        assert_eq!(with_backslashes("/a/b"), "\\a\\b");
        assert_eq!(with_backslashes("/"), "\\");
    }
}
