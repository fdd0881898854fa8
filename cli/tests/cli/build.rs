//! `slipway build`: progress, results, mistakes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Ran, World, signal, spawn};

const DOCKERFILE: &str = "\
FROM bb AS build
ARG GREETING=hello
WORKDIR /src
COPY name.txt .
RUN echo \"$GREETING $(cat name.txt)\" > greeting; echo made
FROM bb
COPY --from=build /src/greeting /
CMD [\"cat\", \"/greeting\"]
";

fn greeting() -> World {
    let world = World::new();
    world.context("Dockerfile", DOCKERFILE).context("name.txt", "world\n");
    world
}

#[test]
fn an_image_is_built_cached_and_run() {
    let world = greeting();
    let _guard = world.settings().bind_to_scope();
    insta::assert_snapshot!(world.run(["build", "-t", "greeting", "context"]), @r#"
    exit code 0
    ---- stderr
    #1 [internal] load build definition from Dockerfile
    #1 transferring dockerfile: <size> done
    #1 DONE <time>

    #2 [internal] load .dockerignore
    #2 DONE <time>

    #3 [internal] load metadata for docker.io/library/bb:latest
    #3 DONE <time>

    #4 [build 1/4] FROM docker.io/library/bb:latest
    #4 DONE <time>

    #5 [internal] load build context
    #5 looking at files: <size> done
    #5 DONE <time>

    #6 [build 2/4] WORKDIR /src
    #6 DONE <time>

    #7 [build 3/4] COPY name.txt .
    #7 DONE <time>

    #8 [build 4/4] RUN echo "hello $(cat name.txt)" > greeting; echo made
    #8 <time> made
    #8 DONE <time>

    #9 [stage-1 2/2] COPY --from=build /src/greeting /
    #9 DONE <time>

    #10 exporting to image
    #10 DONE <time>
    "#);
    let again = world.run(["build", "-t", "greeting", "context"]);
    let steps: Vec<_> = again.stderr.lines().filter(|line| line.contains("CACHED")).collect();
    assert_eq!(steps.len(), 4, "{again}");
    assert_eq!(world.ok(["run", "greeting"]), "hello world\n");
    assert_eq!(world.ok(["build", "-q", "--build-arg", "GREETING=bye", "-t", "bye", "context"]).len(), 72);
    assert_eq!(world.ok(["run", "bye"]), "bye world\n");
}

#[test]
fn a_build_argument_may_come_from_the_environment() {
    let world = greeting();
    let mut command = world.command(["build", "-q", "--build-arg", "GREETING", "-t", "x", "context"]);
    assert!(command.env("GREETING", "ahoy").output().unwrap().status.success());
    assert_eq!(world.ok(["run", "x"]), "ahoy world\n");
}

#[test]
fn results_are_written_to_files() {
    let world = greeting();
    fs::write(world.path("id"), "old").unwrap();
    world.ok(["build", "--iidfile", "id", "--metadata-file", "meta.json", "-t", "a:1", "context"]);
    let id = world.ok(["images", "-q", "--no-trunc", "a"]);
    assert_eq!(fs::read_to_string(world.path("id")).unwrap(), id.trim());
    let metadata = fs::read_to_string(world.path("meta.json")).unwrap();
    let expected = format!(
        "{{\"containerimage.config.digest\":\"{}\",\"image.name\":\"docker.io/library/a:1\"}}\n",
        id.trim()
    );
    assert_eq!(metadata, expected);
    world.context("Dockerfile", "FROM bb\nRUN false\n");
    assert_eq!(world.run(["build", "--iidfile", "id", "context"]).code, 1);
    assert!(!world.path("id").exists());
}

#[test]
fn images_are_exported() {
    let world = greeting();
    let outputs = [
        "-o",
        "type=oci,dest=oci.tar",
        "-o",
        "type=docker,dest=docker.tar",
        "-o",
        "type=tar,dest=files.tar",
        "-o",
        "files",
    ];
    world.ok(["build", "-q"].into_iter().chain(outputs).chain(["context"]));
    assert_eq!(fs::read_to_string(world.path("files/greeting")).unwrap(), "hello world\n");
    let members = |name: &str| {
        let output = Command::new("tar").arg("-tf").arg(world.path(name)).output().unwrap();
        Ran::of(&output).stdout
    };
    assert!(members("files.tar").contains("greeting\n"));
    assert!(members("oci.tar").contains("oci-layout\n"));
    assert!(members("docker.tar").contains("manifest.json\n"));
    let tar = world.command(["build", "-q", "-o", "-", "context"]).output().unwrap();
    assert_eq!(tar.stdout, fs::read(world.path("files.tar")).unwrap());
}

#[test]
fn a_failing_step_shows_its_output_and_its_line() {
    let world = World::new();
    world.context("Dockerfile", "FROM bb\nRUN echo before\nRUN echo doing; echo oops >&2; exit 7\n");
    let _guard = world.settings().bind_to_scope();
    insta::assert_snapshot!(world.run(["build", "context"]), @r#"
    exit code 1
    ---- stderr
    #1 [internal] load build definition from Dockerfile
    #1 transferring dockerfile: <size> done
    #1 DONE <time>

    #2 [internal] load .dockerignore
    #2 DONE <time>

    #3 [internal] load metadata for docker.io/library/bb:latest
    #3 DONE <time>

    #4 [1/3] FROM docker.io/library/bb:latest
    #4 DONE <time>

    #5 [2/3] RUN echo before
    #5 <time> before
    #5 DONE <time>

    #6 [3/3] RUN echo doing; echo oops >&2; exit 7
    #6 <time> doing
    #6 <time> oops
    #6 ERROR: process "/bin/sh -c echo doing; echo oops >&2; exit 7" did not complete successfully: exit code: 7
    ------
     > [3/3] RUN echo doing; echo oops >&2; exit 7:
    <time> doing
    <time> oops
    ------
    error: this step failed, exit code: 7
     --> Dockerfile:3:1
    3 | RUN echo doing; echo oops >&2; exit 7
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    ERROR: process "/bin/sh -c echo doing; echo oops >&2; exit 7" did not complete successfully: exit code: 7
    hint: all of its output is in `[home]/store/logs/<build>/6.log`
    "#);
    insta::assert_snapshot!(world.run(["build", "--quiet", "context"]), @r#"
    exit code 1
    ---- stderr
    ------
     > [3/3] RUN echo doing; echo oops >&2; exit 7:
    <time> doing
    <time> oops
    ------
    error: this step failed, exit code: 7
     --> Dockerfile:3:1
    3 | RUN echo doing; echo oops >&2; exit 7
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    ERROR: process "/bin/sh -c echo doing; echo oops >&2; exit 7" did not complete successfully: exit code: 7
    hint: all of its output is in `[home]/store/logs/<build>/6.log`
    "#);
}

#[test]
fn mistakes_are_shown_in_the_dockerfile() {
    let world = World::new();
    world.context(".dockerignore", "*.log\n").context("a.log", "x");
    let _guard = world.settings().bind_to_scope();
    let build =
        |text: &str| world.run_with(text.as_bytes(), ["build", "-q", "--pull=never", "-f", "-", "context"]);
    insta::assert_snapshot!(build("FORM bb\n"), @"
    exit code 1
    ---- stderr
    error: unknown instruction `FORM`
     --> Dockerfile:1:1
    1 | FORM bb
      | ^^^^ help: did you mean `FROM`?

    ERROR: the Dockerfile has 1 error
    ");
    insta::assert_snapshot!(build(""), @"
    exit code 1
    ---- stderr
    error: the Dockerfile has no instructions
     --> Dockerfile:1:1
    1 | 
      | ^ help: start with `FROM`

    ERROR: the Dockerfile has 1 error
    ");
    insta::assert_snapshot!(build("FROM bb\nCOPY missing /\n"), @r#"
    exit code 1
    ---- stderr
    error: `missing` is not in the build context
     --> Dockerfile:2:6
    2 | COPY missing /
      |      ^^^^^^^

    ERROR: "/missing": not found
    "#);
    insta::assert_snapshot!(build("FROM bb\nCOPY a.log /\n"), @r#"
    exit code 1
    ---- stderr
    error: `a.log` is not in the build context
     --> Dockerfile:2:6
    2 | COPY a.log /
      |      ^^^^^ help: line 1 of .dockerignore excludes it: `*.log`

    ERROR: "/a.log": not found
    "#);
    insta::assert_snapshot!(build("FROM bb AS one\nFROM bb\nCOPY --from=oen /x /\n"), @"
    exit code 1
    ---- stderr
    error: no stage named `oen`, and no such image: it is not in the store
     --> Dockerfile:3:13
    3 | COPY --from=oen /x /
      |             ^^^ help: a stage `one` is defined on line 1

    ERROR: image `oen:latest` is not in the store
    hint: let it be pulled, without `--pull=never`, or put it there first: `slipway import ROOTFS.tar oen:latest`, `slipway load -i IMAGE.tar`, or a build with `-t oen:latest`
    ");
    insta::assert_snapshot!(build("FROM nowhere\n"), @"
    exit code 1
    ---- stderr
    error: cannot resolve `nowhere`: it is not in the store
     --> Dockerfile:1:6
    1 | FROM nowhere
      |      ^^^^^^^

    ERROR: image `nowhere:latest` is not in the store
    hint: let it be pulled, without `--pull=never`, or put it there first: `slipway import ROOTFS.tar nowhere:latest`, `slipway load -i IMAGE.tar`, or a build with `-t nowhere:latest`
    ");
    insta::assert_snapshot!(world.run(["build", "-q", "context"]), @"
    exit code 1
    ---- stderr
    ERROR: no Dockerfile: `[home]/context/Dockerfile` is not there
    hint: name the Dockerfile with `--file PATH`, or pass another directory
    ");
    insta::assert_snapshot!(world.run(["build", "-q", "absent"]), @"
    exit code 1
    ---- stderr
    ERROR: build context `[home]/absent` is not a directory
    ");
    insta::assert_snapshot!(world.run(["build", "-q", "--target", "nope", "-f", "/dev/null", "context"]), @"
    exit code 1
    ---- stderr
    error: the Dockerfile has no instructions
     --> null:1:1
    1 | 
      | ^ help: start with `FROM`

    ERROR: the Dockerfile has 1 error
    ");
    insta::assert_snapshot!(world.run(["build", "https://example.com/x.git#-x"]), @"
    exit code 1
    ---- stderr
    ERROR: `-x` cannot be a git reference
    ");
    insta::assert_snapshot!(world.run(["build", "--build-context", "a=ftp://host/x", "context"]), @"
    exit code 1
    ---- stderr
    ERROR: build context `a=ftp://host/x` is not supported
    hint: pass a directory, docker-image://IMAGE, oci-layout://DIRECTORY, target:STAGE, or the URL of a file or a git repository
    ");
    insta::assert_snapshot!(world.run(["build", "-o", "-", "-o", "type=oci", "context"]), @"
    exit code 1
    ---- stderr
    ERROR: more than one output goes to standard output
    ");
}

#[test]
fn progress_may_be_json_or_nothing() {
    let world = greeting();
    let json = world.run(["build", "--progress", "rawjson", "context"]);
    assert_eq!((json.code, json.stdout.as_str()), (0, ""));
    let mut names = 0;
    for line in json.stderr.lines() {
        let status: serde_json::Value = serde_json::from_str(line).unwrap();
        names += status["vertexes"]
            .as_array()
            .map_or(0, |list| list.iter().filter(|vertex| vertex["completed"].is_string()).count());
    }
    assert_eq!(names, 10, "{json}");
    let quiet = world.run(["build", "--progress", "quiet", "context"]);
    assert_eq!((quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()), (0, "", ""));
    let mut command = world.command(["build", "context"]);
    let from_environment = Ran::of(&command.env("BUILDKIT_PROGRESS", "quiet").output().unwrap());
    assert_eq!(from_environment.stderr, "");
    let _guard = world.settings().bind_to_scope();
    insta::assert_snapshot!(world.run(["build", "--progress", "tty", "context"]), @"
    exit code 1
    ---- stderr
    ERROR: `--progress tty` draws on standard error, which is not a terminal
    hint: use `--progress plain`
    ");
}

#[test]
fn remarks_are_listed_at_the_end() {
    let world = World::new();
    world.context("Dockerfile", "FROM bb AS base\nENV A 1\n");
    let remarks = |arguments: &[&str]| {
        let ran = world.run(arguments);
        assert_eq!(ran.code, 0, "{ran}");
        ran.stderr[ran.stderr.find("found").unwrap() - 12..].to_owned()
    };
    insta::assert_snapshot!(remarks(&["build", "context"]), @r#"

    1 warning found (use slipway --debug to expand):
    - LegacyKeyValueFormat: "ENV key=value" should be used instead of legacy "ENV key value" format
    "#);
    insta::assert_snapshot!(remarks(&["--debug", "build", "context"]), @r#"

     1 warning found:
    warning: "ENV key=value" should be used instead of legacy "ENV key value" format
     --> Dockerfile:2:5
    2 | ENV A 1
      |     ^^^ help: write `ENV A=1`
    "#);
}

#[test]
fn ctrl_c_cancels_soon_and_leaves_nothing() {
    let world = World::new();
    world.context("Dockerfile", "FROM bb\nRUN echo started; sleep 60\n");
    let mut child = spawn(&mut world.command(["build", "--progress", "plain", "context"]));
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.ends_with("started")));
    let begin = Instant::now();
    signal(child.id(), "INT");
    let rest: Vec<_> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    // Within a second, on a machine that has nothing else to do.
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert!(rest.iter().any(|line| line.ends_with("CANCELED")), "{rest:?}");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&*world.path("store").to_string_lossy()));
    world.context("Dockerfile", "FROM bb\nRUN echo started\n");
    world.ok(["build", "context"]);
}

#[test]
fn a_store_that_cannot_be_written_is_the_machines_fault() {
    let world = greeting();
    fs::write(world.path("file"), "").unwrap();
    let _guard = world.settings().bind_to_scope();
    insta::assert_snapshot!(world.run(["--root", "file/store", "images"]), @"
    exit code 71
    ---- stderr
    ERROR: cannot read `[home]/file/store`: Not a directory (os error 20)
    ");
    insta::assert_snapshot!(world.run(["--root", "context", "images"]), @"
    exit code 71
    ---- stderr
    ERROR: `[home]/context` is not empty and not a slipway store
    ");
}
