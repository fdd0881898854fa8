//! Names of containers, and what they mean.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::{CONTAINERS, Home, NAMES, NEW, file};
use crate::containers::error::ContainerError;
use crate::containers::name::ID_DIGITS;

/// How often a name is tried for that somebody else is about to give back.
const NAME_ATTEMPTS_MAX: u32 = 16;

impl Home {
    /// Makes the name mean this container.
    pub(crate) fn take_name(&self, name: &str) -> Result<(), ContainerError> {
        let link = self.root.join(NAMES).join(name);
        for _ in 0..NAME_ATTEMPTS_MAX {
            match symlink(&self.id, &link) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => return result.map_err(|source| file(&link, source)),
            }
            let Some(id) = named(&self.root, name) else { continue };
            if Self::new(&self.root, &id).is_there() {
                return Err(ContainerError::NameInUse { name: name.to_owned(), id });
            }
            // Its container is gone: whoever removed it was killed before it came to this.
            let _ = fs::remove_file(&link);
        }
        Err(ContainerError::NameInUse { name: name.to_owned(), id: "unknown".to_owned() })
    }

    /// Gives a name back, if it means this container.
    pub(crate) fn drop_name(&self, name: &str) {
        if named(&self.root, name).is_some_and(|id| id == self.id) {
            // The only error is that it is gone already.
            let _ = fs::remove_file(self.root.join(NAMES).join(name));
        }
    }

    /// Whether the container is there, or about to be.
    fn is_there(&self) -> bool {
        let staged = self.root.join(CONTAINERS).join(format!("{NEW}{}", self.id));
        staged.exists() || self.path.exists()
    }
}

/// The container of a name, an id or the beginning of one, in this order.
pub(crate) fn find(root: &Path, text: &str) -> Result<Home, ContainerError> {
    let no_such_container = || ContainerError::NoSuchContainer { name: text.to_owned() };
    let name = text.strip_prefix('/').unwrap_or(text);
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(no_such_container());
    }
    let is_there = |id: &str| Home::new(root, id).path.is_dir();
    if name.len() == ID_DIGITS && is_there(name) {
        return Ok(Home::new(root, name));
    }
    if let Some(id) = named(root, name).filter(|id| is_there(id)) {
        return Ok(Home::new(root, &id));
    }
    let candidates: Vec<String> = Home::all(root)?.into_iter().filter(|id| id.starts_with(name)).collect();
    match candidates.as_slice() {
        [] => Err(no_such_container()),
        [id] => Ok(Home::new(root, id)),
        _ => Err(ContainerError::Ambiguous { prefix: text.to_owned() }),
    }
}

/// The container that a name means.
pub(crate) fn named(root: &Path, name: &str) -> Option<String> {
    let id = fs::read_link(root.join(NAMES).join(name)).ok()?;
    id.into_os_string().into_string().ok()
}

/// The name that means a container, for one that cannot say so itself.
pub(crate) fn name_of(root: &Path, id: &str) -> Option<String> {
    let entries = fs::read_dir(root.join(NAMES)).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.into_iter().find(|name| named(root, name).as_deref() == Some(id))
}
