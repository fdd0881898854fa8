//! Where things are.

use std::env;
use std::path::{Path, PathBuf};

/// The directory of the workspace's `Cargo.toml`.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lives in a directory of the workspace")
}

/// Cargo's target directory: `CARGO_TARGET_DIR`, or `target` in the workspace.
///
/// A relative path is meant from the current directory, as Cargo reads it.
pub(crate) fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(directory) if !directory.is_empty() => {
            std::path::absolute(&directory).unwrap_or_else(|_| directory.into())
        }
        _ => root().join("target"),
    }
}
