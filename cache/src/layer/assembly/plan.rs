//! A layer that is not made, but only said: what would be where.

use std::collections::{HashMap, HashSet};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Assembly, Kind, NodeId, PlaceError, ROOT, Result, Target};
use crate::layer::attributes::{Attributes, Timestamp};
use crate::layer::work::Content;

/// What the nodes of a layer would be, by their numbers. Directories are known by the assembly itself.
#[derive(Default)]
pub(crate) struct Plan {
    // In boxes: each is near a thousand bytes, and a map that grows has them twice.
    files: HashMap<u32, Box<(Attributes, PlannedContent)>>,
    /// Files that have further names, and stay when the first one is replaced.
    linked: HashSet<u32>,
    /// With more files it is no use.
    files_max: usize,
}

/// What a node would be, besides a directory.
pub(crate) enum PlannedContent {
    File(Content),
    Symlink(Vec<u8>),
    Fifo,
    /// A further name of this node.
    Link(NodeId),
}

/// One file of a layer that is only planned.
pub(crate) struct PlannedEntry {
    /// The path inside the layer, without a slash at either end.
    pub(crate) path: Vec<u8>,
    pub(crate) attributes: Attributes,
    pub(crate) kind: PlannedKind,
}

pub(crate) enum PlannedKind {
    Directory {
        is_opaque: bool,
    },
    File(Content),
    Symlink(Vec<u8>),
    Fifo,
    /// A further name of a file that came before.
    HardLink {
        first: Vec<u8>,
    },
}

impl Plan {
    /// Fails with one file too many.
    pub(super) fn add(
        &mut self,
        node: NodeId,
        attributes: Attributes,
        content: PlannedContent,
    ) -> Result<()> {
        if self.files.len() >= self.files_max {
            return Err(PlaceError::Unplanned);
        }
        self.files.insert(node.0, Box::new((attributes, content)));
        Ok(())
    }

    pub(super) fn forget(&mut self, node: NodeId) {
        if !self.linked.contains(&node.0) {
            self.files.remove(&node.0);
        }
    }

    /// The node that a name of a file leads to.
    fn file_of(&self, node: NodeId) -> NodeId {
        match self.files.get(&node.0).map(|planned| &planned.1) {
            Some(PlannedContent::Link(file)) => *file,
            _ => node,
        }
    }
}

impl<'a> Assembly<'a, '_> {
    /// Begins a layer that is only planned, on `base`, with `files_max` files at most.
    pub(crate) fn planned(base: Option<std::os::fd::BorrowedFd<'a>>, files_max: usize) -> Self {
        Self::with(Target::Plan(Plan { files_max, ..Plan::default() }), base)
    }

    /// Whether nothing is made, only planned.
    pub(crate) fn is_planned(&self) -> bool {
        matches!(self.target, Target::Plan(_))
    }

    pub(super) fn plan(&mut self) -> Option<&mut Plan> {
        match &mut self.target {
            Target::Plan(plan) => Some(plan),
            Target::Directory(_) => None,
        }
    }

    /// Gives the planned file `target` the further name `made`; all its names have these attributes from now on.
    pub(super) fn plan_link(&mut self, target: NodeId, made: NodeId, attributes: &Attributes) -> Result<()> {
        let plan = self.plan().expect("the caller plans");
        let file = plan.file_of(target);
        plan.add(made, attributes.clone(), PlannedContent::Link(file))?;
        plan.linked.insert(file.0);
        if let Some(planned) = plan.files.get_mut(&file.0) {
            let theirs = &mut planned.0;
            *theirs = Attributes { xattrs: std::mem::take(&mut theirs.xattrs), ..attributes.clone() };
        }
        Ok(())
    }

    /// What was planned, in the order of the layer's tar: parents before what is in them, names in byte order. What has
    /// no time has that of now.
    pub(crate) fn into_entries(mut self) -> Result<Vec<PlannedEntry>> {
        let Target::Plan(plan) = &mut self.target else { return Err(PlaceError::Unplanned) };
        let mut plan = std::mem::take(plan);
        let now = now();
        let mut entries = Vec::with_capacity(self.nodes.len());
        let mut first_names: HashMap<u32, Vec<u8>> = HashMap::new();
        let mut ahead = self.children_last_first(ROOT);
        while let Some(node) = ahead.pop() {
            if !self.node(node).is_in_layer {
                continue;
            }
            let path = self.path(node);
            let (mut attributes, kind) = if let Kind::Directory(directory) = &mut self.node_mut(node).kind {
                let attributes =
                    directory.attributes.take().expect("a directory of the layer has attributes");
                let kind = PlannedKind::Directory { is_opaque: directory.is_opaque };
                ahead.extend(self.children_last_first(node));
                (attributes, kind)
            } else {
                let file = plan.file_of(node);
                match first_names.get(&file.0) {
                    Some(first) => (plan.shared(file), PlannedKind::HardLink { first: first.clone() }),
                    None => {
                        if plan.linked.contains(&file.0) {
                            first_names.insert(file.0, path.clone());
                        }
                        plan.take(file)
                    }
                }
            };
            attributes.mtime.get_or_insert(now);
            entries.push(PlannedEntry { path, attributes, kind });
        }
        Ok(entries)
    }

    fn children_last_first(&self, directory: NodeId) -> Vec<NodeId> {
        let Some(directory) = self.directory_of(directory) else { return Vec::new() };
        let mut children: Vec<_> = directory.children.iter().collect();
        children.sort_unstable_by(|(left, _), (right, _)| right.cmp(left));
        children.into_iter().map(|(_, id)| *id).collect()
    }
}

impl Plan {
    /// What all names of a file have.
    fn shared(&self, file: NodeId) -> Attributes {
        let (attributes, _) = &*self.files[&file.0];
        Attributes { xattrs: Vec::new(), ..attributes.clone() }
    }

    fn take(&mut self, file: NodeId) -> (Attributes, PlannedKind) {
        let planned = self.files.get_mut(&file.0).expect("what is in the layer is planned");
        let (attributes, content) = &mut **planned;
        let attributes = attributes.clone();
        let kind = match std::mem::replace(content, PlannedContent::Fifo) {
            PlannedContent::File(content) => PlannedKind::File(content),
            PlannedContent::Symlink(target) => PlannedKind::Symlink(target),
            PlannedContent::Fifo => PlannedKind::Fifo,
            PlannedContent::Link(_) => unreachable!("`file_of` leads to the file itself"),
        };
        (attributes, kind)
    }
}

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    Timestamp { seconds, nanoseconds: now.subsec_nanos() }
}
