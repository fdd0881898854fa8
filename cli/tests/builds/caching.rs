//! What runs again and what does not.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Home, is_running, testdata, wait_for};

#[test]
fn a_second_build_runs_nothing_and_gives_the_same_image() {
    let home = Home::new();
    let build = || home.ok(&["build", "-q", "-t", "image", &testdata("stages")]);
    let first = build();
    assert_eq!(build(), first);
    insta::assert_snapshot!(home.log(&[&testdata("stages")]), @r#"
    hit [build 2/4] WORKDIR /src
    hit [build 3/4] COPY src/ .
    hit [build 4/4] RUN mkdir out && echo "version 1" > out/version && cp main.txt out/
    hit [stage-2 2/3] COPY --from=build /src/out /app/
    hit [stage-2 3/3] WORKDIR /app
    "#);
}

#[test]
fn a_change_runs_what_reads_it() {
    let home = Home::new();
    let dockerfile = "FROM base\nCOPY a /\nRUN cat /a\nCOPY b /\nRUN cat /b\n";
    let context = home.context(dockerfile, &[("a", "1"), ("b", "1"), ("unused", "1")]);
    home.log(&[&context]);
    home.context(dockerfile, &[("unused", "2")]);
    insta::assert_snapshot!(home.log(&[&context]), @r"
    hit [2/5] COPY a /
    hit [3/5] RUN cat /a
    hit [4/5] COPY b /
    hit [5/5] RUN cat /b
    ");
    home.context(dockerfile, &[("b", "2")]);
    insta::assert_snapshot!(home.log(&[&context]), @r"
    hit [2/5] COPY a /
    hit [3/5] RUN cat /a
    run [4/5] COPY b /
    run [5/5] RUN cat /b
    ");
}

#[test]
fn equal_size_and_time_do_not_deceive() {
    let home = Home::new();
    let context = home.context("FROM base\nCOPY a /\nRUN cat /a > /seen\n", &[("a", "one")]);
    let path = home.path("context/a");
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    home.log(&[&context]);
    fs::write(&path, "two").unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    home.ok(&["build", "-q", "-t", "image", &context]);
    assert_eq!(home.ok(&["run", "--rm", "image", "cat", "/seen"]), "two");
}

#[test]
fn files_of_a_context_are_read_once() {
    let home = Home::new();
    let context = home.context("FROM base\nCOPY a /\n", &[("a", "1")]);
    // A file that changed in the moment in which it is read is read again next time.
    let old = std::time::UNIX_EPOCH + Duration::from_secs(1);
    fs::File::options().write(true).open(home.path("context/a")).unwrap().set_modified(old).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let reads = || {
        let calls = calls(&home, "open,openat,openat2", &["build", "-q", &context]);
        calls.lines().filter(|line| line.contains(", \"a\",")).count()
    };
    assert!(reads() > 0);
    assert_eq!(reads(), 0);
}

/// The calls of these kinds, see strace(1), that a command and its processes make.
fn calls(home: &Home, kinds: &str, arguments: &[&str]) -> String {
    let trace = home.path("trace");
    let slipway = home.command(arguments);
    let mut strace = std::process::Command::new("strace");
    strace.args(["-f", "-qq", "-e", &format!("trace={kinds}"), "-o"]).arg(&trace);
    strace.arg(slipway.get_program()).args(slipway.get_args());
    strace.env("SLIPWAY_ROOT", home.store()).current_dir(home.path(""));
    assert!(strace.stdout(Stdio::null()).status().expect("Debian's package strace").success());
    fs::read_to_string(trace).unwrap()
}

/// A helper for a step is started early when the Dockerfile has changed; once it turns out that there is no such step, no more.
#[test]
fn a_changed_dockerfile_with_nothing_to_run_starts_a_helper_only_once() {
    let home = Home::new();
    let context = home.context("FROM base\nCOPY a /\nRUN true\n", &[("a", "1")]);
    home.ok(&["build", "-q", &context]);
    let starts = || {
        let calls = calls(&home, "execve", &["build", "-q", &context]);
        calls.lines().filter(|line| line.contains("slipway-sandbox")).count()
    };
    assert_eq!(starts(), 0);
    let dockerfile = fs::File::options().append(true).open(home.path("context/Dockerfile")).unwrap();
    (&dockerfile).write_all(b"# nothing new\n").unwrap();
    // It may be at its end before the helper begins.
    assert!(starts() <= 1);
    assert_eq!(starts(), 0);
}

#[test]
fn a_step_that_comes_to_the_same_leaves_the_rest_cached() {
    let home = Home::new();
    let build = |comment: &str| {
        let dockerfile = format!("FROM base\nRUN echo same > /file # {comment}\nRUN cat /file\n");
        home.log(&[&home.context(&dockerfile, &[])])
    };
    build("once");
    insta::assert_snapshot!(build("again"), @r"
    run [2/3] RUN echo same > /file # again
    hit [3/3] RUN cat /file
    ");
}

#[test]
fn no_cache_runs_everything() {
    let home = Home::new();
    home.log(&[&testdata("users")]);
    assert!(!home.log(&["--no-cache", &testdata("users")]).contains("hit"));
}

#[test]
fn no_cache_for_one_stage_runs_what_is_built_on_its_new_result_and_no_more() {
    let home = Home::new();
    let dockerfile = "FROM base AS changing\nRUN cat /proc/sys/kernel/random/uuid > /id\n\
        FROM base AS steady\nRUN echo same > /same\n\
        FROM base\nCOPY --from=steady /same /same\nRUN true\nCOPY --from=changing /id /id\nRUN cat /id\n";
    let context = home.context(dockerfile, &[]);
    let id = |name: &str| home.ok(&["run", "--rm", name, "cat", "/id"]);
    home.log(&["-t", "one", &context]);
    insta::assert_snapshot!(home.log(&["-t", "two", "--no-cache-filter", "CHANGING", &context]), @"
    hit [steady 2/2] RUN echo same > /same
    hit [stage-2 2/5] COPY --from=steady /same /same
    hit [stage-2 3/5] RUN true
    run [changing 2/2] RUN cat /proc/sys/kernel/random/uuid > /id
    run [stage-2 4/5] COPY --from=changing /id /id
    run [stage-2 5/5] RUN cat /id
    ");
    assert_ne!(id("one"), id("two"));
    // What was built last is what is there from now on.
    insta::assert_snapshot!(home.log(&["-t", "three", &context]), @"
    hit [changing 2/2] RUN cat /proc/sys/kernel/random/uuid > /id
    hit [steady 2/2] RUN echo same > /same
    hit [stage-2 2/5] COPY --from=steady /same /same
    hit [stage-2 3/5] RUN true
    hit [stage-2 4/5] COPY --from=changing /id /id
    hit [stage-2 5/5] RUN cat /id
    ");
    assert_eq!(id("two"), id("three"));
    insta::assert_snapshot!(home.log(&["--no-cache-filter=steady", &context]), @"
    hit [changing 2/2] RUN cat /proc/sys/kernel/random/uuid > /id
    run [steady 2/2] RUN echo same > /same
    hit [stage-2 2/5] COPY --from=steady /same /same
    hit [stage-2 3/5] RUN true
    hit [stage-2 4/5] COPY --from=changing /id /id
    hit [stage-2 5/5] RUN cat /id
    ");
    let (code, text) = home.fails(&["build", "--no-cache-filter=stady", &context]);
    insta::assert_snapshot!(format!("{code}\n{text}"), @"
    1
    #1 [internal] load build definition from Dockerfile
    #1 transferring dockerfile: 198B done
    #1 DONE 0.0s

    #2 [internal] load .dockerignore
    #2 DONE 0.0s
    error: no stage named `stady` to build without the cache
     --> Dockerfile:1:1
    1 | FROM base AS changing
      | ^ help: did you mean `steady`?

    ERROR: the Dockerfile has 1 error
    ");
}

#[test]
fn what_is_older_than_the_user_wants_runs_again() {
    let home = Home::new();
    let dockerfile = "FROM base\nCOPY a /\nRUN cat /proc/sys/kernel/random/uuid > /id\nRUN cat /id > /seen\n";
    let context = home.context(dockerfile, &[("a", "1")]);
    let ids = |name: &str| home.ok(&["run", "--rm", name, "cat", "/id", "/seen"]);
    home.log(&["-t", "one", &context]);
    insta::assert_snapshot!(home.log(&["--cache-ttl=1000d", &context]), @"
    hit [2/4] COPY a /
    hit [3/4] RUN cat /proc/sys/kernel/random/uuid > /id
    hit [4/4] RUN cat /id > /seen
    ");
    insta::assert_snapshot!(home.log(&["-t", "two", "--cache-ttl=0s", &context]), @"
    run [2/4] COPY a /
    run [3/4] RUN cat /proc/sys/kernel/random/uuid > /id
    run [4/4] RUN cat /id > /seen
    ");
    assert_ne!(ids("one"), ids("two"));
    // What follows was made of what is there now.
    let (id, seen) = ids("two").split_once('\n').map(|(id, seen)| (id.to_owned(), seen.to_owned())).unwrap();
    assert_eq!(id, seen.trim_end());
    insta::assert_snapshot!(home.log(&["-t", "three", "--cache-ttl", "1h", &context]), @"
    hit [2/4] COPY a /
    hit [3/4] RUN cat /proc/sys/kernel/random/uuid > /id
    hit [4/4] RUN cat /id > /seen
    ");
    assert_eq!(ids("two"), ids("three"));
    let why = home.ok(&["why", "--format=json", "two"]);
    // The last step had no result on what the one before it came to.
    assert_eq!(why.matches(r#""kind": "expired""#).count(), 2, "{why}");
    let (code, text) = home.fails(&["build", "--cache-ttl=soon", &context]);
    assert_eq!(code, 1);
    assert!(text.contains("invalid age `soon`, expected a time like 30m, 1h30m, 7d or 2w"), "{text}");
}

#[test]
fn the_progress_says_how_old_a_hit_is_and_why_the_first_miss_is_one() {
    let home = Home::new();
    let dockerfile =
        |version| format!("FROM base\nCOPY a /\nARG V={version}\nRUN echo $V\nCOPY src /src\nRUN ls /src\n");
    let build = |version: u32, file: &str| {
        let context = home.context(&dockerfile(version), &[("a", "1"), ("src/b", file)]);
        let text = String::from_utf8(home.run(&["build", "--progress=plain", &context]).stderr).unwrap();
        let is_told = |line: &&str| line.contains("CACHED") || line.contains("not cached");
        let told: Vec<_> = text.lines().filter(is_told).map(|line| line.split_once(' ').unwrap().1).collect();
        told.join("\n")
    };
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\([a-z0-9 ]+ old\)", "(<age> old)");
    let _guard = settings.bind_to_scope();
    // That everything is new is no news.
    insta::assert_snapshot!(build(1, "1"), @"");
    insta::assert_snapshot!(build(1, "1"), @"
    CACHED (<age> old)
    CACHED (<age> old)
    CACHED (<age> old)
    CACHED (<age> old)
    ");
    insta::assert_snapshot!(build(2, "1"), @"
    CACHED (<age> old)
    not cached: ARG V 1 -> 2
    CACHED (<age> old)
    ");
    insta::assert_snapshot!(build(2, "2"), @"
    CACHED (<age> old)
    CACHED (<age> old)
    not cached: `src/b` changed (content)
    ");
}

#[test]
fn permissions_can_be_those_of_git() {
    let home = Home::new();
    let dockerfile = "FROM base\nCOPY --chmod=g+w a /chmod\nCOPY dir /dir\n\
        RUN --mount=type=bind,target=/m stat -c '%a %n' /m/a /m/dir/tool > /seen\n";
    let context = home.context(dockerfile, &[("a", "1"), ("dir/tool", "1"), ("dir/deep/file", "1")]);
    let umask = |executable: u32, other: u32| {
        for (name, mode) in [
            ("Dockerfile", other),
            ("a", other),
            ("dir/deep/file", other),
            ("dir/tool", executable),
            ("dir/deep", executable),
            ("dir", executable),
            ("", executable),
        ] {
            fs::set_permissions(Path::new(&context).join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    umask(0o700, 0o600);
    home.log(&["-t", "image", "--context-mode=git", &context]);
    let image = home.unpack("image");
    let mode = |name: &str| format!("{:o}", fs::metadata(image.path(name)).unwrap().mode() & 0o7777);
    assert_eq!(
        ["dir", "dir/deep", "dir/deep/file", "dir/tool", "chmod"].map(mode),
        ["755", "755", "644", "755", "664"]
    );
    assert_eq!(home.ok(&["run", "--rm", "image", "cat", "/seen"]), "644 /m/a\n755 /m/dir/tool\n");
    umask(0o775, 0o664);
    assert!(!home.log(&["--context-mode=git", &context]).contains("run"));
    // Whether something is executable is a difference also for git.
    umask(0o775, 0o775);
    assert!(home.log(&["--context-mode=git", &context]).contains("run [3/4] COPY dir /dir"));
    umask(0o775, 0o664);
    assert!(home.log(&["--context-mode=exact", &context]).contains("run [3/4] COPY dir /dir"));
    umask(0o755, 0o644);
    // What git would give them is what they have: the two modes share a cache.
    assert!(!home.log(&[&context]).contains("run"));
}

#[test]
fn times_of_files_do_not_matter() {
    let home = Home::new();
    let context = home.context("FROM base\nCOPY a /\n", &[("a", "1")]);
    home.log(&[&context]);
    let file = fs::File::options().write(true).open(home.path("context/a")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    insta::assert_snapshot!(home.log(&[&context]), @"hit [2/2] COPY a /");
}

#[test]
fn equal_steps_of_two_processes_run_once() {
    let home = Home::new();
    let context = home
        .context("FROM base\nRUN --mount=type=cache,target=/cache sleep 1 && echo ran >> /cache/log\n", &[]);
    let spawn = || home.command(&["build", "-q", &context]).stdout(Stdio::piped()).spawn().unwrap();
    let (first, second) = (spawn(), spawn());
    let ids = [first, second].map(|child| child.wait_with_output().unwrap());
    assert!(ids.iter().all(|output| output.status.success()));
    assert_eq!(ids[0].stdout, ids[1].stdout);
    let context =
        home.context("FROM base\nRUN --mount=type=cache,target=/cache cat /cache/log > /log\n", &[]);
    home.ok(&["build", "-q", "-t", "log", &context]);
    assert_eq!(home.ok(&["run", "--rm", "log", "cat", "/log"]), "ran\n");
}

#[test]
fn a_killed_build_loses_nothing_and_leaves_nothing() {
    let home = Home::new();
    let context = home.context("FROM base\nRUN echo kept > /kept\nRUN sleep 1004 && echo done\n", &[]);
    let mut build = home.command(&["build", &context]).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the step runs", || is_running("sleep\x001004"));
    build.kill().unwrap();
    build.wait().unwrap();
    wait_for("everything in the sandbox is gone", || !is_running("sleep\x001004"));
    let context = home.context("FROM base\nRUN echo kept > /kept\nRUN echo done > /done\n", &[]);
    insta::assert_snapshot!(home.log(&[&context]), @r"
    hit [2/3] RUN echo kept > /kept
    run [3/3] RUN echo done > /done
    ");
    // Builds sweep in passing, as long as they have something else to do; a collection sweeps it all.
    home.ok(&["builder", "prune", "--force"]);
    assert_eq!(fs::read_dir(home.store().join("staging")).unwrap().count(), 0);
}

#[test]
fn interrupting_a_build_ends_it_with_130() {
    let home = Home::new();
    let context = home.context("FROM base\nRUN sleep 1001\n", &[]);
    let build = home.command(&["build", &context]).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the step runs", || is_running("sleep\x001001"));
    let begin = Instant::now();
    let pid = build.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = build.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    assert!(!is_running("sleep\x001001"));
}

#[test]
fn a_damaged_record_is_a_miss() {
    let home = Home::new();
    home.log(&[&testdata("users")]);
    let mut damaged = 0;
    for directory in fs::read_dir(home.store().join("records")).unwrap().flatten() {
        for record in fs::read_dir(directory.path()).unwrap().flatten() {
            let mut bytes = fs::read(record.path()).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
            fs::write(record.path(), bytes).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 0);
    assert!(!home.log(&[&testdata("users")]).contains("hit"));
}
