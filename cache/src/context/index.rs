//! The stat index on disk: which content a file had when it last looked like this.
//!
//! ```text
//! kind "ctxi", version u32, number of nodes u32, bytes of names u32
//! nodes      NODE_BYTES each, the root first; the children of a directory are adjacent and sorted by name
//! names      the bytes of all names
//! checksum   u64, XXH3-64 of everything before
//!
//! node: 0 name offset u32, 4 name length u16, 6 kind u8 (0 directory, 1 file), 7 zero
//!       directory: 8 first child u32, 12 number of children u32
//!       file: 8 size u64, 16 inode u64, 24 device u64, 32 modified s i64, 40 changed s i64,
//!             48 modified ns u32, 52 changed ns u32, 56 mode u32, 60 BLAKE3
//! ```
//!
//! Little endian. It is read with one read and used where it lies. Only files are in it whose content is
//! known and whose times had settled when they were read (git calls the others racy), so whatever is in it
//! may be believed as long as the stat is the same. Files that look different are hashed again.

use std::io::Read as _;
use std::ops::Range;

use image::Digest;
use xxhash_rust::xxh3::xxh3_64;

use super::stat::{FileStat, FileTime};
use crate::StoreError;
use crate::codec::Damage;
use crate::disk::Disk;

const KIND: [u8; 4] = *b"ctxi";
const VERSION: u32 = 1;
const HEAD_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 8;
pub(super) const NODE_BYTES: usize = 92;
/// Some five million files. A larger index is not kept: such contexts are hashed every time.
const INDEX_BYTES_MAX: u64 = 512 << 20;

/// A loaded index. Invariant: `bytes` is empty, or head, nodes, names and checksum add up.
#[derive(Default)]
pub(super) struct Index {
    bytes: Vec<u8>,
    nodes: u32,
}

/// A node: a directory or a regular file.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    pub(super) name: &'a [u8],
    bytes: &'a [u8; NODE_BYTES],
}

/// Checks that the bytes are those of an index.
pub(crate) fn check_index(bytes: &[u8]) -> Result<(), Damage> {
    Index::new(bytes.to_vec()).map(drop)
}

impl Index {
    /// Loads an index. A missing, damaged or foreign one is empty.
    pub(super) fn load(disk: &Disk, name: &str) -> Result<Self, StoreError> {
        let Some(mut file) = disk.open_file(name)? else { return Ok(Self::default()) };
        let read_error = |source| disk.read_error(name, source);
        let size = file.metadata().map_err(read_error)?.len();
        if size > INDEX_BYTES_MAX {
            return Ok(Self::default());
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(read_error)?;
        match Self::new(bytes) {
            Ok(index) => Ok(index),
            Err(damage) => {
                tracing::warn!(path = %disk.path(name).display(), %damage, "damaged context index is not used");
                Ok(Self::default())
            }
        }
    }

    fn new(bytes: Vec<u8>) -> Result<Self, Damage> {
        if bytes.len() < HEAD_BYTES + CHECKSUM_BYTES {
            return Err(Damage::Short(bytes.len()));
        }
        let (content, checksum) = bytes.split_at(bytes.len() - CHECKSUM_BYTES);
        if xxh3_64(content).to_le_bytes() != checksum {
            return Err(Damage::Checksum);
        }
        if content[..4] != KIND {
            return Err(Damage::Kind);
        }
        let (version, nodes, names) = (u32_at(content, 4), u32_at(content, 8), u32_at(content, 12));
        if version != VERSION {
            return Err(Damage::Version(version));
        }
        let expected = HEAD_BYTES as u64 + u64::from(nodes) * NODE_BYTES as u64 + u64::from(names);
        if expected != content.len() as u64 || nodes == 0 {
            return Err(Damage::Fields);
        }
        Ok(Self { bytes, nodes })
    }

    /// The root directory's node; `None` when the index is empty.
    pub(super) fn root(&self) -> Option<u32> {
        (self.nodes > 0).then_some(0)
    }

    /// Invariant: `node < self.nodes`, as all node numbers that this type gives out are.
    pub(super) fn node(&self, node: u32) -> Node<'_> {
        let at = HEAD_BYTES + node as usize * NODE_BYTES;
        let bytes: &[u8; NODE_BYTES] =
            self.bytes[at..at + NODE_BYTES].try_into().expect("the slice has the array's length");
        let names =
            &self.bytes[HEAD_BYTES + self.nodes as usize * NODE_BYTES..self.bytes.len() - CHECKSUM_BYTES];
        let start = u32_at(bytes, 0) as usize;
        let length = usize::from(u16::from_le_bytes([bytes[4], bytes[5]]));
        // A name out of bounds cannot come from us; an empty name matches nothing.
        Node { name: names.get(start..start + length).unwrap_or_default(), bytes }
    }

