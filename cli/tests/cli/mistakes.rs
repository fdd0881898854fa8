//! Bad input to commands for containers: Docker's words, its exit codes, and nothing half-created.

use std::collections::BTreeMap;
use std::net::TcpListener;

use crate::containers::start;
use crate::support::World;

/// More containers than an id has first digits.
const CONTAINERS: usize = 17;

/// The first digit that the ids of two containers have in common.
fn shared_digit(world: &World) -> String {
    for _ in 0..CONTAINERS {
        world.ok(["create", "bb", "true"]);
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for id in world.ok(["ps", "-aq"]).lines() {
        *counts.entry(id[..1].to_owned()).or_default() += 1;
    }
    counts.into_iter().find(|(_, count)| *count > 1).unwrap().0
}

#[test]
fn what_is_wrong_is_told_and_leaves_nothing() {
    let world = World::new();
    start(&world, &["--name", "web"], "echo ready; sleep 1000");
    world.ok(["create", "--name", "idle", "bb", "true"]);
    let digit = shared_digit(&world);
    let before = (world.ok(["ps", "-aq"]), world.ok(["volume", "ls", "-q"]));
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = format!("{}:80", taken.local_addr().unwrap().port());
    let cases: [(&[&str], i32, &str); 16] = [
        (&["run", "--pull", "never", "absent"], 125, "no such image: absent:latest"),
        (&["create", "--pull", "never", "absent"], 1, "no such image: absent:latest"),
        (
            &["run", "--name", "web", "bb", "true"],
            125,
            "The container name \"/web\" is already in use by container",
        ),
        (&["create", "--name", "web", "bb", "true"], 1, "The container name \"/web\" is already in use"),
        (&["run", "--rm", "-p", &port, "bb", "true"], 125, "failed: port is already allocated"),
        (&["run", "--rm", "--network", "absent", "bb", "true"], 125, "network absent not found"),
        (
            &["run", "--mount", "type=bind,src=/absent,dst=/x", "-v", "new:/y", "bb", "true"],
            125,
            "bind source path does not exist: /absent",
        ),
        (&["run", "--mount", "type=nope,dst=/x", "bb", "true"], 125, "mount type 'nope' is not one of"),
        (&["run", "-v", "new:relative", "bb", "true"], 125, "invalid mount path: 'relative'"),
        (&["run", "--rm", "-v", "new:/y", "bb", "absent"], 127, "executable `absent` not found"),
        (&["run", "--rm", "bb", "/etc/passwd"], 126, "/etc/passwd"),
        (&["exec", "idle", "true"], 1, "is not running"),
        (&["exec", "absent", "true"], 1, "No such container: absent"),
        (&["exec", "web", "absent"], 127, "executable `absent` not found"),
        (&["stop", &digit], 1, "multiple IDs found with provided prefix"),
        (&["inspect", "--type", "container", "absent"], 1, "No such container: absent"),
    ];
    for (arguments, code, expected) in cases {
        let ran = world.run(arguments);
        assert!(ran.code == code && ran.stderr.contains(expected), "{arguments:?}: {ran}");
    }
    assert_eq!(world.ok(["ps", "-aq"]), before.0);
    // The volume of a command that is not there was made for good, as with Docker.
    assert_eq!(world.ok(["volume", "ls", "-q"]), format!("{}new\n", before.1));
    world.ok(["rm", "-f", "web"]);
}
