//! Finds what the sources of an instruction name.

use std::collections::HashSet;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::FileType;

use super::context_mode::ContextMode;
use super::glob::{Pattern, is_pattern};
use super::source::{Found, Source, Walk, join};
use super::{ModeChange, TreeError};
use crate::Decision;
use crate::layer::attributes::{Attributes, PERMISSION_BITS, Timestamp};
use crate::layer::read::text;

/// The kernel gives up after 40 links too, see path_resolution(7).
const SYMLINKS_MAX: usize = 40;

/// Says what `--exclude` leaves out: called with the path below the source (for a source that is a file, its
/// name; with `--parents`, the path below the pivot) and whether it is a directory.
pub type Exclude<'a> = dyn Fn(&Path, bool) -> Decision + Sync + 'a;

/// What changes about files as they land.
#[derive(Clone, Copy, Default)]
pub struct Landing<'a> {
    /// Who owns the files, and the directories made for them; `None` keeps the owners of the source, which
    /// are root's for a build context.
    pub owner: Option<(u32, u32)>,
    /// What of the modes of a build context counts.
    pub context_mode: ContextMode,
    /// `--chmod`, for everything but symlinks; an octal one also for the directories that are made on the way.
    pub mode: Option<&'a ModeChange>,
    /// What to leave out.
    pub exclude: Option<&'a Exclude<'a>>,
    /// `--parents`: keep the directories that a source is in, from its `/./` on.
    pub keeps_parents: bool,
    /// ADD: a local tar archive, compressed or not, is unpacked.
    pub unpacks: bool,
    /// A directory lands as itself in a destination that is a directory.
    pub keeps_directory: bool,
    /// A source that is a symlink is copied as such.
    pub keeps_symlink: bool,
    /// What is in the way is replaced.
    pub replaces: bool,
    /// A source with a pattern in it has to match something.
    pub must_match: bool,
    /// When all files were changed, in nanoseconds since 1970; `None` keeps the times of the source.
    pub mtime_ns: Option<i64>,
    /// Who owns what comes out of an archive; `None` keeps the archive's owners. ADD gives what `--chown`
    /// says and nothing else.
    pub archive_owner: Option<(u32, u32)>,
}

/// Files of a tree, chosen to be copied.
pub struct Selection<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) landing: Landing<'a>,
    pub(crate) items: Vec<Item<'a>>,
}

/// Called with the path below an item.
type See<'v, 'a> = &'v mut dyn FnMut(&[u8], &Found<'a>) -> Result<(), TreeError>;

/// One source, or one match of a pattern.
pub(crate) struct Item<'a> {
    /// Where it is, after all symlinks; without slashes at its ends.
    pub(crate) path: Vec<u8>,
    pub(crate) found: Found<'a>,
    /// The name under which it lands; empty for the root.
    pub(crate) name: Vec<u8>,
    /// With `--parents`, the directories to keep: their paths in the source, outermost first.
    pub(crate) parents: Vec<(Vec<u8>, Found<'a>)>,
    /// Files keep their hard links with those of the same batch, as in BuildKit: a match is one, and with `--parents` a source.
    pub(crate) batch: usize,
}

/// Finds the files that `sources` name: paths beneath the root of `source`, as written, which may hold
/// patterns of Go's `filepath.Match`. A source with a pattern in it may match nothing, a path must exist.
///
/// # Errors
///
/// [`TreeError::NotFound`] for a path, or a symlink, that leads to nothing.
pub fn select<'a>(
    source: Source<'a>,
    sources: &[impl AsRef<str>],
    landing: Landing<'a>,
) -> Result<Selection<'a>, TreeError> {
    let mut items = Vec::new();
    for (number, written) in sources.iter().enumerate() {
        let written = written.as_ref().as_bytes();
        match landing.keeps_parents {
            true => select_with_parents(source, written, number, &mut items)?,
            false => select_one(source, written, &landing, &mut items)?,
        }
    }
    Ok(Selection { source, landing, items })
}

fn select_one<'a>(
    source: Source<'a>,
    written: &[u8],
    landing: &Landing<'_>,
    items: &mut Vec<Item<'a>>,
) -> Result<(), TreeError> {
    let matches = expand(source, written, Depth::OneLevel)?;
    if matches.is_empty() && landing.must_match {
        return Err(not_found(&without_brackets(written)));
    }
    for path in matches {
        let (path, name) = path;
        let found = match landing.keeps_symlink {
            true => resolve_parent(source, &path)?,
            false => resolve(source, &path)?,
        };
        let (resolved, found) = found.ok_or_else(|| not_found(&path))?;
        items.push(Item { path: resolved, found, name, parents: Vec::new(), batch: items.len() });
    }
    Ok(())
}

