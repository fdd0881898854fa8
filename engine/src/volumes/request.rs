//! What a user asks to be mounted, as plain data.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cache::{CacheMountError, StoreError};
use executor::Binding;
use serde::{Deserialize, Serialize};

use super::VolumeError;

/// One mount of a container, as `--volume`, `--mount` and `--tmpfs` ask for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountRequest {
    /// Absolute path in the container, without `.`, `..` and doubled slashes; not the root.
    pub target: String,
    /// Whether the container may not write to it.
    pub read_only: bool,
    /// What is mounted.
    pub source: MountSource,
    /// The options in the user's words, for those who look at the container.
    pub mode: String,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountSource {
    /// A directory or file of the host.
    Bind {
        /// Absolute.
        path: PathBuf,
        /// What to do where there is none.
        missing: Missing,
        /// What becomes of mounts below it.
        #[serde(default)]
        binding: Binding,
    },
    /// A volume.
    Volume(VolumeSource),
    /// A file system in memory.
    Tmpfs {
        /// As mount(8) takes them.
        options: String,
    },
}

/// What to do with a path of the host that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Missing {
    /// `--volume` makes a directory.
    Create,
    /// `--mount` does not.
    Refuse,
}

/// A volume of a container, made when it is first used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSource {
    /// None for an anonymous one.
    pub name: Option<String>,
    /// Its driver; empty for the one that there is.
    pub driver: String,
    /// Options of its driver, for when it is made.
    pub options: BTreeMap<String, String>,
    /// Its labels, for when it is made.
    pub labels: BTreeMap<String, String>,
    /// Whether it stays empty when it is first used, whatever the image has at the target.
    pub no_copy: bool,
    /// A directory or file in it; empty for all of it.
    pub subpath: String,
}

/// Why something cannot be mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// A `--volume` that nobody can read.
    #[error("invalid volume specification: '{text}'")]
    Specification {
        /// What was written.
        text: String,
    },
    /// A word of `--volume` that is no mode.
    #[error("invalid mode: {mode}")]
    Mode {
        /// The word.
        mode: String,
    },
    /// A target that is relative, or the root.
    #[error("invalid mount path: '{target}' {problem}")]
    TargetPath {
        /// The target.
        target: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A `--mount` that is no list of options.
    #[error("invalid argument \"{text}\" for \"--mount\" flag: {problem}")]
    Option {
        /// What was written.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An option of a file system in memory that there is not.
    #[error("invalid tmpfs option \"{option}\"")]
    TmpfsOption {
        /// The option.
        option: String,
    },
    /// Two mounts on one path.
    #[error("Duplicate mount point: {target}")]
    Duplicate {
        /// The path in the container.
        target: String,
    },
    /// A path of the host that is not there.
    #[error("invalid mount config for type \"bind\": bind source path does not exist: {}", path.display())]
    NoSource {
        /// The path.
        path: PathBuf,
    },
    /// A directory of the host that cannot be made.
    #[error("error while creating mount source path '{}'", path.display())]
    CreateSource {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A path of the host whose mounts nobody else sees, of which the container's were to be seen.
    #[error("path {} is mounted on {} but it is not a {kind} mount", path.display(), mount.display())]
    NotShared {
        /// The path.
        path: PathBuf,
        /// The mount on which it is.
        mount: PathBuf,
        /// "shared", or "shared or slave".
        kind: &'static str,
    },
    /// The volume cannot be used.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// What is in the image cannot be copied into a new volume.
    #[error("cannot copy what the image has at `{target}` into the volume")]
    Copy {
        /// The path in the image.
        target: String,
        /// The cause.
        source: CacheMountError,
    },
}

impl From<StoreError> for MountError {
    fn from(error: StoreError) -> Self {
        Self::Volume(error.into())
    }
}

/// A target as Docker cleans it.
pub(super) fn clean_target(target: &str) -> Result<String, MountError> {
    let wrong = |problem| MountError::TargetPath { target: target.to_owned(), problem };
    if !target.starts_with('/') {
        return Err(wrong("mount path must be absolute"));
    }
    let cleaned = clean(target);
    if cleaned == "/" { Err(wrong("destination can't be '/'")) } else { Ok(cleaned) }
}

/// An absolute path without `.`, `..` and doubled slashes.
pub(super) fn clean(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}
