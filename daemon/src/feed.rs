//! The progress of a build as its clients read it: `Control.Status`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use engine::{Event, Place, Progress, Step, StepId, Stream};
use futures_util::stream;
use image::{Digest, Hasher};
use tokio::sync::watch;

use crate::proto::bridge::WarnRequest;
use crate::proto::control::{StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning};
use crate::proto::{pb, timestamp};
use crate::wire::Replies;

/// What a client that comes late can still see of the output of steps; as much as BuildKit keeps for a few steps.
const LOG_BYTES_MAX: usize = 16 << 20;
/// How often a part of a step is told about.
const PART_INTERVAL: Duration = Duration::from_millis(100);
/// The part of a step that counts files.
const COUNTED_FILES: &str = "looking at files:";
/// BuildKit's numbers of the standard streams.
const STDOUT: i64 = 1;
const STDERR: i64 = 2;
/// BuildKit's level of a remark that is no error.
const WARNING_LEVEL: i64 = 1;
/// Where BuildKit's checks are explained.
const RULES: &str = "https://docs.docker.com/go/dockerfile/rule/";

/// The messages of a build, from its beginning.
#[derive(Debug)]
pub(crate) struct Feed {
    /// Makes the same step of two builds two.
    salt: String,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Arc<StatusResponse>>,
    /// How many messages have been dropped.
    dropped: usize,
    log_bytes: usize,
    steps: BTreeMap<Key, Vertex>,
    parts: BTreeMap<(Key, String), Part>,
    source: Option<pb::SourceInfo>,
    count: Counts,
    has_ended: bool,
}

/// A step: of the engine, or of the daemon's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Engine(StepId),
    Own(u32),
}

/// A step of the daemon's own. It is canceled when it is dropped before it has ended.
pub(crate) struct OwnStep {
    feed: Arc<Feed>,
    key: Key,
}

impl OwnStep {
    /// Bytes of a part are done.
    pub(crate) fn progressed(&self, part: &str, current: u64, total: Option<u64>) {
        self.feed.change(|state| state.progressed(self.key, part, (current, total), SystemTime::now()));
    }

    /// Something was said about it.
    pub(crate) fn said(&self, bytes: &[u8]) {
        self.feed.change(|state| {
            let vertex = state.steps.get(&self.key)?.digest.clone();
            let timestamp = Some(timestamp(SystemTime::now()));
            let log = VertexLog { vertex, timestamp, stream: STDERR, msg: bytes.to_vec() };
            Some(StatusResponse { logs: vec![log], ..StatusResponse::default() })
        });
    }

    /// It has ended, well or not.
    pub(crate) fn end(&self, error: Option<String>) {
        let error = error.unwrap_or_default();
        self.feed.change(|state| state.completed(self.key, SystemTime::now(), |vertex| vertex.error = error));
    }
}

/// How far a build is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) steps: i32,
    pub(crate) completed: i32,
    pub(crate) cached: i32,
    pub(crate) warnings: i32,
}

#[derive(Debug)]
struct Part {
    began: SystemTime,
    told: SystemTime,
    current: u64,
    total: Option<u64>,
}

impl Feed {
    pub(crate) fn new(salt: &str) -> Self {
        Self { salt: salt.to_owned(), state: Mutex::default(), changed: watch::channel(()).0 }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the lock panics")
    }

    /// What an engine tells its news.
    pub(crate) fn progress(self: &Arc<Self>) -> Progress {
        let feed = self.clone();
        Arc::new(move |event| feed.tell(&event))
    }

    /// The Dockerfile, for remarks about it.
    pub(crate) fn set_source(&self, source: pb::SourceInfo) {
        self.lock().source = Some(source);
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().count
    }

    /// Passes on a remark of the client's own.
    pub(crate) fn pass_on(&self, warning: WarnRequest) {
        let WarnRequest { digest: vertex, level, short, detail, url, info, ranges } = warning;
        self.change(|state| {
            state.count.warnings += 1;
            let warning = VertexWarning { vertex, level, short, detail, url, info, ranges };
            Some(StatusResponse { warnings: vec![warning], ..StatusResponse::default() })
        });
    }

    /// The digest of the step that failed, if one has.
    pub(crate) fn failed_step(&self) -> Option<String> {
        self.lock().steps.values().find(|step| !step.error.is_empty()).map(|step| step.digest.clone())
    }

    /// Announces and begins a step of the daemon's own.
    pub(crate) fn begin(self: &Arc<Self>, name: &str) -> OwnStep {
        let mut key = Key::Own(0);
        self.change(|state| {
            key = Key::Own(u32::try_from(state.steps.len()).unwrap_or(u32::MAX));
            let digest = Hasher::new("own-step/v1").field("name", name).finish();
            state.announced(key, name, &digest, &[], &self.salt);
            let vertex = state.steps.get_mut(&key)?;
            vertex.started = Some(timestamp(SystemTime::now()));
            Some(of_vertex(vertex))
        });
        OwnStep { feed: self.clone(), key }
    }

