//! Where files come from: vertices without inputs, each in the graph once.

use std::ops::Range;

use graph::{
    ContextSource, Copy, CopyRules, File, FileAction, GitSource, HttpSource, ImageSource, Label, Location,
    Op, Vertex, VertexId,
};
use image::{Platform, Reference};

use super::{Lowering, internal, paths};
use crate::diagnostic::Diagnostic;
use crate::plan::{NoCache, Origin};
use crate::remote::Remote;

/// A source as a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum SourceKey {
    Scratch,
    Image(Reference, Platform),
    Context(String),
    Http(HttpSource),
    Git(GitSource),
}

impl Lowering<'_> {
    /// The vertex of a source, made when it is not there yet.
    pub(super) fn source(&mut self, key: SourceKey, label: impl FnOnce() -> Label) -> VertexId {
        if let Some(vertex) = self.sources.get(&key) {
            return *vertex;
        }
        let op = match key.clone() {
            SourceKey::Scratch => Op::Scratch,
            SourceKey::Image(reference, platform) => Op::Image(ImageSource { reference, platform }),
            SourceKey::Context(name) => Op::Context(ContextSource { name }),
            SourceKey::Http(source) => Op::Http(source),
            SourceKey::Git(source) => Op::Git(source),
        };
        let vertex = self.graph.add(Vertex { op, inputs: Vec::new(), label: label(), no_cache: false });
        self.sources.insert(key, vertex);
        vertex
    }

    pub(super) fn scratch(&mut self) -> VertexId {
        self.source(SourceKey::Scratch, || internal("scratch"))
    }

    pub(super) fn context(&mut self, name: &str) -> VertexId {
        let what = if name == ContextSource::MAIN {
            "load build context".to_owned()
        } else {
            format!("load context {name}")
        };
        self.source(SourceKey::Context(name.to_owned()), || internal(&what))
    }

    /// A named context that is elsewhere. A file has the name that BuildKit gives it.
    pub(super) fn remote_context(&mut self, name: &str, remote: &Remote) -> VertexId {
        let (key, url) = match remote {
            Remote::Http(source) => {
                let filename = Some(ContextSource::MAIN.to_owned());
                (SourceKey::Http(HttpSource { filename, ..source.clone() }), &source.url)
            }
            Remote::Git(git) => (SourceKey::Git(git.source.clone()), &git.source.remote),
        };
        let name = format!("[context {name}] {}", graph::redacted(url));
        self.source(key, || Label { name, ..Label::default() })
    }

    /// The files of an origin.
    pub(super) fn origin(
        &mut self,
        origin: &Origin,
        span: &Range<usize>,
    ) -> Result<VertexId, Box<Diagnostic>> {
        match origin {
            Origin::Scratch => Ok(self.scratch()),
            Origin::Context(name) => Ok(self.context(name)),
            Origin::Remote { name, remote } => Ok(self.remote_context(name, remote)),
            Origin::Image { reference, platform, .. } => {
                let key = SourceKey::Image(reference.clone(), platform.clone());
                Ok(self.source(key, || Label {
                    name: format!("FROM {reference}"),
                    stage: String::new(),
                    location: None,
                }))
            }
            Origin::Stage(stage) => match &self.stages[*stage] {
                Some(state) => Ok(state.tip),
                None => Err(Box::new(Diagnostic::error(
                    "UnknownStage",
                    span.clone(),
                    format!("the stage number {stage} has errors"),
                ))),
            },
        }
    }

    /// A part of a context as a file system of its own, to be mounted.
    pub(super) fn mountable(
        &mut self,
        context: VertexId,
        path: &str,
        location: Option<Location>,
    ) -> VertexId {
        let key = (context, path.to_owned());
        if let Some(vertex) = self.mounted.get(&key) {
            return *vertex;
        }
        let scratch = self.scratch();
        let copy = Copy {
            input: 1,
            sources: vec![paths::escape_pattern(path)],
            destination: path.to_owned(),
            rules: CopyRules { must_match: paths::has_wildcards(path), ..CopyRules::default() },
            ..Copy::default()
        };
        let vertex = self.graph.add(Vertex {
            op: Op::File(File { actions: vec![FileAction::Copy(copy)] }),
            inputs: vec![scratch, context],
            label: Label { location, ..internal(&format!("load {path} of {}", self.context_title(context))) },
            no_cache: self.plan.options.no_cache == NoCache::Everything,
        });
        self.mounted.insert(key, vertex);
        vertex
    }

    pub(super) fn context_title(&self, context: VertexId) -> String {
        match &self.graph.vertex(context).op {
            Op::Context(source) if source.name != ContextSource::MAIN => format!("context {}", source.name),
            _ => "build context".to_owned(),
        }
    }
}
