//! COPY, ADD, WORKDIR and here-documents: files that become a layer.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ::image::{Digest, Hasher};
use cache::tree::{
    self, Action, ContextMode, Landing, ModeChange, Packing, Selection, Source, Target, TreeError,
    UnpackError,
};
use cache::{Decision, Layer, PackError, Store, TreeView};
use frontend::MissingSource;
use frontend::ignore::Patterns;
use graph::{
    Change, Copy, CopyRules, File, FileAction, MakeDirectory, MakeFile, MakeSymlink, Remove, Vertex, VertexId,
};

use super::{BuildWorker, ContextFiles, Layers, Output, owner};
use crate::BuildError;
use crate::blocking::blocking;
use crate::why::FILES_MAX;

/// Entries of a context that are looked through without another thread: less than a millisecond.
const ENTRIES_AT_ONCE_MAX: usize = 512;

/// Digests what the copies of a vertex read: the files as they would land.
pub(super) async fn fingerprint(
    worker: &BuildWorker,
    _: VertexId,
    vertex: &Vertex,
    file: &File,
    inputs: &[Option<Output>],
) -> Result<Digest, BuildError> {
    // Shorter than the way to another thread, on which mistakes are found again, and told.
    if are_small_contexts(file, inputs)
        && let Ok(Some(digest)) = digest(&worker.store, file, inputs, |selection| selection.known_digest())
    {
        return Ok(digest);
    }
    let (store, file, opened) = (worker.store.clone(), file.clone(), inputs.to_vec());
    let digest =
        blocking(move || digest(&store, &file, &opened, |selection| selection.digest().map(Some))).await;
    let digest = digest.map_err(|failure| explain(worker, vertex, inputs, failure))?;
    Ok(digest.expect("whatever is asked to read has an answer"))
}

/// Whether all that is copied comes from contexts that are looked through at once.
fn are_small_contexts(file: &File, inputs: &[Option<Output>]) -> bool {
    copies(file).all(|copy| {
        matches!(&inputs[copy.input], Some(Output::Context(files)) if files.tree.len() <= ENTRIES_AT_ONCE_MAX)
    })
}

