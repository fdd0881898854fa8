//! Takes notes while a build goes on.

use std::collections::BTreeMap;
use std::sync::Mutex;

use cache::tree::Listed;
use graph::{BuildGraph, Vertex, VertexId};
use image::Digest;
use solver::Key;

use super::log::{LoggedFile, LoggedFiles, LoggedStep, Outcome};

/// Digits of a file's digest that are kept: to tell files apart, not to trust them.
const CONTENT_DIGITS: usize = 16;
/// Files of one step that are remembered.
pub(crate) const FILES_MAX: usize = 2_000;

/// What is known of the steps of one build.
#[derive(Default)]
pub(crate) struct Journal(Mutex<BTreeMap<VertexId, Note>>);

struct Note {
    outcome: Outcome,
    key: Option<Digest>,
    offered: Option<Digest>,
    ingredients: Vec<(String, String)>,
    files: LoggedFiles,
}

impl Journal {
    fn put(&self, id: VertexId, note: Note) {
        self.0.lock().expect("no holder of the lock panics").insert(id, note);
    }

    fn change(&self, id: VertexId, change: impl FnOnce(&mut Note)) {
        if let Some(note) = self.0.lock().expect("no holder of the lock panics").get_mut(&id) {
            change(note);
        }
    }

    /// A source of the build, and who it is.
    pub(crate) fn source(&self, id: VertexId, identity: Option<Digest>) {
        self.put(id, Note::new(Outcome::Source, identity, identity, Vec::new()));
    }

    /// The result of a step was there.
    pub(crate) fn cached(&self, id: VertexId, key: Key, offered: Digest, ingredients: Vec<(String, String)>) {
        let mut notes = self.0.lock().expect("no holder of the lock panics");
        // A source stays one, wherever its files were.
        if notes.get(&id).is_none_or(|note| note.outcome != Outcome::Source) {
            notes.insert(id, Note::new(Outcome::Cached, Some(key.0), Some(offered), ingredients));
        }
    }

    /// A step begins to run. It has failed unless it finishes.
    pub(crate) fn running(&self, id: VertexId, vertex: &Vertex, key: Key) {
        self.put(id, Note::new(Outcome::Failed, Some(key.0), None, vertex.op.ingredients()));
    }

    /// A step that runs copies these files.
    pub(crate) fn copied(&self, id: VertexId, listed: &[Listed], is_whole: bool) {
        self.change(id, |note| {
            note.files = LoggedFiles { files: listed.iter().map(logged).collect(), is_whole };
        });
    }

    /// A step has run.
    pub(crate) fn finished(&self, id: VertexId, offered: Key) {
        self.change(id, |note| {
            note.outcome = Outcome::Ran;
            note.offered = Some(offered.0);
        });
    }

    /// Whether anything ran.
    pub(crate) fn has_run(&self) -> bool {
        let notes = self.0.lock().expect("no holder of the lock panics");
        notes.values().any(|note| matches!(note.outcome, Outcome::Ran | Outcome::Failed))
    }

    /// The steps in the order of the graph; nothing is left in the journal.
    pub(crate) fn take(&self, graph: &BuildGraph) -> Vec<LoggedStep> {
        let notes = std::mem::take(&mut *self.0.lock().expect("no holder of the lock panics"));
        let step = |(id, note): (VertexId, Note)| {
            let vertex = graph.vertex(id);
            LoggedStep {
                name: vertex.label.name.clone(),
                outcome: note.outcome,
                key: note.key.map(|key| key.hex()),
                offered: note.offered.map(|key| key.hex()),
                inputs: vertex.inputs.iter().map(|id| graph.vertex(*id).label.name.clone()).collect(),
                ingredients: note.ingredients,
                files: (!note.files.files.is_empty()).then_some(note.files),
                no_cache: vertex.no_cache,
            }
        };
        notes.into_iter().map(step).filter(|step| !step.name.is_empty()).collect()
    }
}

impl Note {
    fn new(
        outcome: Outcome,
        key: Option<Digest>,
        offered: Option<Digest>,
        ingredients: Vec<(String, String)>,
    ) -> Self {
        Self { outcome, key, offered, ingredients, files: LoggedFiles::default() }
    }
}

fn logged(file: &Listed) -> LoggedFile {
    let target = file.target.as_ref().map(|target| target.to_string_lossy().into_owned());
    let content = file.content.map(|digest| digest.hex()[..CONTENT_DIGITS].to_owned());
    LoggedFile {
        path: file.path.to_string_lossy().into_owned(),
        mode: format!("{}{:04o}", file.kind, file.mode),
        owner: format!("{}:{}", file.owner.0, file.owner.1),
        size_bytes: file.size_bytes,
        content: target.or(content).unwrap_or_default(),
    }
}
