//! Copies selected files into a layer.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::build::Copied;
use super::select::Item;
use super::source::{Found, join};
use super::{ModeChange, Selection, TreeError, unpack};
use crate::layer::assembly::{Assembly, Existing, Landing, NodeId, ROOT};
use crate::layer::attributes::{Attributes, Timestamp, is_overlay_xattr};
use crate::layer::descriptors::open_directory;
use crate::layer::read::text;
use crate::layer::source::{CopyError, CopySource};
use crate::layer::work::Content;
use crate::layer::xattr;

/// Source directories that are kept open for the next file in them.
const OPEN_MAX: usize = 64;

/// One COPY under way.
pub(crate) struct Copier<'c, 'a, 'l, 'p> {
    pub(crate) selection: &'c Selection<'a>,
    destination: &'c str,
    mtime: Option<Timestamp>,
    pub(crate) assembly: &'c mut Assembly<'l, 'p>,
    pub(crate) copied: &'c mut Copied,
    /// Where files with several names landed first, of one batch.
    links: HashMap<(u64, u64), NodeId>,
    open: HashMap<Vec<u8>, Arc<OwnedFd>>,
}

impl<'c, 'a, 'l, 'p> Copier<'c, 'a, 'l, 'p> {
    pub(crate) fn new(
        selection: &'c Selection<'a>,
        destination: &'c str,
        mtime: Option<Timestamp>,
        assembly: &'c mut Assembly<'l, 'p>,
        copied: &'c mut Copied,
    ) -> Self {
        let (links, open) = (HashMap::new(), HashMap::new());
        Self { selection, destination, mtime, assembly, copied, links, open }
    }

    pub(crate) fn run(mut self) -> Result<(), TreeError> {
        let selection = self.selection;
        // The destination is there even when patterns match nothing.
        if selection.landing.keeps_parents {
            self.destination_directory()?;
        }
        let mut batch = 0;
        for item in &selection.items {
            if item.batch != batch {
                batch = item.batch;
                self.links.clear();
            }
            if !selection.is_excluded(item) {
                self.copy_item(item)?;
            }
        }
        Ok(())
    }

    fn copy_item(&mut self, item: &Item<'a>) -> Result<(), TreeError> {
        if self.selection.landing.keeps_parents {
            return self.copy_with_parents(item);
        }
        if item.found.is_directory() {
            if self.selection.landing.keeps_directory && !item.name.is_empty() {
                return self.copy_itself(item);
            }
            let directory = self.destination_directory()?;
            return self.copy_contents(item, directory);
        }
        if self.selection.landing.unpacks && unpack::try_unpack(self, item)? {
            return Ok(());
        }
        let (parent, name) = self.destination_of_file(item)?;
        self.copy_one(parent, &name, &item.path, &item.found)?;
        Ok(())
    }

    /// Copies a directory: into the destination where that is a directory, and else as the destination.
    fn copy_itself(&mut self, item: &Item<'a>) -> Result<(), TreeError> {
        let made = self.made_directory();
        let (parent, name) = match self.assembly.land(ROOT, self.destination.as_bytes(), &made)? {
            Landing::Directory(directory) => (directory, item.name.clone()),
            Landing::Name(parent, name) => (parent, name.to_vec()),
        };
        match self.copy_one(parent, &name, &item.path, &item.found)? {
            Some(directory) => self.copy_contents(item, directory),
            None => Ok(()),
        }
    }

    /// What is made on the way to the destination. A symbolic mode is no mode for it, as in BuildKit.
    fn made_directory(&self) -> impl Fn() -> Attributes + use<> {
        let (uid, gid) = self.selection.landing.owner.unwrap_or((0, 0));
        let time = self.selection.landing.mtime_ns.map(super::build::time);
        let implied = Attributes::implied_directory(time.or(self.mtime));
        let mode = self.selection.landing.mode.and_then(ModeChange::octal).unwrap_or(implied.mode);
        move || Attributes { uid, gid, mode, ..implied.clone() }
    }

    /// The destination as a directory, which is made when it is not there.
    pub(crate) fn destination_directory(&mut self) -> Result<NodeId, TreeError> {
        let made = self.made_directory();
        Ok(self.assembly.enter(ROOT, self.destination.as_bytes(), &made)?)
    }

    /// The same for an archive, which has modes of its own: `--chmod` is not for it.
    pub(crate) fn directory_of_archive(&mut self) -> Result<NodeId, TreeError> {
        let (made, mode) = (self.made_directory(), Attributes::implied_directory(None).mode);
        let made = move || Attributes { mode, ..made() };
        Ok(self.assembly.enter(ROOT, self.destination.as_bytes(), &made)?)
    }

    fn destination_of_file(&mut self, item: &Item<'_>) -> Result<(NodeId, Vec<u8>), TreeError> {
        let made = self.made_directory();
        if self.destination.ends_with('/') {
            return Ok((self.destination_directory()?, item.name.clone()));
        }
        match self.assembly.land(ROOT, self.destination.as_bytes(), &made)? {
            Landing::Directory(directory) => Ok((directory, item.name.clone())),
            Landing::Name(parent, name) => Ok((parent, name.to_vec())),
        }
    }

    /// The directories that a source is in are made as they are; those that exist stay as they are.
    fn copy_with_parents(&mut self, item: &Item<'a>) -> Result<(), TreeError> {
        let mut at = self.destination_directory()?;
        for (path, parent) in &item.parents {
            at = match self.assembly.existing(at, &parent.name)? {
                Some(Existing::Directory(known)) => known,
                Some(_) => return Err(self.not_a_directory(at, &parent.name)),
                None => self.make_directory(at, &parent.name, path, parent)?,
            };
        }
        if item.name.is_empty() {
            return self.copy_contents(item, at);
        }
        match self.copy_one(at, &item.name, &item.path, &item.found)? {
            Some(directory) => self.copy_contents(item, directory),
            None => Ok(()),
        }
    }

