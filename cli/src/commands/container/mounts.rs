//! What `run` mounts into a container.

use engine::volumes::{MountRequest, parse_mount, parse_tmpfs, parse_volume};

use crate::commands::csv::fields;
use crate::commands::prune::parse_size;
use crate::report::Report;

/// The options.
#[derive(Debug, clap::Args)]
pub(crate) struct MountArgs {
    /// Attach a filesystem mount to the container ("type=bind|volume|tmpfs,source=...,target=...")
    #[arg(long, value_name = "MOUNT")]
    mount: Vec<String>,
    /// Mount a tmpfs directory ("DIR" or "DIR:OPTIONS")
    #[arg(long, value_name = "DIR")]
    tmpfs: Vec<String>,
    /// Mount volumes from the specified container(s) ("CONTAINER" or "CONTAINER:ro")
    #[arg(long, value_name = "CONTAINER", value_parser = parse_lender)]
    pub(super) volumes_from: Vec<(String, bool)>,
    /// Bind mount a volume, or a directory of this machine ("SOURCE:DIR" or "SOURCE:DIR:MODE")
    #[arg(short, long, value_name = "VOLUME")]
    volume: Vec<String>,
}

impl MountArgs {
    pub(super) fn requests(&self) -> Result<Vec<MountRequest>, Report> {
        let mut requests = Vec::new();
        for text in &self.volume {
            requests.push(parse_volume(&absolute(text)?)?);
        }
        for text in &self.mount {
            let wrong =
                |error| Report::mistake(format!("invalid argument \"{text}\" for \"--mount\" flag: {error}"));
            let fields = fields(text).map_err(wrong)?;
            requests.push(parse_mount(text, &fields, |text| parse_size(text).ok())?);
        }
        for text in &self.tmpfs {
            requests.push(parse_tmpfs(text)?);
        }
        Ok(requests)
    }
}

/// A container, and whether its volumes are only read.
fn parse_lender(text: &str) -> Result<(String, bool), String> {
    match text.split_once(':') {
        None | Some((_, "rw")) => Ok((text.trim_end_matches(":rw").to_owned(), false)),
        Some((name, "ro")) => Ok((name.to_owned(), true)),
        Some((_, mode)) => Err(format!("invalid mode: {mode}")),
    }
}

/// A source that begins with a dot is a path from here, as with Docker's command.
fn absolute(text: &str) -> Result<String, Report> {
    let Some((source, rest)) = text.split_once(':') else { return Ok(text.to_owned()) };
    if source != "." && source != ".." && !source.starts_with("./") && !source.starts_with("../") {
        return Ok(text.to_owned());
    }
    let path = std::path::absolute(source).map_err(|error| Report::file(source.as_ref(), &error))?;
    Ok(format!("{}:{rest}", path.display()))
}
