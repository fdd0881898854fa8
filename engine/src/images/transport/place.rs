//! Where an image is, in the words of skopeo(1).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use image::{Reference, ReferenceError};

/// Where an image is, or is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The store: a name, or an id (`NAME`).
    Store(String),
    /// A registry (`docker://NAME`).
    Registry(Reference),
    /// A directory that is an OCI layout (`oci:PATH[:TAG]`).
    Layout {
        /// The directory.
        path: PathBuf,
        /// Which image; none for `latest`, or the only one.
        tag: Option<String>,
    },
    /// A layout as a tar (`oci-archive:PATH[:TAG]`).
    OciArchive {
        /// The file.
        path: PathBuf,
        /// Which image; none for `latest`, or the only one.
        tag: Option<String>,
    },
    /// An archive of Docker's (`docker-archive:PATH[:NAME]`).
    DockerArchive {
        /// The file.
        path: PathBuf,
        /// Which image; none for the only one.
        name: Option<Reference>,
    },
    /// A Docker daemon on this machine (`docker-daemon:NAME`).
    Daemon(Reference),
    /// The store of Podman and Buildah (`containers-storage:NAME`).
    Containers(Reference),
}

/// Why a text is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// The name of an image.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// A place without a path or a name.
    #[error("`{text}` says nothing after the colon")]
    Empty {
        /// The text.
        text: String,
    },
    /// Somebody else's place.
    #[error(
        "`{transport}:` is no place that slipway knows, expected one of docker://, oci:, oci-archive:, docker-archive:, docker-daemon:, containers-storage:"
    )]
    Transport {
        /// What is before the colon.
        transport: String,
    },
}

/// Places of skopeo that are none here.
const UNKNOWN: [&str; 5] = ["dir", "sif", "tarball", "ostree", "atomic"];

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let Some((transport, rest)) = text.split_once(':') else { return Self::store(text) };
        if rest.is_empty() {
            return Err(PlaceError::Empty { text: text.to_owned() });
        }
        let with_tag = || {
            let (path, tag) = path_and(rest);
            (PathBuf::from(path), tag.map(str::to_owned))
        };
        match transport {
            "docker" => match rest.strip_prefix("//") {
                Some(name) => Ok(Self::Registry(name.parse()?)),
                None => Self::store(text),
            },
            "oci" => {
                let (path, tag) = with_tag();
                Ok(Self::Layout { path, tag })
            }
            "oci-archive" => {
                let (path, tag) = with_tag();
                Ok(Self::OciArchive { path, tag })
            }
            "docker-archive" => {
                let (path, name) = path_and(rest);
                let name = name.map(str::parse).transpose()?;
                Ok(Self::DockerArchive { path: path.into(), name })
            }
            "docker-daemon" => Ok(Self::Daemon(rest.parse()?)),
            "containers-storage" => Ok(Self::Containers(rest.parse()?)),
            other if UNKNOWN.contains(&other) => Err(PlaceError::Transport { transport: other.to_owned() }),
            _ => Self::store(text),
        }
    }
}

impl Place {
    fn store(text: &str) -> Result<Self, PlaceError> {
        // An id is a name as well, by its letters.
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        hex.parse::<Reference>()?;
        Ok(Self::Store(text.to_owned()))
    }
}

/// A path, and what is after its first colon.
fn path_and(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((path, rest)) if !rest.is_empty() => (path, Some(rest)),
        Some((path, _)) => (path, None),
        None => (text, None),
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = |it: &Option<String>| it.as_ref().map(|it| format!(":{it}")).unwrap_or_default();
        match self {
            Self::Store(name) => f.write_str(name),
            Self::Registry(name) => write!(f, "docker://{}", name.familiar()),
            Self::Layout { path, tag } => write!(f, "oci:{}{}", path.display(), after(tag)),
            Self::OciArchive { path, tag } => write!(f, "oci-archive:{}{}", path.display(), after(tag)),
            Self::DockerArchive { path, name } => {
                let name = name.as_ref().map(Reference::familiar);
                write!(f, "docker-archive:{}{}", path.display(), after(&name))
            }
            Self::Daemon(name) => write!(f, "docker-daemon:{}", name.familiar()),
            Self::Containers(name) => write!(f, "containers-storage:{}", name.familiar()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_as_for_skopeo() {
        let shown = |text: &str| match text.parse::<Place>() {
            Ok(place) => {
                format!("{place} {place:?}").split(['(', '{']).next().unwrap_or_default().trim().to_owned()
            }
            Err(error) => error.to_string(),
        };
        let texts = [
            "app",
            "localhost:5000/app:1",
            "docker://app",
            "oci:/a/b",
            "oci:b:1.0",
            "oci-archive:a.tar:x",
            "docker-archive:a.tar:app:1",
            "docker-daemon:app:1",
            "containers-storage:app",
            "dir:/a",
            "oci:",
            "A",
        ];
        insta::assert_snapshot!(texts.map(shown).join("\n"), @"
        app Store
        localhost:5000/app:1 Store
        docker://app:latest Registry
        oci:/a/b Layout
        oci:b:1.0 Layout
        oci-archive:a.tar:x OciArchive
        docker-archive:a.tar:app:1 DockerArchive
        docker-daemon:app:1 Daemon
        containers-storage:app:latest Containers
        `dir:` is no place that slipway knows, expected one of docker://, oci:, oci-archive:, docker-archive:, docker-daemon:, containers-storage:
        `oci:` says nothing after the colon
        invalid reference format: repository name `library/A` must be lowercase
        ");
    }
}
