//! Builds that `buildx` asks for: contexts, secrets, failures, questions.

use std::fs;
use std::process::Command;

use crate::client::Served;
use crate::support::check;

/// Steps whose result was there.
pub(crate) fn cached(shown: &str) -> usize {
    shown.lines().filter(|line| line.ends_with(" CACHED")).count()
}

#[test]
fn a_context_is_sent_once_and_its_ignore_file_counts() {
    let served = Served::start(&[]);
    let text = "FROM base\nCOPY . /src\nRUN ls -A /src /src/sub && cat /src/sub/f";
    let context = served.home.context(text, &[("sub/f", "one\n"), ("x.o", "no"), (".dockerignore", "*.o\n")]);
    let first = served.build(&[&context]);
    assert!(first.contains("Dockerfile\n") && !first.contains("x.o"), "{first}");
    assert!(first.contains(" one\n") && first.contains("transferring context: "), "{first}");
    assert_eq!(cached(&served.build(&[&context])), 2);
    fs::write(format!("{context}/sub/f"), "other\n").unwrap();
    let changed = served.build(&[&context]);
    assert!(changed.contains("transferring context: 6B"), "{changed}");
    assert!(changed.contains(" other\n"), "{changed}");
}

#[test]
fn a_context_that_no_step_reads_is_not_sent() {
    let served = Served::start(&[]);
    let context = served.home.context("FROM base\nRUN true", &[("f", "one\n")]);
    let shown = served.build(&[&context]);
    assert!(!shown.contains("transferring context"), "{shown}");
}

#[test]
fn the_line_that_failed_is_shown() {
    let served = Served::start(&[]);
    let context = served.home.context("FROM base\nRUN echo said && exit 3\n", &[]);
    let shown = served.fails(&[&context]);
    for expected in [
        " > [2/2] RUN echo said && exit 3:",
        "   2 | >>> RUN echo said && exit 3",
        "did not complete successfully: exit code: 3",
    ] {
        assert!(shown.contains(expected), "{expected}:\n{shown}");
    }
    let context = served.home.context("FROM base\nRUNX true\n", &[]);
    let shown = served.fails(&[&context]);
    assert!(
        shown.contains("ERROR: failed to solve: dockerfile parse error on line 2: unknown instruction: RUNX"),
        "{shown}"
    );
    assert!(shown.contains("   2 | >>> RUNX true"), "{shown}");
    let context = served.home.context("FROM base\nCOPY nothing /\n", &[]);
    let shown = served.fails(&[&context]);
    assert!(shown.contains("   2 | >>> COPY nothing /") && shown.contains("not found"), "{shown}");
}

#[test]
fn secrets_and_arguments_and_named_contexts_come_from_the_client() {
    let served = Served::start(&[]);
    let text = "FROM base\nARG WHO\nRUN --mount=type=secret,id=s test \"$(cat /run/secrets/s)\" = hidden && echo for $WHO\n\
                COPY --from=more f /f\nRUN cat /f\nLABEL a=b";
    let context = served.home.context(text, &[]);
    fs::create_dir(served.home.path("more")).unwrap();
    fs::write(served.home.path("more/f"), "of the other\n").unwrap();
    fs::write(served.home.path("secret"), "hidden").unwrap();
    let arguments =
        ["--secret=id=s,src=secret", "--build-arg=WHO=you", "--build-context=more=more", &context];
    let shown = served.build(&arguments);
    assert!(shown.contains(" for you\n") && shown.contains(" of the other\n"), "{shown}");
    let shown = served.fails(&["--no-cache", "--build-context=more=more", &context]);
    assert!(shown.contains("exit code: 1"), "{shown}");
}

#[test]
fn a_dockerfile_on_standard_input_has_no_context() {
    let served = Served::start(&[]);
    let file = served.home.path("piped");
    fs::write(&file, "FROM base\nRUN echo piped && exit 0\n").unwrap();
    let mut client = served.client(&["build", "--progress=plain", "-"]);
    let output = client.stdin(fs::File::open(file).unwrap()).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && shown.contains(" piped\n"), "{shown}");
}

