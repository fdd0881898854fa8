//! Which stages and images a build needs, before anything is resolved.

mod arguments;
mod base;
mod circle;
mod contexts;
mod epoch;
mod hostname;
mod names;
mod options;
mod reach;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use image::{ImageConfig, Platform, Reference};

use crate::ast::{Dockerfile, Stage};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::environment::Environment;
use crate::expand::Expander;
use crate::ignore::Patterns;
use crate::lint::{self, CheckOptions, Checks};
use crate::lower::{self, Lowered};
use crate::suggest::{meant, nearest, suggested};
use crate::syntax::{self, Parsed};
pub use epoch::{Epoch, EpochSource, epoch_source};
pub(crate) use names::{FromReader, Names, Origin};
pub use options::{NamedContext, NoCache, PlanOptions};
pub(crate) use reach::Reach;

/// An image whose config lowering needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseImage {
    /// Which image.
    pub reference: Reference,
    /// For which platform.
    pub platform: Platform,
    /// Where the Dockerfile names it first.
    pub span: Range<usize>,
    /// How the Dockerfile names it, variables expanded.
    pub name: String,
}

/// The configs of base images.
pub type Bases = BTreeMap<(Reference, Platform), ImageConfig>;

/// Why a plan is lowered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To build the target.
    Build,
    /// To find what the checks have to say, of every stage unless a target is named.
    Check,
    /// To say what the target takes.
    Outline,
}

impl Purpose {
    /// Whether nothing is built: what this version cannot do, and bases that are not there, do not matter.
    pub(crate) fn is_question(self) -> bool {
        self != Self::Build
    }
}

/// What a build needs.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) stages: Vec<Arc<Stage>>,
    pub(crate) names: Names,
    pub(crate) target: usize,
    pub(crate) options: PlanOptions,
    pub(crate) global_args: Environment,
    source_date_epoch: Option<i64>,
    /// What steps call their machine; none is the engine's default.
    pub(crate) hostname: Option<String>,
    pub(crate) escape: char,
    /// Which checks are made.
    pub(crate) checks: Checks,
    /// What the ignore file of the main context hides.
    pub(crate) ignored: Option<Arc<Patterns>>,
    reach: Reach,
    warnings: Vec<Diagnostic>,
    /// The stages of `--no-cache-filter`.
    no_cache_stages: BTreeSet<usize>,
}

/// Plans a build: the target and the stages that it needs, and those only.
///
/// # Errors
///
/// Everything that keeps the target from being built, as far as it can be known without the base images.
pub fn plan(dockerfile: &Dockerfile, options: &PlanOptions) -> Result<Plan, Vec<Diagnostic>> {
    if dockerfile.stages.is_empty() {
        return Err(vec![syntax::no_stage()]);
    }
    let checks = checks(dockerfile, options).map_err(|diagnostic| vec![diagnostic])?;
    let mut diagnostics = Diagnostics::new(checks.clone());
    let mut options = options.clone();
    epoch::settle(&mut options);
    let escape = dockerfile.escape;
    let global_args = arguments::global(dockerfile, &options, &mut diagnostics);
    let source_date_epoch = epoch::epoch(dockerfile, &options, &global_args).unwrap_or_else(|wrong| {
        diagnostics.push(wrong);
        None
    });
    let hostname = hostname::hostname(&options).unwrap_or_else(|wrong| {
        diagnostics.push(wrong);
        None
    });
    lint::of_file(dockerfile, &mut diagnostics);
    if let Some(default_args) = arguments::global_defaults(dockerfile, &options) {
        let stages = lint::Stages { dockerfile, global_args: &global_args, default_args: &default_args };
        lint::of_stages(&stages, &mut diagnostics);
    }
    let names = Names::new(&dockerfile.stages, &options, &global_args, escape);
    let Some(target) = target(&options, &dockerfile.stages, &names, &mut diagnostics) else {
        return Err(diagnostics.into_sorted());
    };
    let no_cache_stages = no_cache_stages(&options, &names, &mut diagnostics);
    let stages = dockerfile.stages.clone();
    let reach = Reach::new(&stages, &names, target..target + 1, &BTreeMap::new(), &mut diagnostics);
    if diagnostics.has_errors() {
        return Err(diagnostics.into_sorted());
    }
    let warnings = diagnostics.into_sorted();
    let ignored = None;
    Ok(Plan {
        stages,
        names,
        target,
        options,
        global_args,
        source_date_epoch,
        hostname,
        escape,
        checks,
        ignored,
        reach,
        warnings,
        no_cache_stages,
    })
}

fn no_cache_stages(options: &PlanOptions, names: &Names, diagnostics: &mut Diagnostics) -> BTreeSet<usize> {
    let NoCache::Stages(asked) = &options.no_cache else { return BTreeSet::new() };
    let found = asked.iter().filter_map(|name| {
        let stage = names.stage(name);
        if stage.is_none() {
            let help = nearest(name, names.stage_names()).map(|near| format!("did you mean `{near}`?"));
            let message = format!("no stage named `{name}` to build without the cache");
            diagnostics.push(Diagnostic::error("UnknownStage", 0..0, message).with_help(help));
        }
        stage
    });
    found.collect()
}

/// What is wrong with a text that is no Dockerfile, with what the checks find in front of it.
pub(crate) fn mistakes(parsed: &Parsed, options: &PlanOptions) -> Vec<Diagnostic> {
    let mut found: Vec<_> = parsed.diagnostics.iter().filter(|it| it.is_error()).cloned().collect();
    let end = found.first().map_or(0, |first| first.span.start);
    let checks = checks(&parsed.dockerfile, options).unwrap_or_default();
    found.extend(lint::in_front_of(end, &parsed.dockerfile, &checks));
    found
}

