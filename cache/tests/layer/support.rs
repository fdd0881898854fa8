//! Makes tars byte by byte, and shows directories as text.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use cache::layer::{self, Applied, ApplyError, Limits};

/// Gathers the blocks of a tar. Knows nothing of the code under test.
#[derive(Default)]
pub(crate) struct Tar(pub(crate) Vec<u8>);

/// One header, field by field, so that each can be wrong.
#[derive(Clone)]
pub(crate) struct Raw {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: u8,
    pub(crate) link: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) ids: (u32, u32),
    pub(crate) size: Option<u64>,
    pub(crate) mtime: u64,
    pub(crate) device: (u32, u32),
    pub(crate) magic: &'static [u8; 8],
    pub(crate) data: Vec<u8>,
}

impl Raw {
    pub(crate) fn new(kind: u8, name: impl AsRef<[u8]>) -> Self {
        let mode = if kind == b'5' { 0o755 } else { 0o644 };
        Self {
            name: name.as_ref().to_vec(),
            kind,
            link: Vec::new(),
            mode,
            ids: (0, 0),
            size: None,
            mtime: 1_000_000_000,
            device: (0, 0),
            magic: b"ustar\x0000",
            data: Vec::new(),
        }
    }

    pub(crate) fn block(&self) -> [u8; 512] {
        let mut block = [0; 512];
        let name = &self.name[..self.name.len().min(100)];
        block[..name.len()].copy_from_slice(name);
        let mut octal = |at: usize, width: usize, value: u64| {
            let text = format!("{value:0digits$o}\0", digits = width - 1);
            block[at..at + width].copy_from_slice(text.as_bytes());
        };
        octal(100, 8, u64::from(self.mode));
        octal(108, 8, u64::from(self.ids.0));
        octal(116, 8, u64::from(self.ids.1));
        octal(124, 12, self.size.unwrap_or(self.data.len() as u64));
        octal(136, 12, self.mtime);
        octal(329, 8, u64::from(self.device.0));
        octal(337, 8, u64::from(self.device.1));
        block[156] = self.kind;
        let link = &self.link[..self.link.len().min(100)];
        block[157..157 + link.len()].copy_from_slice(link);
        block[257..265].copy_from_slice(self.magic);
        with_checksum(block)
    }
}

pub(crate) fn with_checksum(mut block: [u8; 512]) -> [u8; 512] {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

pub(crate) fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    let mut record = format!("{length} {key}=").into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

impl Tar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn raw(mut self, raw: &Raw) -> Self {
        self.0.extend_from_slice(&raw.block());
        self.0.extend_from_slice(&raw.data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn dir(self, name: &str) -> Self {
        self.raw(&Raw::new(b'5', name))
    }

    pub(crate) fn file(self, name: &str, data: &str) -> Self {
        self.raw(&Raw { data: data.into(), ..Raw::new(b'0', name) })
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.raw(&Raw { link: target.into(), ..Raw::new(b'2', name) })
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.raw(&Raw { link: target.into(), ..Raw::new(b'1', name) })
    }

    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let data = records.iter().flat_map(|(key, value)| pax_record(key, value)).collect();
        self.raw(&Raw { data, ..Raw::new(b'x', "PaxHeaders/x") })
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

pub(crate) fn apply_to(tar: &[u8], into: &Path) -> Result<Applied, ApplyError> {
    apply_within(tar, into, &Limits::default())
}

pub(crate) fn apply_within(tar: &[u8], into: &Path, limits: &Limits) -> Result<Applied, ApplyError> {
    let directory = fs::File::open(into).expect("the directory exists");
    layer::apply(&mut &*tar, directory.as_fd(), limits)
}

/// Applies a tar in a fresh directory and lists the result, or tells the error.
pub(crate) fn applied(tar: &[u8]) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory");
    match apply_to(tar, directory.path()) {
        Ok(_) => listing(directory.path()),
        Err(error) => format!("error: {error}"),
    }
}

pub(crate) fn tar_of(layer: &Path) -> Vec<u8> {
    let directory = fs::File::open(layer).expect("the layer exists");
    let mut tar = Vec::new();
    layer::write_tar(directory.as_fd(), &mut tar, None).expect("the layer is readable");
    tar
}

/// One line for each file: kind, mode, owner if not root, time if not the usual one, path, and what it holds.
pub(crate) fn listing(root: &Path) -> String {
    let mut lines = Vec::new();
    if xattrs(root).iter().any(|(name, _)| name == "user.overlay.opaque") {
        lines.push("opaque /".to_owned());
    }
    list_into(root, Path::new(""), &mut lines);
    lines.join("\n")
}

fn list_into(root: &Path, below: &Path, lines: &mut Vec<String>) {
    let mut names: Vec<_> = fs::read_dir(root.join(below))
        .expect("a readable directory")
        .map(|entry| entry.expect("a readable entry").file_name())
        .collect();
    names.sort();
    for name in names {
        let path = below.join(name);
        lines.push(line(root, &path));
        if fs::symlink_metadata(root.join(&path)).expect("it was just listed").is_dir() {
            list_into(root, &path, lines);
        }
    }
}

fn line(root: &Path, path: &Path) -> String {
    let full = root.join(path);
    let meta = fs::symlink_metadata(&full).expect("it was just listed");
    let kind = meta.file_type();
    let device = || format!("{}:{}", rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
    let (letter, content) = if kind.is_dir() {
        ("d", String::new())
    } else if kind.is_symlink() {
        ("l", format!(" -> {}", fs::read_link(&full).expect("a symlink").display()))
    } else if kind.is_fifo() {
        ("p", String::new())
    } else if kind.is_char_device() && meta.rdev() == 0 {
        return format!("hidden {}", path.display());
    } else if kind.is_char_device() {
        ("c", format!(" {}", device()))
    } else if kind.is_block_device() {
        ("b", format!(" {}", device()))
    } else {
        let bytes = fs::read(&full).expect("a readable file");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        ("f", if text.len() > 40 { format!(" <{} bytes>", bytes.len()) } else { format!(" {text:?}") })
    };
    let mode = if kind.is_symlink() { 0 } else { meta.mode() & 0o7777 };
    let mut line = format!("{letter} {mode:04o}");
    if (meta.uid(), meta.gid()) != (0, 0) {
        line += &format!(" {}:{}", meta.uid(), meta.gid());
    }
    if (meta.mtime(), meta.mtime_nsec()) != (1_000_000_000, 0) {
        line += &format!(" @{}.{}", meta.mtime(), meta.mtime_nsec());
    }
    line += &format!(" {}{content}", path.display());
    if meta.nlink() > 1 && !kind.is_dir() {
        line += &format!(" links={}", meta.nlink());
    }
    for (name, value) in xattrs(&full) {
        line += &format!(" {name}={}", value.escape_ascii());
    }
    line
}

pub(crate) fn xattrs(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut list = vec![0u8; 64 << 10];
    let length = rustix::fs::llistxattr(path, &mut list[..]).expect("xattrs are listed");
    let mut found: Vec<_> = list[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty() && *name != b"security.selinux")
        .map(|name| {
            let mut value = vec![0u8; 64 << 10];
            let name = OsStr::from_bytes(name);
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).expect("a listed xattr");
            (name.to_string_lossy().into_owned(), value[..length].to_vec())
        })
        .collect();
    found.sort();
    found
}