/// A pattern as people write the path, where only single characters stand in brackets so that they mean themselves.
fn without_brackets(pattern: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some((first, behind)) = rest.split_first() {
        let (byte, next) = match rest {
            [b'[', byte @ (b'*' | b'?' | b'['), b']', next @ ..] => (byte, next),
            [b'[', b'\\', byte @ b'\\', b']', next @ ..] => (byte, next),
            _ => (first, behind),
        };
        path.push(*byte);
        rest = next;
    }
    path
}

pub(crate) fn not_found(path: &[u8]) -> TreeError {
    TreeError::NotFound { path: format!("/{}", text(path).trim_start_matches('/')) }
}

/// What precedes `/./` is not kept.
fn select_with_parents<'a>(
    source: Source<'a>,
    written: &[u8],
    batch: usize,
    items: &mut Vec<Item<'a>>,
) -> Result<(), TreeError> {
    let pivot = written.windows(3).position(|three| three == b"/./");
    let (base, below) = match pivot {
        Some(at) => (&written[..at], &written[at + 3..]),
        None => (&b""[..], written),
    };
    let pattern = clean(below).join(&b'/');
    let mut seen = HashSet::new();
    for base in bases(source, base)? {
        for (path, name) in expand_below(source, &base, &pattern, Depth::AnyLevel)? {
            if seen.insert(path.clone()) {
                items.push(Item { batch, ..item_with_parents(source, &base, path, name)? });
            }
        }
    }
    let components = clean(written);
    if seen.is_empty() && !components.iter().any(|component| is_pattern(component)) {
        return Err(not_found(&components.join(&b'/')));
    }
    Ok(())
}

/// The directories in front of the pivot: one, or those that a pattern matches.
fn bases(source: Source<'_>, written: &[u8]) -> Result<Vec<Vec<u8>>, TreeError> {
    let components = clean(written);
    if !components.iter().any(|component| is_pattern(component)) {
        let base = components.join(&b'/');
        let (base, _) = resolve(source, &base)?.ok_or_else(|| not_found(&base))?;
        return Ok(vec![base]);
    }
    let mut bases = Vec::new();
    for (path, _) in expand(source, written, Depth::AnyLevel)? {
        let resolved = resolve(source, &path)?;
        bases.extend(resolved.filter(|(_, found)| found.is_directory()).map(|(base, _)| base));
    }
    Ok(bases)
}

fn item_with_parents<'a>(
    source: Source<'a>,
    base: &[u8],
    path: Vec<u8>,
    name: Vec<u8>,
) -> Result<Item<'a>, TreeError> {
    let found = source.look_up(&path)?.ok_or_else(|| not_found(&path))?;
    let below = if base.is_empty() { &path[..] } else { path.get(base.len() + 1..).unwrap_or(b"") };
    let mut parents = Vec::new();
    for (at, _) in below.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
        let parent = join(base, &below[..at]);
        let found = source.look_up(&parent)?.ok_or_else(|| not_found(&parent))?;
        parents.push((parent, found));
    }
    Ok(Item { path, found, name, parents, batch: 0 })
}

/// The components of a path, with `.` and `..` worked out by text alone inside the root, as Go cleans it.
fn clean(path: &[u8]) -> Vec<&[u8]> {
    let mut components = Vec::new();
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => drop(components.pop()),
            _ => components.push(component),
        }
    }
    components
}

/// Whether `**` stands for any number of directories.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    OneLevel,
    AnyLevel,
}

type Match = (Vec<u8>, Vec<u8>);

/// The paths that a source names, and the last component of each. Symlinks before the first pattern are
/// followed, those that a pattern matches are not gone through.
fn expand(source: Source<'_>, written: &[u8], depth: Depth) -> Result<Vec<Match>, TreeError> {
    let components = clean(written);
    let Some(first) = components.iter().position(|component| is_pattern(component)) else {
        let name = components.last().map_or(Vec::new(), |name| name.to_vec());
        return Ok(vec![(components.join(&b'/'), name)]);
    };
    let base = components[..first].join(&b'/');
    match resolve(source, &base)? {
        Some((base, found)) if found.is_directory() => {
            expand_below(source, &base, &components[first..].join(&b'/'), depth)
        }
        _ => Ok(Vec::new()),
    }
}

