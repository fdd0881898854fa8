//! What a container has changed, as a list, an image, a tar.

use std::process::Command;

use crate::containers::{inspect, start};
use crate::support::World;

/// Changes something of every kind.
const CHANGES: &str = "mkdir /new; echo 1 > /new/file; rm /bin/yes; echo more >> /etc/passwd
    rm -r /dir; mkdir /dir; ln -s /new/file /dir/link; echo ready; exec sleep 1000";

/// The image `tree`, which has a directory with two files.
fn world() -> World {
    let world = World::new();
    world.context(
        "Dockerfile",
        "FROM bb\nRUN mkdir /dir && touch /dir/one /dir/two\nENV A=image\nCMD [\"false\"]\n",
    );
    world.ok(["build", "-q", "-t", "tree", "context"]);
    world
}

fn changed(world: &World, options: &[&str]) {
    let script = [&["run", "-d", "--name", "web"], options, &["tree", "sh", "-c", CHANGES]].concat();
    world.ok(script);
    crate::containers::wait_until("nothing is changed", || world.ok(["logs", "web"]) == "ready\n");
}

#[test]
fn changes_are_listed() {
    let world = world();
    changed(&world, &["-v", "data:/data", "--tmpfs", "/scratch"]);
    let expected = "C /bin\nD /bin/yes\nC /dir\nA /dir/link\nD /dir/one\nD /dir/two\nC /etc\n\
                    C /etc/passwd\nA /new\nA /new/file\n";
    assert_eq!(world.ok(["diff", "web"]), expected, "what was made to mount something is no change");
    world.ok(["stop", "-t", "0", "web"]);
    assert_eq!(world.ok(["container", "diff", "web"]), expected);
    let absent = world.run(["diff", "absent"]);
    assert!(absent.code == 1 && absent.stderr.contains("No such container: absent"), "{absent}");
}

#[test]
fn a_container_becomes_an_image() {
    let world = world();
    changed(&world, &["-e", "B=container", "-l", "tier=front", "-v", "data:/data"]);
    world.ok(["exec", "web", "touch", "/data/kept-apart"]);
    let changes = ["-c", "CMD cat /new/file", "-c", "ENV C=change"];
    let words = [&["commit", "-a", "me", "-m", "by hand"], &changes[..], &["web", "saved:1"]].concat();
    let id = world.ok(words);
    assert_eq!(world.ok(["image", "inspect", "-f", "{{.Id}}", "saved:1"]), id);
    assert_eq!(world.ok(["run", "--rm", "saved:1"]), "1\n");
    let script = "echo $A $B $C; ls /dir /data; test -e /bin/yes || echo gone";
    assert_eq!(
        world.ok(["run", "--rm", "saved:1", "sh", "-c", script]),
        "image container change\n/data:\n\n/dir:\nlink\ngone\n"
    );
    assert_eq!(
        world.ok(["inspect", "-f", "{{.Author}} {{.Comment}} {{.Config.Labels.tier}}", "saved:1"]),
        "me by hand front\n"
    );
    assert_eq!(inspect(&world, "web", "{{.State.Status}}"), "running", "it goes on");
    // Everybody else can read it.
    world.ok(["save", "-o", "saved.tar", "saved:1"]);
    let status = Command::new("skopeo")
        .args(["inspect", "--config", "docker-archive:saved.tar"])
        .current_dir(world.path(""))
        .output()
        .unwrap();
    assert!(status.status.success(), "{status:?}");
    world.ok(["stop", "-t", "0", "web"]);
    world.ok(["commit", "--pause=false", "web"]);
    let wrong = world.run(["commit", "-c", "RUN true", "web", "wrong"]);
    assert!(wrong.code != 0 && world.run(["image", "inspect", "wrong"]).code != 0, "{wrong}");
}

#[test]
fn a_container_is_exported() {
    let world = World::new();
    start(&world, &["--name", "web", "-v", "data:/data"], "touch /data/a /b; echo ready; exec sleep 1000");
    world.ok(["export", "-o", "out.tar", "web"]);
    let listed = Command::new("tar").args(["tf", "out.tar"]).current_dir(world.path("")).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let has = |name: &str| listed.lines().any(|line| line == name);
    assert!(has("b") && has("bin/busybox") && has("data/") && !has("data/a"), "{listed}");
    world.ok(["import", "out.tar", "again"]);
    world.ok(["run", "--rm", "again", "ls", "/b"]);
    assert_eq!(world.run(["export", "-o", "none.tar", "absent"]).code, 1);
    assert!(!world.path("none.tar").exists());
}
