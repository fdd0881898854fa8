//! Under the names of kaniko and Buildah: pipelines for them go on as they are.

use std::fs;
use std::process::{Command, Output};

use crate::server::Registry;
use crate::support::Home;

/// Runs as another builder, whose program is a copy of ours as people put it into an image.
fn run_as(home: &Home, name: &str, arguments: &[&str]) -> Output {
    let command = home.command(&[]);
    let program = home.path(name);
    if !program.exists() {
        fs::copy(command.get_program(), &program).unwrap();
    }
    let mut own = Command::new(program);
    own.env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("SLIPWAY_ROOT", home.store())
        .env("HOME", home.path("user"));
    own.args(arguments).current_dir(home.path(".")).output().unwrap()
}

fn ok(home: &Home, name: &str, arguments: &[&str]) -> String {
    let output = run_as(home, name, arguments);
    let shown = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{shown}");
    shown
}

#[test]
fn kaniko_pushes_writes_digests_and_keeps_a_cache() {
    let (home, registry) = (Home::new(), Registry::start());
    registry.push_with_skopeo(&home, "base", "base:1", &[]);
    let dockerfile = format!("FROM {}\nARG A\nRUN echo $A > /f\n", registry.name("base:1"));
    let (name, tar) = (registry.name("group/app:1"), home.path("image.tar"));
    let job = |home: &Home| {
        let context = format!("dir://{}", home.context(&dockerfile, &[]));
        let digest = home.path("digest");
        let tagged = home.path("tagged");
        let shown = ok(
            home,
            "executor",
            &[
                "--context",
                &context,
                "--dockerfile=Dockerfile",
                "--destination",
                &name,
                "--build-arg=A=one",
                "--cache=true",
                "--snapshot-mode=redo",
                "--digest-file",
                digest.to_str().unwrap(),
                "--image-name-tag-with-digest-file",
                tagged.to_str().unwrap(),
                "--tar-path",
                tar.to_str().unwrap(),
            ],
        );
        assert!(shown.starts_with("slipway as executor ignores --snapshot-mode\n"), "{shown}");
        let digest = fs::read_to_string(digest).unwrap();
        assert_eq!(fs::read_to_string(tagged).unwrap(), format!("{name}@{digest}\n"));
        (digest, crate::support::log(&shown))
    };
    let (digest, log) = job(&home);
    assert_eq!(log, "run [2/2] RUN echo one > /f");
    let inspected: serde_json::Value =
        serde_json::from_str(&registry.inspect_with_skopeo("group/app:1", &[])).unwrap();
    assert_eq!(inspected["Digest"], digest.as_str());
    let other = Home::without_base();
    let (_, log) = job(&other);
    assert_eq!(log, "hit [2/2] RUN echo one > /f");
    other.ok(&["load", "-q", "-i", tar.to_str().unwrap()]);
    assert_eq!(other.ok(&["run", &name, "cat", "/f"]), "one\n");
    let output = run_as(&other, "executor", &["--context", "."]);
    let shown = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(1) && shown.contains("`--destination NAME`, or `--no-push`"),
        "{shown}"
    );
}

#[test]
fn buildah_builds() {
    let home = Home::new();
    let context = home.context("FROM base\nRUN echo 1 > /f\n", &[]);
    let shown = ok(&home, "buildah", &["bud", "--layers", "--format=docker", "-t", "app", &context]);
    assert!(shown.starts_with("slipway as buildah ignores --layers, --format\n"), "{shown}");
    assert_eq!(home.ok(&["run", "app", "cat", "/f"]), "1\n");
    let output = run_as(&home, "buildah", &["mount"]);
    assert_eq!(output.status.code(), Some(1));
}
