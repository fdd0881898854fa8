//! A layer directory in the making.
//!
//! The shape of the layer is kept in memory while the kernel still works on it: which directories and
//! symlinks it has so far decides where the next entry goes. So every path is resolved here, inside the
//! root, and the kernel only ever sees a directory descriptor and one name.
//!
//! With a base (a read-only view of what lies below), names that the layer lacks are looked up there, and a
//! directory that gets a new entry is copied up first, as overlayfs does.

mod plan;
mod put;
mod resolve;
mod shape;

use std::collections::HashMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

pub(crate) use plan::{Plan, PlannedEntry, PlannedKind};
pub(crate) use resolve::Landing;
use resolve::SYMLINKS_MAX;

use super::OPAQUE_XATTR;
use super::attributes::{Attributes, Timestamp};
use super::descriptors::Descriptors;
use super::limits::PATH_BYTES_MAX;
use super::make::{Ambient, MakeError, NoteSink};
use super::pool::{Pool, Stopped};
use super::work::{Content, Job, WorkError};

/// A file, directory or symlink of the layer or its base, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeId(u32);

/// The root of the layer.
pub(crate) const ROOT: NodeId = NodeId(0);

/// Why an entry cannot be put where it belongs.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// A system call on the layer directory said no.
    #[error(transparent)]
    Make(#[from] MakeError),
    /// Something on the way to the place is no directory.
    #[error("`{path}` is not a directory")]
    NotADirectory {
        /// What is in the way.
        path: String,
    },
    /// Symlinks that lead to symlinks without an end.
    #[error("`{path}` goes through more than {SYMLINKS_MAX} symlinks")]
    TooManySymlinks {
        /// The path as given.
        path: String,
    },
    /// Resolved, the path is longer than any program can use.
    #[error("`{path}` is longer than {PATH_BYTES_MAX} bytes")]
    PathTooLong {
        /// The path.
        path: String,
    },
    /// The tree below the layer cannot be read.
    #[error("cannot read `{path}` of the tree below the layer")]
    Base {
        /// The path inside the tree.
        path: String,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// Only a layer that is made can have this, not one that is planned.
    #[error("it has to be made")]
    Unplanned,
    /// Another thread met an error, which is the one to report.
    #[error("another file of the layer cannot be made")]
    Stopped,
}

impl From<Stopped> for PlaceError {
    fn from(Stopped: Stopped) -> Self {
        Self::Stopped
    }
}

type Result<T> = std::result::Result<T, PlaceError>;
type Name = Arc<[u8]>;

struct Node {
    parent: NodeId,
    name: Name,
    kind: Kind,
    /// Whether the layer directory has it, or only the base.
    is_in_layer: bool,
    /// Whether the base has a directory of this name: a new directory in its place must hide it.
    covers_directory: bool,
}

enum Kind {
    // In a box: most nodes are none.
    Directory(Box<Directory>),
    Symlink(Arc<[u8]>),
    File(Shared),
    Other,
    Whiteout,
    /// Replaced by another node.
    Gone,
}

#[derive(Default)]
struct Directory {
    children: HashMap<Name, NodeId>,
    attributes: Option<Attributes>,
    is_opaque: bool,
    /// Whether names that are not in `children` may exist in the base.
    is_in_base: bool,
}

/// What all hard links of a file share: owner, group, mode and time.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shared(u32, u32, u32, Option<Timestamp>);

impl Shared {
    fn of(attributes: &Attributes) -> Self {
        Self(attributes.uid, attributes.gid, attributes.mode, attributes.mtime)
    }
}

/// What stands at a path already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    Directory(NodeId),
    Symlink(NodeId),
    Other(NodeId),
}

pub(crate) struct Assembly<'a, 'p> {
    target: Target<'a, 'p>,
    base: Option<BorrowedFd<'a>>,
    nodes: Vec<Node>,
    in_base: Descriptors,
}

/// What becomes of the files.
enum Target<'a, 'p> {
    /// They are made at once.
    Directory(OnDisk<'a, 'p>),
    /// They are only noted.
    Plan(Plan),
}

/// The directory of a layer.
struct OnDisk<'a, 'p> {
    root: BorrowedFd<'a>,
    root_owned: Arc<OwnedFd>,
    pool: &'a mut Pool<'p, Job, WorkError>,
    ambient: Ambient,
    note: NoteSink<'a>,
    open: Descriptors,
}

