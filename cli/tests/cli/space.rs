//! What the store takes, and what pruning gives back.

use std::time::Duration;

use crate::support::{World, signal, spawn};

/// Longer than the clock of any file system is coarse.
const SETTLED: Duration = Duration::from_millis(100);

fn built() -> World {
    let world = World::new();
    world.context("Dockerfile", "FROM bb\nCOPY file /\nRUN cat file > copy\n");
    world.context("file", "content\n");
    // What was written just now is not put into the index of the context, and that counts here.
    std::thread::sleep(SETTLED);
    world.ok(["build", "-q", "-t", "demo", "context"]);
    world
}

fn settings(world: &World) -> insta::Settings {
    let mut settings = world.settings();
    settings.add_filter(r"\b[0-9a-f]{64}\b", "<key>");
    settings.add_filter(r"<size> +", "<size> ");
    settings.add_filter(r"\(\d+%\)", "(<percent>)");
    settings
}

#[test]
fn df_has_dockers_table() {
    let world = built();
    let _guard = settings(&world).bind_to_scope();
    insta::assert_snapshot!(world.ok(["system", "df"]));
    insta::assert_snapshot!(world.ok(["system", "df", "--format", "{{.Type}}={{.Active}}"]), @"
    Images=0
    Containers=0
    Local Volumes=0
    Build Cache=0
    ");
    let verbose = world.ok(["system", "df", "-v"]);
    for part in ["Images space usage:", "\nBuild cache usage: ", "[2/3] COPY file /", "regular"] {
        assert!(verbose.contains(part), "{part}: {verbose}");
    }
}

#[test]
fn pruning_the_builder_leaves_images() {
    let world = built();
    let cached = || world.run(["build", "--progress=plain", "context"]).stderr.matches("CACHED").count();
    assert_eq!(cached(), 2);
    world.ok(["builder", "prune", "-f"]);
    assert_eq!(cached(), 2, "their layers are an image's");
    world.ok(["rmi", "demo"]);
    world.ok(["image", "prune", "-f"]);
    assert_eq!(cached(), 2, "the cache has them still");
    world.ok(["image", "prune", "-f"]);
    world.ok(["builder", "prune", "-f", "--max-used-space", "1g"]);
    assert_eq!(cached(), 2, "there is room");
    world.ok(["image", "prune", "-f"]);
    let pruned = world.ok(["builder", "prune", "-f"]);
    assert!(pruned.starts_with("Deleted build cache objects:\n"), "{pruned}");
    assert_eq!(cached(), 0);
    assert_eq!(world.ok(["run", "--rm", "bb", "echo", "whole"]), "whole\n");
}

#[test]
fn questions_are_asked_and_answered() {
    let world = built();
    let _guard = settings(&world).bind_to_scope();
    insta::assert_snapshot!(world.run_with(b"n\n", ["image", "prune", "-a"]).stdout, @"
    WARNING! This will remove all images without at least one container associated to them.
    Are you sure you want to continue? [y/N] 
    ");
    assert_eq!(world.ok(["images", "-q"]).lines().count(), 2);
    insta::assert_snapshot!(world.run_with(b"y\n", ["system", "prune", "-a"]).stdout);
    assert_eq!(world.ok(["images", "-q"]), "");
    insta::assert_snapshot!(world.ok(["system", "prune", "-f"]), @"Total reclaimed space: <size>");
    assert_eq!(std::fs::read_dir(world.path("store/layers")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(world.path("store/blobs/sha256")).unwrap().count(), 0);
}

#[test]
fn what_a_container_uses_stays() {
    let world = built();
    let mut run = spawn(&mut world.command(["run", "--rm", "demo", "sh", "-c", "sleep 30; cat copy"]));
    while !world.ok(["system", "df", "--format", "{{.Type}}={{.Active}}"]).contains("Images=2") {
        std::thread::sleep(Duration::from_millis(20));
        assert!(run.try_wait().unwrap().is_none());
    }
    world.ok(["system", "prune", "-a", "-f"]);
    assert_eq!(world.ok(["images", "-q"]).lines().count(), 2, "the base is a part of it");
    assert_eq!(world.ok(["run", "--rm", "demo", "cat", "copy"]), "content\n");
    signal(run.id(), "TERM");
    run.wait().unwrap();
    world.ok(["system", "prune", "-a", "-f"]);
    assert_eq!(world.ok(["images", "-q"]), "");
}

#[test]
fn mistakes_are_explained() {
    let world = World::empty();
    let shown = |arguments: &[&str]| world.run(arguments).to_string();
    insta::assert_snapshot!(shown(&["builder", "prune", "-f", "--filter", "colour=red"]), @"
    exit code 1
    ---- stderr
    ERROR: invalid filter `colour=red`, expected one of id, type, until, unused-for as NAME=VALUE
    ");
    insta::assert_snapshot!(shown(&["builder", "prune", "-f", "--keep-storage", "much"]), @"
    exit code 1
    ---- stderr
    error: invalid value 'much' for '--reserved-space <BYTES>': invalid size: 'much'

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(shown(&["image", "prune", "-f", "--filter", "reference=x"]), @"
    exit code 1
    ---- stderr
    ERROR: invalid filter `reference=...`, expected one of dangling, label, until where images are pruned
    ");
}
