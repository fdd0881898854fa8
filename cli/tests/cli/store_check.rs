//! A store is verified, and what is wrong in it becomes a miss.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::support::World;

const DOCKERFILE: &str = "\
FROM bb
COPY file /
RUN --mount=type=cache,target=/cache echo kept > /cache/file; cat /file > /copy; ln /copy /link
";

fn built() -> World {
    let world = World::new();
    world.context("Dockerfile", DOCKERFILE).context("file", "content\n");
    // What was written just now is not put into the index of the context.
    std::thread::sleep(std::time::Duration::from_secs(1));
    build(&world);
    // An image from elsewhere, with its blobs.
    world.ok(["build", "-q", "-o", "type=oci,dest=oci.tar,name=loaded", "context"]);
    world
}

fn build(world: &World) -> Vec<u8> {
    world.ok(["build", "-q", "-t", "demo", "-o", "type=tar,dest=files.tar", "context"]);
    fs::read(world.path("files.tar")).unwrap()
}

#[test]
fn nothing_is_wrong_with_a_store_that_was_just_made() {
    let world = built();
    let text = world.ok(["store", "check"]);
    assert!(text.ends_with("\nNothing is wrong\n"), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&world.ok(["store", "check", "--format", "json"])).unwrap();
    assert_eq!(json["problems"], serde_json::json!([]));
    assert!(json["checked"]["layers"].as_u64().is_some_and(|layers| layers >= 3), "{json}");
}

/// Layers have random names: which one it is tells a file that only it has.
fn layer_kind(layer: &Path) -> &'static str {
    match layer.join("fs") {
        files if files.join("bin/busybox").exists() => "the base",
        files if files.join("copy").exists() => "the RUN",
        files if files.join("file").exists() => "the COPY",
        files => panic!("what is {}", files.display()),
    }
}

/// One file of each kind, with something in it.
fn kinds(store: &Path) -> BTreeMap<String, PathBuf> {
    let mut kinds = BTreeMap::new();
    for entry in walkdir::WalkDir::new(store).sort_by_file_name() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        let path = entry.path().strip_prefix(store).unwrap().to_string_lossy().into_owned();
        // The logs of builds and of events are for people, and have no checksums. Which network there is is found out again
        // by whoever does not believe it.
        let others = ["locks/", "staging/", "logs/", "builds/", "events/", "format", "scaffold/", "outlet"];
        let is_of_store = !others.iter().any(|it| path.starts_with(it));
        let is_users = path.starts_with("mounts/") && path.contains("/data/");
        if metadata.is_file() && metadata.size() > 0 && is_of_store && !is_users {
            let first = path.split('/').next().unwrap();
            let kind = match path.strip_prefix("layers/").and_then(|path| path.split_once('/')) {
                Some((id, "facts")) => format!("facts of {}", layer_kind(&store.join("layers").join(id))),
                Some((id, _)) => format!("files of {}", layer_kind(&store.join("layers").join(id))),
                None => first.to_owned(),
            };
            kinds.insert(kind, entry.path().to_owned());
        }
    }
    kinds
}

#[test]
fn a_byte_that_is_flipped_anywhere_is_noticed_and_made_again() {
    let world = built();
    let reference = build(&world);
    let store = world.path("store");
    let names: Vec<String> = kinds(&store).into_keys().collect();
    insta::assert_snapshot!(names.join("\n"), @"
    blobs
    contexts
    diff-ids
    durable
    facts of the COPY
    facts of the RUN
    facts of the base
    files of the COPY
    files of the RUN
    files of the base
    filling
    images
    mounts
    records
    tags
    ");
    for kind in names {
        let path = kinds(&store).remove(&kind).unwrap();
        let name = path.strip_prefix(&store).unwrap().to_string_lossy().into_owned();
        flip(&path);
        let found = world.run(["store", "check"]);
        let thing = name.split("/fs/").next().unwrap();
        assert!(found.code == 1 && found.stdout.contains(thing), "{kind}, {name}: {found}");
        let repaired = world.run(["store", "check", "--repair"]);
        // What can be learned again was learned by the look itself.
        assert_eq!(repaired.code, 0, "{kind}: {repaired}");
        let text = world.ok(["store", "check", "--repair"]);
        assert!(text.ends_with("\nNothing is wrong\n"), "{kind}: {text}");
        // What came from outside is brought again.
        world.write_rootfs("rootfs.tar");
        world.ok(["import", "--message", "busybox", "rootfs.tar", "bb"]);
        assert!(build(&world) == reference, "{kind}: another result");
        world.ok(["build", "-q", "-o", "type=oci,dest=oci.tar,name=loaded", "context"]);
    }
}

/// Flips a bit in the middle of a file.
fn flip(path: &Path) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let (mut byte, at) = ([0], file.metadata().unwrap().size() / 2);
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 4], at).unwrap();
}

#[test]
fn a_layer_of_which_nothing_tells_any_more_is_made_again() {
    let world = World::new();
    let stages = "FROM bb AS first\nRUN echo made > /made\nFROM bb\nCOPY --from=first /made /";
    world.context("Dockerfile", &format!("{stages}one\n"));
    world.ok(["build", "-q", "-t", "demo", "context"]);
    // No image has the layer of the first stage.
    let layers = fs::read_dir(world.path("store/layers")).unwrap().map(|entry| entry.unwrap().path());
    let layer = layers.into_iter().find(|layer| layer.join("fs/made").exists()).unwrap();
    flip(&layer.join("facts"));
    flip(&layer.join("fs/made"));
    let found = world.run(["store", "check"]);
    assert!(found.code == 1 && found.stdout.contains("nothing tells any more"), "{found}");
    world.ok(["store", "check", "--repair"]);
    world.context("Dockerfile", &format!("{stages}two\n"));
    world.ok(["build", "-q", "-t", "demo", "context"]);
    assert_eq!(world.ok(["run", "--rm", "demo", "cat", "/two"]), "made\n");
}

#[test]
fn what_runs_is_not_taken_away() {
    let world = built();
    let mut run =
        crate::support::spawn(&mut world.command(["run", "--rm", "demo", "sh", "-c", "echo up; sleep 60"]));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(run.stdout.as_mut().unwrap()), &mut line)
        .unwrap();
    let files = walkdir::WalkDir::new(world.path("store/layers")).into_iter().flatten();
    let link = files.map(walkdir::DirEntry::into_path).find(|path| path.ends_with("fs/link")).unwrap();
    fs::write(link, "changed").unwrap();
    let left = world.run(["store", "check", "--repair"]);
    assert!(left.code == 1 && left.stdout.contains("1 of them left"), "{left}");
    run.kill().unwrap();
    run.wait().unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while world.run(["store", "check", "--repair"]).code != 0 {
        assert!(std::time::Instant::now() < until, "its lease ends with it");
    }
    assert_eq!(world.ok(["run", "--rm", "bb", "echo", "whole"]), "whole\n");
}
