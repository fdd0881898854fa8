//! Namespaces that a container shares with the machine or with another container, and `--init`.
//!
//! Each script runs as root, as a user with subordinate ids, and as a user with a single id.

use std::fs;
use std::process::Command;

use crate::containers::{monitor, start, wait_until};
use crate::rootless::{SUBORDINATE, as_user, is_root};
use crate::support::{Ran, World, binary, signal};

/// What the script writes, whoever runs it.
pub(crate) fn everybody(script: &str, expected: &str) {
    let script = format!("slipway import rootfs.tar bb > id && {{ {script}\n}}");
    let world = World::empty();
    world.write_rootfs("rootfs.tar");
    let ran = as_root(&world, &script);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, expected), "as root: {ran}");
    if !is_root() {
        return;
    }
    for ranges in [SUBORDINATE, ""] {
        let world = World::empty();
        world.write_rootfs("rootfs.tar");
        let ran = as_user(&world, ranges, &script);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, expected), "as a user ({ranges:?}): {ran}");
    }
}

fn as_root(world: &World, script: &str) -> Ran {
    fs::create_dir(world.path("bin")).unwrap();
    std::os::unix::fs::symlink(binary(), world.path("bin/slipway")).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(world.path("")).env_clear();
    command.env("HOME", world.path("")).env("SLIPWAY_ROOT", world.path("store"));
    command.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", world.path("bin").display()));
    Ran::of(&command.output().unwrap())
}

#[test]
fn an_init_passes_signals_on_and_buries_orphans() {
    everybody(
        "slipway run --rm --init --network none bb sh -c 'echo $$; exit 7'; echo $?
        slipway run --rm --init --network none bb nope 2> /dev/null; echo $?
        slipway run --rm --init --network none bb sh -c 'kill -9 $$'; echo $?
        slipway run --rm --init --network none bb sh -c '(sh -c \"sleep 0.01 & echo \\$! > /orphan\");
            while [ -e /proc/$(cat /orphan) ]; do sleep 0.01; done; echo buried; cat /proc/1/environ 2> /dev/null'
        slipway run -d --init --network none --name idle bb sleep 1000 > id
        slipway inspect -f '{{.HostConfig.Init}}' idle
        slipway stop -t 1000 idle; slipway wait idle; slipway rm idle",
        "2\n7\n127\n137\nburied\ntrue\nidle\n143\nidle\n",
    );
}

#[test]
fn an_init_leaves_the_terminal_to_the_command() {
    let world = World::new();
    let script = "stty size > /dev/null && echo has it; exec 3< /dev/tty && echo opened it";
    let ran = world.ok(["run", "--rm", "-t", "--init", "bb", "sh", "-c", script]);
    assert_eq!(ran, "has it\r\nopened it\r\n");
}

#[test]
fn processes_of_the_host_are_seen_and_what_a_container_leaves_ends() {
    everybody(
        "sleep 1000 & other=$!
        slipway run --rm --pid host --network none bb sh -c \"cat /proc/$other/comm; (sleep 987654 &); echo ends\"
        kill $other
        slipway run -d --pid host --network none --name left bb sh -c '(sleep 987655 &); sleep 987656' > id
        slipway exec left sh -c '(sleep 987657 &) ; echo \"$(cat /proc/$$/comm)\"'
        slipway inspect -f '{{.HostConfig.PidMode}}' left
        slipway rm -f left
        for file in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $file; echo; done 2> /dev/null | grep -c '^sleep 98765[4-7] '
        true",
        "sleep\nends\nsh\nhost\nleft\n0\n",
    );
}

#[test]
fn what_shares_the_processes_of_the_host_ends_with_its_monitor() {
    let world = World::new();
    let script = "(sleep 876543 &); echo ready; sleep 876542";
    start(&world, &["--name", "web", "--pid", "host"], script);
    signal(monitor(&world, "web"), "KILL");
    let is_left = || {
        let commands = fs::read_dir("/proc").unwrap().flatten();
        let mut commands = commands.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        commands.any(|command| command.starts_with(b"sleep\087654"))
    };
    wait_until("what the container has started goes on", || !is_left());
}

