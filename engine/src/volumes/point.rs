//! A mount of a container as those see it who look at the container.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// An entry of `Mounts`, with the fields and the order of Docker's API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MountPoint {
    /// `bind`, `volume` or `tmpfs`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Of a volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where its files are on this machine; empty for a file system in memory.
    pub source: PathBuf,
    /// The path in the container.
    pub destination: String,
    /// Of a volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The options in the user's words.
    pub mode: String,
    /// Whether the container may write to it.
    #[serde(rename = "RW")]
    pub is_writable: bool,
    /// `rprivate` and its like; empty for a volume.
    pub propagation: String,
}
