//! What a name means: a stage, an image, a context.

mod from;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use image::{Platform, Reference, ReferenceError};

use super::base::{expand, of_go, platform, unset_help};
use super::circle::{Circle, circle};
use super::contexts::places;
use super::{NamedContext, PlanOptions};
use crate::ast::Stage;
use crate::diagnostic::Diagnostic;
use crate::environment::Environment;
use crate::expand::Expander;
use crate::remote::Remote;
use crate::suggest::Suggester;
pub(crate) use from::FromReader;

/// Name of the image without layers.
const SCRATCH: &str = "scratch";

/// Where files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nothing.
    Scratch,
    /// A stage, by its place in the file.
    Stage(usize),
    /// An image.
    Image { reference: Reference, platform: Platform, name: String },
    /// A context with this name.
    Context(String),
    /// Files from elsewhere, which the context of this name stands for.
    Remote { name: String, remote: Remote },
}

/// The names of one Dockerfile.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    /// The last stage of each name.
    by_name: BTreeMap<String, usize>,
    /// What each stage starts from, or what is wrong with it.
    bases: Vec<Result<Origin, Diagnostic>>,
    /// Stages that a named context of the same name takes the place of.
    replaced: Vec<bool>,
    contexts: Vec<(String, NamedContext)>,
    /// Where each context is in the list: by its name, and by the short form of the image that it names.
    context_places: BTreeMap<String, usize>,
    /// Every stage with a name, for contexts that stand for one.
    stages: Vec<(String, usize)>,
    target_platform: Platform,
    /// Stages that read one another.
    circle: Option<Circle>,
}

impl Names {
    pub(super) fn new(
        stages: &[Arc<Stage>],
        options: &PlanOptions,
        global_args: &Environment,
        escape: char,
    ) -> Self {
        let contexts = options.named_contexts.iter().map(|(name, kind)| (name.to_lowercase(), kind.clone()));
        let contexts: Vec<_> = contexts.collect();
        let mut names = Self {
            by_name: BTreeMap::new(),
            bases: Vec::with_capacity(stages.len()),
            replaced: Vec::with_capacity(stages.len()),
            context_places: places(&contexts),
            contexts,
            stages: named_stages(stages),
            target_platform: options.target_platform.clone(),
            circle: circle(stages),
        };
        let expander = Expander::new(escape);
        let mut suggester = Suggester::default();
        for (index, stage) in stages.iter().enumerate() {
            let base = names.base(index, stage, &expander, global_args, &mut suggester);
            names.bases.push(base);
            let name = stage.from.name.as_ref();
            names.replaced.push(name.is_some_and(|name| names.context_kind(&name.value).is_some()));
            if let Some(name) = &stage.from.name {
                names.by_name.insert(name.value.clone(), index);
            }
        }
        names
    }

    fn base(
        &self,
        index: usize,
        stage: &Stage,
        expander: &Expander,
        global_args: &Environment,
        suggester: &mut Suggester,
    ) -> Result<Origin, Diagnostic> {
        let name = stage.from.name.as_ref().map(|name| name.value.as_str());
        let platform = match &stage.from.platform {
            Some(word) => platform(word, expander, global_args, suggester)?,
            None => self.target_platform.clone(),
        };
        let written = &stage.from.base;
        let place = Place { stage: index, span: &written.span };
        if let Some(origin) = name.and_then(|name| self.context(name, &platform, &place)) {
            return origin;
        }
        let base = expand(written, expander, global_args)?;
        if base.is_empty() {
            let message = format!("the base `{}` is empty", written.value);
            let help = unset_help(written, expander, global_args, suggester);
            return Err(Diagnostic::error("EmptyBase", written.span.clone(), message)
                .with_help(help)
                .with_buildkit(format!("base name ({}) should not be blank", written.value)));
        }
        // Names of stages are in lower case, and here, unlike elsewhere, they are meant as they are written.
        if let Some(stage) = self.by_name.get(&base) {
            return self.stage_files(*stage);
        }
        self.outside(&base, &platform, &place, suggester)
    }

