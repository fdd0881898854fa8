//! Questions about a Dockerfile that build nothing.
//!
//! They need no store. Where there is one, the configs of base images that are in it make the answers better:
//! the variables that an image defines are then no longer unknown.

use std::path::Path;

pub use frontend::questions::Requests;
use frontend::questions::{Check, Inquiry as Questions, Outline, Source as Text, Targets};
use frontend::{Bases, Diagnostic};
use graph::{BuildGraph, VertexId};
use image::{ImageConfig, Reference};

use super::dockerfile::{self, Source};
use super::{FetchedContext, load_context, plan_options, platforms};
use crate::{BuildError, BuildRequest, Engine};

/// A Dockerfile about which questions are asked.
#[derive(Debug)]
pub struct Inquiry {
    questions: Questions,
    bases: Bases,
}

impl Inquiry {
    /// Reads the Dockerfile and the ignore file of a build, and looks up the base images in the store of
    /// `engine`, when there is one.
    ///
    /// # Errors
    ///
    /// When a file cannot be read. Mistakes in the Dockerfile are part of the answers.
    pub fn new(
        request: &BuildRequest,
        context: &FetchedContext,
        engine: Option<&Engine>,
    ) -> Result<Self, BuildError> {
        let source = dockerfile::read(request, &context.root, context.dockerfile.as_deref())?;
        let ignored = load_context(context.root.clone(), Some(&source), request.context_mode)?.ignore;
        let platform = platforms(request).swap_remove(0);
        let text = Text { name: source.name, text: source.text };
        let questions = Questions::new(text, &plan_options(request, &platform)).ignoring(ignored);
        let mut bases = Bases::new();
        if let Some(engine) = engine {
            // Each round can bring triggers that name more images; the rounds end when nothing new is found.
            loop {
                let missing = questions.missing_images(&bases);
                let found = missing.into_iter().filter_map(|wanted| {
                    let config = engine.config_of(&wanted.reference)?;
                    Some(((wanted.reference, wanted.platform), config))
                });
                let found: Vec<_> = found.collect();
                if found.is_empty() {
                    break;
                }
                bases.extend(found);
            }
        }
        Ok(Self { questions, bases })
    }

    /// What the build checks find (`--call=check`).
    pub fn check(&self) -> Check {
        self.questions.check(&self.bases)
    }

    /// What the target takes (`--call=outline`).
    ///
    /// # Errors
    ///
    /// Everything that keeps the target from being built.
    pub fn outline(&self) -> Result<Outline, BuildError> {
        self.questions.outline(&self.bases).map_err(|diagnostics| self.error(&diagnostics))
    }

    /// What can be built (`--call=targets`).
    ///
    /// # Errors
    ///
    /// When the file is no Dockerfile.
    pub fn targets(&self) -> Result<Targets, BuildError> {
        self.questions.targets().map_err(|diagnostics| self.error(&diagnostics))
    }

    fn error(&self, diagnostics: &[Diagnostic]) -> BuildError {
        let Text { name, text } = self.questions.source().clone();
        Source { name, text, path: None }.errors(diagnostics)
    }
}

impl Engine {
    /// The config of an image of the store. One that cannot be read is as good as none: questions are
    /// answered without it.
    fn config_of(&self, reference: &Reference) -> Option<ImageConfig> {
        let id = self.store.resolve(reference).ok()??;
        crate::images::read_config(&self.store, &id).ok()
    }
}

/// The graph of a build that does not take place.
#[derive(Debug)]
pub struct PlannedGraph {
    graph: BuildGraph,
    target: VertexId,
    /// Base images whose configs are not known: what they define is missing in the graph.
    pub assumed: Vec<Reference>,
}

impl PlannedGraph {
    /// The graph of a build, as far as it is known without running anything. Base images are looked up in the
    /// store of `engine`, when there is one.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or the Dockerfile cannot be built.
    pub fn new(
        request: &BuildRequest,
        context: &FetchedContext,
        engine: Option<&Engine>,
    ) -> Result<Self, BuildError> {
        let source = dockerfile::read(request, &context.root, context.dockerfile.as_deref())?;
        let platform = platforms(request).swap_remove(0);
        let wrong = |diagnostics: Vec<Diagnostic>| source.errors(&diagnostics);
        let parsed = frontend::parse(&source.text);
        if parsed.has_errors() {
            return Err(wrong(parsed.diagnostics));
        }
        let plan = frontend::plan(&parsed.dockerfile, &plan_options(request, &platform)).map_err(wrong)?;
        let (mut bases, mut assumed) = (Bases::new(), Vec::new());
        loop {
            let missing = plan.missing_images(&bases).map_err(wrong)?;
            if missing.is_empty() {
                break;
            }
            for wanted in missing {
                let known = engine.and_then(|engine| engine.config_of(&wanted.reference));
                if known.is_none() {
                    assumed.push(wanted.reference.clone());
                }
                let config = known.unwrap_or_else(|| ImageConfig::empty(&wanted.platform));
                bases.insert((wanted.reference, wanted.platform), config);
            }
        }
        let lowered = plan.lower(&bases).map_err(wrong)?;
        Ok(Self { graph: lowered.graph, target: lowered.target, assumed })
    }

    /// For people.
    pub fn text(&self) -> String {
        self.graph.to_text(self.target)
    }

    /// For programs.
    pub fn json(&self) -> String {
        self.graph.to_json(self.target)
    }

    /// For a browser.
    pub fn svg(&self) -> String {
        self.graph.to_svg(self.target)
    }

    /// For Graphviz.
    pub fn dot(&self) -> String {
        self.graph.to_dot(self.target)
    }
}

/// The text of a Dockerfile in its usual form, see [`frontend::format`]; `name` is how errors call it.
///
/// # Errors
///
/// When the text is no Dockerfile.
pub fn format_dockerfile(name: &str, text: &str) -> Result<String, BuildError> {
    frontend::format(text).map_err(|diagnostics| {
        Source { name: name.to_owned(), text: text.to_owned(), path: None }.errors(&diagnostics)
    })
}

/// The text of a Dockerfile, of which every byte is to be known.
///
/// # Errors
///
/// When there is no such file, or it is none that can be a Dockerfile.
pub fn read_dockerfile(path: &Path) -> Result<String, BuildError> {
    dockerfile::read_path(path)
}
