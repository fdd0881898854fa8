//! Runs the whole test suite, after installing what it needs.

use crate::error::Error;
use crate::packages::{self, Chore};
use crate::{dist, next_release, process, servers};

/// The name under which the tests of the command line find the binary that users get.
const BINARY_VARIABLE: &str = "SLIPWAY_BIN";
/// Where they find a client of BuildKit's API.
const BUILDX_VARIABLE: &str = "SLIPWAY_BUILDX";
/// Where they find object stores to start.
const SERVERS_VARIABLE: &str = "SLIPWAY_SERVERS";

/// Runs every test. `arguments` go to the runner, for example a part of a test's name.
pub(crate) fn run(arguments: &[String]) -> Result<(), Error> {
    packages::ensure(Chore::Test)?;
    let buildx = next_release::buildx()?;
    // These wait for a network, the compiler does not.
    let (servers, binary) = std::thread::scope(|scope| {
        let servers = scope.spawn(servers::installed);
        let binary = dist::binary();
        (servers.join().expect("installing does not panic"), binary)
    });
    let (servers, binary) = (servers?, binary?);

    let mut tests = process::cargo();
    if has_nextest() {
        tests.args(["nextest", "run", "--workspace", "--all-features", "--locked", "--no-fail-fast"]);
    } else {
        tests.args(["test", "--workspace", "--all-features", "--locked", "--no-fail-fast", "--all-targets"]);
    }
    tests.env(BINARY_VARIABLE, &binary).env(BUILDX_VARIABLE, &buildx).env(SERVERS_VARIABLE, &servers);
    process::run(tests.args(arguments))?;

    // The fast runner leaves the examples in the documentation out.
    process::run(process::cargo().args(["test", "--workspace", "--all-features", "--locked", "--doc"]))
}

fn has_nextest() -> bool {
    process::succeeds(process::cargo().args(["nextest", "--version"]))
}