fn expand_below(
    source: Source<'_>,
    base: &[u8],
    pattern: &[u8],
    depth: Depth,
) -> Result<Vec<Match>, TreeError> {
    if pattern.is_empty() {
        return Ok(vec![(base.to_vec(), Vec::new())]);
    }
    let components: Vec<&[u8]> = pattern.split(|byte| *byte == b'/').collect();
    let mut paths = vec![base.to_vec()];
    for (at, component) in components.iter().enumerate() {
        let is_last = at + 1 == components.len();
        let mut next = Vec::new();
        for path in paths {
            if depth == Depth::AnyLevel && *component == b"**" {
                next.push(path.clone());
                all_below(source, &path, is_last, &mut next)?;
            } else {
                expand_component(source, &path, component, is_last, &mut next)?;
            }
        }
        paths = next;
    }
    // What `**` at the end begins with is the directory itself, which is no match of its own.
    paths.retain(|path| path != base);
    let named = |path: Vec<u8>| {
        let name_at = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let name = path[name_at..].to_vec();
        (path, name)
    };
    Ok(paths.into_iter().map(named).collect())
}

fn expand_component(
    source: Source<'_>,
    path: &[u8],
    component: &[u8],
    is_last: bool,
    next: &mut Vec<Vec<u8>>,
) -> Result<(), TreeError> {
    if !is_pattern(component) {
        let candidate = join(path, component);
        match source.look_up(&candidate)? {
            Some(found) if is_last || found.is_directory() => next.push(candidate),
            _ => {}
        }
        return Ok(());
    }
    let bad = |_| TreeError::BadPattern { pattern: text(component) };
    let pattern = Pattern::new(component).map_err(bad)?;
    for found in source.children(path)? {
        if (is_last || found.is_directory()) && pattern.matches(&found.name) {
            next.push(join(path, &found.name));
        }
    }
    Ok(())
}

fn all_below(
    source: Source<'_>,
    path: &[u8],
    also_files: bool,
    next: &mut Vec<Vec<u8>>,
) -> Result<(), TreeError> {
    source.walk(path, &mut |below, found| {
        if also_files || found.is_directory() {
            next.push(join(path, below));
        }
        Ok(Walk::Into)
    })
}

/// Follows all symlinks of a path inside the tree. `None` when it leads to nothing.
pub(crate) fn resolve<'a>(
    source: Source<'a>,
    path: &[u8],
) -> Result<Option<(Vec<u8>, Found<'a>)>, TreeError> {
    let mut ahead: Vec<Vec<u8>> = clean(path).into_iter().rev().map(<[u8]>::to_vec).collect();
    let mut at: Vec<u8> = Vec::new();
    let mut links = 0;
    let mut found = source.look_up(b"")?;
    while let Some(name) = ahead.pop() {
        if name == b".." {
            at.truncate(at.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
            found = source.look_up(&at)?;
            continue;
        }
        if !found.as_ref().is_some_and(Found::is_directory) {
            return Ok(None);
        }
        let next = join(&at, &name);
        found = source.look_up(&next)?;
        let Some(entry) = &found else { return Ok(None) };
        let Some(target) = &entry.target else {
            at = next;
            continue;
        };
        links += 1;
        if links > SYMLINKS_MAX {
            return Err(TreeError::TooManySymlinks { path: text(path), max: SYMLINKS_MAX });
        }
        if target.starts_with(b"/") {
            at.clear();
        }
        let components = target.split(|byte| *byte == b'/').rev();
        ahead.extend(components.filter(|name| !matches!(*name, b"" | b".")).map(<[u8]>::to_vec));
        found = source.look_up(&at)?;
    }
    Ok(found.map(|found| (at, found)))
}

/// Makes sure that a path leads to something, with symlinks followed inside of the tree.
///
/// # Errors
///
/// [`TreeError::NotFound`] when it does not.
pub fn need(root: BorrowedFd<'_>, path: &Path) -> Result<(), TreeError> {
    let path = path.as_os_str().as_bytes();
    resolve(Source::Directory(root), path)?.map(drop).ok_or_else(|| not_found(path))
}

/// Follows all symlinks of a path inside the tree but one at its end.
fn resolve_parent<'a>(source: Source<'a>, path: &[u8]) -> Result<Option<(Vec<u8>, Found<'a>)>, TreeError> {
    let components = clean(path);
    let Some((name, parents)) = components.split_last() else { return resolve(source, path) };
    let Some((parent, _)) = resolve(source, &parents.join(&b'/'))? else { return Ok(None) };
    let path = join(&parent, name);
    Ok(source.look_up(&path)?.map(|found| (path, found)))
}

