//! Puts files into the layer.

use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType};

use super::plan::PlannedContent;
use super::{Assembly, Directory, Existing, Kind, NodeId, PlaceError, Result, Shared};
use crate::layer::attributes::{Attributes, attributes_of};
use crate::layer::limits::PATH_BYTES_MAX;
use crate::layer::make::{self, Place};
use crate::layer::read::text;
use crate::layer::source::CopySource;
use crate::layer::work::{Content, Job};

impl Assembly<'_, '_> {
    /// Makes the directory exist in the layer; one of the base is copied up with its attributes.
    fn ensure_in_layer(&mut self, directory: NodeId) -> Result<()> {
        if self.node(directory).is_in_layer {
            return Ok(());
        }
        self.ensure_in_layer(self.node(directory).parent)?;
        let attributes = self.base_attributes(directory)?;
        self.create_directory(directory, attributes)
    }

    fn create_directory(&mut self, directory: NodeId, attributes: Attributes) -> Result<()> {
        let path = self.checked_path(directory)?;
        if !self.is_planned() {
            let parent = self.descriptor(self.node(directory).parent)?;
            let name = Arc::clone(&self.node(directory).name);
            make::make_directory(
                Place { directory: parent.as_fd(), name: &name, path: &path },
                attributes.mode,
            )?;
        }
        self.node_mut(directory).is_in_layer = true;
        self.directory_mut(directory).attributes = Some(attributes);
        Ok(())
    }

    fn checked_path(&self, node: NodeId) -> Result<Vec<u8>> {
        let path = self.path(node);
        match path.len() > PATH_BYTES_MAX {
            true => Err(PlaceError::PathTooLong { path: text(&path) }),
            false => Ok(path),
        }
    }

    /// Makes a directory, or gives the one that is there other attributes. Replaces anything else.
    pub(crate) fn make_directory(
        &mut self,
        parent: NodeId,
        name: &[u8],
        attributes: Attributes,
    ) -> Result<NodeId> {
        if let Some(Existing::Directory(known)) = self.existing(parent, name)? {
            if self.node(known).is_in_layer {
                self.directory_mut(known).attributes = Some(attributes);
            } else {
                self.ensure_in_layer(parent)?;
                self.create_directory(known, attributes)?;
            }
            return Ok(known);
        }
        let must_hide = self.clear(parent, name)?;
        let directory = Directory { is_opaque: must_hide, ..Directory::default() };
        let made = self.add(parent, name, Kind::Directory(Box::new(directory)), false);
        self.create_directory(made, attributes)?;
        Ok(made)
    }

    /// Makes the directory hide what layers below have in it.
    pub(crate) fn set_opaque(&mut self, directory: NodeId) -> Result<()> {
        self.ensure_in_layer(directory)?;
        self.directory_mut(directory).is_opaque = true;
        Ok(())
    }

    /// Makes room for a new file called `name`: the directory exists in the layer afterwards, the name does
    /// not. Returns whether a new directory there has something of the base to hide.
    fn clear(&mut self, parent: NodeId, name: &[u8]) -> Result<bool> {
        self.ensure_in_layer(parent)?;
        let Some(old) = self.look_up(parent, name)? else { return Ok(false) };
        let node = self.node(old);
        let hides = match &node.kind {
            Kind::Directory(directory) => directory.is_in_base || directory.is_opaque,
            Kind::Whiteout => true,
            _ => node.covers_directory,
        };
        if node.is_in_layer {
            // A job may still be on its way to making the file that is to be removed.
            self.barrier()?;
            self.remove(old)?;
        }
        self.node_mut(old).kind = Kind::Gone;
        self.directory_mut(parent).children.remove(name);
        Ok(hides)
    }

    /// Removes what the layer has at a node and below it.
    fn remove(&mut self, top: NodeId) -> Result<()> {
        let mut pending = vec![(top, false)];
        while let Some((node, is_emptied)) = pending.pop() {
            let is_directory = matches!(self.node(node).kind, Kind::Directory(_));
            if is_directory && !is_emptied {
                pending.push((node, true));
                let children: Vec<NodeId> =
                    self.directory_mut(node).children.drain().map(|(_, id)| id).collect();
                pending.extend(
                    children.into_iter().filter(|id| self.node(*id).is_in_layer).map(|id| (id, false)),
                );
                continue;
            }
            if let Some(plan) = self.plan() {
                plan.forget(node);
            } else {
                let parent = self.descriptor(self.node(node).parent)?;
                let path = self.path(node);
                let name = Arc::clone(&self.node(node).name);
                make::remove(Place { directory: parent.as_fd(), name: &name, path: &path }, is_directory)?;
                self.on_disk()?.open.forget(node.0);
            }
            self.node_mut(node).kind = Kind::Gone;
        }
        Ok(())
    }

