//! `COPY`, `ADD`, `WORKDIR` and here-documents as operations of BuildKit.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use graph::{Copy, CopyRules, File, FileAction, MakeDirectory, MakeFile, Vertex};

use super::Lowering;
use super::json::{Dialect, Object, list, quoted};
use super::node::{Content, Edge, Node, Selector, digest_of_list, without_nested};
use super::{exec, owner};

/// The input that there is not.
const NONE: i64 = -1;
/// The mode or the time that is not changed.
const UNCHANGED: i64 = -1;
/// What a directory has for permissions.
const PERMISSIONS: u32 = 0o777;

/// One action before it is written.
enum Action<'a> {
    Copy { copy: &'a Copy, source: String, from: i64, is_document: bool },
    MakeDirectory(&'a MakeDirectory),
    MakeFile(&'a MakeFile),
}

impl Lowering<'_> {
    /// The place of the operation.
    pub(super) fn file(&mut self, vertex: &Vertex, file: &File) -> usize {
        let is_linked = file.actions.iter().all(|action| match action {
            FileAction::Copy(copy) => copy.link && copy.mode.is_none(),
            _ => false,
        });
        let base = self.of[vertex.inputs[0].index()];
        match (is_linked && !file.actions.is_empty(), base) {
            (true, Some(base)) => {
                let upper = self.file_on(vertex, file, None);
                let upper = self.push(upper);
                self.push(exec::merged(base, upper))
            }
            _ => {
                let node = self.file_on(vertex, file, base);
                self.push(node)
            }
        }
    }

    fn file_on(&self, vertex: &Vertex, file: &File, base: Option<usize>) -> Node {
        let mut inputs: Vec<usize> = base.into_iter().collect();
        let mut actions = Vec::new();
        for action in &file.actions {
            match action {
                FileAction::Copy(copy) => match self.copies(vertex, copy, &mut inputs) {
                    Ok(copies) => actions.extend(copies),
                    Err(why) => return Node::unknown(why),
                },
                FileAction::MakeDirectory(make) => actions.push(Action::MakeDirectory(make)),
                FileAction::MakeFile(make) => actions.push(Action::MakeFile(make)),
                _ => return Node::unknown("no Dockerfile can say what it does"),
            }
        }
        let base = if base.is_some() { 0 } else { NONE };
        let indexes = indexes(&actions, base, inputs.len());
        let written = Dialect::ALL.map(|dialect| {
            let actions: Vec<String> = actions.iter().map(|action| action.written(dialect, base)).collect();
            written(&actions, &indexes)
        });
        let edges = (0..).zip(&inputs).map(|(number, from)| self.edge(number, *from, &actions, base));
        Node::new(written, edges.collect())
    }

    /// A copy of each source.
    fn copies<'a>(
        &self,
        vertex: &Vertex,
        copy: &'a Copy,
        inputs: &mut Vec<usize>,
    ) -> Result<Vec<Action<'a>>, &'static str> {
        let input = vertex.inputs[copy.input];
        let from = self.of[input.index()];
        if copy.parents {
            return Err("it copies with `--parents`");
        }
        if !copy.exclude.is_empty() {
            return Err("it copies with `--exclude`");
        }
        if copy.rules != CopyRules::default() {
            return Err("no Dockerfile can say what it does");
        }
        if copy.mode.as_ref().is_some_and(|mode| u32::from_str_radix(mode, 8).is_err()) {
            return Err("it copies with a symbolic `--chmod`");
        }
        let from = match from {
            None => NONE,
            Some(from) => {
                let at = inputs.iter().position(|other| *other == from).unwrap_or_else(|| {
                    inputs.push(from);
                    inputs.len() - 1
                });
                i64::try_from(at).unwrap_or(NONE)
            }
        };
        let document = self.document(input);
        Ok(copy
            .sources
            .iter()
            .map(|source| match document {
                Some(document) => {
                    Action::Copy { copy, source: document.path.clone(), from, is_document: true }
                }
                None => Action::Copy { copy, source: absolute(source), from, is_document: false },
            })
            .collect())
    }

    /// What an operation has of an input: only the paths that it copies, unless it stands on it.
    fn edge(&self, number: i64, from: usize, actions: &[Action<'_>], base: i64) -> Edge {
        let mut selectors: Vec<Selector> = Vec::new();
        for action in actions {
            if let Action::Copy { source, from, is_document, .. } = action
                && *from == number
            {
                let is_pattern = !is_document && is_pattern(source);
                selectors.push(Selector { path: source.clone(), follows_links: !is_document, is_pattern });
            }
        }
        if number == base || selectors.is_empty() {
            return Edge { from, selectors: vec![None], content: None };
        }
        let mut paths: Vec<&str> = selectors.iter().map(|selector| selector.path.as_str()).collect();
        paths.sort_unstable();
        paths.reverse();
        let all = Some(digest_of_list(&paths));
        let selectors = without_repetitions(selectors);
        let content = self.contexts.get(&from).map(|context| Content { context: *context, selectors });
        Edge { from, selectors: vec![all], content }
    }
}

impl Action<'_> {
    fn written(&self, dialect: Dialect, base: i64) -> String {
        let owner = |owner: &Option<String>| owner.as_ref().map(|owner| owner::owner(dialect, owner, base));
        let written = match self {
            Self::MakeDirectory(make) => Object::new()
                .text("path", &make.path)
                .number("mode", i64::from(make.mode & PERMISSIONS))
                .flag("makeParents", true)
                .object("owner", owner(&make.owner))
                .number("timestamp", UNCHANGED),
            Self::MakeFile(make) => Object::new()
                .text("path", &make.path)
                .number("mode", i64::from(make.mode & PERMISSIONS))
                .text("data", &STANDARD.encode(&make.content))
                .object("owner", owner(&make.owner))
                .number("timestamp", UNCHANGED),
            Self::Copy { copy, source, from, is_document } => {
                let mode = copy.mode.as_ref().and_then(|mode| i64::from_str_radix(mode, 8).ok());
                // Which directory it is taken from is in the digest of the paths.
                let source = if *from == NONE { source } else { base_name(source) };
                let is_path = !is_document;
                Object::new()
                    .text("src", source)
                    .text("dest", &copy.destination)
                    .object("owner", owner(&copy.owner))
                    .number("mode", mode.unwrap_or(UNCHANGED))
                    .flag("followSymlink", is_path)
                    .flag("dirCopyContents", is_path)
                    .flag("attemptUnpackDockerCompatibility", is_path && copy.unpack)
                    .flag("createDestPath", true)
                    .flag("allowWildcard", is_path)
                    .flag("allowEmptyWildcard", is_path)
                    .number("timestamp", UNCHANGED)
            }
        };
        written.finish()
    }
}

