//! Directories and files that a container needs as mount points, below all of its layers.
//!
//! An image rarely has `/etc/resolv.conf`, and an overlay that lacks it would have to create it in the layer that is
//! being written and take it away again. A directory that has them all, as the lowest layer, costs nothing.

use std::path::PathBuf;

use rustix::fs::{AtFlags, Mode, chmodat};

use crate::{Store, StoreError};

/// Modes as in any container: the store's own are stricter.
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o755);
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);

/// What a scaffold holds. Everything is empty; parents come before what is in them, without a slash at either end.
#[derive(Debug, Clone, Copy)]
pub struct Scaffold<'a> {
    /// Names this scaffold in the store: another content needs another name.
    pub name: &'a str,
    /// Directories, mode 0755.
    pub directories: &'a [&'a str],
    /// Files, mode 0644.
    pub files: &'a [&'a str],
}

impl Store {
    /// A directory with nothing but empty files and directories, made once for the store, as the lowest layer of
    /// an overlay. It never changes. Belongs to the user 0 of the store's owner.
    pub fn scaffold(&self, scaffold: &Scaffold<'_>) -> Result<PathBuf, StoreError> {
        let name = format!("scaffold/{}", scaffold.name);
        if !self.disk().exists(&name)? {
            self.make_scaffold(scaffold, &name)?;
        }
        Ok(self.disk().path(&name))
    }

    fn make_scaffold(&self, scaffold: &Scaffold<'_>, name: &str) -> Result<(), StoreError> {
        let session = self.session()?;
        let staged = session.next_name();
        let made = self.fill_scaffold(scaffold, &staged).and_then(|()| self.disk().rename(&staged, name));
        if made.is_err() {
            session.discard(&staged);
        }
        match made {
            // Another process was faster.
            Err(_) if self.disk().exists(name)? => Ok(()),
            made => made,
        }
    }

    fn fill_scaffold(&self, scaffold: &Scaffold<'_>, root: &str) -> Result<(), StoreError> {
        let path = |name: &&str| format!("{root}/{name}");
        for directory in [root.to_owned()].into_iter().chain(scaffold.directories.iter().map(path)) {
            self.disk().make_dir(&directory)?;
            self.set_mode(&directory, DIRECTORY_MODE)?;
        }
        for file in scaffold.files.iter().map(path) {
            self.disk().create(&file)?;
            self.set_mode(&file, FILE_MODE)?;
        }
        Ok(())
    }

    fn set_mode(&self, name: &str, mode: Mode) -> Result<(), StoreError> {
        chmodat(self.disk().fd(), name, mode, AtFlags::empty())
            .map_err(|error| self.disk().write_error(name, error))
    }
}
