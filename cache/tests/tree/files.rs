//! The one place that knows how trees are made, copied and shown.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use cache::layer::{Files, content_digest, size_bytes, summarize, write_tar};
use cache::tree::{
    Action, Landing, Selection, Source, Target, TreeError, build, plan, select, unpack_packed,
};
use tempfile::TempDir;

use crate::support::{Raw, Tar, apply_to, listing};

/// Makes a tree of lines like these:
///
/// ```text
/// d dir
/// f dir/file content
/// l link -> target
/// h hard = dir/file
/// p fifo
/// d tmp mode=1777 own=5:6
/// ```
pub(crate) fn tree(fixture: &str) -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let tar = fixture.lines().map(str::trim).filter(|line| !line.is_empty()).fold(Tar::new(), entry);
    apply_to(&tar.end(), directory.path()).expect("a good fixture");
    directory
}

fn entry(tar: Tar, line: &str) -> Tar {
    let mut words = line.split_whitespace();
    let mut word = || words.next().expect("a kind and a path");
    let (kind, name) = (word(), word());
    let kind = match kind {
        "f" => b'0',
        "d" => b'5',
        "l" => b'2',
        "h" => b'1',
        "p" => b'6',
        other => panic!("unknown kind {other}"),
    };
    let mut raw = Raw::new(kind, name);
    for word in words {
        match word.split_once('=') {
            Some(("mode", mode)) => raw.mode = u32::from_str_radix(mode, 8).expect("an octal mode"),
            Some(("time", time)) => raw.mtime = time.parse().expect("a time"),
            Some(("own", own)) => {
                let (uid, gid) = own.split_once(':').expect("uid:gid");
                raw.ids = (uid.parse().expect("a uid"), gid.parse().expect("a gid"));
            }
            _ if word == "->" || word == "=" => {}
            _ if matches!(kind, b'1' | b'2') => raw.link = word.as_bytes().to_vec(),
            _ => raw.data = word.as_bytes().to_vec(),
        }
    }
    tar.raw(&raw)
}

pub(crate) fn open(tree: &Path) -> File {
    File::open(tree).expect("the tree exists")
}

/// A copy to be made.
#[derive(Default)]
pub(crate) struct Copy<'a> {
    pub(crate) source: &'a str,
    pub(crate) base: &'a str,
    pub(crate) sources: &'a [&'a str],
    pub(crate) to: &'a str,
    pub(crate) landing: Landing<'a>,
}

/// Time of what has no source, the same as in all fixtures.
pub(crate) const MTIME: i64 = 1_000_000_000;

impl Copy<'_> {
    /// What is in the layer afterwards, or the error.
    pub(crate) fn layer(&self) -> String {
        let (source, base) = (tree(self.source), tree(self.base));
        copy_between(source.path(), Some(base.path()), self.sources, self.to, self.landing)
    }
}

pub(crate) fn copy_between(
    source: &Path,
    base: Option<&Path>,
    sources: &[&str],
    to: &str,
    landing: Landing<'_>,
) -> String {
    let layer = tempfile::tempdir().expect("a temporary directory");
    let (source, base, layer_fd) = (open(source), base.map(open), open(layer.path()));
    let outcome = select(Source::Directory(source.as_fd()), sources, landing)
        .and_then(|selection| put(&selection, base.as_ref(), &layer_fd, to));
    match outcome {
        Ok(()) => listing(layer.path()),
        Err(error) => chain(&error),
    }
}

/// An error and its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = format!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

fn put(selection: &Selection<'_>, base: Option<&File>, layer: &File, to: &str) -> Result<(), TreeError> {
    let base = base.map(AsFd::as_fd);
    let actions = [Action::Copy { selection, destination: to }];
    let built = build(&Target { layer: layer.as_fd(), base, mtime: Some(MTIME) }, &actions).map(drop);
    packing_does_the_same(base, &actions, layer, &built);
    built
}

/// Packs what was built, and unpacks it: the tars are the same, the directories as well, up to nanoseconds.
pub(crate) fn packing_does_the_same(
    base: Option<BorrowedFd<'_>>,
    actions: &[Action<'_>],
    built: &File,
    outcome: &Result<(), TreeError>,
) {
    let mut file = tempfile::tempfile().expect("it can be packed");
    let packing = match plan(base, Some(MTIME), actions) {
        Ok(Some(packing)) => packing,
        // Archives are unpacked only into directories.
        Ok(None) => return,
        Err(error) => return assert_eq!(Some(chain(&error)), outcome.as_ref().err().map(|it| chain(it))),
    };
    let summary = match packing.write(&mut file, Some(5)) {
        Ok(summary) => summary,
        Err(error) => return assert_eq!(Some(chain(&error)), outcome.as_ref().err().map(|it| chain(it))),
    };
    assert!(outcome.is_ok(), "{outcome:?}");
    assert_eq!(summary, summarize(built.as_fd(), Some(5)).expect("it can be packed"));
    let unpacked = tempfile::tempdir().expect("it can be packed");
    let unpacked = open(unpacked.path());
    unpack_packed(&file, unpacked.as_fd()).expect("it can be packed");
    let expected = tar(built.as_fd());
    assert_eq!(tar(Files::Packed(&file)), expected, "the tar of the packed layer");
    assert_eq!(tar(unpacked.as_fd()), expected, "the tar of the unpacked layer");
    assert_eq!(
        content_digest(Files::Packed(&file)).expect("it can be packed"),
        content_digest(built.as_fd()).expect("it can be packed")
    );
    assert_eq!(
        size_bytes(Files::Packed(&file)).expect("it can be packed"),
        size_bytes(built.as_fd()).expect("it can be packed")
    );
    assert_eq!(times(&unpacked), times(built));
}

fn tar<'a>(files: impl Into<Files<'a>>) -> Vec<u8> {
    let mut tar = Vec::new();
    write_tar(files, &mut tar, None).expect("a layer that was just made");
    tar
}

/// Names and times to the nanosecond; what has none is as old as the layer.
fn times(layer: &File) -> Vec<(PathBuf, i64, i64)> {
    let root = PathBuf::from(format!("/proc/self/fd/{}/.", layer.as_raw_fd()));
    let files = walkdir::WalkDir::new(&root).min_depth(1).sort_by_file_name();
    let time = |entry: walkdir::DirEntry| {
        let metadata = entry.metadata().expect("it can be packed");
        let path = entry.path().strip_prefix(&root).expect("it can be packed").to_owned();
        (path, metadata.mtime(), metadata.mtime_nsec())
    };
    files.into_iter().map(|entry| time(entry.expect("it can be packed"))).collect()
}

/// `COPY sources to` on an empty base.
pub(crate) fn copied(source: &str, sources: &[&str], to: &str) -> String {
    Copy { source, sources, to, ..Copy::default() }.layer()
}