    /// The children of a directory. They always come after it, so a walk ends.
    pub(super) fn children(&self, node: u32) -> Range<u32> {
        let directory = self.node(node);
        if !directory.is_directory() {
            return 0..0;
        }
        let first = u32_at(directory.bytes, 8);
        let end = first.saturating_add(u32_at(directory.bytes, 12));
        if first > node && end <= self.nodes { first..end } else { 0..0 }
    }

    /// The child of that name.
    pub(super) fn child(&self, node: u32, name: &[u8]) -> Option<u32> {
        let Range { start: mut low, end: mut high } = self.children(node);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.node(middle).name.cmp(name) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }
}

impl Node<'_> {
    pub(super) fn is_directory(&self) -> bool {
        self.bytes[6] == 0
    }

    /// The digest of a file's content, if it still looks the same.
    pub(super) fn digest_if_same(&self, stat: &FileStat) -> Option<Digest> {
        let bytes = self.bytes;
        let time = |seconds, nanoseconds| FileTime {
            seconds: u64_at(bytes, seconds).cast_signed(),
            nanoseconds: u32_at(bytes, nanoseconds),
        };
        let is_same = self.bytes[6] == 1
            && u64_at(bytes, 8) == stat.size_bytes
            && u64_at(bytes, 16) == stat.inode
            && u64_at(bytes, 24) == stat.device
            && time(32, 48) == stat.modified
            && time(40, 52) == stat.changed
            && u32_at(bytes, 56) == stat.mode;
        is_same.then(|| Digest(bytes[60..].try_into().expect("a node ends with 32 bytes")))
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("the slice has four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("the slice has eight bytes"))
}

/// Builds an index, node by node.
pub(super) struct Builder {
    /// Room for the head, and the nodes.
    bytes: Vec<u8>,
    names: Vec<u8>,
}

impl Builder {
    /// For about so many nodes.
    pub(super) fn new(nodes: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + nodes * NODE_BYTES);
        bytes.resize(HEAD_BYTES, 0);
        Self { bytes, names: Vec::new() }
    }

    pub(super) fn count(&self) -> u32 {
        let nodes = (self.bytes.len() - HEAD_BYTES) / NODE_BYTES;
        u32::try_from(nodes).expect("an index has fewer than 2^32 nodes")
    }

    fn begin(&mut self, name: &[u8], kind: u8) -> [u8; NODE_BYTES] {
        let mut node = [0; NODE_BYTES];
        let start = u32::try_from(self.names.len()).expect("names of fewer than 2^32 nodes are short");
        let length = u16::try_from(name.len()).expect("a name has at most 255 bytes");
        node[..4].copy_from_slice(&start.to_le_bytes());
        node[4..6].copy_from_slice(&length.to_le_bytes());
        node[6] = kind;
        self.names.extend_from_slice(name);
        node
    }

    /// Adds a directory whose children are not known yet.
    pub(super) fn add_directory(&mut self, name: &[u8]) -> u32 {
        let at = self.count();
        let node = self.begin(name, 0);
        self.bytes.extend_from_slice(&node);
        at
    }

    /// The nodes added from `first` on are the children of `directory`.
    pub(super) fn set_children(&mut self, directory: u32, first: u32) {
        let count = self.count() - first;
        let at = HEAD_BYTES + directory as usize * NODE_BYTES;
        self.bytes[at + 8..at + 12].copy_from_slice(&first.to_le_bytes());
        self.bytes[at + 12..at + 16].copy_from_slice(&count.to_le_bytes());
    }

    pub(super) fn add_file(&mut self, name: &[u8], stat: &FileStat, digest: &Digest) {
        let mut node = self.begin(name, 1);
        let mut put = |at: usize, bytes: &[u8]| node[at..at + bytes.len()].copy_from_slice(bytes);
        put(8, &stat.size_bytes.to_le_bytes());
        put(16, &stat.inode.to_le_bytes());
        put(24, &stat.device.to_le_bytes());
        put(32, &stat.modified.seconds.to_le_bytes());
        put(40, &stat.changed.seconds.to_le_bytes());
        put(48, &stat.modified.nanoseconds.to_le_bytes());
        put(52, &stat.changed.nanoseconds.to_le_bytes());
        put(56, &stat.mode.to_le_bytes());
        put(60, &digest.0);
        self.bytes.extend_from_slice(&node);
    }

    /// Adds a file as it is in another index.
    pub(super) fn add_copy(&mut self, file: &Node<'_>) {
        let head = self.begin(file.name, 1);
        self.bytes.extend_from_slice(&head[..8]);
        self.bytes.extend_from_slice(&file.bytes[8..]);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        let count = self.count();
        let Self { mut bytes, names } = self;
        let length = u32::try_from(names.len()).expect("names of fewer than 2^32 nodes are short");
        let mut head = Vec::with_capacity(HEAD_BYTES);
        head.extend_from_slice(&KIND);
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&count.to_le_bytes());
        head.extend_from_slice(&length.to_le_bytes());
        bytes[..HEAD_BYTES].copy_from_slice(&head);
        bytes.extend_from_slice(&names);
        let checksum = xxh3_64(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat() -> FileStat {
        FileStat {
            mode: 0o100_644,
            uid: 1,
            gid: 2,
            links: 1,
            size_bytes: 3,
            inode: 4,
            device: 5,
            special_device: 0,
            modified: FileTime { seconds: -6, nanoseconds: 7 },
            changed: FileTime { seconds: 8, nanoseconds: 9 },
        }
    }

    fn sample() -> Vec<u8> {
        let mut builder = Builder::new(0);
        builder.add_directory(b"");
        builder.set_children(0, 1);
        let first = builder.count();
        builder.add_file(b"a", &stat(), &Digest([0x11; 32]));
        let dir = builder.add_directory(b"d");
        builder.set_children(0, first);
        let first = builder.count();
        builder.add_file(b"b", &stat(), &Digest([0x22; 32]));
        builder.set_children(dir, first);
        builder.finish()
    }

    #[test]
    fn index_v1_never_changes() {
        let bytes = sample();
        let index = Index::new(bytes.clone()).expect("it is whole");
        let dir = index.child(0, b"d").expect("it is there");
        let file = index.child(dir, b"b").expect("it is there");
        assert_eq!(index.node(file).digest_if_same(&stat()), Some(Digest([0x22; 32])));
        assert!(index.child(0, b"b").is_none());
        assert_eq!(const_hex::encode(&bytes), include_str!("../../testdata/context-v1.hex").trim());
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let good = sample();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(Index::new(bad).is_err(), "byte {at}");
            assert!(Index::new(good[..at].to_vec()).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_file_that_looks_different_has_no_digest() {
        let index = Index::new(sample()).expect("it is whole");
        let node = index.node(index.child(0, b"a").expect("it is there"));
        let same = stat();
        assert!(node.digest_if_same(&same).is_some());
        let time = FileTime { seconds: 8, nanoseconds: 10 };
        for other in [
            FileStat { size_bytes: 4, ..same },
            FileStat { inode: 5, ..same },
            FileStat { device: 6, ..same },
            FileStat { mode: 0o100_755, ..same },
            FileStat { modified: time, ..same },
            FileStat { changed: time, ..same },
        ] {
            assert!(node.digest_if_same(&other).is_none(), "{other:?}");
        }
    }

    proptest::proptest! {
        /// With a right checksum, as only somebody with write access can make it, there is no panic either.
        #[test]
        fn nonsense_is_no_panic(mut content in proptest::collection::vec(0_u8..5, 0..600), nodes in 1_u32..7) {
            let names = content.len().saturating_sub(nodes as usize * NODE_BYTES);
            content.resize(nodes as usize * NODE_BYTES + names, 0);
            let mut bytes = [KIND.as_slice(), &VERSION.to_le_bytes(), &nodes.to_le_bytes()].concat();
            bytes.extend((names as u32).to_le_bytes());
            bytes.extend(content);
            bytes.extend(xxh3_64(&bytes).to_le_bytes());
            let index = Index::new(bytes).expect("the sizes add up");
            for node in 0..nodes {
                index.child(node, b"\0");
                index.node(node).digest_if_same(&stat());
            }
        }
    }
}
