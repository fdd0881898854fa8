//! `slipway cp`.

use std::io;
use std::path::Path;

use engine::Engine;
use engine::containers::CopyOptions;

use crate::arguments::Global;
use crate::console;
use crate::output;
use crate::report::{Exit, Report};
use crate::store;

/// What stands for a tar on standard input or output.
const STREAM: &str = "-";
/// Digits of a size, as in Docker.
const SIZE_DIGITS: usize = 3;

/// Copy files/folders between a container and the local filesystem
///
/// Use '-' as the source to read a tar archive from stdin and extract it to a directory destination in a container. Use
/// '-' as the destination to stream a tar archive of a container source to stdout.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway cp [OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n       slipway cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    help_template = super::super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway container cp, slipway cp"
)]
pub(crate) struct Args {
    /// CONTAINER:PATH, a local path or -
    #[arg(value_name = "SRC_PATH", required = true, hide = true)]
    source: String,
    /// CONTAINER:PATH, a local path or -
    #[arg(value_name = "DEST_PATH", required = true, hide = true)]
    destination: String,
    /// Archive mode (copy all uid/gid information)
    #[arg(short, long)]
    archive: bool,
    /// Always follow symbol link in SRC_PATH
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached
    #[arg(short, long)]
    quiet: bool,
}

/// Copies files into a container or out of it.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let options = CopyOptions { keeps_owners: args.archive, follows_link: args.follow_link };
    let copied = match (of_container(&args.source), of_container(&args.destination)) {
        (None, None) => return Err(Report::mistake("must specify at least one container source")),
        (Some(_), Some(_)) => {
            return Err(Report::mistake("copying between containers is not supported").hint(
                "copy by way of this machine: `slipway cp ONE:PATH - | slipway cp - OTHER:DIRECTORY`",
            ));
        }
        (Some((name, path)), None) => {
            if args.destination == STREAM && console::stdout_is_terminal() {
                return Err(
                    Report::mistake("cowardly refusing to write a tar to a terminal").hint("redirect it")
                );
            }
            copy_out(&store::open(global)?, (name, path), &args.destination, options)?
        }
        (None, Some((name, path))) => copy_in(&store::open(global)?, &args.source, (name, path), options)?,
    };
    if let Some(bytes) = copied.filter(|_| !args.quiet && console::stdout_is_terminal()) {
        let size = output::size(bytes, SIZE_DIGITS);
        console::print_error(&format!("Successfully copied {size} to {}\n", args.destination));
    }
    Ok(Exit::Success)
}

/// Container and path of an argument that names them. A path that begins with a slash or a dot is none, whatever it contains.
fn of_container(text: &str) -> Option<(&str, &str)> {
    let (name, path) = text.split_once(':')?;
    (!text.starts_with('/') && !name.starts_with('.') && !name.is_empty()).then_some((name, path))
}

fn copy_out(
    engine: &Engine,
    (name, path): (&str, &str),
    to: &str,
    options: CopyOptions,
) -> Result<Option<u64>, Report> {
    if to == STREAM {
        engine.pack_from_container(name, Path::new(path), &mut io::stdout().lock(), options)?;
        return Ok(None);
    }
    Ok(Some(engine.copy_from_container(name, Path::new(path), Path::new(to), options)?))
}

fn copy_in(
    engine: &Engine,
    from: &str,
    (name, path): (&str, &str),
    options: CopyOptions,
) -> Result<Option<u64>, Report> {
    if from == STREAM {
        engine.unpack_to_container(name, &mut io::stdin().lock(), Path::new(path), options)?;
        return Ok(None);
    }
    Ok(Some(engine.copy_to_container(name, Path::new(from), Path::new(path), options)?))
}

#[cfg(test)]
mod tests {
    use super::of_container;

    #[test]
    fn containers_are_told_from_local_paths() {
        assert_eq!(of_container("web:/a:b"), Some(("web", "/a:b")));
        assert_eq!(of_container("web:"), Some(("web", "")));
        for local in ["/a:b", "./a:b", "../a:b", "a", "-", ":a"] {
            assert_eq!(of_container(local), None, "{local}");
        }
    }
}
