//! From text to one graph for all platforms, with the configs of the base images in between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use frontend::{Diagnostic, Dockerfile, Lowered};
use graph::{BuildGraph, Merge, VertexId};
use image::{ImageConfig, Platform};

use super::bases::Asking;
use super::dockerfile::Source;
use super::entitled;
use super::epoch::Clocks;
use super::plan_options;
use crate::cdi::DeviceEdits;
use crate::fetch::Access;
use crate::ops::{BaseImages, ContextSource};
use crate::steps::Steps;
use crate::{BuildError, BuildRequest, Engine};

/// A build whose graph is known.
pub(super) struct Planned {
    /// What all images need.
    pub(super) graph: BuildGraph,
    /// The images, one for each platform.
    pub(super) targets: Vec<Target>,
    /// What its steps get with their devices.
    pub(super) devices: BTreeMap<VertexId, DeviceEdits>,
    pub(super) bases: BaseImages,
    /// `SOURCE_DATE_EPOCH`, from wherever it came.
    pub(super) epoch: Option<i64>,
}

/// The image for one platform; the vertices are those of the graph of all.
pub(super) struct Target {
    /// Its file system.
    pub(super) vertex: VertexId,
    /// Its config, without layers and times.
    pub(super) config: ImageConfig,
    /// The vertices of the new entries of its history, see [`Lowered`].
    pub(super) history_vertices: Vec<Option<VertexId>>,
}

/// What a plan is made from.
pub(super) struct Planning<'a> {
    pub(super) request: &'a BuildRequest,
    pub(super) source: &'a Source,
    pub(super) contexts: &'a BTreeMap<String, ContextSource>,
    pub(super) access: &'a Access,
    pub(super) steps: &'a Arc<Steps>,
}

impl Planning<'_> {
    fn errors(&self, diagnostics: &[Diagnostic]) -> BuildError {
        self.source.errors(diagnostics)
    }

    /// Tells of findings that were not told for another platform.
    fn warn(&self, diagnostics: &[Diagnostic], told: &mut BTreeSet<String>) {
        let new = diagnostics.iter().filter(|it| told.insert(format!("{:?} {}", it.span, it.message)));
        self.source.warn(&new.cloned().collect::<Vec<_>>(), self.steps);
    }
}

impl Engine {
    /// Plans the builds for all platforms, one after the other: what one has looked up, the next one knows.
    pub(super) async fn plan(
        &self,
        planning: &Planning<'_>,
        platforms: &[Platform],
    ) -> Result<Planned, BuildError> {
        let parsed = frontend::parse(&planning.source.text);
        if parsed.diagnostics.iter().any(Diagnostic::is_error) {
            return Err(planning.errors(&parsed.diagnostics));
        }
        let (mut bases, mut told) = (BaseImages::default(), BTreeSet::new());
        planning.warn(&parsed.diagnostics, &mut told);
        let (mut merge, mut targets, mut epoch) = (Merge::new(), Vec::new(), None);
        for platform in platforms {
            let (lowered, time) =
                self.lower(planning, &parsed.dockerfile, platform, &mut bases, &mut told).await?;
            let places = merge.add(&lowered.graph);
            let place = |vertex: VertexId| places[vertex.index()];
            let Lowered { target, config, history_vertices, .. } = lowered;
            let history_vertices = history_vertices.into_iter().map(|vertex| vertex.map(place)).collect();
            targets.push(Target { vertex: place(target), config, history_vertices });
            epoch = time;
        }
        let graph = merge.finish();
        let devices = entitled::check(&graph, &planning.request.entitlements, planning.source)?;
        Ok(Planned { graph, targets, devices, bases, epoch })
    }

    /// The graph for one platform, and the time of its result.
    async fn lower(
        &self,
        planning: &Planning<'_>,
        dockerfile: &Dockerfile,
        platform: &Platform,
        bases: &mut BaseImages,
        told: &mut BTreeSet<String>,
    ) -> Result<(Lowered, Option<i64>), BuildError> {
        let Planning { request, source, contexts, access, steps } = *planning;
        let main = contexts.get(graph::ContextSource::MAIN);
        let clocks = Clocks { request, access, main: main.map(|main| &main.root), source, steps };
        let options = self.with_epoch(plan_options(request, platform), dockerfile, &clocks).await?;
        let plan = frontend::plan(dockerfile, &options).map_err(|found| planning.errors(&found))?;
        let plan = match main {
            Some(main) => plan.ignoring(main.ignore.clone()),
            None => plan,
        };
        planning.warn(plan.warnings(), told);
        bases.0.extend(self.layouts(request, &plan, steps).await?.0);
        let may_stay_away = !request.caches.imports.is_empty();
        let asking = Asking { plan: Some(&plan), source, steps, pull: request.pull, may_stay_away };
        *bases = self.resolve(&asking, std::mem::take(bases)).await?;
        let epoch = plan.source_date_epoch();
        let lowered = plan.lower(&bases.configs()).map_err(|diagnostics| {
            // Findings can be what is wrong.
            planning.warn(&diagnostics, told);
            planning.errors(&diagnostics)
        })?;
        planning.warn(&lowered.warnings, told);
        Ok((lowered, epoch))
    }
}
