//! `slipway volume create`.

use engine::volumes::VolumeRequest;

use crate::arguments::Global;
use crate::commands::pairs::pair;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

/// Create a volume
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway volume create [OPTIONS] [VOLUME]", help_template = super::HELP)]
pub(crate) struct Args {
    /// Name of the volume; a random one without
    #[arg(value_name = "VOLUME", hide = true)]
    name: Option<String>,
    /// Specify volume driver name ("local" is the only one)
    #[arg(short, long, value_name = "NAME", default_value = "local", hide_default_value = true)]
    driver: String,
    /// Set metadata for a volume
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    label: Vec<(String, String)>,
    /// Set driver specific options ("type", "device" and "o", as mount(8) takes them)
    #[arg(short, long = "opt", value_name = "NAME=VALUE", value_parser = pair)]
    option: Vec<(String, String)>,
}

/// Makes a volume.
pub(crate) fn run(args: Args, global: &Global) -> Result<Exit, Report> {
    let request = VolumeRequest {
        name: args.name,
        driver: args.driver,
        options: args.option.into_iter().collect(),
        labels: args.label.into_iter().collect(),
    };
    let name = store::open(global)?.create_volume(&request)?;
    console::print(&format!("{name}\n"))
}
