//! A COPY of many small files that nobody looks into during the build is kept as one file.

use std::fs;
use std::path::PathBuf;

use crate::support::World;

/// As many files as are packed, and some more.
const FILES: usize = 400;

fn world(dockerfile: &str) -> World {
    let world = World::new();
    world.context("Dockerfile", dockerfile);
    for file in 0..FILES {
        world.context(&format!("files/d{}/f{file}", file % 7), &format!("content {file}\n"));
    }
    world
}

/// The layers that are one file.
fn packed(world: &World) -> Vec<PathBuf> {
    let layers = fs::read_dir(world.path("store/layers")).unwrap();
    let packed = layers.map(|layer| layer.unwrap().path().join("packed"));
    packed.filter(|packed| packed.exists()).collect()
}

#[test]
fn the_last_copy_is_packed_and_its_image_is_like_any_other() {
    let world = world(
        "FROM bb\nRUN busybox mkdir /srv\nCOPY --chown=5:6 files /srv/files\nCMD [\"cat\", \"/srv/files/d1/f1\"]\n",
    );
    world.ok(["build", "-q", "-t", "app", "context"]);
    let [file] = &packed(&world)[..] else { panic!("{:?}", packed(&world)) };
    let layer = file.parent().unwrap().to_owned();
    let names = || -> Vec<String> {
        let entries = fs::read_dir(&layer).unwrap();
        let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names(), ["facts", "packed"]);
    // Images leave without it becoming a directory.
    world.ok(["build", "-q", "-o", "type=oci,dest=app.tar", "context"]);
    world.ok(["save", "-o", "saved.tar", "app"]);
    world.ok(["history", "app"]);
    assert_eq!(names(), ["facts", "packed"]);
    // Programs look into it.
    assert_eq!(world.ok(["run", "--rm", "app"]), "content 1\n");
    assert_eq!(
        world.ok(["run", "--rm", "app", "busybox", "stat", "-c", "%u:%g", "/srv/files/d2/f2"]),
        "5:6\n"
    );
    assert_eq!(names().len(), 3, "{:?}", names());
    world.context(
        "more/Dockerfile",
        "FROM app\nRUN test \"$(busybox find /srv/files -type f | busybox wc -l)\" = 400 && busybox rm -r /srv/files/d1\n",
    );
    world.ok(["build", "-q", "-t", "more", "context/more"]);
    assert_eq!(world.ok(["run", "--rm", "more", "busybox", "ls", "/srv/files"]), "d0\nd2\nd3\nd4\nd5\nd6\n");
    assert!(world.ok(["store", "check"]).ends_with("\nNothing is wrong\n"));
}

#[test]
fn the_image_is_the_same_when_the_files_are_made() {
    // Without a directory a RUN that follows would not find its files: they are made for it at once.
    let followed = world("FROM bb AS copy\nCOPY files /files\nFROM copy\nRUN true\n");
    followed.ok(["build", "-q", "-t", "followed", "context"]);
    assert!(packed(&followed).is_empty());
    let last = world("FROM bb\nCOPY files /files\n");
    last.ok(["build", "-q", "-t", "last", "--build-arg", "SOURCE_DATE_EPOCH=1", "context"]);
    followed.ok([
        "build",
        "-q",
        "-t",
        "copy",
        "--target",
        "copy",
        "--build-arg",
        "SOURCE_DATE_EPOCH=1",
        "context",
    ]);
    assert!(packed(&followed).is_empty() && packed(&last).len() == 1);
    let layers =
        |world: &World, name: &str| world.ok(["inspect", "--format", "{{json .RootFS.Layers}}", name]);
    assert_eq!(layers(&last, "last"), layers(&followed, "copy"));
}

#[test]
fn files_that_are_wanted_are_made() {
    let world = world("FROM bb\nCOPY files /files\n");
    world.ok(["build", "-q", "-o", "out", "context"]);
    assert!(packed(&world).is_empty());
    assert_eq!(fs::read_to_string(world.path("out/files/d3/f3")).unwrap(), "content 3\n");
}
