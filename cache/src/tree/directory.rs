//! A directory of one tree as a directory of its own.

use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::select::{Item, not_found, resolve};
use super::{Action, Landing, Selection, Source, Target, TreeError, build};
use crate::layer::attributes::Attributes;
use crate::layer::read::text;

/// Copies what is in the directory `path` of a tree that does not change into an empty directory. Returns what the directory
/// itself has, for the caller to give to the copy.
///
/// # Errors
///
/// [`TreeError::NotFound`] and [`TreeError::NoDirectory`] when there is none; whatever keeps a file from being copied.
pub(crate) fn copy_directory(
    root: BorrowedFd<'_>,
    path: &Path,
    into: BorrowedFd<'_>,
) -> Result<Attributes, TreeError> {
    let source = Source::Directory(root);
    let written = path.as_os_str().as_bytes();
    let (resolved, found) = resolve(source, written)?.ok_or_else(|| not_found(written))?;
    if !found.is_directory() {
        return Err(TreeError::NoDirectory { path: text(written) });
    }
    let item = Item { path: resolved, found, name: Vec::new(), parents: Vec::new(), batch: 0 };
    let selection = Selection { source, landing: Landing::default(), items: vec![item] };
    let action = Action::Copy { selection: &selection, destination: "/" };
    build(&Target { layer: into, base: None, mtime: None }, &[action])?;
    Ok(selection.attributes(&selection.items[0].found))
}
