//! System calls that are refused, one after the other: a clear error or success, and the next build is right.

use std::process::{Command, Output};

use super::Rack;
use super::subject::{Deed, patiently, tail};
use crate::error::Error;

/// Which calls can fail with what.
///
/// Not write(2): strace cannot tell a file from the eventfd(2) by which a thread wakes the others, where no kernel ever
/// refuses a write, and where a refusal is a wait without end. Full disks are real ones, see `full`.
const FAULTS: [(&str, &[&str]); 9] = [
    ("fsync,syncfs,fdatasync", &["EIO", "ENOSPC"]),
    ("renameat,renameat2", &["ENOSPC", "EIO"]),
    ("mkdirat", &["ENOSPC", "EIO"]),
    ("openat", &["EIO", "EMFILE"]),
    ("read,pread64", &["EIO"]),
    ("fsmount,move_mount,fsconfig,open_tree", &["ENOMEM", "EPERM"]),
    ("clone3", &["EAGAIN", "ENOMEM"]),
    ("linkat,symlinkat,unlinkat", &["EIO"]),
    ("getdents64", &["EIO"]),
];
/// Calls of one thread that are refused, in turn. Later ones repeat what earlier ones did.
const CALLS_MAX: u64 = 200;
/// Exit codes that a command has for errors: the user's, the network's, the machine's, those of `run`. Among them is
/// not the one for a mistake of ours.
const CODES: [i32; 8] = [0, 1, 69, 71, 125, 126, 127, 130];

pub(crate) fn run(rack: &mut Rack<'_>, rounds_max: u64) -> Result<(), Error> {
    let mut rounds = 0;
    while rack.goes_on(rounds, rounds_max) {
        rack.subject.forget()?;
        let (calls, errors) = *rack.random.one_of(&FAULTS);
        let error = *rack.random.one_of(errors);
        // Most of what matters happens early.
        let when = 1 + (rack.random.below(CALLS_MAX) * rack.random.below(CALLS_MAX)) / CALLS_MAX;
        let deed = *rack.random.one_of(&[
            Deed::Build,
            Deed::Build,
            Deed::Build,
            Deed::Import,
            Deed::Load,
            Deed::Run,
        ]);
        let fault = format!("{calls}:error={error}:when={when}");
        if let Err(problem) = try_out(rack, deed, &fault) {
            rack.report.finding(format!("{deed:?} with {fault}: {problem}"));
        }
        rack.report.round(format!("{error} from {calls}"));
        rounds += 1;
    }
    Ok(())
}

fn try_out(rack: &Rack<'_>, deed: Deed, fault: &str) -> Result<(), String> {
    let tortured = rack.subject.deed(deed);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qqq", "--seccomp-bpf", "-o", "/dev/null", "-e", "signal=none", "-e"]);
    strace.arg(format!("inject={fault}")).arg(tortured.get_program()).args(tortured.get_args());
    strace.current_dir(tortured.get_current_dir().expect("it has one")).env_clear();
    strace.envs(tortured.get_envs().filter_map(|(name, value)| Some((name, value?))));
    strace.stdin(std::process::Stdio::null());
    judge(&patiently(&mut strace)?)?;
    rack.subject.examine()
}

/// A command that was tortured succeeds, or says that it was not its mistake.
pub(super) fn judge(output: &Output) -> Result<(), String> {
    match output.status.code() {
        Some(code) if CODES.contains(&code) => {}
        _ => return Err(format!("{}: {}", output.status, tail(&output.stderr))),
    }
    if !output.status.success() && output.stderr.is_empty() {
        return Err(format!("{} without a word", output.status));
    }
    Ok(())
}