#[test]
fn what_the_daemon_does_not_allow_is_refused() {
    let context = |served: &Served| served.home.context("FROM base\nRUN --network=host true", &[]);
    let served = Served::start(&[]);
    let shown = served.fails(&["--allow=network.host", &context(&served)]);
    assert!(shown.contains("entitlement network.host is not allowed"), "{shown}");
    let served = Served::start(&["--allow=network.host"]);
    let shown = served.fails(&[&context(&served)]);
    assert!(shown.contains("network.host is not allowed"), "{shown}");
    served.build(&["--allow=network.host", &context(&served)]);
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let served = Served::start(&[]);
    let context = served.home.context("FROM base\n", &[]);
    for (argument, expected) in [
        ("--attest=type=sbom,generator=other", "there is no other generator, `other` included"),
        ("--cache-to=type=tape,dest=c", "unknown cache exporter: tape"),
    ] {
        let shown = served.fails(&[argument, &context]);
        assert!(shown.contains(expected), "{argument}:\n{shown}");
    }
}

#[test]
fn questions_are_answered_without_a_build() {
    let served = Served::start(&[]);
    let context = served.home.context("FROM base AS one\nARG A=1\nFROM one AS two\n", &[]);
    let ask = |arguments: &[&str]| {
        let mut client = served.client(&[&["build"], arguments, &[context.as_str()]].concat());
        let answered = client.env("BUILDX_EXPERIMENTAL", "1").output().unwrap();
        let text = String::from_utf8_lossy(&answered.stdout).into_owned();
        assert!(answered.status.success(), "{}", String::from_utf8_lossy(&answered.stderr));
        text
    };
    let outline = ask(&["--print=outline", "--target=one"]);
    assert!(
        outline.contains("TARGET: one") && outline.contains("BUILD ARG") && outline.contains('A'),
        "{outline}"
    );
    let targets = ask(&["--print=targets"]);
    assert!(targets.contains("one") && targets.contains("two"), "{targets}");
    let known = ask(&["--print=subrequests.describe"]);
    // BuildKit's frontend answers one more, the checks, without listing it.
    for expected in ["List all parameters", "List all targets", "List available subrequest types"] {
        assert!(known.contains(expected), "{expected}:\n{known}");
    }
}

#[test]
fn builders_can_be_looked_at_and_pruned() {
    let served = Served::start(&[]);
    let context = served.home.context("FROM base\nRUN head -c 4000000 /dev/zero > /file", &[]);
    let bytes = || {
        let sum = check(Command::new("du").arg("-sb").arg(served.home.store().join("layers")));
        sum.split('\t').next().unwrap().parse::<u64>().unwrap()
    };
    let base_bytes = bytes();
    served.build(&[&context]);
    assert_eq!(cached(&served.build(&[&context])), 1);
    assert!(bytes() > base_bytes + 4_000_000);
    let shown = served.ok(&["inspect"]);
    assert!(shown.contains("running") && shown.contains("linux/"), "{shown}");
    let usage = served.ok(&["du"]);
    assert!(usage.contains("Reclaimable:"), "{usage}");
    let pruned = served.ok(&["prune", "--force", "--all"]);
    assert!(pruned.contains("Total:"), "{pruned}");
    // A daemon keeps nothing of the builds that have ended.
    assert!(bytes() < base_bytes + 100_000, "{pruned}");
    assert_eq!(cached(&served.build(&[&context])), 0);
}

#[test]
fn the_daemon_and_other_commands_share_a_store() {
    let served = Served::start(&[]);
    let context = served.home.context("FROM base\nRUN echo once > /file", &[]);
    served.build(&["-t", "from-client", "--output=type=image", &context]);
    insta::assert_snapshot!(served.home.log(&[&context]), @"hit [2/2] RUN echo once > /file");
    assert_eq!(served.home.ok(&["run", "--rm", "from-client", "cat", "/file"]), "once\n");
}