    /// Copies what is in a directory. `into` stays as it is.
    fn copy_contents(&mut self, item: &Item<'a>, into: NodeId) -> Result<(), TreeError> {
        // The directories on the way down, with the length of their paths.
        let mut way: Vec<(usize, NodeId)> = vec![(0, into)];
        let selection = self.selection;
        selection.walk(item, &mut |below, found| {
            let name_at = below.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
            let above = name_at.saturating_sub(1);
            while way.last().is_some_and(|(length, _)| *length > above) {
                way.pop();
            }
            let parent = way.last().expect("the top has an empty path").1;
            let path = join(&item.path, below);
            if let Some(directory) = self.copy_one(parent, &below[name_at..], &path, found)? {
                way.push((below.len(), directory));
            }
            Ok(())
        })
    }

    /// Copies one file, or makes one directory, which is returned.
    pub(super) fn copy_one(
        &mut self,
        parent: NodeId,
        name: &[u8],
        path: &[u8],
        found: &Found<'a>,
    ) -> Result<Option<NodeId>, TreeError> {
        let existing = self.assembly.existing(parent, name)?;
        match (existing, found.is_directory()) {
            (None | Some(Existing::Directory(_)), true) => {
                return self.make_directory(parent, name, path, found).map(Some);
            }
            (Some(_), true) if self.selection.landing.replaces => {
                return self.make_directory(parent, name, path, found).map(Some);
            }
            (Some(_), true) => return Err(self.not_a_directory(parent, name)),
            (Some(Existing::Directory(directory)), false) if !self.selection.landing.replaces => {
                return Err(TreeError::IsADirectory { path: text(&self.assembly.path(directory)) });
            }
            (_, false) => {}
        }
        let attributes = self.selection.attributes(found);
        self.copied.files += 1;
        let key = (found.stat.device, found.stat.inode);
        if found.stat.links > 1
            && let Some(first) = self.links.get(&key)
            && self.assembly.is_present(*first)
        {
            self.assembly.make_hard_link(*first, parent, name, &attributes)?;
            return Ok(None);
        }
        let made = self.make_file(parent, name, path, found, attributes)?;
        if let (Some(made), true) = (made, found.stat.links > 1) {
            self.links.insert(key, made);
        }
        Ok(None)
    }

    fn make_file(
        &mut self,
        parent: NodeId,
        name: &[u8],
        path: &[u8],
        found: &Found<'a>,
        attributes: Attributes,
    ) -> Result<Option<NodeId>, TreeError> {
        if let Some(target) = &found.target {
            return Ok(Some(self.assembly.make_symlink(parent, name, target, &attributes)?));
        }
        let kind = found.stat.kind();
        if kind != FileType::RegularFile {
            let device = found.stat.special_device;
            let device = (rustix::fs::major(device), rustix::fs::minor(device));
            return Ok(self.assembly.make_node(parent, name, kind, device, &attributes)?);
        }
        self.copied.size_bytes += found.stat.size_bytes;
        let is_changeable = self.selection.source.is_changeable();
        // What is planned is read later: no directory stays open for it.
        let name_at = match self.assembly.is_planned() {
            true => 0,
            false => path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1),
        };
        let source = CopySource {
            directory: self.source_directory(&path[..name_at.saturating_sub(1)])?,
            name: path[name_at..].to_vec(),
            path: path.to_vec(),
            expected: is_changeable.then_some(found.stat),
            has_xattrs: !is_changeable,
            size_bytes: found.stat.size_bytes,
        };
        let weight = CopySource::WEIGHT_BYTES;
        Ok(Some(self.assembly.make_file(parent, name, attributes, Content::Copy(source), weight)?))
    }

    fn make_directory(
        &mut self,
        parent: NodeId,
        name: &[u8],
        path: &[u8],
        found: &Found<'_>,
    ) -> Result<NodeId, TreeError> {
        let mut attributes = self.selection.attributes(found);
        if !self.selection.source.is_changeable() {
            let directory = self.source_directory(path)?;
            attributes.xattrs =
                xattr::of_descriptor(directory.as_fd()).map_err(|error| TreeError::read(path, error))?;
            attributes.xattrs.retain(|(name, _)| !is_overlay_xattr(name));
        }
        Ok(self.assembly.make_directory(parent, name, attributes)?)
    }

    /// A directory of the source, open.
    fn source_directory(&mut self, path: &[u8]) -> Result<Arc<OwnedFd>, TreeError> {
        if let Some(known) = self.open.get(path) {
            return Ok(Arc::clone(known));
        }
        let root = self.selection.source.root();
        let is_changeable = self.selection.source.is_changeable();
        let opened = open_directory(root, path).map_err(|error| match error {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP if is_changeable => {
                CopyError::Changed { path: text(path) }.into()
            }
            error => TreeError::read(path, error),
        })?;
        let opened = Arc::new(opened);
        if self.open.len() >= OPEN_MAX {
            self.open.clear();
        }
        self.open.insert(path.to_vec(), Arc::clone(&opened));
        Ok(opened)
    }

    fn not_a_directory(&self, parent: NodeId, name: &[u8]) -> TreeError {
        TreeError::NotADirectory { path: text(&join(&self.assembly.path(parent), name)) }
    }
}
