//! `slipway search`.

use std::io::Write as _;

use engine::registries::{Client, Found};
use tabwriter::TabWriter;

use super::login::DEFAULT_REGISTRY;
use crate::console;
use crate::output::ellipsis;
use crate::registries::RegistryArgs;
use crate::report::{Exit, Report};
use crate::runtime::{Interrupted, interruptible};

/// Columns of a description that is cut, as in Docker.
const DESCRIPTION_COLUMNS: usize = 45;

/// Search a registry for images
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway search [OPTIONS] [REGISTRY/]TERM", help_template = super::HELP)]
pub(crate) struct Args {
    /// What to look for
    #[arg(value_name = "TERM", hide = true)]
    term: String,
    /// Max number of search results
    #[arg(long, value_name = "COUNT", default_value_t = 25, hide_default_value = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// Searches.
pub(crate) fn run(args: Args) -> Result<Exit, Report> {
    let Args { term, limit, no_trunc, registry } = args;
    let (domain, word) = match term.split_once('/') {
        Some((domain, word)) if domain.contains(['.', ':']) || domain == "localhost" => (domain, word),
        _ => (DEFAULT_REGISTRY, term.as_str()),
    };
    let client = Client::new(registry.settings()?);
    let found = match interruptible(client.search(domain, word, limit))? {
        Ok(found) => found?,
        Err(Interrupted) => return Ok(Exit::Interrupted),
    };
    console::print(&table(&found, no_trunc))
}

fn table(found: &[Found], whole: bool) -> String {
    let mut table = TabWriter::new(Vec::new()).minwidth(10).padding(3);
    let mut text = "NAME\tDESCRIPTION\tSTARS\tOFFICIAL\n".to_owned();
    for Found { name, description, stars, official } in found {
        let one_line = description.replace(['\n', '\r', '\t'], " ");
        let description = if whole { one_line } else { ellipsis(&one_line, DESCRIPTION_COLUMNS) };
        text += &format!("{name}\t{description}\t{stars}\t{}\n", if *official { "[OK]" } else { "" });
    }
    table.write_all(text.as_bytes()).and_then(|()| table.flush()).expect("a vector takes everything");
    String::from_utf8(table.into_inner().expect("it was flushed")).expect("it was text before")
}
