//! The `slipway` command: arguments, progress on a terminal, exit codes.
//!
//! The only crate that writes to a terminal. A command turns arguments into a request, calls the engine, and
//! prints the outcome.

mod arguments;
mod build_report;
mod commands;
mod console;
mod diagnostics;
mod files;
mod output;
mod progress;
mod registries;
mod report;
mod runtime;
mod store;
mod template;

use std::process::ExitCode;

use arguments::Arguments;
use report::{Exit, Report};

fn main() -> ExitCode {
    // A process that was started as a part of a sandbox never returns from here.
    engine::sandbox::dispatch();
    let exit = std::panic::catch_unwind(start).unwrap_or_else(|_| {
        // The panic itself has been told by the standard library.
        Report::new(Exit::Software, "this is a mistake in slipway").print();
        Exit::Software
    });
    ExitCode::from(exit)
}

fn start() -> Exit {
    #[cfg(feature = "generate")]
    if let Some(directory) = commands::generate::requested() {
        return commands::generate::run(&directory).unwrap_or_else(|report| report.print());
    }
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(error) => return arguments::print(&error),
    };
    diagnostics::install(arguments.global.debug);
    match commands::run(arguments) {
        Ok(exit) => exit,
        Err(report) => report.print(),
    }
}
