//! How much of a log is kept, and who waits for whom.

use serde::{Deserialize, Serialize};

/// How much of a container's output is kept. The oldest goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLimits {
    /// Whether anything is kept at all.
    pub is_kept: bool,
    /// Size of one file, in bytes, after which another is begun.
    pub file_bytes_max: u64,
    /// Number of files.
    pub files_max: u32,
    /// What happens when somebody who follows is behind.
    #[serde(default)]
    pub mode: LogMode,
}

/// What happens when somebody who follows a log has not read so much of it that twice the number of files are there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogMode {
    /// The container waits, as it does for somebody who is attached.
    #[default]
    Blocking,
    /// The oldest file goes, and the reader is told.
    NonBlocking,
}

/// The same as of Docker's driver `local`, which also rotates unless told otherwise.
impl Default for LogLimits {
    fn default() -> Self {
        Self { is_kept: true, file_bytes_max: 20 << 20, files_max: 5, mode: LogMode::Blocking }
    }
}
