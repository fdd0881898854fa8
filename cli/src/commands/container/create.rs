//! `slipway create`.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use engine::containers::Container;

use super::{SettingsArgs, obtain};
use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};
use crate::runtime::Interrupted;
use crate::store;

/// Create a new container
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway create [OPTIONS] IMAGE [COMMAND] [ARG...]",
    help_template = super::super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway container create, slipway create",
    disable_help_flag = true
)]
pub(crate) struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Makes a container, and prints its id.
pub(crate) fn run(args: Args, global: &Global) -> Result<Exit, Report> {
    let args = args.settings;
    let registries = args.registry.clone().settings()?;
    let (obtaining, cidfile, name) = (args.obtaining(), args.cidfile.clone(), args.name.clone());
    let settings = args.settings()?;
    let cidfile = cidfile.map(IdFile::new).transpose()?;
    let engine = store::open(global)?.with_registries(registries);
    match obtain(&engine, &settings.image, &obtaining)? {
        Ok(()) => {}
        Err(Interrupted) => return Ok(Exit::Interrupted),
    }
    let container = engine.create_container(&settings, name.as_deref(), None)?;
    if let Some(cidfile) = cidfile {
        cidfile.write(&container)?;
    }
    console::print(&format!("{}\n", container.config.id))
}

/// The file that gets the id: it must not be there before, and goes if there is no container in the end.
pub(crate) struct IdFile {
    path: PathBuf,
    file: Option<File>,
}

impl IdFile {
    pub(crate) fn new(path: PathBuf) -> Result<Self, Report> {
        match File::create_new(&path) {
            Ok(file) => Ok(Self { path, file: Some(file) }),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(Report::mistake(format!(
                "container ID file found, make sure the other container isn't running or delete {}",
                path.display()
            ))),
            Err(error) => Err(Report::file(&path, &error)),
        }
    }

    pub(crate) fn write(mut self, container: &Container) -> Result<(), Report> {
        let Some(mut file) = self.file.take() else { return Ok(()) };
        file.write_all(container.config.id.as_bytes()).map_err(|error| Report::file(&self.path, &error))
    }
}

impl Drop for IdFile {
    fn drop(&mut self) {
        if self.file.is_some() {
            // Best effort: an empty file is told next time.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
