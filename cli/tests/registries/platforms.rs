//! Builds for several platforms: one graph, an image for each, an index over them.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::server::Registry;
use crate::support::{Home, check, log};

/// The compiler runs on this machine, whatever the image is for.
const CROSS: &str = "FROM --platform=$BUILDPLATFORM base AS build
RUN echo shared > /shared
ARG TARGETARCH
RUN echo $TARGETARCH > /arch
FROM scratch
COPY --from=build /arch /bin/arch
COPY --from=build /shared /etc/shared
";
const BOTH: &str = "linux/amd64,linux/arm64";

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn blob(layout: &Path, descriptor: &Value) -> Value {
    let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    json(&layout.join("blobs/sha256").join(digest))
}

fn platforms(index: &Value) -> Vec<String> {
    let name = |entry: &Value| entry["platform"]["architecture"].as_str().unwrap().to_owned();
    index["manifests"].as_array().unwrap().iter().map(name).collect()
}

#[test]
fn steps_that_platforms_share_run_once() {
    let home = Home::new();
    let context = home.context(CROSS, &[]);
    let output = home.run(&["build", "--progress=plain", "--platform", BOTH, "-t", "app", &context]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    let mut lines: Vec<_> = log(&text).lines().map(str::to_owned).collect();
    lines.sort();
    insta::assert_snapshot!(lines.join("\n"), @"
    run [linux/amd64 build 2/3] RUN echo shared > /shared
    run [linux/amd64 build 3/3] RUN echo amd64 > /arch
    run [linux/amd64 stage-1 1/2] COPY --from=build /arch /bin/arch
    run [linux/amd64 stage-1 2/2] COPY --from=build /shared /etc/shared
    run [linux/amd64->arm64 build 3/3] RUN echo arm64 > /arch
    run [linux/arm64 stage-1 1/2] COPY --from=build /arch /bin/arch
    run [linux/arm64 stage-1 2/2] COPY --from=build /shared /etc/shared
    ");
    // The name is that of the image for this machine.
    assert_eq!(home.ok(&["inspect", "--format", "{{.Architecture}}", "app"]), "amd64\n");
}

#[test]
fn a_name_means_another_image_on_another_platform() {
    let home = Home::new();
    let context = home.context(
        "FROM base AS amd64\nFROM scratch AS arm64\nCOPY program /bin/echo\nFROM ${TARGETARCH}\n",
        &[],
    );
    // The header of a program for arm64, see elf(5).
    let mut program = vec![0; 64];
    program[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    (program[16], program[18]) = (2, 183);
    fs::write(home.path("context/program"), program).unwrap();
    home.ok(&["build", "-q", "--platform", BOTH, "-t", "app", &context]);
    assert_eq!(home.ok(&["run", "--platform", "linux/amd64", "app", "/bin/echo", "here"]), "here\n");
    let (_, error) = home.fails(&["run", "--platform", "linux/arm64", "app", "/bin/echo", "there"]);
    assert!(!error.contains("Unable to find image"), "{error}");
    let (_, error) = home.fails(&["run", "--pull=never", "--platform", "linux/s390x", "app", "true"]);
    assert!(error.contains("no such image: app for linux/s390x"), "{error}");
}

#[test]
fn an_index_goes_to_a_registry_and_comes_back() {
    let (home, registry) = (Home::new(), Registry::start());
    let (context, name) = (home.context(CROSS, &[]), registry.name("app:1"));
    let annotate = "index:org.example.a=of index";
    let other = "manifest-descriptor[linux/arm64]:org.example.b=of arm";
    let flags =
        ["build", "-q", "--platform", BOTH, "--push", "--annotation", annotate, "--annotation", other];
    home.ok(&[&flags[..], &["-t", &name, &context]].concat());
    let index: Value = serde_json::from_str(&registry.inspect_with_skopeo("app:1", &["--raw"])).unwrap();
    assert_eq!(platforms(&index), ["amd64", "arm64"]);
    assert_eq!(index["annotations"]["org.example.a"], "of index");
    assert_eq!(index["manifests"][1]["annotations"]["org.example.b"], "of arm");
    assert_eq!(index["manifests"][0]["annotations"], Value::Null);
    // What was built together is pushed together, also later.
    let again = registry.name("again:1");
    let context = home.path("context").to_str().unwrap().to_owned();
    home.ok(&["build", "-q", "--platform", BOTH, "-t", &again, &context]);
    home.ok(&["push", "-q", &again]);
    let later: Value = serde_json::from_str(&registry.inspect_with_skopeo("again:1", &["--raw"])).unwrap();
    assert_eq!(platforms(&later), ["amd64", "arm64"]);
    // A build on top of it pulls both, and leaves the name to the image for this machine.
    let other = Home::without_base();
    let on_top = other.context(&format!("FROM {name}\nCOPY Dockerfile /d\n"), &[]);
    let out = other.path("out");
    let to = format!("type=local,dest={}", out.display());
    for _ in 0..2 {
        other.ok(&["build", "-q", "--platform", BOTH, "-t", "top", "-o", &to, &on_top]);
        for architecture in ["amd64", "arm64"] {
            let arch = out.join(format!("linux_{architecture}/bin/arch"));
            assert_eq!(fs::read_to_string(&arch).unwrap().trim(), architecture);
        }
        assert_eq!(other.ok(&["inspect", "--format", "{{.Architecture}}", &name]), "amd64\n");
    }
}

#[test]
fn a_layout_has_one_entry_for_all_platforms() {
    let home = Home::new();
    let context = home.context(CROSS, &[]);
    let layout = home.path("layout");
    let to = format!(
        "type=oci,dest={},tar=false,annotation-index-descriptor.org.x=top,annotation[linux/arm64].org.y=arm",
        layout.display()
    );
    home.ok(&["build", "-q", "--platform", BOTH, "-t", "app:1", "-o", &to, &context]);
    let top = json(&layout.join("index.json"));
    assert_eq!(top["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(top["manifests"][0]["annotations"]["org.x"], "top");
    assert_eq!(top["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "1");
    let index = blob(&layout, &top["manifests"][0]);
    assert_eq!(platforms(&index), ["amd64", "arm64"]);
    assert_eq!(blob(&layout, &index["manifests"][0])["annotations"], Value::Null);
    assert_eq!(blob(&layout, &index["manifests"][1])["annotations"]["org.y"], "arm");
    let from = format!("oci:{}:1", layout.display());
    for architecture in ["amd64", "arm64"] {
        let flags = ["inspect", "--override-arch", architecture, "--format", "{{.Architecture}}"];
        assert_eq!(check(Command::new("skopeo").args(flags).arg(&from)).trim(), architecture);
    }
}

#[test]
fn files_of_platforms_are_kept_apart_or_merged() {
    let home = Home::new();
    let context = home.context(
        "FROM --platform=$BUILDPLATFORM base AS build\nARG TARGETARCH\nRUN echo $TARGETARCH > /app-$TARGETARCH; ln /app-$TARGETARCH /same-$TARGETARCH\n\
         FROM scratch\nCOPY --from=build /app-* /same-* /bin/\n",
        &[],
    );
    let (tar, out) = (home.path("out.tar"), home.path("out"));
    home.ok(&[
        "build",
        "-q",
        "--platform",
        BOTH,
        "-o",
        &format!("type=tar,dest={}", tar.display()),
        &context,
    ]);
    let listed = check(Command::new("tar").arg("-tf").arg(&tar));
    insta::assert_snapshot!(listed, @"
    linux_amd64/
    linux_amd64/bin/
    linux_amd64/bin/app-amd64
    linux_amd64/bin/same-amd64
    linux_arm64/
    linux_arm64/bin/
    linux_arm64/bin/app-arm64
    linux_arm64/bin/same-arm64
    ");
    fs::create_dir_all(out.join("old/deep")).unwrap();
    fs::write(out.join("old/deep/file"), "").unwrap();
    let merged = format!("type=local,dest={},platform-split=false", out.display());
    home.ok(&["build", "-q", "--platform", BOTH, "-o", &merged, &context]);
    assert!(out.join("bin/app-amd64").is_file() && out.join("bin/app-arm64").is_file());
    assert!(out.join("old/deep/file").is_file());
    home.ok(&["build", "-q", "--platform", "arm64", "-o", &format!("{merged},mode=delete"), &context]);
    assert!(!out.join("bin/app-amd64").exists() && out.join("bin/app-arm64").is_file());
    assert!(!out.join("old").exists());
}

#[test]
fn what_cannot_be_is_refused() {
    let home = Home::new();
    let context = home.context(CROSS, &[]);
    let layout = home.path("layout");
    let oci = format!("type=oci,dest={},tar=false", layout.display());
    let local = format!("type=local,dest={},platform-split=false", home.path("out").display());
    let tar = format!("type=tar,dest={},platform-split=false", home.path("out.tar").display());
    let fails = |flags: &[&str]| {
        let (code, error) = home.fails(&[&["build", "-q"], flags, &[&context]].concat());
        let last: Vec<_> = error.lines().skip_while(|line| !line.starts_with("ERROR")).collect();
        format!("{code} {}", last.join("\n"))
    };
    let shown = [
        fails(&["-o", &oci, "--annotation", "index:a=b"]),
        fails(&["-o", &oci, "--annotation", "manifest[linux/s390x]:a=b"]),
        fails(&["--annotation", "a=b"]),
        fails(&["--platform", BOTH, "-o", &local]),
        fails(&["--platform", BOTH, "-o", &tar]),
        fails(&["-o", "type=local,dest=.,mode=delete"]).replace(&context, "CONTEXT"),
        fails(&["-o", &format!("type=local,dest={context},mode=delete")]).replace(&context, "CONTEXT"),
    ];
    insta::assert_snapshot!(shown.join("\n"), @"
    1 ERROR: annotations of an index need one: a build for several platforms, or attestations
    1 ERROR: there are annotations for linux/s390x, for which nothing is built
    1 ERROR: annotations are in an image's manifest, which it has where it leaves the store
    hint: add `--push`, or `--output type=oci,dest=FILE`
    1 ERROR: more than one platform has `bin/arch`, which `platform-split=false` would overwrite
    1 ERROR: a tar with the files of several platforms needs a directory for each, which `platform-split=false` forbids
    1 ERROR: `mode=delete` in `.` would delete the context `CONTEXT`
    hint: name a directory of its own with `dest=DIRECTORY`
    1 ERROR: `mode=delete` in `CONTEXT` would delete the context `CONTEXT`
    hint: name a directory of its own with `dest=DIRECTORY`
    ");
    assert!(!layout.exists() && !home.path("out.tar").exists() && !home.path("out").exists());
}
