//! Runs each scenario as root, as a user with subordinate ids, and as a user with a single id.
//!
//! Users need not exist: a test as a user runs in a mount namespace with its own `/etc/passwd`, `/etc/subuid` and
//! `/etc/subgid`, so that the host stays as it is.

use std::fs;
use std::os::fd::AsRawFd;
use std::process::{Command, ExitCode};

use executor::Ids;
use libtest_mimic::{Arguments, Failed, Trial};

use super::lifetime;
use super::support::{Mode, World};

/// A test: its name, where it makes sense, and what it does.
pub(crate) struct Scenario {
    pub name: &'static str,
    pub(crate) modes: &'static [Mode],
    pub test: fn(&World),
}

/// First argument of the test binary when it runs one scenario as a user.
const AS_USER: &str = "--as-user";

/// The user in tests. It exists in their mount namespace only.
const USER_ID: &str = "54321";

/// Its subordinate ids, away from what a distribution hands out.
const SUBORDINATE: &str = "sailor:1800000000:65536\n";

pub(crate) fn main(scenarios: &[Scenario]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|word| word == AS_USER) {
        return as_user(scenarios, &arguments[2], &arguments[3]);
    }
    let is_root =
        fs::metadata("/proc/self").map(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0);
    let may_be_root = is_root.unwrap_or(false);
    let trials = scenarios.iter().flat_map(|scenario| {
        scenario.modes.iter().map(move |mode| {
            let (test, name, mode) = (scenario.test, scenario.name, *mode);
            let title = format!("{}::{name}", format!("{mode:?}").to_lowercase());
            Trial::test(title, move || match mode {
                Mode::Root => {
                    test(&World::new(mode));
                    Ok(())
                }
                Mode::Ranges | Mode::Single => in_user_process(name, mode),
            })
            // Without root nothing here can run; where CI promises root, not having it is a failure.
            .with_ignored_flag(!may_be_root && std::env::var_os("CI").is_none())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// Runs one scenario in a process of the test user.
fn in_user_process(name: &str, mode: Mode) -> Result<(), Failed> {
    let etc = tempfile::tempdir()?;
    let mut passwd = fs::read_to_string("/etc/passwd")?;
    passwd.push_str(&format!("sailor:x:{USER_ID}:{USER_ID}::/nonexistent:/bin/sh\n"));
    fs::write(etc.path().join("passwd"), passwd)?;
    let ranges = if mode == Mode::Ranges { SUBORDINATE } else { "" };
    fs::write(etc.path().join("subuid"), ranges)?;
    fs::write(etc.path().join("subgid"), ranges)?;
    let binary = fs::File::open(std::env::current_exe()?)?;
    // The user may have no way to the build directory: the binary is executed through a descriptor.
    let script =
        "cd \"$1\" && for file in passwd subuid subgid; do mount --bind $file /etc/$file || exit 9; done
        cd / && exec setpriv --reuid \"$2\" --regid \"$2\" --clear-groups \"$0\" --as-user \"$3\" \"$4\"";
    let path = format!("/proc/{}/fd/{}", std::process::id(), binary.as_raw_fd());
    let copy = etc.path().join("tests");
    fs::copy(path, &copy)?;
    fs::set_permissions(etc.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let result = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(&copy)
        .arg(etc.path())
        .args([USER_ID, &format!("{mode:?}"), name])
        .output()?;
    if result.status.success() {
        return Ok(());
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Err(format!("{}\n{}{}", result.status, text(&result.stdout), text(&result.stderr)).into())
}

/// The user's process: becomes root in a namespace, and runs the scenario there. With ranges its first sandbox has been made
/// ahead, so that every scenario shows that such a one holds as well.
fn as_user(scenarios: &[Scenario], mode: &str, name: &str) -> ExitCode {
    let mode = if mode == "Ranges" { Mode::Ranges } else { Mode::Single };
    let ids = executor::become_root().expect("the kernel allows user namespaces");
    match mode {
        Mode::Ranges => {
            assert_eq!(ids, Ids::Ranges);
            lifetime::helper_and_process();
        }
        _ => assert!(matches!(ids, Ids::Single { .. }), "{ids:?}"),
    }
    let scenario = scenarios.iter().find(|scenario| scenario.name == name).expect("a known scenario");
    (scenario.test)(&World::new(mode));
    ExitCode::SUCCESS
}