#[test]
fn containers_share_their_namespaces() {
    everybody(
        "slipway run -d --name one --ipc shareable --hostname lender --shm-size 1m bb \\
            sh -c 'echo kept > /dev/shm/kept; sleep 1000' > id
        slipway run --rm --pid container:one --network none bb sh -c 'cat /proc/1/comm; (sleep 1000 &)'
        slipway run --rm --ipc container:one --network none bb cat /dev/shm/kept
        slipway run --rm --network container:one bb sh -c 'hostname; busybox readlink /proc/self/ns/net' > two
        slipway exec one busybox readlink /proc/self/ns/net > net
        head -n 1 two; tail -n 1 two | cmp - net && echo same network
        slipway run -d --name three --network container:one --pid container:one bb sleep 1000 > id
        slipway exec three sh -c 'cat /proc/1/comm'
        [ $(slipway inspect -f '{{.HostConfig.NetworkMode}}' three) = container:$(slipway inspect -f '{{.Id}}' one) ] && echo by id
        slipway restart -t 0 three && slipway exec three busybox readlink /proc/self/ns/net | cmp - net && echo again
        slipway rm -f one three
        true",
        "sleep\nkept\nlender\nsame network\nsleep\nby id\nthree\nagain\none\nthree\n",
    );
}

#[test]
fn names_queues_and_users_are_those_of_the_host() {
    everybody(
        "[ \"$(slipway run --rm --uts host --network none bb hostname)\" = \"$(hostname)\" ] && echo name
        [ \"$(slipway run --rm --ipc host --network none bb busybox readlink /proc/self/ns/ipc)\" = \"$(readlink /proc/self/ns/ipc)\" ] && echo queues
        slipway run --rm --ipc none --network none bb sh -c 'test -e /dev/shm || echo no memory'
        slipway run --rm --userns host --network none bb id -u",
        "name\nqueues\nno memory\n0\n",
    );
}

#[test]
fn what_cannot_be_shared_is_told() {
    let world = World::new();
    let mut settings = world.settings();
    settings.add_filter("[0-9a-f]{64}", "<container>");
    let _guard = settings.bind_to_scope();
    start(&world, &["--name", "web"], "echo ready; sleep 1000");
    world.ok(["create", "--name", "idle", "bb", "true"]);
    let refused = |options: &[&str]| {
        let ran = world.run([&["run", "--rm"], options, &["bb", "true"]].concat());
        format!("{} {}", ran.code, ran.stderr)
    };
    let text: String = [
        &["--network", "container:absent"][..],
        &["--network", "container:idle"],
        &["--pid", "container:idle"],
        &["--ipc", "container:web"],
        &["--network", "container:web", "-p", "80"],
        &["--network", "container:web", "--hostname", "x"],
        &["--uts", "host", "--hostname", "x"],
        &["--pid", "web"],
        &["--userns", "keep-id"],
        &["--userns", "auto"],
    ]
    .iter()
    .map(|options| refused(options))
    .collect();
    insta::assert_snapshot!(text, @"
    125 ERROR: No such container: absent
    hint: `slipway ps -a` lists the containers that there are
    125 ERROR: cannot join network of a non running container: <container>
    125 ERROR: cannot join PID namespace of a non running container: <container>
    125 ERROR: can't join IPC of container <container>: non-shareable IPC (hint: use IpcMode:shareable for the donor container)
    125 ERROR: conflicting options: port publishing and the container type network mode
    125 ERROR: conflicting options: hostname and the network mode
    125 ERROR: conflicting options: hostname and the UTS mode
    125 error: invalid value 'web' for '--pid <MODE>': invalid PID mode

    For more information, try '--help'.
    125 error: invalid value 'keep-id' for '--userns <MODE>': `keep-id` is not supported: the user who starts a container is its user 0, and files of the image would need other owners; what the container makes belongs to you all the same

    For more information, try '--help'.
    125 error: invalid value 'auto' for '--userns <MODE>': `auto` is not supported: containers of one user share its ids; those of root have the ids of the machine

    For more information, try '--help'.
    ");
    assert_eq!(world.ok(["ps", "-aq"]).lines().count(), 2);
}
