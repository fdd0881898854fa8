//! What people see when something is wrong.

use crate::support::{Home, testdata};

/// Builds what must fail; the exit code and what was said, without what differs from run to run.
fn failure(home: &Home, dockerfile: &str, files: &[(&str, &str)], flags: &[&str]) -> String {
    let context = home.context(dockerfile, files);
    let (code, error) = home.fails(&[&["build", "--progress=quiet"], flags, &[context.as_str()]].concat());
    let error = error.replace(home.path("").to_str().unwrap(), "HOME/");
    let error: Vec<String> = error.lines().map(|line| steady(line.trim_end())).collect();
    format!("exit {code}\n{}", error.join("\n"))
}

/// A line without times and names that are new in each run.
fn steady(line: &str) -> String {
    if let Some((before, log)) = line.split_once("/logs/") {
        let name = log.split_once('/').map_or(log, |(_, name)| name);
        return format!("{before}/logs/BUILD/{name}");
    }
    match line.split_once(' ') {
        Some((time, text)) if time.contains('.') && time.parse::<f64>().is_ok() => format!("TIME {text}"),
        _ => line.to_owned(),
    }
}

#[test]
fn a_missing_dockerfile() {
    let home = Home::without_base();
    let (code, error) = home.fails(&["build", "--progress=quiet", home.path("").to_str().unwrap()]);
    insta::assert_snapshot!(format!("{code} {}", error.replace(home.path("").to_str().unwrap(), "HOME/")), @r"
    1 ERROR: no Dockerfile: `HOME/Dockerfile` is not there
    hint: name the Dockerfile with `--file PATH`, or pass another directory
    ");
}

#[test]
fn a_missing_context() {
    let home = Home::without_base();
    let (code, error) = home.fails(&["build", "--progress=quiet", "/nowhere/at/all"]);
    insta::assert_snapshot!(format!("{code} {error}"), @"1 ERROR: build context `/nowhere/at/all` is not a directory");
}

#[test]
fn an_empty_dockerfile() {
    insta::assert_snapshot!(failure(&Home::without_base(), "", &[], &[]), @r"
    exit 1
    error: the Dockerfile has no instructions
     --> Dockerfile:1:1
    1 |
      | ^ help: start with `FROM`

    ERROR: the Dockerfile has 1 error
    ");
}

#[test]
fn an_unknown_instruction() {
    insta::assert_snapshot!(failure(&Home::without_base(), "FROM base\nRUNN make\nCOPPY a b\n", &[], &[]), @r"
    exit 1
    error: unknown instruction `RUNN`
     --> Dockerfile:2:1
    2 | RUNN make
      | ^^^^ help: did you mean `RUN`?

    error: unknown instruction `COPPY`
     --> Dockerfile:3:1
    3 | COPPY a b
      | ^^^^^ help: did you mean `COPY`?

    ERROR: the Dockerfile has 2 errors
    ");
}

#[test]
fn an_unknown_stage() {
    let dockerfile = "FROM base AS build\nFROM base\nCOPY --from=biuld /a /a\n";
    insta::assert_snapshot!(failure(&Home::new(), dockerfile, &[], &["--pull=never"]), @"
    exit 1
    error: no stage named `biuld`, and no such image: it is not in the store
     --> Dockerfile:3:13
    3 | COPY --from=biuld /a /a
      |             ^^^^^ help: a stage `build` is defined on line 1

    ERROR: image `biuld:latest` is not in the store
    hint: let it be pulled, without `--pull=never`, or put it there first: `slipway import ROOTFS.tar biuld:latest`, `slipway load -i IMAGE.tar`, or a build with `-t biuld:latest`
    ");
    insta::assert_snapshot!(failure(&Home::new(), dockerfile, &[], &["--target", "bulid"]), @r"
    exit 1
    error: no stage named `bulid` to build
     --> Dockerfile:1:1
    1 | FROM base AS build
      | ^ help: did you mean `build`?

    ERROR: the Dockerfile has 1 error
    ");
}

#[test]
fn a_cycle() {
    let dockerfile = "FROM base AS a\nCOPY --from=b /x /x\nFROM base AS b\nCOPY --from=a /x /x\n";
    insta::assert_snapshot!(failure(&Home::new(), dockerfile, &[], &[]), @r"
    exit 1
    error: circular dependency: the stage `b` copies from this one
     --> Dockerfile:2:13
    2 | COPY --from=b /x /x
      |             ^

    ERROR: the Dockerfile has 1 error
    ");
}

#[test]
fn a_base_image_that_is_not_there() {
    insta::assert_snapshot!(failure(&Home::without_base(), "FROM debian:99\n", &[], &["--pull=never"]), @"
    exit 1
    error: cannot resolve `debian:99`: it is not in the store
     --> Dockerfile:1:6
    1 | FROM debian:99
      |      ^^^^^^^^^

    ERROR: image `debian:99` is not in the store
    hint: let it be pulled, without `--pull=never`, or put it there first: `slipway import ROOTFS.tar debian:99`, `slipway load -i IMAGE.tar`, or a build with `-t debian:99`
    ");
}

#[test]
fn a_missing_source() {
    let home = Home::new();
    insta::assert_snapshot!(failure(&home, "FROM base\nCOPY mian.c /\n", &[("main.c", "")], &[]), @r#"
    exit 1
    error: `mian.c` is not in the build context
     --> Dockerfile:2:6
    2 | COPY mian.c /
      |      ^^^^^^ help: did you mean `main.c`?

    ERROR: "/mian.c": not found
    "#);
    let files = [("app.cfg", ""), (".dockerignore", "# ours\n*.cfg\n")];
    insta::assert_snapshot!(failure(&home, "FROM base\nCOPY app.cfg /\n", &files, &[]), @r#"
    exit 1
    error: `app.cfg` is not in the build context
     --> Dockerfile:2:6
    2 | COPY app.cfg /
      |      ^^^^^^^ help: line 2 of .dockerignore excludes it: `*.cfg`

    ERROR: "/app.cfg": not found
    "#);
    insta::assert_snapshot!(failure(&home, "FROM base AS a\nFROM base\nCOPY --from=a /none /\n", &[], &[]), @r#"
    exit 1
    error: `none` is not in the stage or image it is copied from
     --> Dockerfile:3:16
    3 | COPY --from=a /none /
      |                ^^^^

    ERROR: "/none": not found
    "#);
}

#[test]
fn an_owner_that_is_not_in_the_image_is_root() {
    let home = Home::new();
    let dockerfile =
        "FROM base\nCOPY --chown=nobody:nogroup a /\nRUN test $(busybox stat -c %u:%g /a) = 0:0\n";
    let context = home.context(dockerfile, &[("a", "")]);
    let output = home.run(&["build", "--progress=quiet", &context]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    insta::assert_snapshot!(told, @r"
    WARN: no user `nobody` in the image's `/etc/passwd`: what is to belong to it belongs to root
    WARN: no group `nogroup` in the image's `/etc/group`: what is to belong to it belongs to root
    ");
}

#[test]
fn a_failing_step() {
    let home = Home::new();
    let dockerfile = "FROM base\nRUN echo one && \\\n    echo two >&2 && \\\n    sh -c 'exit 7'\n";
    insta::assert_snapshot!(failure(&home, dockerfile, &[], &[]), @r#"
    exit 1
    ------
     > [2/2] RUN echo one &&     echo two >&2 &&     sh -c 'exit 7':
    TIME one
    TIME two
    ------
    error: this step failed, exit code: 7
     --> Dockerfile:2:1
    2 | RUN echo one && \
      | ^^^^^^^^^^^^^^^^^

    ERROR: process "/bin/sh -c echo one &&     echo two >&2 &&     sh -c 'exit 7'" did not complete successfully: exit code: 7
    hint: all of its output is in `HOME/store/logs/BUILD/5.log`
    "#);
    insta::assert_snapshot!(failure(&home, "FROM base\nRUN [\"no-such-program\"]\n", &[], &[]), @r#"
    exit 1
    error: this step could not be started: executable `no-such-program` not found in the image
     --> Dockerfile:2:1
    2 | RUN ["no-such-program"]
      | ^^^^^^^^^^^^^^^^^^^^^^^

    ERROR: cannot run `[2/2] RUN ["no-such-program"]`: executable `no-such-program` not found in the image
    "#);
    insta::assert_snapshot!(failure(&home, "FROM base\nUSER ghost\nRUN true\n", &[], &[]), @r"
    exit 1
    error: this step could not be started: no user `ghost` in the image's `/etc/passwd`
     --> Dockerfile:3:1
    3 | RUN true
      | ^^^^^^^^

    ERROR: cannot run `[2/2] RUN true`: no user `ghost` in the image's `/etc/passwd`
    ");
}

#[test]
fn a_store_from_the_future() {
    let home = Home::new();
    std::fs::write(home.store().join("format"), "slipway-store 999\n").unwrap();
    let (code, error) = home.fails(&["build", "--progress=quiet", &testdata("users")]);
    insta::assert_snapshot!(format!("{code} {}", error.replace(home.path("").to_str().unwrap(), "HOME/")), @"71 ERROR: the store `HOME/store` has format 999, this slipway knows formats up to 1; use a newer slipway, or another store with --root");
    assert_eq!(std::fs::read(home.store().join("format")).unwrap(), b"slipway-store 999\n");
}

#[test]
fn a_directory_that_is_no_store() {
    let home = Home::without_base();
    std::fs::create_dir(home.store()).unwrap();
    std::fs::write(home.store().join("letters"), "dear reader").unwrap();
    let (code, error) = home.fails(&["images"]);
    insta::assert_snapshot!(format!("{code} {}", error.replace(home.path("").to_str().unwrap(), "HOME/")), @"71 ERROR: `HOME/store` is not empty and not a slipway store");
}

#[test]
fn a_full_disk() {
    let home = Home::new();
    let archive = home.path("base-image.tar");
    home.ok(&["save", "-o", archive.to_str().unwrap(), "base"]);
    let context = home.context("FROM base\nCOPY big /\n", &[("big", &"x".repeat(20 << 20)), ("small", "s")]);
    let small = home.path("small.Dockerfile");
    std::fs::write(&small, "FROM base\nCOPY small /\nRUN cat /small\n").unwrap();
    // A store of 12 MB, which only this shell and its children see. What failed took no room from what follows.
    let script = r#"
        mount -t tmpfs -o size=12m none "$SLIPWAY_ROOT" || exit 99
        "$SLIPWAY" load -q -i base-image.tar >&2 || exit 98
        "$SLIPWAY" build --progress=quiet "$1"
        echo "exit $?" >&2
        "$SLIPWAY" build -q -t small -f "$2" "$1"
    "#;
    std::fs::create_dir(home.path("small-store")).unwrap();
    let slipway = home.command(&[]);
    let mut shell = std::process::Command::new("unshare");
    shell.args(["--mount", "sh", "-c", script, "sh", &context]).arg(&small).current_dir(home.path(""));
    shell.env("SLIPWAY", slipway.get_program()).env("SLIPWAY_ROOT", home.path("small-store"));
    let output = shell.output().expect("Debian's package util-linux");
    let error = String::from_utf8_lossy(&output.stderr).replace(home.path("").to_str().unwrap(), "HOME/");
    assert!(output.status.success(), "{error}");
    let error: Vec<String> = error.lines().map(|line| steady(line.trim_end())).collect();
    insta::assert_snapshot!(error.join("\n"), @"
    Loaded image: base:latest
    ERROR: cannot copy files for `[2/2] COPY big /`: cannot write the copy of `big`: No space left on device (os error 28)
    hint: make room, for example with `slipway image prune`, or put the store elsewhere with `--root DIR`; nothing that was finished is lost
    exit 71
    ");
}
