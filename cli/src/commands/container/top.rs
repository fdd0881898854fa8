//! `slipway top`.

use std::process::Command;

use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

/// Display the running processes of a container
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway top CONTAINER [PS OPTIONS]",
    help_template = super::super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway container top, slipway top"
)]
pub(crate) struct Args {
    /// Name or ID, then options of ps
    #[arg(
        value_name = "CONTAINER",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        hide = true
    )]
    words: Vec<String>,
}

/// Options of ps(1) unless others are given, as in Docker.
const PS_OPTIONS: &str = "-ef";
/// The column by which processes are told apart.
const PID: &str = "PID";

/// Shows what ps(1) says of the processes of a container.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let (name, options) = args.words.split_first().expect("the parser requires a container");
    let engine = store::open(global)?;
    let members = engine.container_processes(name)?;
    engine.tell_top(name)?;
    let mut ps = Command::new("ps");
    if options.is_empty() {
        ps.arg(PS_OPTIONS);
    }
    let output = ps.args(options).output().map_err(|error| {
        Report::new(Exit::Machine, format!("cannot run `ps`: {error}"))
            .hint("install it: the package `procps`")
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Report::mistake(format!("`ps` refuses: {said}")));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let shown = select(&text, &members);
    let shown = shown.ok_or_else(|| Report::mistake("`ps` shows no column PID with these options"))?;
    console::print(&shown)
}

/// The title and the lines of these processes.
fn select(text: &str, members: &[i32]) -> Option<String> {
    let mut lines = text.lines();
    let title = lines.next()?;
    let column = title.split_whitespace().position(|name| name == PID)?;
    let is_member = |line: &&str| {
        let number = line.split_whitespace().nth(column).and_then(|word| word.parse().ok());
        number.is_some_and(|number: i32| members.contains(&number))
    };
    Some([title].into_iter().chain(lines.filter(is_member)).map(|line| format!("{line}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_selected_by_their_number() {
        let text = "UID PID CMD\n0 1 init\n0 12 sleep 12\n0 2 kthreadd\n";
        assert_eq!(select(text, &[12]).unwrap(), "UID PID CMD\n0 12 sleep 12\n");
        assert_eq!(select("UID CMD\n", &[12]), None);
    }
}