/// The digest of all copies, of each by `of`; `None` where that has none.
fn digest(
    store: &Store,
    file: &File,
    inputs: &[Option<Output>],
    of: impl Fn(&Selection<'_>) -> Result<Option<Digest>, TreeError>,
) -> Result<Option<Digest>, Failure> {
    let mut hasher = Hasher::new("read/v1");
    for copy in copies(file) {
        let opened = Opened::new(store, inputs[copy.input].as_ref().expect("what is read is there"))?;
        // Owners are part of the operation, and names of them part of input 0.
        let rules = Rules::new(copy)?;
        let selection = tree::select(opened.source(), &copy.sources, rules.landing(None, &opened))?;
        let Some(digest) = of(&selection)? else { return Ok(None) };
        hasher = hasher.field("selection", digest.0);
    }
    Ok(Some(hasher.finish()))
}

pub(super) async fn execute(
    worker: &BuildWorker,
    id: VertexId,
    vertex: &Vertex,
    file: &File,
    inputs: &[Output],
) -> Result<Layer, BuildError> {
    let (store, file, outputs) = (worker.store.clone(), file.clone(), inputs.to_vec());
    let mtime = worker.source_date_epoch;
    let begin = Instant::now();
    let packs = !worker.looked_into.contains(id);
    let made = blocking(move || make(&store, &file, &outputs, mtime, packs)).await;
    worker.meter.since(id, begin, |measured| &mut measured.run);
    if let Ok(made) = &made {
        worker.journal.copied(id, &made.listed, made.is_whole_list);
    }
    made.map(|made| made.layer).map_err(|failure| {
        let inputs: Vec<_> = inputs.iter().cloned().map(Some).collect();
        explain(worker, vertex, &inputs, failure)
    })
}

/// A layer, and what was copied into it.
struct Made {
    layer: Layer,
    listed: Vec<tree::Listed>,
    is_whole_list: bool,
}

fn make(
    store: &Arc<Store>,
    file: &File,
    inputs: &[Output],
    mtime: Option<i64>,
    packs: bool,
) -> Result<Made, Failure> {
    let below = inputs[0].layers().expect("what is continued has layers");
    let base = store.view(&below.ids)?;
    let mut opened = Vec::new();
    let mut rules = Vec::new();
    for copy in copies(file) {
        opened.push(Opened::new(store, &inputs[copy.input])?);
        rules.push(Rules::new(copy)?);
    }
    let mut selections = Vec::new();
    for ((copy, opened), rules) in copies(file).zip(&opened).zip(&rules) {
        let owner = owner_of(copy.owner.as_deref(), &base)?;
        let landing = rules.landing(owner, opened);
        selections.push(tree::select(opened.source(), &copy.sources, landing)?);
    }
    let mut changed = Vec::new();
    for change in file.actions.iter().filter_map(changes) {
        let open = |input: usize| {
            let layers = inputs[input].layers().expect("what is compared has layers");
            store.view(&layers.ids)
        };
        changed.push((open(change.from)?, open(change.to)?));
    }
    let actions = actions(file, (&selections, &changed), &base)?;
    let independent = copies(file).next().is_some() && copies(file).all(|copy| copy.link);
    let base = (!independent).then(|| base.root());
    let packs = packs && selections.iter().any(Selection::has_directory);
    let layer = commit(store, base, mtime, &actions, packs)?;
    let mut made = Made { layer, listed: Vec::new(), is_whole_list: true };
    for selection in &selections {
        // A file of the context may have changed since it was copied. Only an explanation would know.
        let Ok((listed, is_whole)) = selection.listing(FILES_MAX - made.listed.len()) else {
            made.is_whole_list = false;
            break;
        };
        made.listed.extend(listed);
        made.is_whole_list &= is_whole;
    }
    Ok(made)
}

/// Packs the files when nobody will look into them soon, and makes them else.
fn commit(
    store: &Store,
    base: Option<BorrowedFd<'_>>,
    mtime: Option<i64>,
    actions: &[Action<'_>],
    packs: bool,
) -> Result<Layer, Failure> {
    let packing = if packs { tree::plan(base, mtime, actions)? } else { None };
    let packing = packing.filter(Packing::is_worthwhile);
    if let Some(packing) = packing {
        match store.begin_layer()?.commit_packed(&packing, mtime) {
            Ok(layer) => return Ok(layer),
            Err(PackError::Pack(UnpackError::Unpackable)) => {}
            Err(PackError::Pack(UnpackError::Tree(error))) => return Err(error.into()),
            Err(PackError::Pack(UnpackError::Read(error))) => {
                return Err(cache::StoreError::from(error).into());
            }
            Err(PackError::Store(error)) => return Err(error.into()),
        }
    }
    let layer = store.begin_layer()?;
    let directory = layer.open()?;
    tree::build(&Target { layer: directory.as_fd(), base, mtime }, actions)?;
    Ok(layer.commit()?)
}

fn copies(file: &File) -> impl Iterator<Item = &Copy> {
    file.actions.iter().filter_map(|action| match action {
        FileAction::Copy(copy) => Some(copy),
        FileAction::MakeDirectory(_)
        | FileAction::MakeFile(_)
        | FileAction::MakeSymlink(_)
        | FileAction::Remove(_)
        | FileAction::Change(_)
        | FileAction::Expect(_) => None,
    })
}

fn changes(action: &FileAction) -> Option<&Change> {
    match action {
        FileAction::Change(change) => Some(change),
        _ => None,
    }
}

fn actions<'a>(
    file: &'a File,
    (selections, changed): (&'a [Selection<'a>], &'a [(TreeView, TreeView)]),
    base: &TreeView,
) -> Result<Vec<Action<'a>>, Failure> {
    let (mut selections, mut changed) = (selections.iter(), changed.iter());
    let owner =
        |owner: &Option<String>| Ok::<_, Failure>(owner_of(owner.as_deref(), base)?.unwrap_or((0, 0)));
    let at = |mtime_ns: Option<i64>, action: Action<'a>| match mtime_ns {
        Some(time) => Action::At(time, Box::new(action)),
        None => action,
    };
    let mut actions = Vec::new();
    for action in &file.actions {
        actions.push(match action {
            FileAction::Copy(copy) => Action::Copy {
                selection: selections.next().expect("a selection for each copy"),
                destination: &copy.destination,
            },
            FileAction::MakeDirectory(MakeDirectory { path, mode, owner: by, mtime_ns }) => {
                at(*mtime_ns, Action::MakeDirectory { path, mode: *mode, owner: owner(by)? })
            }
            FileAction::MakeFile(MakeFile { path, mode, owner: by, content, mtime_ns }) => {
                at(*mtime_ns, Action::MakeFile { path, mode: *mode, owner: owner(by)?, content })
            }
            FileAction::MakeSymlink(MakeSymlink { path, target, owner: by, mtime_ns }) => {
                at(*mtime_ns, Action::MakeSymlink { path, target, owner: owner(by)? })
            }
            FileAction::Remove(Remove { path, is_pattern, may_be_missing }) => {
                Action::Remove { path, is_pattern: *is_pattern, may_be_missing: *may_be_missing }
            }
            FileAction::Change(_) => {
                let (from, to) = changed.next().expect("two trees for each change");
                Action::Change { from: from.root(), to: to.root() }
            }
            FileAction::Expect(path) => Action::Expect { path },
        });
    }
    Ok(actions)
}