    fn tell(&self, event: &Event) {
        self.change(|state| state.message(event, &self.salt));
    }

    fn change(&self, change: impl FnOnce(&mut State) -> Option<StatusResponse>) {
        let mut state = self.lock();
        let Some(message) = change(&mut state) else { return };
        state.push(message);
        drop(state);
        self.changed.send_replace(());
    }

    /// Nothing more will come. What has begun and not ended was canceled.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        let now = timestamp(SystemTime::now());
        let mut vertexes = Vec::new();
        for vertex in state.steps.values_mut() {
            if vertex.started.is_some() && vertex.completed.is_none() {
                vertex.completed = Some(now);
                vertex.error = "context canceled".to_owned();
                vertexes.push(vertex.clone());
            }
        }
        if !vertexes.is_empty() {
            state.push(StatusResponse { vertexes, ..StatusResponse::default() });
        }
        state.has_ended = true;
        drop(state);
        self.changed.send_replace(());
    }

    /// All messages until the end, those that have been sent already first.
    pub(crate) fn messages(self: Arc<Self>) -> Replies<StatusResponse> {
        let changed = self.changed.subscribe();
        Box::pin(stream::unfold((self, changed, 0), |(feed, mut changed, mut next)| async move {
            loop {
                changed.mark_unchanged();
                let (message, has_ended) = {
                    let state = feed.lock();
                    (state.get(&mut next), state.has_ended)
                };
                match message {
                    Some(message) => return Some((Ok((*message).clone()), (feed, changed, next))),
                    None if has_ended => return None,
                    None => {}
                }
                // The sender lives as long as `feed`.
                let _ = changed.changed().await;
            }
        }))
    }
}

impl State {
    fn get(&self, next: &mut usize) -> Option<Arc<StatusResponse>> {
        *next = (*next).max(self.dropped);
        let message = self.messages.get(*next - self.dropped)?.clone();
        *next += 1;
        Some(message)
    }

    fn push(&mut self, message: StatusResponse) {
        self.log_bytes += log_bytes(&message);
        self.messages.push_back(Arc::new(message));
        while self.log_bytes > LOG_BYTES_MAX {
            let Some(oldest) = self.messages.pop_front() else { break };
            self.log_bytes -= log_bytes(&oldest);
            self.dropped += 1;
        }
    }

    fn message(&mut self, event: &Event, salt: &str) -> Option<StatusResponse> {
        match event {
            Event::Announced(Step { id, name, digest, inputs }) => {
                let inputs: Vec<_> = inputs.iter().copied().map(Key::Engine).collect();
                Some(self.announced(Key::Engine(*id), name, digest, &inputs, salt))
            }
            Event::Started { step, at } => {
                let vertex = self.steps.get_mut(&Key::Engine(*step))?;
                vertex.started = Some(timestamp(*at));
                Some(of_vertex(vertex))
            }
            Event::Cached { step, at, .. } => {
                self.count.cached += 1;
                self.completed(Key::Engine(*step), *at, |vertex| vertex.cached = true)
            }
            Event::Completed { step, at, error } => {
                let error = error.clone().unwrap_or_default();
                self.completed(Key::Engine(*step), *at, |vertex| vertex.error = error)
            }
            Event::Explained { step, reasons, at } => {
                let vertex = self.steps.get(&Key::Engine(*step))?.digest.clone();
                let statuses = reasons.iter().map(|reason| explained(&vertex, &reason.to_string(), *at));
                Some(StatusResponse { statuses: statuses.collect(), ..StatusResponse::default() })
            }
            Event::Output { step, stream, bytes, at } => {
                let log = VertexLog {
                    vertex: self.steps.get(&Key::Engine(*step))?.digest.clone(),
                    timestamp: Some(timestamp(*at)),
                    stream: if *stream == Stream::Stdout { STDOUT } else { STDERR },
                    msg: bytes.clone(),
                };
                Some(StatusResponse { logs: vec![log], ..StatusResponse::default() })
            }
            // Other clients take every number for bytes.
            Event::Progressed { part, .. } if part == COUNTED_FILES => None,
            Event::Progressed { step, part, current, total, at } => {
                self.progressed(Key::Engine(*step), part, (*current, *total), *at)
            }
            Event::Warned { rule, message, rendered } => Some(self.warned(rule, message, rendered)),
            Event::Reported(_) => None,
        }
    }

