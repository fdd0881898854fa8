//! Takes notes while a build goes on.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use cache::tree::Listed;
use graph::{BuildGraph, Vertex, VertexId};
use image::{Digest, ImageId};
use solver::Key;

use super::log::{BuildLog, LoggedFile, LoggedFiles, LoggedStep, Outcome};
use crate::{Explaining, StepId};

/// Digits of a file's digest that are kept: to tell files apart, not to trust them.
const CONTENT_DIGITS: usize = 16;
/// Files of one step that are remembered.
pub(crate) const FILES_MAX: usize = 2_000;
const NANOSECONDS: i64 = 1_000_000_000;

/// What is known of the steps of one build.
pub(crate) struct Journal {
    /// The build, without its steps.
    build: BuildLog,
    /// The vertices of the graph, in order.
    places: Vec<Place>,
    notes: Mutex<BTreeMap<VertexId, Note>>,
    /// How old the results were that were too old, in seconds.
    expired: Mutex<BTreeMap<VertexId, u64>>,
    has_explained: AtomicBool,
}

/// A journal that is finished.
pub(crate) struct Journaled {
    /// The steps are in the order of the graph.
    pub(crate) log: BuildLog,
    /// The vertices of the steps.
    pub(crate) vertices: Vec<VertexId>,
    /// Whether anything ran. If not there is nothing to be explained.
    pub(crate) has_run: bool,
}

/// Where a vertex is in the graph, for people.
struct Place {
    name: String,
    number: Option<u32>,
    inputs: Vec<VertexId>,
    no_cache: bool,
}

#[derive(Clone)]
struct Note {
    outcome: Outcome,
    key: Option<Digest>,
    offered: Option<Digest>,
    ingredients: Vec<(String, String)>,
    files: LoggedFiles,
}

impl Journal {
    /// The journal of a build that begins.
    pub(crate) fn new(build: BuildLog, graph: &BuildGraph, step_of: &BTreeMap<VertexId, StepId>) -> Self {
        let place = |(id, vertex): (VertexId, &Vertex)| Place {
            name: vertex.label.name.clone(),
            number: step_of.get(&id).map(|step| step.0),
            inputs: vertex.inputs.clone(),
            no_cache: vertex.no_cache,
        };
        Self {
            build,
            places: graph.vertices().map(place).collect(),
            notes: Mutex::default(),
            expired: Mutex::default(),
            has_explained: AtomicBool::new(false),
        }
    }

    /// Says whether anything is to be explained while the build runs.
    pub(crate) fn explaining(self, explaining: Explaining) -> Self {
        Self { has_explained: AtomicBool::new(explaining == Explaining::Nothing), ..self }
    }

    fn put(&self, id: VertexId, note: Note) {
        self.notes.lock().expect("no holder of the lock panics").insert(id, note);
    }

    fn change(&self, id: VertexId, change: impl FnOnce(&mut Note)) {
        if let Some(note) = self.notes.lock().expect("no holder of the lock panics").get_mut(&id) {
            change(note);
        }
    }

    /// A source of the build, and who it is.
    pub(crate) fn source(&self, id: VertexId, identity: Option<Digest>) {
        self.put(id, Note::new(Outcome::Source, identity, identity, Vec::new()));
    }

    /// The result of a step was there.
    pub(crate) fn cached(&self, id: VertexId, key: Key, offered: Digest, ingredients: Vec<(String, String)>) {
        let mut notes = self.notes.lock().expect("no holder of the lock panics");
        // A source stays one, wherever its files were.
        if notes.get(&id).is_none_or(|note| note.outcome != Outcome::Source) {
            notes.insert(id, Note::new(Outcome::Cached, Some(key.0), Some(offered), ingredients));
        }
    }

    /// The result of a step was there, made at this moment, and too old.
    pub(crate) fn expired(&self, id: VertexId, created_unix_ns: i64) {
        let age = crate::ops::now_unix_ns().saturating_sub(created_unix_ns) / NANOSECONDS;
        let mut expired = self.expired.lock().expect("no holder of the lock panics");
        expired.insert(id, u64::try_from(age).unwrap_or(0));
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

    /// True for one caller: the one that explains why its step runs.
    pub(crate) fn is_first_to_explain(&self) -> bool {
        !self.has_explained.swap(true, Ordering::Relaxed)
    }

    /// The build as it is known now, as far as it explains the step `id`, which is the last of its steps.
    pub(super) fn excerpt(&self, id: VertexId) -> BuildLog {
        let wanted = self.places[id.index()].inputs.iter().chain([&id]);
        let notes = self.notes.lock().expect("no holder of the lock panics");
        let steps = wanted.filter_map(|id| Some(self.step(*id, notes.get(id)?.clone())));
        BuildLog { steps: steps.collect(), ..self.build.clone() }
    }

    /// What there is to say of the build, which has ended with this image. Nothing is left in the journal.
    pub(crate) fn finish(&self, image: Option<ImageId>) -> Journaled {
        let notes = std::mem::take(&mut *self.notes.lock().expect("no holder of the lock panics"));
        let has_run = notes.values().any(|note| matches!(note.outcome, Outcome::Ran | Outcome::Failed));
        let steps = notes.into_iter().map(|(id, note)| (id, self.step(id, note)));
        let (vertices, steps) = steps.filter(|(_, step)| !step.name.is_empty()).unzip();
        let log = BuildLog {
            image: image.map(|id| id.to_string()),
            ended_unix_ns: crate::ops::now_unix_ns(),
            steps,
            ..self.build.clone()
        };
        Journaled { log, vertices, has_run }
    }

    fn step(&self, id: VertexId, note: Note) -> LoggedStep {
        let Place { name, number, inputs, no_cache } = &self.places[id.index()];
        let expired = self.expired.lock().expect("no holder of the lock panics");
        let ran = matches!(note.outcome, Outcome::Ran | Outcome::Failed);
        LoggedStep {
            name: name.clone(),
            number: *number,
            outcome: note.outcome,
            key: note.key.map(|key| key.hex()),
            offered: note.offered.map(|key| key.hex()),
            inputs: inputs.iter().map(|id| self.places[id.index()].name.clone()).collect(),
            ingredients: note.ingredients,
            files: (!note.files.files.is_empty()).then_some(note.files),
            no_cache: *no_cache,
            expired_age_s: expired.get(&id).copied().filter(|_| ran),
        }
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
