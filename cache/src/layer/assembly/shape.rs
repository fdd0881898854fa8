//! What the layer and its base have where.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType};

use super::{Assembly, Directory, Existing, Kind, NodeId, PlaceError, Result, Shared, Target, path_of};
use crate::layer::attributes::{Attributes, attributes_of, is_overlay_xattr};
use crate::layer::make::MakeError;
use crate::layer::read::text;
use crate::layer::xattr;

impl Assembly<'_, '_> {
    /// What `name` is in `directory`, in the layer or below it.
    pub(super) fn look_up(&mut self, directory: NodeId, name: &[u8]) -> Result<Option<NodeId>> {
        let Some(known) = self.directory_of(directory) else { return Ok(None) };
        if let Some(child) = known.children.get(name) {
            return Ok(Some(*child));
        }
        match known.is_in_base {
            true => self.look_up_in_base(directory, name),
            false => Ok(None),
        }
    }

    fn look_up_in_base(&mut self, directory: NodeId, name: &[u8]) -> Result<Option<NodeId>> {
        let descriptor = self.base_descriptor(directory)?;
        let stat = match rustix::fs::statat(&*descriptor, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(source) => return Err(self.base_error(directory, name, source.into())),
            Ok(stat) => stat,
        };
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                Kind::Directory(Box::new(Directory { is_in_base: true, ..Directory::default() }))
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&*descriptor, name, Vec::new())
                    .map_err(|source| self.base_error(directory, name, source.into()))?;
                Kind::Symlink(Arc::from(target.as_bytes()))
            }
            // A single layer is its own view, with its whiteouts in it.
            FileType::CharacterDevice if stat.st_rdev == 0 => return Ok(None),
            FileType::RegularFile => {
                Kind::File(Shared(stat.st_uid, stat.st_gid, stat.st_mode & 0o7777, None))
            }
            _ => Kind::Other,
        };
        Ok(Some(self.add(directory, name, kind, false)))
    }

    pub(super) fn base_error(&self, directory: NodeId, name: &[u8], source: std::io::Error) -> PlaceError {
        let path = if name.is_empty() { self.path(directory) } else { self.path_in(directory, name) };
        PlaceError::Base { path: text(&path), source }
    }

    /// The open base directory that lies below `directory`.
    pub(super) fn base_descriptor(&mut self, directory: NodeId) -> Result<Arc<OwnedFd>> {
        let base = self.base.expect("only a directory of the base is looked up there");
        let nodes = &self.nodes;
        let opened = self.in_base.get(directory.0, base, || path_of(nodes, directory));
        opened.map_err(|source| self.base_error(directory, b"", source))
    }

    /// The open layer directory.
    pub(super) fn descriptor(&mut self, directory: NodeId) -> Result<Arc<OwnedFd>> {
        let nodes = &self.nodes;
        let Target::Directory(on_disk) = &mut self.target else { return Err(PlaceError::Unplanned) };
        on_disk.open.get(directory.0, on_disk.root, || path_of(nodes, directory)).map_err(|source| {
            MakeError::Write { path: text(&path_of(nodes, directory)), call: "openat2", source }.into()
        })
    }

    /// What stands at `name` in `directory`; whiteouts count as nothing.
    pub(crate) fn existing(&mut self, directory: NodeId, name: &[u8]) -> Result<Option<Existing>> {
        let Some(id) = self.look_up(directory, name)? else { return Ok(None) };
        Ok(match self.node(id).kind {
            Kind::Directory(_) => Some(Existing::Directory(id)),
            Kind::Symlink(_) => Some(Existing::Symlink(id)),
            Kind::Whiteout | Kind::Gone => None,
            Kind::File(_) | Kind::Other => Some(Existing::Other(id)),
        })
    }

    /// All names in a directory, in the layer and below it, sorted.
    pub(crate) fn names(&mut self, directory: NodeId) -> Result<Vec<Vec<u8>>> {
        let Some(known) = self.directory_of(directory) else { return Ok(Vec::new()) };
        let mut names: BTreeSet<Vec<u8>> = known.children.keys().map(|name| name.to_vec()).collect();
        if known.is_in_base {
            let descriptor = self.base_descriptor(directory)?;
            let failed = |error: rustix::io::Errno| self.base_error(directory, b"", error.into());
            let entries = rustix::fs::Dir::read_from(&*descriptor).map_err(failed)?;
            for entry in entries {
                let entry = entry.map_err(failed)?;
                names.insert(entry.file_name().to_bytes().to_vec());
            }
        }
        names.retain(|name| !matches!(name.as_slice(), b"." | b".."));
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            if self.existing(directory, &name)?.is_some() {
                found.push(name);
            }
        }
        Ok(found)
    }

    pub(super) fn base_attributes(&mut self, directory: NodeId) -> Result<Attributes> {
        let descriptor = self.base_descriptor(directory)?;
        let failed = |error: rustix::io::Errno| self.base_error(directory, b"", error.into());
        let stat = rustix::fs::fstat(&*descriptor).map_err(failed)?;
        let mut xattrs = xattr::of_descriptor(descriptor.as_fd()).map_err(failed)?;
        xattrs.retain(|(name, _)| !is_overlay_xattr(name));
        Ok(attributes_of(&stat, xattrs))
    }
}
