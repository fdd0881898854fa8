//! A context that is written for the test, and looks at it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cache::{ContextEntry, ContextError, ContextTree, Decision, Filter, Store};
use image::Digest;
use rustix::fs::FileType;

/// Longer than the granularity of timestamps that the index reckons with.
const SETTLING: Duration = Duration::from_millis(120);

pub(crate) struct Fixture {
    directory: tempfile::TempDir,
}

impl Fixture {
    /// A context with these files, each with its path as its content; with a slash behind, a directory.
    pub(crate) fn new(files: &[&str]) -> Self {
        let fixture = Self { directory: tempfile::tempdir().unwrap() };
        fs::create_dir(fixture.context()).unwrap();
        for file in files {
            let path = fixture.path(file);
            if file.ends_with('/') {
                fs::create_dir_all(path).unwrap();
            } else {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, file).unwrap();
            }
        }
        fixture
    }

    pub(crate) fn context(&self) -> PathBuf {
        self.directory.path().join("context")
    }

    /// A file of the context.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.context().join(name)
    }

    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&self.directory.path().join("store")).unwrap()
    }

    pub(crate) fn scan(&self) -> ContextTree {
        self.scan_with(&|_, _| Decision::Include).unwrap()
    }

    pub(crate) fn scan_with(&self, filter: &Filter<'_>) -> Result<ContextTree, ContextError> {
        self.store().context_index(&self.context()).unwrap().scan(filter)
    }

    /// Looks, hashes everything and saves; whether something had to be learned for good.
    pub(crate) fn learn(&self) -> bool {
        let tree = self.scan();
        tree.hash_files(tree.entries()).unwrap();
        tree.save().unwrap()
    }

    /// Waits until the index may believe what it reads now.
    pub(crate) fn settle(&self) {
        std::thread::sleep(SETTLING);
    }

    /// Digests of all files, checked against the bytes that are there.
    pub(crate) fn check_digests(&self) {
        let tree = self.scan();
        for entry in tree.entries().filter(|entry| entry.kind() == FileType::RegularFile) {
            let bytes = fs::read(self.context().join(entry.path())).unwrap();
            assert_eq!(tree.digest(entry).unwrap(), Digest(blake3::hash(&bytes).into()), "{entry:?}");
        }
    }
}

pub(crate) fn entry<'a>(tree: &'a ContextTree, path: &str) -> ContextEntry<'a> {
    tree.entry(Path::new(path)).expect("it is in the context")
}

/// One line for each entry.
pub(crate) fn list(tree: &ContextTree) -> String {
    let mut lines = String::new();
    for entry in tree.entries() {
        let kind = match entry.kind() {
            FileType::Directory => "/".to_owned(),
            FileType::RegularFile => String::new(),
            FileType::Symlink => format!(" -> {}", entry.target().unwrap().display()),
            other => format!(" {other:?}"),
        };
        lines.push_str(&format!("{}{kind}\n", entry.path().display()));
    }
    lines
}
