//! A build whose steps somebody else has put together: only its images are to be found.

use std::collections::BTreeSet;

use frontend::BaseImage as Wanted;
use futures_util::future::try_join_all;
use graph::Op;

use super::bases::Asking;
use super::entitled;
use super::planned::{Planned, Planning, Target};
use crate::ops::BaseImages;
use crate::{BuildError, Engine, GivenGraph, PullPolicy};

impl Engine {
    /// The plan of such a build.
    pub(super) async fn take_graph(
        &self,
        planning: &Planning<'_>,
        given: &GivenGraph,
    ) -> Result<Planned, BuildError> {
        let Planning { request, source, steps, .. } = *planning;
        let devices = entitled::check(&given.graph, &request.entitlements, source)?;
        let mut bases = BaseImages::default();
        let mut wanted = Vec::new();
        for image in images(given) {
            match given.images.get(&image.reference) {
                Some(context) => {
                    let base = self.unnamed(&image.name, context, &image.platform, steps).await?;
                    bases.0.insert((image.reference, image.platform), base);
                }
                None => wanted.push(image),
            }
        }
        let may_stay_away = !request.caches.imports.is_empty();
        let found = wanted.into_iter().map(|image| {
            let pull = match given.pulled.contains(&image.reference) {
                true => PullPolicy::Always,
                false => request.pull,
            };
            let asking = Asking { plan: None, source, steps, pull, may_stay_away };
            async move { self.resolve_in_step(&asking, image).await }
        });
        for (image, base) in try_join_all(found).await? {
            bases.0.insert((image.reference, image.platform), base);
        }
        let (vertex, config) = (given.target, given.config.clone());
        let targets = vec![Target { vertex, config, history_vertices: Vec::new() }];
        Ok(Planned { graph: given.graph.clone(), targets, devices, bases, epoch: None })
    }
}

/// The images that the steps name, each once for a platform.
fn images(given: &GivenGraph) -> Vec<Wanted> {
    let mut seen = BTreeSet::new();
    let images = given.graph.vertices().filter_map(|(_, vertex)| match &vertex.op {
        Op::Image(source) => Some((source, vertex.label.location.as_ref())),
        _ => None,
    });
    let new = images.filter(|(source, _)| seen.insert((source.reference.clone(), source.platform.clone())));
    new.map(|(source, location)| Wanted {
        reference: source.reference.clone(),
        platform: source.platform.clone(),
        span: location.map_or(0..0, |location| location.span.clone()),
        name: source.reference.to_string(),
    })
    .collect()
}