/// The inputs of each action: the first stands on the base, others on the one before.
fn indexes(actions: &[Action<'_>], base: i64, inputs: usize) -> Vec<(i64, i64)> {
    let below = |at: usize| match at {
        0 => base,
        at => i64::try_from(inputs + at - 1).unwrap_or(NONE),
    };
    let read = |action: &Action<'_>| match action {
        Action::Copy { from, .. } => *from,
        Action::MakeDirectory(_) | Action::MakeFile(_) => NONE,
    };
    actions.iter().enumerate().map(|(at, action)| (below(at), read(action))).collect()
}

/// The operation with these actions, of which the last one makes the result.
pub(super) fn written(actions: &[String], indexes: &[(i64, i64)]) -> String {
    let encoded: Vec<String> = actions.iter().map(|action| quoted(&STANDARD.encode(action))).collect();
    let object = Object::new().text("Type", "buildkit.file.v0").always("Actions", list(&encoded));
    if is_usual(indexes) {
        return object.finish();
    }
    let last = indexes.len().saturating_sub(1);
    let all = indexes.iter().enumerate().map(|(at, (below, read))| {
        let output = if at == last { 0 } else { NONE };
        format!("[{below},{read},{output}]")
    });
    object.list("indexes", &all.collect::<Vec<_>>()).finish()
}

/// Whether these are the inputs that are not written down. How the first action of several is counted is BuildKit's
/// own peculiarity.
fn is_usual(indexes: &[(i64, i64)]) -> bool {
    let below = |at: usize| match at {
        0 => Some(0),
        at => i64::try_from(indexes.len() + at - 1).ok(),
    };
    let is_usual =
        |(at, index): (usize, &(i64, i64))| Some(index.0) == below(at) && (index.1 == NONE || index.1 == 1);
    indexes.iter().enumerate().all(is_usual)
}

fn without_repetitions(selectors: Vec<Selector>) -> Vec<Selector> {
    let (patterns, paths): (Vec<_>, Vec<_>) = selectors.into_iter().partition(|selector| selector.is_pattern);
    let (followed, unfollowed): (Vec<_>, Vec<_>) =
        paths.into_iter().partition(|selector| selector.follows_links);
    let of = |selectors: Vec<Selector>, follows_links| {
        let paths = selectors.into_iter().map(|selector| selector.path).collect();
        without_nested(paths).into_iter().map(move |path| Selector { path, follows_links, is_pattern: false })
    };
    let mut all: Vec<Selector> = of(unfollowed, false).chain(of(followed, true)).chain(patterns).collect();
    all.sort_by(|one, other| one.path.cmp(&other.path));
    all
}

/// A source from the root on.
fn absolute(source: &str) -> String {
    if source == "." { "/".to_owned() } else { format!("/{}", source.trim_start_matches('/')) }
}

/// The last component of an absolute path.
fn base_name(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some((_, name)) if !name.is_empty() => name,
        _ => "/",
    }
}

/// Whether a path may match several.
pub(super) fn is_pattern(path: &str) -> bool {
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'*' | b'?' | b'[' => return true,
            _ => {}
        }
    }
    false
}
