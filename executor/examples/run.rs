//! Tries one command in a sandbox: `run ROOT UPPER WORK COMMAND...`, with `USER_SPEC` and `CWD` from the environment.

use std::process::ExitCode;

use executor::{Child, Exit, Io, Rootfs, Spec, spawn};

fn main() -> ExitCode {
    executor::dispatch();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [root, upper, work, command @ ..] = arguments.as_slice() else {
        eprintln!("usage: run ROOT UPPER WORK COMMAND...");
        return ExitCode::from(2);
    };
    match executor::become_root() {
        Ok(ids) => eprintln!("ids: {ids:?}"),
        Err(error) => {
            eprintln!("{error:?}");
            return ExitCode::from(125);
        }
    }
    let rootfs =
        Rootfs::Overlay { lowers: vec![root.into()], upper: upper.into(), work: work.into(), volatile: true };
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let path = String::from("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    let spec = Spec {
        env: vec![(String::from("PATH"), path)],
        user: variable("USER_SPEC"),
        cwd: variable("CWD"),
        hosts: std::fs::read_to_string("/etc/hosts").unwrap_or_default(),
        resolv_conf: std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default(),
        hostname: String::from("sandbox"),
        ..Spec::new(rootfs, command.to_vec())
    };
    match spawn(&spec, Io::Inherit).and_then(Child::wait) {
        Ok(outcome) => {
            eprintln!("{outcome:?}");
            match outcome.exit {
                Exit::Code(code) => ExitCode::from(u8::try_from(code).unwrap_or(255)),
                Exit::Signal(signal) => ExitCode::from(u8::try_from(128 + signal).unwrap_or(255)),
            }
        }
        Err(error) => {
            eprintln!("{error}: {error:?}");
            ExitCode::from(u8::try_from(error.exit_code().unwrap_or(125)).unwrap_or(125))
        }
    }
}
