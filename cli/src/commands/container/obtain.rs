//! Makes sure that the image of a container is here.

use std::sync::Arc;

use engine::images::{ImageError, Naming, PullRequest};
use engine::{Engine, PullPolicy};
use image::{Platform, Reference};

use crate::commands::pull::{told, version};
use crate::console;
use crate::progress::Layers;
use crate::report::Report;
use crate::runtime::{Interrupted, interruptible};

/// How the image is obtained.
pub(crate) struct Obtaining {
    pub(crate) policy: PullPolicy,
    pub(crate) platform: Option<Platform>,
    pub(crate) layers: Arc<Layers>,
    pub(crate) says: Says,
}

/// How much is said of a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    All,
    Nothing,
}

/// Pulls the image unless it is here, or as the policy says. Ids are never pulled.
pub(crate) fn obtain(
    engine: &Engine,
    name: &str,
    obtaining: &Obtaining,
) -> Result<Result<(), Interrupted>, Report> {
    let here = engine.find_image_for(name, obtaining.platform.as_ref());
    let reference = match (&here, obtaining.policy) {
        (_, PullPolicy::Never) => return Ok(Ok(())),
        (Err(ImageError::NoSuchImage { .. }), _) => name.parse::<Reference>().ok(),
        (Ok(id), PullPolicy::Always) => {
            let is_id = id.to_string().starts_with(name) || id.0.hex().starts_with(name);
            name.parse::<Reference>().ok().filter(|_| !is_id)
        }
        // What is wrong with the name is told when the container is to start.
        _ => None,
    };
    let Some(reference) = reference else { return Ok(Ok(())) };
    let says = |text: &str| {
        if obtaining.says == Says::All {
            console::print_error(text);
        }
    };
    if here.is_err() {
        says(&format!("Unable to find image '{}' locally\n", reference.familiar()));
    }
    says(&format!("{}: Pulling from {}\n", version(&reference), reference.path()));
    let request = PullRequest { reference, platform: obtaining.platform.clone(), naming: Naming::Move };
    let pulled = interruptible(engine.pull(&request, &obtaining.layers.listener()));
    obtaining.layers.finish();
    match pulled? {
        Ok(pulled) => {
            says(&told(&[pulled?]));
            Ok(Ok(()))
        }
        Err(Interrupted) => Ok(Err(Interrupted)),
    }
}