impl<'a, 'p> Assembly<'a, 'p> {
    /// Begins in `root`, an empty directory. The jobs that other threads do go to `pool`.
    pub(crate) fn new(
        root: BorrowedFd<'a>,
        base: Option<BorrowedFd<'a>>,
        ambient: Ambient,
        note: NoteSink<'a>,
        pool: &'a mut Pool<'p, Job, WorkError>,
    ) -> Result<Self> {
        let root_owned = root.try_clone_to_owned().map_err(|source| MakeError::Write {
            path: "/".into(),
            call: "fcntl",
            source,
        })?;
        let root_owned = Arc::new(root_owned);
        let on_disk = OnDisk { root, root_owned, pool, ambient, note, open: Descriptors::default() };
        Ok(Self::with(Target::Directory(on_disk), base))
    }

    fn with(target: Target<'a, 'p>, base: Option<BorrowedFd<'a>>) -> Self {
        let directory = Directory { is_in_base: base.is_some(), ..Directory::default() };
        let node = Node {
            parent: ROOT,
            name: Arc::from(&b""[..]),
            kind: Kind::Directory(Box::new(directory)),
            is_in_layer: true,
            covers_directory: false,
        };
        Self { target, base, nodes: vec![node], in_base: Descriptors::default() }
    }

    fn on_disk(&mut self) -> Result<&mut OnDisk<'a, 'p>> {
        match &mut self.target {
            Target::Directory(on_disk) => Ok(on_disk),
            Target::Plan(_) => Err(PlaceError::Unplanned),
        }
    }

    /// Waits for the files that other threads make.
    fn barrier(&mut self) -> Result<()> {
        match &mut self.target {
            Target::Directory(on_disk) => Ok(on_disk.pool.barrier()?),
            Target::Plan(_) => Ok(()),
        }
    }

    /// The path of a node inside the layer, without a leading slash; empty for the root.
    pub(crate) fn path(&self, node: NodeId) -> Vec<u8> {
        path_of(&self.nodes, node)
    }

    fn path_in(&self, directory: NodeId, name: &[u8]) -> Vec<u8> {
        let mut path = self.path(directory);
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }

    fn directory_of(&self, id: NodeId) -> Option<&Directory> {
        match &self.node(id).kind {
            Kind::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    fn directory_mut(&mut self, id: NodeId) -> &mut Directory {
        match &mut self.node_mut(id).kind {
            Kind::Directory(directory) => directory,
            _ => unreachable!("the caller holds the number of a directory"),
        }
    }

    fn add(&mut self, parent: NodeId, name: &[u8], kind: Kind, is_in_layer: bool) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).expect("the limit on entries is far below 2^32"));
        let name: Name = Arc::from(name);
        self.directory_mut(parent).children.insert(Arc::clone(&name), id);
        self.nodes.push(Node { parent, name, kind, is_in_layer, covers_directory: false });
        id
    }

    /// Whether the layer hides everything below it.
    pub(crate) fn is_root_opaque(&self) -> bool {
        self.directory_of(ROOT).is_some_and(|root| root.is_opaque)
    }

    /// Waits for all files, then gives the directories their attributes: not before, because every new entry
    /// changes a directory's time, and an inherited access list would change the entries.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.barrier()?;
        for index in 0..self.nodes.len() {
            let id = NodeId(u32::try_from(index).expect("the limit on entries is far below 2^32"));
            let node = &mut self.nodes[index];
            let Kind::Directory(directory) = &mut node.kind else { continue };
            let attributes = directory.attributes.take();
            let is_opaque = directory.is_opaque;
            if !node.is_in_layer {
                continue;
            }
            let attributes = match attributes {
                Some(mut attributes) => {
                    attributes.xattrs.extend(is_opaque.then(|| OPAQUE_XATTR.map(<[u8]>::to_vec).into()));
                    attributes
                }
                None if is_opaque => {
                    self.mark_root_opaque()?;
                    continue;
                }
                None => continue,
            };
            let path = self.path(id);
            let on_disk = self.on_disk()?;
            let directory = Arc::clone(&on_disk.root_owned);
            on_disk.pool.submit(Job { directory, path, attributes, content: Content::Directory }, 0)?;
        }
        self.barrier()
    }

    /// The root has no attributes of its own in a layer, see [`crate::layer::write_tar`].
    fn mark_root_opaque(&mut self) -> Result<()> {
        let [name, value] = OPAQUE_XATTR;
        let flags = rustix::fs::XattrFlags::empty();
        let directory = self.descriptor(ROOT)?;
        rustix::fs::fsetxattr(&*directory, name, value, flags).map_err(|source| {
            MakeError::Write { path: "/".into(), call: "setxattr", source: source.into() }.into()
        })
    }
}

fn path_of(nodes: &[Node], node: NodeId) -> Vec<u8> {
    let mut names = Vec::new();
    let mut at = node;
    while at != ROOT {
        let node = &nodes[at.0 as usize];
        names.push(&*node.name);
        at = node.parent;
    }
    names.reverse();
    names.join(&b'/')
}