fn owner_of(text: Option<&str>, base: &TreeView) -> Result<Option<(u32, u32)>, Failure> {
    let note = |unknown| tracing::warn!("{unknown}: what is to belong to it belongs to root");
    text.map(|text| owner::resolve(text, base.root(), note))
        .transpose()
        .map_err(|error| Failure::Bad(error.to_string()))
}

/// A file system that is read.
enum Opened {
    Context(Arc<ContextFiles>),
    View(TreeView),
}

impl Opened {
    fn new(store: &Store, output: &Output) -> Result<Self, Failure> {
        Ok(match output {
            Output::Context(files) => Self::Context(files.clone()),
            Output::Layers(Layers { ids, .. }) => Self::View(store.view(ids)?),
            Output::Away(_) => unreachable!("what is read was brought before"),
        })
    }

    fn source(&self) -> Source<'_> {
        match self {
            Self::Context(files) => Source::Context(&files.tree),
            Self::View(view) => Source::Directory(view.root()),
        }
    }
}

type Exclude = Box<dyn Fn(&Path, bool) -> Decision + Sync>;

/// The flags of a copy, parsed.
struct Rules<'a> {
    more: &'a CopyRules,
    mode: Option<ModeChange>,
    exclude: Option<Exclude>,
    parents: bool,
    unpack: bool,
}

impl<'a> Rules<'a> {
    fn new(copy: &'a Copy) -> Result<Self, Failure> {
        let mode = copy.mode.as_deref().map(str::parse).transpose();
        let mode = mode.map_err(|error: tree::ModeError| Failure::Bad(error.to_string()))?;
        let exclude = match copy.exclude.is_empty() && copy.rules.include.is_empty() {
            true => None,
            false => Some(chosen(patterns(&copy.rules.include)?, patterns(&copy.exclude)?)),
        };
        Ok(Self { more: &copy.rules, mode, exclude, parents: copy.parents, unpack: copy.unpack })
    }

    /// What comes from a context belongs to root, whoever owns it on this machine.
    fn landing(&self, owner: Option<(u32, u32)>, from: &Opened) -> Landing<'_> {
        let context = match from {
            Opened::Context(files) => Some(&files.source),
            Opened::View(_) => None,
        };
        Landing {
            owner: owner.or(context.map(|_| (0, 0))),
            context_mode: context.map_or(ContextMode::Exact, |context| context.mode),
            mode: self.mode.as_ref(),
            exclude: self.exclude.as_deref(),
            keeps_parents: self.parents,
            unpacks: self.unpack,
            archive_owner: owner,
            keeps_directory: self.more.keep_directory,
            keeps_symlink: self.more.keep_symlink,
            replaces: self.more.replace,
            must_match: self.more.must_match,
            mtime_ns: self.more.mtime_ns,
        }
    }
}

fn patterns(texts: &[String]) -> Result<Patterns, Failure> {
    let patterns = Patterns::new(texts.iter().map(String::as_str));
    patterns.map_err(|error| Failure::Bad(error.to_string()))
}

/// What is copied: all that some pattern of `include` means, if there is one, and none of `exclude`.
fn chosen(include: Patterns, exclude: Patterns) -> Exclude {
    Box::new(move |path: &Path, is_directory| {
        let is_included = include.is_empty() || include.matches(&path.to_string_lossy()).is_excluded();
        match super::context::decide(&exclude, path, is_directory) {
            Decision::Include if !is_included && is_directory => Decision::DescendOnly,
            Decision::Include if !is_included => Decision::Exclude,
            decision => decision,
        }
    })
}