impl<'a> Selection<'a> {
    /// Whether a whole directory may be copied.
    pub fn has_directory(&self) -> bool {
        self.items.iter().any(|item| item.found.is_directory())
    }

    /// Whether no source matched anything.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Visits what is below a directory, without what `--exclude` leaves out and without sockets. Directories
    /// that are only there for what is in them come when the first of that comes.
    pub(crate) fn walk(&self, item: &Item<'a>, visit: See<'_, 'a>) -> Result<(), TreeError> {
        let mut pending: Vec<(Vec<u8>, Found<'a>)> = Vec::new();
        let prefix = self.exclude_prefix(item);
        self.source.walk(&item.path, &mut |below, found| {
            if found.stat.kind() == FileType::Socket {
                return Ok(Walk::Past);
            }
            while pending.last().is_some_and(|(above, _)| !is_below(below, above)) {
                pending.pop();
            }
            let decision = match self.landing.exclude {
                Some(_) => self.decide(&join(&prefix, below), found),
                None => Decision::Include,
            };
            match decision {
                Decision::Exclude => return Ok(Walk::Past),
                Decision::DescendOnly if found.is_directory() => {
                    pending.push((below.to_vec(), found.clone()));
                    return Ok(Walk::Into);
                }
                Decision::DescendOnly => return Ok(Walk::Past),
                Decision::Include => {}
            }
            for (above, directory) in pending.drain(..) {
                visit(&above, &directory)?;
            }
            visit(below, found)?;
            Ok(Walk::Into)
        })
    }

    /// With `--parents` the patterns begin at the pivot, else at the source.
    fn exclude_prefix(&self, item: &Item<'_>) -> Vec<u8> {
        match self.landing.keeps_parents {
            true => {
                let names = item.parents.iter().map(|(_, found)| &*found.name);
                names.chain([item.name.as_slice()]).collect::<Vec<_>>().join(&b'/')
            }
            false => Vec::new(),
        }
    }

    /// Whether `--exclude` leaves out a source by itself.
    pub(crate) fn is_excluded(&self, item: &Item<'_>) -> bool {
        let path = if self.landing.keeps_parents { self.exclude_prefix(item) } else { item.name.clone() };
        let is_whole_tree = item.found.is_directory() && !self.landing.keeps_parents;
        let is_out = match self.decide(&path, &item.found) {
            Decision::Include => false,
            Decision::DescendOnly => !item.found.is_directory(),
            Decision::Exclude => true,
        };
        !is_whole_tree && is_out
    }

    fn decide(&self, path: &[u8], found: &Found<'_>) -> Decision {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        self.landing.exclude.map_or(Decision::Include, |exclude| exclude(path, found.is_directory()))
    }

    /// Owner, mode and time of a file as it lands.
    pub(crate) fn attributes(&self, found: &Found<'_>) -> Attributes {
        let stat = &found.stat;
        let own = match self.source {
            Source::Directory(_) => (stat.uid, stat.gid),
            // Whoever has the files on this machine has nothing to do with the image.
            Source::Context(_) => (0, 0),
        };
        let (uid, gid) = self.landing.owner.unwrap_or(own);
        let own = match (self.source, &found.target) {
            (Source::Context(_), None) => {
                self.landing.context_mode.of(stat.mode & PERMISSION_BITS, found.is_directory())
            }
            _ => stat.mode & PERMISSION_BITS,
        };
        let mode = match self.landing.mode {
            Some(change) if found.target.is_none() => change.apply(own, found.is_directory()),
            _ => own,
        };
        let mtime = Timestamp { seconds: stat.modified.seconds, nanoseconds: stat.modified.nanoseconds };
        let mtime = self.landing.mtime_ns.map_or(mtime, super::build::time);
        Attributes { uid, gid, mode, mtime: Some(mtime), xattrs: Vec::new() }
    }
}

fn is_below(path: &[u8], above: &[u8]) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with(b"/"))
}
