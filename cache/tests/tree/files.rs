//! The one place that knows how trees are made, copied and shown.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use cache::tree::{Action, Landing, Selection, Source, Target, TreeError, build, select};
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
pub(crate) fn chain(error: &TreeError) -> String {
    let mut text = format!("error: {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

fn put(selection: &Selection<'_>, base: Option<&File>, layer: &File, to: &str) -> Result<(), TreeError> {
    let target = Target { layer: layer.as_fd(), base: base.map(AsFd::as_fd), mtime: Some(MTIME) };
    build(&target, &[Action::Copy { selection, destination: to }]).map(drop)
}

/// `COPY sources to` on an empty base.
pub(crate) fn copied(source: &str, sources: &[&str], to: &str) -> String {
    Copy { source, sources, to, ..Copy::default() }.layer()
}