/// Why files did not become a layer, before it is explained with the Dockerfile's line.
enum Failure {
    Tree(TreeError),
    Store(cache::StoreError),
    /// What the instruction says cannot be.
    Bad(String),
}

impl From<TreeError> for Failure {
    fn from(error: TreeError) -> Self {
        Self::Tree(error)
    }
}

impl From<cache::StoreError> for Failure {
    fn from(error: cache::StoreError) -> Self {
        Self::Store(error)
    }
}

fn explain(worker: &BuildWorker, vertex: &Vertex, inputs: &[Option<Output>], failure: Failure) -> BuildError {
    let step = vertex.label.name.clone();
    match failure {
        Failure::Store(error) => error.into(),
        Failure::Bad(message) => {
            let rendered = worker.render(vertex, &message, None);
            BuildError::Copy { message, rendered }
        }
        Failure::Tree(TreeError::NotFound { path }) => missing(worker, vertex, inputs, &path),
        Failure::Tree(error) if is_users(&error) => {
            let message = error.to_string();
            let rendered = worker.render(vertex, &message, pattern_help(&error));
            BuildError::Copy { message, rendered }
        }
        Failure::Tree(source) => BuildError::Tree { step, source },
    }
}

/// A bracket begins a range of characters, or what was to be a list.
fn pattern_help(error: &TreeError) -> Option<String> {
    let TreeError::BadPattern { pattern } = error else { return None };
    let help = "put double quotes around each word of a JSON list; a bracket of a name is written as `[[]`";
    pattern.starts_with('[').then(|| help.to_owned())
}

/// Whether the Dockerfile or the files that it names have to change.
fn is_users(error: &TreeError) -> bool {
    matches!(
        error,
        TreeError::BadPattern { .. }
            | TreeError::TooManySymlinks { .. }
            | TreeError::NotADirectory { .. }
            | TreeError::IsADirectory { .. }
            | TreeError::NoDirectory { .. }
            | TreeError::Exists { .. }
            | TreeError::Root { .. }
            | TreeError::Archive { .. }
    )
}

/// A source that is not there: perhaps the ignore file hides it, perhaps something like it is there.
fn missing(worker: &BuildWorker, vertex: &Vertex, inputs: &[Option<Output>], path: &str) -> BuildError {
    let message = format!("\"{path}\": not found");
    let graph::Op::File(file) = &vertex.op else { unreachable!("only file operations copy") };
    let found = copies(file).find_map(|copy| {
        let same = |source: &&String| source.trim_matches('/') == path.trim_matches('/');
        let named = copy.sources.iter().find(same).map(|source| (copy, source.as_str()));
        // What is mounted is copied to its own path; its source is escaped where it looks like a pattern.
        let is_mounted = copy.rules.must_match && copy.destination == path;
        named.or_else(|| is_mounted.then(|| (copy, path.trim_start_matches('/'))))
    });
    let (Some((copy, source)), Some(location)) = (found, &vertex.label.location) else {
        return BuildError::Copy { rendered: worker.render(vertex, &message, None), message };
    };
    let context = match &inputs[copy.input] {
        Some(Output::Context(files)) => Some(files),
        _ => None,
    };
    let names = context.map_or_else(Vec::new, |files| names_beside(files, source));
    let missing = MissingSource {
        source,
        place: match context {
            Some(files) if files.source.root.is_empty() => "the build context, which has no files at all",
            Some(_) => "the build context",
            None => "the stage or image it is copied from",
        },
        patterns: context.map(|files| &*files.source.ignore),
        ignore_file: context.and_then(|files| files.source.ignore_file.as_deref()).unwrap_or(".dockerignore"),
        names: &names,
    };
    let diagnostic = missing.diagnostic(&worker.source.text, &location.span);
    BuildError::Copy {
        rendered: frontend::render(&diagnostic, &worker.source.name, &worker.source.text),
        message,
    }
}

/// The names in the directory of the context where `source` should be.
fn names_beside(files: &ContextFiles, source: &str) -> Vec<String> {
    let parent = Path::new(source.trim_matches('/')).parent().unwrap_or(Path::new(""));
    let name = |entry: cache::ContextEntry<'_>| entry.name().to_string_lossy().into_owned();
    if parent.as_os_str().is_empty() {
        let top = files.tree.entries().filter(|entry| entry.path().components().count() == 1);
        return top.map(name).collect();
    }
    files.tree.entry(parent).map(|parent| parent.children().map(name).collect()).unwrap_or_default()
}
