//! The outputs of a build: archives, files, registries.

use std::sync::Arc;

use image::{Descriptor, ImageId, canonical_json};

use super::finish::{Away, Images};
use crate::blocking::blocking;
use crate::images::{AwayPush, OnTransfer, Predicate, PushRequest, Stage, platforms};
use crate::ops::BuildWorker;
use crate::{BuildError, BuildRequest, Engine, ImageOutput, Output};

/// Writes an output; what it has in a registry, if it goes to one.
pub(super) async fn export(
    engine: &Engine,
    worker: &BuildWorker,
    request: &BuildRequest,
    images: &Images,
    output: &Output,
) -> Result<Option<Descriptor>, BuildError> {
    let step = worker.steps.begin(match output {
        Output::Image(image) => return push(engine, worker, request, images, image).await,
        Output::Oci(_) => "exporting to oci image format",
        Output::Docker(_) => "exporting to docker image format",
        Output::Tar(_) => "exporting to client tarball",
        Output::Local(_) => "exporting to client directory",
    });
    let (store, steps) = (worker.store.clone(), worker.steps.clone());
    let (tags, set, output) = (request.tags.clone(), images.set.clone(), output.clone());
    let exported = blocking(move || {
        let on_progress = |part: &str, current, total| steps.progressed(step, part, current, total);
        crate::images::export(&store, &set, &tags, &output, &on_progress)
    })
    .await;
    match &exported {
        Ok(()) => worker.steps.complete(step),
        Err(error) => worker.steps.fail(step, error.to_string()),
    }
    exported?;
    Ok(None)
}

/// Gives the images the names of an output, and pushes them under each of these where that is asked for.
async fn push(
    engine: &Engine,
    worker: &BuildWorker,
    request: &BuildRequest,
    images: &Images,
    output: &ImageOutput,
) -> Result<Option<Descriptor>, BuildError> {
    if let Some(away) = &images.away {
        let predicates = &images.set.members[0].predicates;
        return push_away(engine, worker, request, (away, predicates), output).await;
    }
    for name in &output.names {
        let named: ImageId = images.named();
        worker.store.tag(name, &named)?;
        platforms::remember_set(&worker.store, name, &images.images)?;
    }
    worker.store.make_durable()?;
    let Some(push_as) = output.push else { return Ok(None) };
    let names = if output.names.is_empty() { &request.tags } else { &output.names };
    let mut manifest = None;
    for reference in names {
        let step = worker.steps.begin(&format!("pushing {}", reference.familiar()));
        let steps = worker.steps.clone();
        let on_transfer: OnTransfer = Arc::new(move |transfer| {
            if let Stage::Pushing { current, total } = transfer.stage {
                steps.progressed(step, &format!("pushing {}", transfer.layer), current, Some(total));
            }
        });
        let request = PushRequest { reference: reference.clone(), push_as, form: output.form.clone() };
        match engine.push_set(&request, &images.set, &on_transfer).await {
            Ok(pushed) => {
                worker.steps.complete(step);
                manifest = Some(pushed.manifest);
            }
            Err(error) => {
                worker.steps.fail(step, error.to_string());
                return Err(error.into());
            }
        }
    }
    Ok(manifest)
}

/// Pushes an image whose layers are not all here, under each of its names.
async fn push_away(
    engine: &Engine,
    worker: &BuildWorker,
    request: &BuildRequest,
    (away, predicates): (&Away, &[Predicate]),
    output: &ImageOutput,
) -> Result<Option<Descriptor>, BuildError> {
    let Away { config, links } = away;
    let config_bytes = canonical_json(config);
    let clamp_mtime = worker.source_date_epoch;
    let image = AwayPush { config_bytes: &config_bytes, config, links, clamp_mtime, predicates };
    let names = if output.names.is_empty() { &request.tags } else { &output.names };
    let push_as = output.push.unwrap_or_default();
    let mut manifest = None;
    for reference in names {
        let request = PushRequest { reference: reference.clone(), push_as, form: output.form.clone() };
        let pushing = engine.push_away(&request, &image);
        let pushed = worker.steps.during(&format!("pushing {}", reference.familiar()), pushing).await?;
        manifest = Some(pushed.manifest);
    }
    Ok(manifest)
}
