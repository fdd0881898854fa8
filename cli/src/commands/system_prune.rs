//! `slipway system prune`.

use std::collections::HashSet;

use engine::Engine;
use engine::containers::ContainerFilters;
use engine::images::Filters;
use engine::networks::NetworkFilters;
use engine::space::{PruneOptions, add_filter};
use engine::volumes::VolumeFilters;

use super::container::prune::deleted as deleted_containers;
use super::network::prune::deleted as deleted_networks;
use super::prune::{confirm, deleted_caches, deleted_images, total};
use super::volume::prune::deleted as deleted_volumes;
use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

/// Remove unused data
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway system prune [OPTIONS]", help_template = super::HELP)]
pub(crate) struct Args {
    /// Remove all unused images, not just dangling ones
    #[arg(short, long)]
    all: bool,
    // Docker's words, which rustdoc would take for HTML.
    #[arg(long, value_name = "NAME=VALUE")]
    #[arg(help = r#"Provide filter values (e.g. "label=<key>=<value>", "until=24h")"#)]
    filter: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
    /// Prune anonymous volumes
    #[arg(long)]
    volumes: bool,
}

/// Filters that volumes know.
const VOLUME_FILTERS: [&str; 1] = ["label"];
/// Filters that networks know.
const NETWORK_FILTERS: [&str; 2] = ["label", "until"];

/// What nobody uses, in an order in which the one makes room for the next.
struct Wanted {
    containers: ContainerFilters,
    networks: NetworkFilters,
    volumes: Option<VolumeFilters>,
    images: Filters,
    caches: PruneOptions,
}

/// Removes containers that do not run, then networks, volumes, images and what of the build cache nobody uses.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let wanted = wanted(args)?;
    if !args.force && !confirm(&question(args))? {
        return Ok(Exit::Success);
    }
    let (text, bytes) = prune(&store::open(global)?, args, &wanted)?;
    console::print(&(text + &total(bytes)))
}

fn wanted(args: &Args) -> Result<Wanted, Report> {
    let texts = || args.filter.iter().map(String::as_str);
    let is_until = |filter: &&str| filter.trim_start().starts_with("until");
    if args.volumes && texts().any(|filter| is_until(&filter)) {
        return Err(Report::mistake("The \"until\" filter is not supported with \"--volumes\""));
    }
    let mut caches = PruneOptions { all: args.all, ..PruneOptions::default() };
    // The build cache knows no labels: as in Docker, it is pruned whatever they are.
    for filter in texts().filter(is_until) {
        add_filter(&mut caches, filter).map_err(|error| Report::mistake(error.to_string()))?;
    }
    let volumes = args.volumes.then(|| VolumeFilters::parse(texts(), &VOLUME_FILTERS)).transpose()?;
    Ok(Wanted {
        containers: ContainerFilters::parse(texts())?,
        networks: NetworkFilters::parse(texts(), &NETWORK_FILTERS)?,
        volumes,
        images: Filters::parse(texts())?,
        caches,
    })
}

/// What went, as text, and how many bytes that took.
fn prune(engine: &Engine, args: &Args, wanted: &Wanted) -> Result<(String, u64), Report> {
    let old = engine.filter_containers(engine.containers()?, &wanted.containers)?;
    let old: HashSet<String> = old.into_iter().map(|container| container.config.id).collect();
    let (ids, mut bytes) = engine.prune_containers(|container| old.contains(&container.config.id))?;
    let mut text = deleted_containers(&ids) + &deleted_networks(&engine.prune_networks(&wanted.networks)?);
    if let Some(filters) = &wanted.volumes {
        let volumes = engine.prune_volumes(filters)?;
        text += &deleted_volumes(&volumes.names);
        bytes += volumes.bytes;
    }
    let images = engine.prune_images(args.all, &wanted.images)?;
    let caches = engine.prune_cache(&wanted.caches).map_err(|error| Report::of_store(&error))?;
    text += &(deleted_images(&images.removed) + &deleted_caches(&caches.ids));
    Ok((text, bytes + images.bytes + caches.bytes))
}

/// In Docker's words.
fn question(args: &Args) -> String {
    let (images, cache) = match args.all {
        true => ("all images without at least one container associated to them", "all build cache"),
        false => ("all dangling images", "unused build cache"),
    };
    let mut text = "WARNING! This will remove:\n  - all stopped containers\n".to_owned();
    text += "  - all networks not used by at least one container\n";
    if args.volumes {
        text += "  - all anonymous volumes not used by at least one container\n";
    }
    text += &format!("  - {images}\n  - {cache}\n");
    if !args.filter.is_empty() {
        text += "\n  Items to be pruned will be filtered with:\n";
        for filter in &args.filter {
            text += &format!("  - {filter}\n");
        }
    }
    text + "\nAre you sure you want to continue?"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_names_what_goes() {
        let args = |all, filter: &[&str]| Args {
            all,
            filter: filter.iter().map(ToString::to_string).collect(),
            force: false,
            volumes: all,
        };
        insta::assert_snapshot!(question(&args(false, &[])), @"
        WARNING! This will remove:
          - all stopped containers
          - all networks not used by at least one container
          - all dangling images
          - unused build cache

        Are you sure you want to continue?
        ");
        insta::assert_snapshot!(question(&args(true, &["until=24h"])), @"
        WARNING! This will remove:
          - all stopped containers
          - all networks not used by at least one container
          - all anonymous volumes not used by at least one container
          - all images without at least one container associated to them
          - all build cache

          Items to be pruned will be filtered with:
          - until=24h

        Are you sure you want to continue?
        ");
    }
}
