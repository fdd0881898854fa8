//! `slipway manifest`.

use std::future::Future;

use clap::Subcommand;
use engine::images::ImageError;
use image::Reference;

use crate::arguments::Global;
use crate::console;
use crate::registries::RegistryArgs;
use crate::report::{Exit, Report};
use crate::runtime::{Interrupted, interruptible};
use crate::store;

/// Manage image manifests and manifest lists
#[derive(Debug, Subcommand)]
#[command(override_usage = "slipway manifest COMMAND", help_template = super::HELP, arg_required_else_help = true, subcommand_value_name = "COMMAND")]
pub(crate) enum ManifestCommand {
    Create(Create),
    Inspect(Inspect),
    Push(Push),
}

/// Create a local manifest list of images in a registry
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway manifest create MANIFEST_LIST MANIFEST [MANIFEST...]", help_template = super::HELP)]
pub(crate) struct Create {
    /// Name of the list
    #[arg(value_name = "MANIFEST_LIST", hide = true)]
    list: Reference,
    /// Images of the same repository
    #[arg(value_name = "MANIFEST", required = true, hide = true)]
    members: Vec<Reference>,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// Display an image manifest, or manifest list, of a registry
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway manifest inspect [OPTIONS] MANIFEST", help_template = super::HELP)]
pub(crate) struct Inspect {
    /// Name of the image
    #[arg(value_name = "MANIFEST", hide = true)]
    name: Reference,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// Push a manifest list to a registry
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway manifest push [OPTIONS] MANIFEST_LIST", help_template = super::HELP)]
pub(crate) struct Push {
    /// Name of the list
    #[arg(value_name = "MANIFEST_LIST", hide = true)]
    list: Reference,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// Does what is asked for with a manifest.
pub(crate) fn run(command: ManifestCommand, global: &Global) -> Result<Exit, Report> {
    let (ManifestCommand::Create(Create { registry, .. })
    | ManifestCommand::Inspect(Inspect { registry, .. })
    | ManifestCommand::Push(Push { registry, .. })) = &command;
    let engine = store::open(global)?.with_registries(registry.clone().settings()?);
    match command {
        ManifestCommand::Create(Create { list, members, .. }) => {
            answer(engine.create_list(&list, &members), |()| Ok(format!("Created manifest list {list}\n")))
        }
        ManifestCommand::Inspect(Inspect { name, .. }) => answer(engine.remote_document(&name), |bytes| {
            let document: serde_json::Value = serde_json::from_slice(&bytes)
                .map_err(|error| Report::mistake(format!("the registry's document is no JSON: {error}")))?;
            Ok(format!("{document:#}\n"))
        }),
        ManifestCommand::Push(Push { list, .. }) => {
            answer(engine.push_list(&list), |digest| Ok(format!("{digest}\n")))
        }
    }
}

fn answer<T>(
    done: impl Future<Output = Result<T, ImageError>>,
    shown: impl FnOnce(T) -> Result<String, Report>,
) -> Result<Exit, Report> {
    match interruptible(done)? {
        Ok(done) => console::print(&shown(done?)?),
        Err(Interrupted) => Ok(Exit::Interrupted),
    }
}
