//! What `run` gives to a container, or takes from it, beyond the default.

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use engine::{Grants, Privileges, SystemCalls};

use crate::report::Report;

/// No profile comes near it.
const PROFILE_BYTES_MAX: u64 = 1 << 20;

/// The options.
#[derive(Debug, clap::Args)]
pub(crate) struct PrivilegeArgs {
    /// Add Linux capabilities ("ALL" for all)
    #[arg(long, value_name = "NAME")]
    cap_add: Vec<String>,
    /// Drop Linux capabilities ("ALL" for all)
    #[arg(long, value_name = "NAME")]
    cap_drop: Vec<String>,
    /// Give extended privileges to this container: all capabilities, system calls and devices
    #[arg(long)]
    privileged: bool,
    /// Mount the container's root filesystem as read only
    #[arg(long)]
    read_only: bool,
    /// Security Options ("no-new-privileges[=true|false]", "seccomp=FILE|builtin|unconfined")
    #[arg(long, value_name = "OPTION", value_parser = parse_option)]
    security_opt: Vec<SecurityOption>,
    /// Sysctl options, such as "net.core.somaxconn=1024"
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_sysctl)]
    sysctl: Vec<(String, String)>,
}

/// One `--security-opt`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum SecurityOption {
    NoNewPrivileges(bool),
    SystemCalls(SystemCalls),
    /// A profile in this file.
    Profile(String),
}

impl TryFrom<PrivilegeArgs> for Privileges {
    type Error = Report;

    fn try_from(args: PrivilegeArgs) -> Result<Self, Report> {
        let mut privileges = Self {
            grants: if args.privileged {
                Grants::Everything
            } else {
                Grants::some(&args.cap_add, &args.cap_drop).map_err(Report::mistake)?
            },
            cap_add: args.cap_add,
            cap_drop: args.cap_drop,
            is_root_read_only: args.read_only,
            sysctls: args.sysctl,
            ..Self::default()
        };
        for option in args.security_opt {
            match option {
                SecurityOption::NoNewPrivileges(is_set) => privileges.no_new_privileges = Some(is_set),
                SecurityOption::SystemCalls(calls) => privileges.system_calls = calls,
                SecurityOption::Profile(path) => {
                    privileges.system_calls = SystemCalls::Profile(read_profile(path.as_ref())?);
                    privileges.check().map_err(|error| {
                        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                        Report::mistake(format!("opening seccomp profile ({path}) failed: {error}{cause}"))
                    })?;
                }
            }
        }
        Ok(privileges)
    }
}

/// Docker's words, with `=` or the older `:`.
fn parse_option(text: &str) -> Result<SecurityOption, String> {
    let (name, value) = text.split_once(['=', ':']).unwrap_or((text, ""));
    match (name, value) {
        ("no-new-privileges", "" | "true") => Ok(SecurityOption::NoNewPrivileges(true)),
        ("no-new-privileges", "false") => Ok(SecurityOption::NoNewPrivileges(false)),
        ("seccomp", "unconfined") => Ok(SecurityOption::SystemCalls(SystemCalls::All)),
        ("seccomp", "builtin") => Ok(SecurityOption::SystemCalls(SystemCalls::Builtin)),
        ("seccomp", path) if !path.is_empty() => Ok(SecurityOption::Profile(path.to_owned())),
        _ => Err("expected `no-new-privileges[=true|false]` or `seccomp=FILE|builtin|unconfined`".to_owned()),
    }
}

fn read_profile(path: &Path) -> Result<String, Report> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| Report::file(path, &error))?;
    let read = file.take(PROFILE_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| Report::file(path, &error))?;
    Ok(text)
}

fn parse_sysctl(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_dockers() {
        assert_eq!(parse_option("no-new-privileges"), Ok(SecurityOption::NoNewPrivileges(true)));
        assert_eq!(parse_option("no-new-privileges:false"), Ok(SecurityOption::NoNewPrivileges(false)));
        assert_eq!(parse_option("seccomp=unconfined"), Ok(SecurityOption::SystemCalls(SystemCalls::All)));
        assert_eq!(parse_option("seccomp=p.json"), Ok(SecurityOption::Profile("p.json".into())));
        for wrong in ["seccomp=", "apparmor=x", "no-new-privileges=maybe", ""] {
            assert!(parse_option(wrong).is_err(), "{wrong}");
        }
    }
}