    fn announced(
        &mut self,
        key: Key,
        name: &str,
        identity: &Digest,
        inputs: &[Key],
        salt: &str,
    ) -> StatusResponse {
        let id = format!("{key:?}");
        let digest = Hasher::new("build-step/v1").field("build", salt).field("id", id.as_bytes());
        let digest = digest.field("step", identity.0).finish();
        let inputs = inputs.iter().filter_map(|input| Some(self.steps.get(input)?.digest.clone()));
        let vertex = Vertex {
            digest: digest.to_string(),
            inputs: inputs.collect(),
            name: name.to_owned(),
            ..Vertex::default()
        };
        let message = of_vertex(&vertex);
        self.count.steps += 1;
        self.steps.insert(key, vertex);
        message
    }

    fn completed(
        &mut self,
        step: Key,
        at: SystemTime,
        how: impl FnOnce(&mut Vertex),
    ) -> Option<StatusResponse> {
        let vertex = self.steps.get_mut(&step)?;
        self.count.completed += 1;
        let at = timestamp(at);
        vertex.started.get_or_insert(at);
        vertex.completed = Some(at);
        how(vertex);
        let (vertex, mut statuses) = (vertex.clone(), Vec::new());
        let parts = self.parts.range((step, String::new())..).take_while(|((of, _), _)| *of == step);
        for ((_, name), part) in parts {
            statuses.push(status(&vertex.digest, name, part, SystemTime::now(), true));
        }
        self.parts.retain(|(of, _), _| *of != step);
        Some(StatusResponse { vertexes: vec![vertex], statuses, ..StatusResponse::default() })
    }

    fn progressed(
        &mut self,
        step: Key,
        name: &str,
        (current, total): (u64, Option<u64>),
        at: SystemTime,
    ) -> Option<StatusResponse> {
        let vertex = self.steps.get(&step)?.digest.clone();
        let is_new = !self.parts.contains_key(&(step, name.to_owned()));
        let new = || Part { began: at, told: at, current, total };
        let part = self.parts.entry((step, name.to_owned())).or_insert_with(new);
        (part.current, part.total) = (current, total);
        let is_due = at.duration_since(part.told).is_ok_and(|since| since >= PART_INTERVAL);
        if !is_new && !is_due {
            return None;
        }
        part.told = at;
        let statuses = vec![status(&vertex, name, part, at, false)];
        Some(StatusResponse { statuses, ..StatusResponse::default() })
    }

    fn warned(&mut self, rule: &str, message: &str, rendered: &str) -> StatusResponse {
        self.count.warnings += 1;
        let first = self.steps.values().next();
        let range = Place::of(rendered).map(|place| line_range(place.line));
        let warning = VertexWarning {
            vertex: first.map(|vertex| vertex.digest.clone()).unwrap_or_default(),
            level: WARNING_LEVEL,
            short: format!("{rule}: {message}").into_bytes(),
            detail: rendered.lines().map(|line| line.as_bytes().to_vec()).collect(),
            url: format!("{RULES}{}/", kebab(rule)),
            info: self.source.clone(),
            ranges: range.into_iter().collect(),
        };
        StatusResponse { warnings: vec![warning], ..StatusResponse::default() }
    }
}

/// A whole line of a Dockerfile.
pub(crate) fn line_range(line: usize) -> pb::Range {
    let position = pb::Position { line: i32::try_from(line).unwrap_or(i32::MAX), character: 0 };
    pb::Range { start: Some(position), end: Some(position) }
}

fn of_vertex(vertex: &Vertex) -> StatusResponse {
    StatusResponse { vertexes: vec![vertex.clone()], ..StatusResponse::default() }
}

fn log_bytes(message: &StatusResponse) -> usize {
    message.logs.iter().map(|log| log.msg.len()).sum()
}

fn status(vertex: &str, name: &str, part: &Part, at: SystemTime, is_done: bool) -> VertexStatus {
    let number = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    VertexStatus {
        id: name.to_owned(),
        vertex: vertex.to_owned(),
        name: name.to_owned(),
        current: number(part.current),
        total: number(part.total.unwrap_or(0)),
        timestamp: Some(timestamp(at)),
        started: Some(timestamp(part.began)),
        completed: is_done.then(|| timestamp(at)),
    }
}

/// BuildKit has no place for why a step is not cached. As a part of the step every client shows it.
fn explained(vertex: &str, reason: &str, at: SystemTime) -> VertexStatus {
    let part = Part { began: at, told: at, current: 0, total: None };
    status(vertex, &format!("not cached: {reason}"), &part, at, true)
}

/// `FromAsCasing` as `from-as-casing`.
fn kebab(rule: &str) -> String {
    let mut out = String::new();
    for (at, character) in rule.char_indices() {
        if character.is_ascii_uppercase() && at > 0 {
            out.push('-');
        }
        out.push(character.to_ascii_lowercase());
    }
    out
}
