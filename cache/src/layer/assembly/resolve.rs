//! Finds the way of a path, with all symlinks followed inside a root.

use std::sync::Arc;

use super::{Assembly, Existing, Kind, Name, NodeId, PlaceError, Result};
use crate::layer::attributes::Attributes;
use crate::layer::read::text;

/// The kernel gives up after 40 links too, see path_resolution(7).
pub(super) const SYMLINKS_MAX: usize = 40;

/// The way still to go, and the bounds of it.
struct Way<'a> {
    /// As given, for messages.
    path: &'a [u8],
    /// What `/` means, and what `..` does not leave.
    root: NodeId,
    at: NodeId,
    /// Components still to come, last first.
    ahead: Vec<Name>,
    links: usize,
}

impl<'a> Way<'a> {
    fn new(root: NodeId, path: &'a [u8]) -> Self {
        let mut way = Self { path, root, at: root, ahead: Vec::new(), links: 0 };
        way.push(path);
        way
    }

    fn push(&mut self, path: &[u8]) {
        let components = path.rsplit(|byte| *byte == b'/');
        self.ahead.extend(components.filter(|name| !name.is_empty() && *name != b".").map(Arc::from));
    }

    /// Goes on at a symlink's target.
    fn follow(&mut self, target: &[u8]) -> Result<()> {
        self.links += 1;
        if self.links > SYMLINKS_MAX {
            return Err(PlaceError::TooManySymlinks { path: text(self.path) });
        }
        if target.starts_with(b"/") {
            self.at = self.root;
        }
        self.push(target);
        Ok(())
    }
}

/// Where the last component of a path leads.
pub(crate) enum Landing {
    /// A directory that exists.
    Directory(NodeId),
    /// A name in a directory: a file that exists, or nothing yet. Never a symlink.
    Name(NodeId, Name),
}

impl Assembly<'_, '_> {
    /// The directory that `path` leads to from `root`, which it cannot leave. What is missing on the way is
    /// made with the attributes that `missing` gives.
    pub(crate) fn enter(
        &mut self,
        root: NodeId,
        path: &[u8],
        missing: &dyn Fn() -> Attributes,
    ) -> Result<NodeId> {
        let mut way = Way::new(root, path);
        while let Some(name) = way.ahead.pop() {
            self.step(&mut way, &name, missing)?;
        }
        Ok(way.at)
    }

    /// Like [`Assembly::enter`], but the last component may be a file or may be missing. A symlink there is
    /// followed, also one that leads nowhere.
    pub(crate) fn land(
        &mut self,
        root: NodeId,
        path: &[u8],
        missing: &dyn Fn() -> Attributes,
    ) -> Result<Landing> {
        let mut way = Way::new(root, path);
        while let Some(name) = way.ahead.pop() {
            if way.ahead.is_empty() && &*name != b".." {
                match self.existing(way.at, &name)? {
                    None | Some(Existing::Other(_)) => return Ok(Landing::Name(way.at, name)),
                    Some(_) => {}
                }
            }
            self.step(&mut way, &name, missing)?;
        }
        Ok(Landing::Directory(way.at))
    }

    fn step(&mut self, way: &mut Way<'_>, name: &Name, missing: &dyn Fn() -> Attributes) -> Result<()> {
        if &**name == b".." {
            way.at = self.above(way);
            return Ok(());
        }
        match self.existing(way.at, name)? {
            Some(Existing::Directory(next)) => way.at = next,
            Some(Existing::Symlink(link)) => way.follow(&self.target(link))?,
            Some(Existing::Other(node)) => {
                return Err(PlaceError::NotADirectory { path: text(&self.path(node)) });
            }
            None => way.at = self.make_directory(way.at, name, missing())?,
        }
        Ok(())
    }

    /// What `path` leads to; nothing is made, and a symlink at its end is followed.
    pub(crate) fn find(&mut self, root: NodeId, path: &[u8]) -> Result<Option<Existing>> {
        let mut way = Way::new(root, path);
        while let Some(name) = way.ahead.pop() {
            if &*name == b".." {
                way.at = self.above(&way);
                continue;
            }
            match self.existing(way.at, &name)? {
                None => return Ok(None),
                Some(Existing::Directory(next)) => way.at = next,
                Some(Existing::Symlink(link)) => way.follow(&self.target(link))?,
                Some(Existing::Other(node)) if way.ahead.is_empty() => {
                    return Ok(Some(Existing::Other(node)));
                }
                Some(Existing::Other(_)) => return Ok(None),
            }
        }
        Ok(Some(Existing::Directory(way.at)))
    }

    fn above(&self, way: &Way<'_>) -> NodeId {
        if way.at == way.root { way.at } else { self.node(way.at).parent }
    }

    fn target(&self, link: NodeId) -> Name {
        match &self.node(link).kind {
            Kind::Symlink(target) => Arc::clone(target),
            _ => unreachable!("the caller has just seen that it is a symlink"),
        }
    }
}
