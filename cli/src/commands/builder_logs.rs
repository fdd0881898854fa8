//! `slipway builder logs`.

use std::fs::File;
use std::io::{self, Write as _};

use engine::why::Written;

use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

/// Show what the steps of a build wrote
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway builder logs [IMAGE|BUILD] [STEP]", help_template = super::HELP)]
pub(crate) struct Args {
    /// An image, or the beginning of a build's ID; the last build that ran something unless it is given
    #[arg(value_name = "IMAGE|BUILD", hide = true)]
    build: Option<String>,
    /// The number of a step, or a part of its name
    #[arg(value_name = "STEP", hide = true)]
    step: Option<String>,
}

/// Shows the logs of the steps, each below its name; that of a single step as it is.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let written = store::open(global)?.written(args.build.as_deref(), args.step.as_deref());
    let written = written.map_err(|error| Report::mistake(error.to_string()))?;
    let is_single = args.step.is_some() && written.len() == 1;
    for (at, step) in written.iter().enumerate() {
        if !is_single {
            let gap = if at == 0 { "" } else { "\n" };
            console::print(&format!("{gap}#{} {}\n", step.number, step.name))?;
        }
        copy(step)?;
    }
    Ok(Exit::Success)
}

fn copy(Written { path, .. }: &Written) -> Result<(), Report> {
    let file = |error: io::Error| Report::file(path, &error);
    let mut log = File::open(path).map_err(file)?;
    let mut stdout = io::stdout().lock();
    match io::copy(&mut log, &mut stdout).and_then(|_| stdout.flush()) {
        // Whoever read has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(file(error)),
        _ => Ok(()),
    }
}
