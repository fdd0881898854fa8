//! Two builds, and what is said of the second.

use super::explain;
use super::log::{BuildLog, LoggedFile, LoggedFiles, LoggedStep, Outcome};

fn file(path: &str, mode: &str, content: &str) -> LoggedFile {
    LoggedFile {
        path: path.into(),
        mode: mode.into(),
        owner: "0:0".into(),
        size_bytes: content.len() as u64,
        content: content.into(),
    }
}

fn step(name: &str, outcome: Outcome, key: &str) -> LoggedStep {
    LoggedStep {
        name: name.into(),
        number: None,
        outcome,
        key: Some(key.into()),
        offered: Some(key.into()),
        inputs: Vec::new(),
        ingredients: Vec::new(),
        files: None,
        no_cache: false,
        expired_age_s: None,
    }
}

fn log(id: &str, steps: Vec<LoggedStep>) -> BuildLog {
    BuildLog {
        id: id.into(),
        ended_unix_ns: 0,
        context: "/c".into(),
        dockerfile: "Dockerfile".into(),
        target: None,
        platform: "linux/amd64".into(),
        tags: Vec::new(),
        image: None,
        steps,
    }
}

/// `FROM`, `COPY`, `RUN`, all of which ran.
fn first() -> Vec<LoggedStep> {
    let mut copy = step("[2/3] COPY src /src", Outcome::Ran, "k2");
    copy.inputs = vec!["[1/3] FROM bb".into(), "[internal] load build context".into()];
    copy.files = Some(LoggedFiles {
        files: vec![file("src/a.py", "-0664", "1"), file("src/b.py", "-0644", "1")],
        is_whole: true,
    });
    let mut run = step("[3/3] RUN make", Outcome::Ran, "k3");
    run.inputs = vec!["[2/3] COPY src /src".into()];
    run.ingredients =
        vec![("command".into(), "/bin/sh -c make".into()), ("env VERSION".into(), "1.2".into())];
    vec![step("[1/3] FROM bb", Outcome::Source, "k1"), copy, run]
}

/// What is said after `change` of a build that follows [`first`].
fn said(change: impl FnOnce(&mut Vec<LoggedStep>)) -> String {
    let mut second = first();
    for step in &mut second[1..] {
        step.outcome = Outcome::Cached;
        step.files = None;
    }
    change(&mut second);
    let explanation = explain(&[log("2", second), log("1", first())]);
    let lines = explanation.steps.iter().map(|step| {
        let reasons: String = step.reasons.iter().map(|reason| format!("\n  {reason}")).collect();
        format!("{} {}{reasons}\n", step.result, step.name)
    });
    lines.collect()
}

fn ran(step: &mut LoggedStep, key: &str) {
    step.outcome = Outcome::Ran;
    step.key = Some(key.into());
    step.offered = Some(key.into());
}

#[test]
fn a_file_that_changed_is_named_and_what_follows_follows() {
    insta::assert_snapshot!(said(|steps| {
        ran(&mut steps[1], "k2b");
        let files = vec![file("src/a.py", "-0644", "1"), file("src/c.py", "-0644", "1")];
        steps[1].files = Some(LoggedFiles { files, is_whole: true });
        ran(&mut steps[2], "k3b");
    }), @"
    source [1/3] FROM bb
    ran [2/3] COPY src /src
      `src/a.py` changed (mode 0664 -> 0644)
      `src/c.py` is new
      `src/b.py` is gone
    ran [3/3] RUN make
      the step before it changed: [2/3] COPY src /src
    ");
}

#[test]
fn values_are_shown_before_and_after() {
    insta::assert_snapshot!(said(|steps| {
        ran(&mut steps[2], "k3b");
        steps[2].ingredients[1].1 = "1.3".into();
    }), @"
    source [1/3] FROM bb
    cached [2/3] COPY src /src
    ran [3/3] RUN make
      env VERSION 1.2 -> 1.3
    ");
    insta::assert_snapshot!(said(|steps| {
        ran(&mut steps[2], "k3b");
        steps[2].name = "[3/4] RUN make all".into();
        steps[2].ingredients[0].1 = "/bin/sh -c make all".into();
        steps[2].ingredients.pop();
    }), @r#"
    source [1/3] FROM bb
    cached [2/3] COPY src /src
    ran [3/4] RUN make all
      command "/bin/sh -c make" -> "/bin/sh -c make all"
      env VERSION is gone
    "#);
}

#[test]
fn other_reasons() {
    insta::assert_snapshot!(said(|steps| {
        steps[0].key = Some("another".into());
        steps[0].offered = Some("another".into());
        ran(&mut steps[1], "k2b");
        steps[1].files = first()[1].files.clone();
        ran(&mut steps[2], "k3");
        steps[2].no_cache = true;
        let mut new = step("[4/4] RUN new", Outcome::Failed, "k4");
        new.inputs = vec!["[3/3] RUN make".into()];
        steps.push(new);
    }), @"
    source [1/3] FROM bb
      it moved from k1 to another
    ran [2/3] COPY src /src
      the step before it changed: [1/3] FROM bb
    ran [3/3] RUN make
      it had to run (--no-cache)
    failed [4/4] RUN new
      it has not been built before
    ");
    insta::assert_snapshot!(said(|steps| ran(&mut steps[2], "k3")), @"
    source [1/3] FROM bb
    cached [2/3] COPY src /src
    ran [3/3] RUN make
      its earlier result is no longer in the store
    ");
    insta::assert_snapshot!(said(|steps| ran(&mut steps[1], "k2b")), @"
    source [1/3] FROM bb
    ran [2/3] COPY src /src
      files that it reads changed
    cached [3/3] RUN make
    ");
}

#[test]
fn what_was_too_old_says_how_old() {
    insta::assert_snapshot!(said(|steps| {
        ran(&mut steps[2], "k3");
        steps[2].expired_age_s = Some(5_025);
    }), @"
    source [1/3] FROM bb
    cached [2/3] COPY src /src
    ran [3/3] RUN make
      its earlier result is 1h 23m 45s old (--cache-ttl)
    ");
}

#[test]
fn many_files_are_counted() {
    let shown = said(|steps| {
        ran(&mut steps[1], "k2b");
        let files = (0..100).map(|number| file(&format!("src/{number}"), "-0644", "1")).collect();
        steps[1].files = Some(LoggedFiles { files, is_whole: false });
    });
    assert!(shown.contains("and 95 more files"), "{shown}");
}
