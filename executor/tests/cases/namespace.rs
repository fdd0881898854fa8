//! Becoming root.

use std::process::{Command, ExitCode};

use executor::{Ids, NamespaceError, become_root};

use crate::support::World;

/// First argument of the test binary when it only tries to become root.
pub(crate) const BECOME_ROOT: &str = "--become-root";

/// Prints what became of it.
pub(crate) fn try_to_become_root() -> ExitCode {
    match become_root() {
        Ok(ids) => println!("{ids:?}"),
        Err(NamespaceError::Kernel { call, source }) => println!("{call}: {}", source.0),
    }
    ExitCode::SUCCESS
}

pub(crate) fn root_stays_root(_: &World) {
    assert_eq!(become_root().unwrap(), Ids::Unchanged);
}

pub(crate) fn a_refusal_names_the_call(_: &World) {
    // The limit is one of this user namespace, which ends with the test.
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --reuid 7 --regid 7 --clear-groups \"$@\"";
    let binary = std::env::current_exe().unwrap();
    let result = Command::new("sh").args(["-c", script, "sh"]).arg(binary).arg(BECOME_ROOT).output().unwrap();
    let text = String::from_utf8(result.stdout).unwrap();
    let expected = format!("unshare(CLONE_NEWUSER | CLONE_NEWNS): {}\n", libc::ENOSPC);
    assert_eq!(text, expected, "{}", String::from_utf8_lossy(&result.stderr));
}
