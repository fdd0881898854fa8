//! Builds, and why their steps ran.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::World;

const DOCKERFILE: &str = "FROM bb AS base\nARG VERSION\nCOPY src /src\nRUN echo $VERSION > /version\n";

fn settings(world: &World) -> insta::Settings {
    let mut settings = world.settings();
    settings.add_filter(r"build \d{20}-\d+", "build <id>");
    settings.add_filter(r"\d{20}-\d+", "<id>");
    settings.add_filter(r"\b[0-9a-f]{64}\b", "<key>");
    settings.add_filter(r"\d{19}", "<time>");
    settings
}

fn build(world: &World, version: &str) {
    let argument = format!("VERSION={version}");
    world.ok(["build", "-q", "-t", "demo", "--build-arg", &argument, "context"]);
}

#[test]
fn each_change_is_named() {
    let world = World::new();
    world.context("Dockerfile", DOCKERFILE).context("src/a.py", "1").context("src/b.py", "1");
    let mode = |mode| {
        let path = world.path("context/src/a.py");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o664);
    let _guard = settings(&world).bind_to_scope();
    insta::assert_snapshot!(world.run(["why"]), @"
    exit code 1
    ---- stderr
    ERROR: no build is remembered: none has run a step yet
    ");
    build(&world, "1.2");
    insta::assert_snapshot!(world.ok(["why"]), @"
    build <id> of [home]/context, <age> 
    image sha256:<digest>

    1 source [1/3] FROM docker.io/library/bb:latest
    2 source [internal] load build context
    3 ran    [2/3] COPY src /src
             - it has not been built before
    4 ran    [3/3] RUN echo 1.2 > /version
             - it has not been built before
    ");
    build(&world, "1.3");
    insta::assert_snapshot!(world.ok(["why", "demo"]), @"
    build <id> of [home]/context, <age> 
    image sha256:<digest>

    1 source [1/3] FROM docker.io/library/bb:latest
    2 source [internal] load build context
    3 cached [2/3] COPY src /src
    4 ran    [3/3] RUN echo 1.3 > /version
             - ARG VERSION 1.2 -> 1.3
    ");
    mode(0o644);
    world.context("src/b.py", "2");
    build(&world, "1.3");
    insta::assert_snapshot!(world.ok(["why", "demo"]), @"
    build <id> of [home]/context, <age> 
    image sha256:<digest>

    1 source [1/3] FROM docker.io/library/bb:latest
    2 source [internal] load build context
    3 ran    [2/3] COPY src /src
             - `src/a.py` changed (mode 0664 -> 0644)
             - `src/b.py` changed (content)
    4 ran    [3/3] RUN echo 1.3 > /version
             - the step before it changed: [2/3] COPY src /src
    ");
    insta::assert_snapshot!(world.ok(["why", "demo", "RUN"]), @"
    build <id> of [home]/context, <age> 
    image sha256:<digest>

    4 ran    [3/3] RUN echo 1.3 > /version
             - the step before it changed: [2/3] COPY src /src
    ");
    insta::assert_snapshot!(world.ok(["why", "--format", "json", "demo", "3"]), @r#"
    {
      "build": "<id>",
      "ended_unix_ns": <time>,
      "context": "[home]/context",
      "image": "sha256:<digest>",
      "tags": [
        "docker.io/library/demo:latest"
      ],
      "steps": [
        {
          "number": 3,
          "name": "[2/3] COPY src /src",
          "result": "ran",
          "key": "<key>",
          "reasons": [
            {
              "kind": "file-changed",
              "path": "src/a.py",
              "what": [
                "mode 0664 -> 0644"
              ]
            },
            {
              "kind": "file-changed",
              "path": "src/b.py",
              "what": [
                "content"
              ]
            }
          ]
        }
      ]
    }
    "#);
    // A build in which nothing ran has nothing to explain.
    build(&world, "1.3");
    assert_eq!(fs::read_dir(world.path("store/builds")).unwrap().count(), 3);
    world.ok(["rmi", "demo"]);
    world.ok(["builder", "prune", "-f"]);
    build(&world, "1.3");
    insta::assert_snapshot!(world.ok(["why"]), @"
    build <id> of [home]/context, <age> 
    image sha256:<digest>

    1 source [1/3] FROM docker.io/library/bb:latest
    2 source [internal] load build context
    3 ran    [2/3] COPY src /src
             - its earlier result is no longer in the store
    4 ran    [3/3] RUN echo 1.3 > /version
             - its earlier result is no longer in the store
    ");
    insta::assert_snapshot!(world.run(["why", "demo", "9"]), @"
    exit code 1
    ---- stderr
    ERROR: the build has no step `9`, it has 4
    ");
    insta::assert_snapshot!(world.run(["why", "nothing"]), @"
    exit code 1
    ---- stderr
    ERROR: no build of `nothing` is remembered
    ");
}

#[test]
fn a_base_image_that_moved_is_named() {
    let world = World::new();
    world.context("Dockerfile", "FROM bb AS base\nENV A=1\nRUN echo a > /a\n");
    world.ok(["build", "-q", "context"]);
    // The same name, another image.
    world.context("Moved", "FROM bb\nRUN echo new > /new\n");
    world.ok(["build", "-q", "-t", "bb", "-f", "context/Moved", "context"]);
    let _guard = settings(&world).bind_to_scope();
    let progress = world.run(["build", "--progress=plain", "context"]).stderr;
    let told: Vec<_> = progress.lines().filter(|line| line.contains("not cached")).collect();
    insta::assert_snapshot!(told.join("\n"), @"#5 not cached: the step before it changed: [1/2] FROM docker.io/library/bb:latest");
    insta::assert_snapshot!(world.ok(["why"]), @"
    build <id> of [home]/context, <age> 
    image sha256:<digest>

    1 source [1/2] FROM docker.io/library/bb:latest
             - it moved from <id> to <id>
    2 ran    [2/2] RUN echo a > /a
             - the step before it changed: [1/2] FROM docker.io/library/bb:latest
    ");
    world.context("Dockerfile", "FROM bb AS base\nENV A=2\nRUN echo a > /a\n");
    world.ok(["build", "-q", "context"]);
    insta::assert_snapshot!(world.ok(["why", "--format=json"]), @r#"
    {
      "build": "<id>",
      "ended_unix_ns": <time>,
      "context": "[home]/context",
      "image": "sha256:<digest>",
      "tags": [],
      "steps": [
        {
          "number": 1,
          "name": "[1/2] FROM docker.io/library/bb:latest",
          "result": "source",
          "key": "<key>",
          "reasons": []
        },
        {
          "number": 2,
          "name": "[2/2] RUN echo a > /a",
          "result": "ran",
          "key": "<key>",
          "reasons": [
            {
              "kind": "ingredient",
              "name": "ENV A",
              "before": "1",
              "after": "2"
            }
          ]
        }
      ]
    }
    "#);
}

#[test]
fn what_steps_wrote_is_kept() {
    let world = World::new();
    world.context("Dockerfile", "FROM bb\nRUN echo one; echo two >&2\nRUN true\nRUN echo three\n");
    assert!(world.run(["builder", "logs"]).stderr.contains("no build is remembered"));
    world.ok(["build", "-q", "-t", "demo", "context"]);
    insta::assert_snapshot!(world.ok(["builder", "logs"]), @"
    #2 [2/4] RUN echo one; echo two >&2
    one
    two

    #4 [4/4] RUN echo three
    three
    ");
    assert_eq!(world.ok(["builder", "logs", "demo", "echo three"]), "three\n");
    // One that was cached has what it wrote when it ran.
    world.context("Dockerfile", "FROM bb\nRUN echo one; echo two >&2\nRUN true\nRUN echo four; exit 1\n");
    world.run(["build", "context"]);
    insta::assert_snapshot!(world.ok(["builder", "logs"]), @"
    #2 [2/4] RUN echo one; echo two >&2
    one
    two

    #4 [4/4] RUN echo four; exit 1
    four
    ");
    insta::assert_snapshot!(world.run(["builder", "logs", "demo", "RUN true"]), @"
    exit code 1
    ---- stderr
    ERROR: nothing is kept of what these steps wrote
    ");
    insta::assert_snapshot!(world.run(["builder", "logs", "demo", "RUN false"]), @"
    exit code 1
    ---- stderr
    ERROR: the build has no step `RUN false`, it has 4
    ");
    assert!(world.ok(["system", "df", "-v"]).contains("logs of a build"));
}

#[test]
fn a_build_that_failed_is_explained_too() {
    let world = World::new();
    world.context("Dockerfile", "FROM bb\nRUN true\nRUN false\n");
    world.run(["build", "context"]);
    let _guard = settings(&world).bind_to_scope();
    insta::assert_snapshot!(world.ok(["why"]), @"
    build <id> of [home]/context, <age> 
    no image, it failed

    1 source [1/3] FROM docker.io/library/bb:latest
    2 ran    [2/3] RUN true
             - it has not been built before
    3 failed [3/3] RUN false
             - it has not been built before
    ");
    world.run(["build", "context"]);
    assert!(world.ok(["why", "--format", "json"]).contains("unfinished"));
}