    /// Adds the node of a new file whose place was cleared.
    fn add_file(&mut self, parent: NodeId, name: &[u8], kind: Kind, covers_directory: bool) -> NodeId {
        let made = self.add(parent, name, kind, true);
        self.node_mut(made).covers_directory = covers_directory;
        made
    }

    /// Makes a file with `content`, on another thread. `weight` is what the content keeps in memory.
    pub(crate) fn make_file(
        &mut self,
        parent: NodeId,
        name: &[u8],
        attributes: Attributes,
        content: Content,
        weight: usize,
    ) -> Result<NodeId> {
        let covers = self.clear(parent, name)?;
        let made = self.add_file(parent, name, Kind::File(Shared::of(&attributes)), covers);
        let path = self.checked_path(made)?;
        if let Some(plan) = self.plan() {
            plan.add(made, attributes, PlannedContent::File(content))?;
            return Ok(made);
        }
        let directory = self.descriptor(parent)?;
        self.on_disk()?.pool.submit(Job { directory, path, attributes, content }, weight)?;
        Ok(made)
    }

    /// Makes a file whose bytes `write` brings, before it returns.
    pub(crate) fn make_file_now<E: From<PlaceError>>(
        &mut self,
        parent: NodeId,
        name: &[u8],
        attributes: &Attributes,
        write: impl FnOnce(&std::fs::File, &[u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let covers = self.clear(parent, name)?;
        let made = self.add_file(parent, name, Kind::File(Shared::of(attributes)), covers);
        let directory = self.descriptor(parent)?;
        let path = self.checked_path(made)?;
        let place = Place { directory: directory.as_fd(), name, path: &path };
        let file = std::fs::File::from(make::create_file(place, attributes.mode).map_err(PlaceError::from)?);
        write(&file, &path)?;
        let on_disk = self.on_disk()?;
        make::finish_file(place, file.as_fd(), attributes, &on_disk.ambient, on_disk.note)
            .map_err(PlaceError::from)?;
        Ok(())
    }

    /// Makes a symlink.
    pub(crate) fn make_symlink(
        &mut self,
        parent: NodeId,
        name: &[u8],
        target: &[u8],
        attributes: &Attributes,
    ) -> Result<NodeId> {
        let covers = self.clear(parent, name)?;
        let made = self.add_file(parent, name, Kind::Symlink(Arc::from(target)), covers);
        let path = self.checked_path(made)?;
        if let Some(plan) = self.plan() {
            plan.add(made, attributes.clone(), PlannedContent::Symlink(target.to_vec()))?;
            return Ok(made);
        }
        let directory = self.descriptor(parent)?;
        let place = Place { directory: directory.as_fd(), name, path: &path };
        let on_disk = self.on_disk()?;
        make::make_symlink(place, target, attributes, &on_disk.ambient, on_disk.note)?;
        Ok(made)
    }

    /// Makes a device node or a fifo; `None` when it was left out, see [`make::make_node`].
    pub(crate) fn make_node(
        &mut self,
        parent: NodeId,
        name: &[u8],
        kind: FileType,
        device: (u32, u32),
        attributes: &Attributes,
    ) -> Result<Option<NodeId>> {
        let covers = self.clear(parent, name)?;
        if self.is_planned() && kind == FileType::Fifo {
            let made = self.add_file(parent, name, Kind::Other, covers);
            let plan = self.plan().expect("just looked");
            plan.add(made, attributes.clone(), PlannedContent::Fifo)?;
            return Ok(Some(made));
        }
        let directory = self.descriptor(parent)?;
        let path = self.path_in(parent, name);
        let place = Place { directory: directory.as_fd(), name, path: &path };
        let on_disk = self.on_disk()?;
        let is_made = make::make_node(place, kind, device, attributes, &on_disk.ambient, on_disk.note)?;
        Ok(is_made.then(|| self.add_file(parent, name, Kind::Other, covers)))
    }

    /// Hides what layers below have under this name. What this very layer has there stays: it hides the
    /// rest anyway, and a directory becomes opaque.
    pub(crate) fn make_whiteout(&mut self, parent: NodeId, name: &[u8]) -> Result<()> {
        match self.existing(parent, name)? {
            Some(Existing::Directory(known)) => return self.set_opaque(known),
            Some(_) => return Ok(()),
            None => {}
        }
        self.put_whiteout(parent, name)
    }

    /// Removes what is there under this name: what the layer has, and what layers below have.
    pub(crate) fn remove_name(&mut self, parent: NodeId, name: &[u8]) -> Result<()> {
        if self.existing(parent, name)?.is_none() {
            return Ok(());
        }
        self.clear(parent, name)?;
        // What the layer had is gone; what it hid would show again.
        match self.existing(parent, name)? {
            Some(_) => self.put_whiteout(parent, name),
            None => Ok(()),
        }
    }

    fn put_whiteout(&mut self, parent: NodeId, name: &[u8]) -> Result<()> {
        self.clear(parent, name)?;
        let directory = self.descriptor(parent)?;
        let path = self.path_in(parent, name);
        make::make_whiteout(Place { directory: directory.as_fd(), name, path: &path })?;
        self.add_file(parent, name, Kind::Whiteout, true);
        Ok(())
    }

    /// Gives the file at `target` the further name `name`. Both are one file afterwards, with what
    /// `attributes` says. The file must be in the layer.
    pub(crate) fn make_hard_link(
        &mut self,
        target: NodeId,
        parent: NodeId,
        name: &[u8],
        attributes: &Attributes,
    ) -> Result<()> {
        if self.look_up(parent, name)? == Some(target) {
            return Ok(());
        }
        let covers = self.clear(parent, name)?;
        // The job that makes the target may still be on its way.
        self.barrier()?;
        let kind = match &self.node(target).kind {
            Kind::File(shared) => Kind::File(*shared),
            Kind::Symlink(to) => Kind::Symlink(Arc::clone(to)),
            _ => Kind::Other,
        };
        let made = self.add_file(parent, name, kind, covers);
        if self.is_planned() {
            self.checked_path(made)?;
            self.plan_link(target, made, attributes)?;
            return Ok(());
        }
        let from_directory = self.descriptor(self.node(target).parent)?;
        let from_name = Arc::clone(&self.node(target).name);
        let directory = self.descriptor(parent)?;
        let path = self.checked_path(made)?;
        let place = Place { directory: directory.as_fd(), name, path: &path };
        make::make_hard_link((from_directory.as_fd(), &from_name), place)?;
        if let Kind::File(shared) = self.node(target).kind {
            let Shared(uid, gid, mode, mtime) = shared;
            make::change_shared(place, (uid, gid, mode, mtime), attributes)?;
            for node in [target, made] {
                self.node_mut(node).kind = Kind::File(Shared::of(attributes));
            }
        }
        Ok(())
    }

    /// Whether the layer itself, not only its base, has this node.
    pub(crate) fn is_in_layer(&self, node: NodeId) -> bool {
        self.node(node).is_in_layer
    }

    /// Whether the node was not replaced by another.
    pub(crate) fn is_present(&self, node: NodeId) -> bool {
        !matches!(self.node(node).kind, Kind::Gone)
    }

    /// Copies a file that only the base has into the layer, as overlayfs does before it changes one.
    pub(crate) fn copy_up(&mut self, node: NodeId) -> Result<NodeId> {
        let parent = self.node(node).parent;
        let directory = self.base_descriptor(parent)?;
        let name = Arc::clone(&self.node(node).name);
        let failed = |source: rustix::io::Errno| self.base_error(parent, &name, source.into());
        let stat = rustix::fs::statat(&*directory, &*name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        let attributes = attributes_of(&stat, Vec::new());
        let path = self.path(node);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let source = CopySource {
                    directory,
                    name: name.to_vec(),
                    path,
                    expected: None,
                    has_xattrs: true,
                    size_bytes: stat.st_size as u64,
                };
                let weight = CopySource::WEIGHT_BYTES;
                self.make_file(parent, &name, attributes, Content::Copy(source), weight)
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&*directory, &*name, Vec::new()).map_err(failed)?;
                self.make_symlink(parent, &name, target.as_bytes(), &attributes)
            }
            kind => {
                let device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
                let made = self.make_node(parent, &name, kind, device, &attributes)?;
                made.ok_or_else(|| PlaceError::Base {
                    path: text(&path),
                    source: rustix::io::Errno::PERM.into(),
                })
            }
        }
    }
}