    /// A context, `scratch` or an image.
    fn outside(
        &self,
        name: &str,
        platform: &Platform,
        place: &Place<'_>,
        suggester: &mut Suggester,
    ) -> Result<Origin, Diagnostic> {
        if name == SCRATCH {
            return Ok(Origin::Scratch);
        }
        if let Some(origin) = self.context(name, platform, place) {
            return origin;
        }
        let span = place.span;
        let reference =
            name.parse::<Reference>().map_err(|error| self.no_image(name, span, &error, suggester))?;
        let by_reference = [reference.familiar(), reference.familiar_name()].iter().find_map(|familiar| {
            let is_default = reference.tag() == Some("latest") || familiar.contains(':');
            is_default.then(|| self.context(familiar, platform, place)).flatten()
        });
        let platform = platform.clone();
        by_reference.unwrap_or_else(|| Ok(Origin::Image { reference, platform, name: name.to_owned() }))
    }

    fn no_image(
        &self,
        name: &str,
        span: &Range<usize>,
        error: &ReferenceError,
        suggester: &mut Suggester,
    ) -> Diagnostic {
        let words = format!("failed to parse stage name {name:?}: {}", of_go(error));
        let found = match suggester.nearest(name, self.stage_names()) {
            Some(near) => Diagnostic::error("UnknownStage", span.clone(), format!("no stage named `{name}`"))
                .with_help(format!("did you mean `{near}`?")),
            None => {
                let lower = name.to_lowercase();
                let would_do = lower != name && lower.parse::<Reference>().is_ok();
                let help = would_do.then(|| format!("did you mean `{lower}`?"));
                Diagnostic::error("InvalidReference", span.clone(), error.to_string()).with_help(help)
            }
        };
        found.with_buildkit(words)
    }

    fn context(
        &self,
        name: &str,
        platform: &Platform,
        place: &Place<'_>,
    ) -> Option<Result<Origin, Diagnostic>> {
        let (name, kind) = self.context_kind(name)?;
        let name = name.clone();
        Some(Ok(match kind {
            NamedContext::Files => Origin::Context(name),
            NamedContext::Scratch => Origin::Scratch,
            NamedContext::Image(reference) => {
                Origin::Image { reference: reference.clone(), platform: platform.clone(), name }
            }
            NamedContext::Remote(remote) => Origin::Remote { name, remote: remote.clone() },
            NamedContext::Stage(stage) => return Some(self.context_stage(&name, stage, place)),
        }))
    }

    /// A stage that a context stands for. It has to be in front of the one that reads it, as every other.
    fn context_stage(&self, name: &str, stage: &str, place: &Place<'_>) -> Result<Origin, Diagnostic> {
        let is_meant = |(known, _): &&(String, usize)| known.eq_ignore_ascii_case(stage);
        let wrong = |rule, message| Err(Diagnostic::error(rule, place.span.clone(), message));
        match self.stages.iter().rev().find(is_meant) {
            None => wrong(
                "UnknownStage",
                format!("the context `{name}` is the stage `{stage}`, which there is not"),
            ),
            Some((_, index)) if *index >= place.stage => wrong(
                "LaterStage",
                format!("the context `{name}` is the stage `{stage}`, which is not in front of this one"),
            ),
            Some((_, index)) => self.stage_files(*index),
        }
    }

    fn context_kind(&self, name: &str) -> Option<&(String, NamedContext)> {
        self.context_places.get(&name.to_lowercase()).map(|place| &self.contexts[*place])
    }

    /// The stage itself, or what takes its place.
    fn stage_files(&self, stage: usize) -> Result<Origin, Diagnostic> {
        if self.replaced[stage] { self.bases[stage].clone() } else { Ok(Origin::Stage(stage)) }
    }

    /// Whether a named context takes the place of a stage, whose instructions then do not run.
    pub(crate) fn is_replaced(&self, stage: usize) -> bool {
        self.replaced[stage]
    }

    /// What a stage starts from.
    pub(crate) fn base_of(&self, stage: usize) -> Result<&Origin, Diagnostic> {
        self.bases[stage].as_ref().map_err(Diagnostic::clone)
    }

    /// The last stage of a name; case does not count.
    pub(crate) fn stage(&self, name: &str) -> Option<usize> {
        self.by_name.get(&name.to_lowercase()).copied()
    }

    /// All stage names, sorted.
    pub(crate) fn stage_names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

/// Where a name stands.
struct Place<'a> {
    /// The stage, by its place in the file.
    stage: usize,
    span: &'a Range<usize>,
}

fn named_stages(stages: &[Arc<Stage>]) -> Vec<(String, usize)> {
    let name = |stage: &Arc<Stage>| stage.from.name.as_ref().map(|name| name.value.clone());
    stages.iter().enumerate().filter_map(|(index, stage)| Some((name(stage)?, index))).collect()
}