/// The build argument takes the place of the directive.
fn checks(dockerfile: &Dockerfile, options: &PlanOptions) -> Result<Checks, Diagnostic> {
    let directive = dockerfile.directives.iter().find(|it| it.name == CheckOptions::DIRECTIVE);
    let (text, span) = match (options.build_args.get(CheckOptions::BUILD_ARG), directive) {
        (Some(given), _) if !given.is_empty() => (given.as_str(), 0..0),
        (_, Some(directive)) => (lint::first_word(&directive.value.value), directive.value.span.clone()),
        (_, None) => return Ok(Checks::new(CheckOptions::default(), dockerfile)),
    };
    let options = CheckOptions::parse(text).map_err(|error| {
        let words = format!("failed to parse check options: {}", error.buildkit());
        Diagnostic::error("InvalidCheckOption", span, error.to_string()).with_buildkit(words)
    })?;
    Ok(Checks::new(options, dockerfile))
}

fn target(
    options: &PlanOptions,
    stages: &[Arc<Stage>],
    names: &Names,
    diagnostics: &mut Diagnostics,
) -> Option<usize> {
    let Some(name) = &options.target else { return Some(stages.len() - 1) };
    if let Some(stage) = names.stage(name) {
        return Some(stage);
    }
    let near = nearest(name, names.stage_names());
    let meant = meant(suggested(name, names.stage_names()));
    let help = near.map(|near| format!("did you mean `{near}`?"));
    let message = format!("no stage named `{name}` to build");
    let words = format!("target stage {name:?} could not be found{meant}");
    diagnostics.push(Diagnostic::error("UnknownTarget", 0..0, message).with_help(help).with_buildkit(words));
    None
}

impl Plan {
    /// Whether the steps of a stage run whatever the cache has.
    pub(crate) fn runs_again(&self, stage: usize) -> bool {
        self.options.no_cache == NoCache::Everything || self.no_cache_stages.contains(&stage)
    }

    /// The images that the target needs, as far as the Dockerfile itself names them. Their configs may
    /// bring `ONBUILD` triggers that name more: see [`Plan::missing_images`].
    pub fn base_images(&self) -> &[BaseImage] {
        &self.reach.images
    }

    /// The images that lowering needs and `bases` does not have. Ask again after resolving them: a config
    /// can bring `ONBUILD` triggers that name more images.
    ///
    /// # Errors
    ///
    /// When a trigger is wrong.
    pub fn missing_images(&self, bases: &Bases) -> Result<Vec<BaseImage>, Vec<Diagnostic>> {
        let reach = self.reach(self.targets(Purpose::Build), bases)?;
        let is_missing =
            |image: &BaseImage| !bases.contains_key(&(image.reference.clone(), image.platform.clone()));
        Ok(reach.images.into_iter().filter(is_missing).collect())
    }

    /// What the stages `targets` need.
    pub(crate) fn reach(&self, targets: Range<usize>, bases: &Bases) -> Result<Reach, Vec<Diagnostic>> {
        let mut diagnostics = Diagnostics::default();
        let reach = Reach::new(&self.stages, &self.names, targets, bases, &mut diagnostics);
        if diagnostics.has_errors() { Err(diagnostics.into_sorted()) } else { Ok(reach) }
    }

    /// The stages that are wanted: those who ask without naming a target ask about all.
    pub(crate) fn targets(&self, purpose: Purpose) -> Range<usize> {
        match (purpose, &self.options.target) {
            (Purpose::Check, None) => 0..self.stages.len(),
            _ => self.target..self.target + 1,
        }
    }

    /// The finding for an image that could not be resolved because of `cause`: perhaps a stage was meant.
    pub fn unresolved_image(&self, image: &BaseImage, cause: &str) -> Diagnostic {
        match nearest(&image.name, self.names.stage_names()) {
            Some(near) => {
                let line = self.names.stage(near).map_or(0, |stage| self.stages[stage].line);
                let message = format!("no stage named `{}`, and no such image: {cause}", image.name);
                Diagnostic::error("UnknownStage", image.span.clone(), message)
                    .with_help(format!("a stage `{near}` is defined on line {line}"))
            }
            None => {
                let message = format!("cannot resolve `{}`: {cause}", image.name);
                Diagnostic::error("UnresolvedImage", image.span.clone(), message)
            }
        }
    }

    /// Whether the main build context is read.
    pub fn needs_context(&self) -> bool {
        self.reach.needs_context
    }

    /// The named contexts that are read.
    pub fn named_contexts(&self) -> impl Iterator<Item = &str> {
        self.reach.contexts.iter().map(String::as_str)
    }

    /// The time of the result, seconds since 1970; none when it has none, or is that of an [`EpochSource`].
    pub fn source_date_epoch(&self) -> Option<i64> {
        self.source_date_epoch
    }

    /// What is worth knowing, but no reason to stop: findings of the checks that need no base image.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// The same plan, with what the ignore file of the main context hides.
    #[must_use]
    pub fn ignoring(self, patterns: Arc<Patterns>) -> Self {
        Self { ignored: Some(patterns), ..self }
    }

    /// Turns the plan into a graph. `bases` holds the configs of all images that
    /// [`Plan::missing_images`] asks for.
    ///
    /// # Errors
    ///
    /// Everything that keeps the target from being built.
    pub fn lower(self, bases: &Bases) -> Result<Lowered, Vec<Diagnostic>> {
        lower::lower(&self, bases)
    }

    pub(crate) fn expander(&self) -> Expander {
        Expander::new(self.escape)
    }
}
