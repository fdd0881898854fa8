//! The `slipway` command: arguments, progress on a terminal, exit codes.
//!
//! The only crate that writes to a terminal. A command turns arguments into a request, calls the engine, and
//! prints the outcome.

mod arguments;
mod build_report;
mod commands;
mod console;
mod diagnostics;
mod drop_in;
mod explore;
mod files;
mod output;
mod progress;
mod registries;
mod report;
mod runtime;
mod service_manager;
mod store;
mod template;

use std::any::Any;
use std::process::ExitCode;

use arguments::Arguments;
use report::{Exit, Report};

/// How the libraries begin to say that a thread cannot be started.
const THREAD_REFUSED: [&str; 2] = ["failed to spawn thread", "OS can't spawn worker thread"];

fn main() -> ExitCode {
    // A process that was started as a part of a sandbox never returns from here.
    engine::sandbox::dispatch();
    // The panic itself has been told by the standard library.
    let exit = std::panic::catch_unwind(start).unwrap_or_else(|panic| report_of(panic.as_ref()).print());
    ExitCode::from(exit)
}

/// What a panic means for the user.
fn report_of(panic: &(dyn Any + Send)) -> Report {
    let message =
        panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    // The standard library and tokio have no other way to say so.
    if message.is_some_and(|message| THREAD_REFUSED.iter().any(|refused| message.contains(refused))) {
        return Report::new(Exit::Machine, "the machine lets no more threads start")
            .hint("raise the limit on processes and threads: `ulimit -u`, `pids.max` of the control group");
    }
    Report::new(Exit::Software, "this is a mistake in slipway")
}

fn start() -> Exit {
    #[cfg(feature = "generate")]
    if let Some(directory) = commands::generate::requested() {
        return commands::generate::run(&directory).unwrap_or_else(|report| report.print());
    }
    if let Some(exit) = drop_in::run() {
        return exit;
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
