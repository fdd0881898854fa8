//! Caches that BuildKit itself has written, see `testdata/foreign`: what it has built does not run again.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::{fs, str};

use serde_json::Value;

use crate::server::Registry;
use crate::support::{Home, check};

/// What it has built.
const DOCKERFILE: &str = "\
FROM scratch AS files
COPY dir /dir
FROM scratch
COPY a.txt /a
COPY --from=files /dir /dir
";
/// What is in the image.
const FILES: &str = "0644 0:0     a: hello\n0755 0:0     dir/\n0644 0:0     dir/b.txt: bye\n";
const ALL_HIT: &str = "hit [stage-1 1/2] COPY a.txt /a\nhit [stage-1 2/2] COPY --from=files /dir /dir";

/// The same files with the same permissions, which are in the keys.
fn context(home: &Home, text: &str) -> String {
    let context = home.context(DOCKERFILE, &[("a.txt", text), ("dir/b.txt", "bye\n")]);
    for (name, mode) in [("a.txt", 0o644), ("dir/b.txt", 0o644), ("dir", 0o755)] {
        fs::set_permissions(Path::new(&context).join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    context
}

/// Unpacks an OCI layout that BuildKit has written.
fn recorded(home: &Home, name: &str) -> String {
    let (archive, layout) = (format!("../testdata/foreign/{name}.tar.gz"), home.path(name));
    fs::create_dir_all(&layout).unwrap();
    check(Command::new("tar").args(["--extract", "--file", &archive, "--directory"]).arg(&layout));
    layout.to_str().unwrap().to_owned()
}

fn sorted(log: &str) -> String {
    let mut lines: Vec<_> = log.lines().filter(|line| !line.contains("files 1/1")).collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn what_buildkit_has_built_does_not_run() {
    for name in ["docker26.cache", "docker28.cache", "docker26.image", "docker28.image"] {
        let home = Home::without_base();
        let from = format!("type=local,src={}", recorded(&home, name));
        let context = context(&home, "hello\n");
        let log = home.log(&["-t", "app", "--cache-from", &from, &context]);
        assert_eq!(sorted(&log), ALL_HIT, "{name}");
        assert_eq!(home.unpack("app").listing(), FILES);
        home.ok(&["store", "check"]);
        // It is in the store now.
        assert_eq!(sorted(&home.log(&["-t", "app", &context])), ALL_HIT, "{name}");
    }
}

#[test]
fn other_files_are_not_taken_for_those_that_buildkit_has_seen() {
    let home = Home::without_base();
    let from = format!("type=local,src={}", recorded(&home, "docker28.cache"));
    // As many bytes as before.
    let log = home.log(&["-t", "app", "--cache-from", &from, &context(&home, "jello\n")]);
    assert_eq!(sorted(&log), ALL_HIT.replace("hit", "run"));
    let context = context(&home, "hello\n");
    fs::set_permissions(Path::new(&context).join("a.txt"), fs::Permissions::from_mode(0o600)).unwrap();
    let log = home.log(&["-t", "app", "--cache-from", &from, &context]);
    assert_eq!(log.matches("run [stage-1 1/2]").count(), 1, "{log}");
}

#[test]
fn a_layer_that_is_another_one_than_buildkit_says_is_a_miss() {
    let home = Home::without_base();
    let layout = recorded(&home, "docker28.cache");
    let largest = |blob: &fs::DirEntry| fs::read(blob.path()).unwrap().starts_with(&[0x1f, 0x8b]);
    for blob in fs::read_dir(Path::new(&layout).join("blobs/sha256")).unwrap().map(Result::unwrap) {
        if largest(&blob) {
            let mut bytes = fs::read(blob.path()).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::remove_file(blob.path()).unwrap();
            fs::write(blob.path(), bytes).unwrap();
        }
    }
    let from = format!("type=local,src={layout}");
    home.ok(&["build", "-q", "-t", "app", "--cache-from", &from, &context(&home, "hello\n")]);
    assert_eq!(home.unpack("app").listing(), FILES);
    home.ok(&["store", "check"]);
}

#[test]
fn what_we_write_has_the_keys_that_buildkit_asks_for() {
    let (home, registry) = (Home::without_base(), Registry::start());
    let (context, layout) = (context(&home, "hello\n"), home.path("layout"));
    let to = format!("type=local,dest={},mode=max", layout.display());
    let name = registry.name("app:1");
    let arguments = ["build", "-q", "--push", "-t", &name, "--cache-to", "type=inline", "--cache-to", &to];
    home.ok(&[&arguments[..], &[&context]].concat());
    let keys = |config: &Value| -> Vec<String> {
        let records = config["records"].as_array().unwrap().iter();
        let mut keys: Vec<String> =
            records.map(|record| record["digest"].as_str().unwrap().to_owned()).collect();
        keys.sort_unstable();
        keys
    };
    let theirs = document(&recorded(&home, "docker28.cache"));
    let ours = document(layout.to_str().unwrap());
    for key in keys(&theirs) {
        assert!(keys(&ours).contains(&key), "{key} of {theirs} is not in {ours}");
    }
    let config = registry.inspect_with_skopeo("app:1", &["--config", "--raw"]);
    let config: Value = serde_json::from_str(&config).unwrap();
    assert!(config["moby.buildkit.cache.v0"].as_str().is_some_and(|text| text.starts_with("W3si")));
}

/// The cache configuration of a layout.
fn document(layout: &str) -> Value {
    let blobs = fs::read_dir(Path::new(layout).join("blobs/sha256")).unwrap();
    let mut documents = blobs.filter_map(|blob| {
        let bytes = fs::read(blob.unwrap().path()).unwrap();
        let document: Value = serde_json::from_str(str::from_utf8(&bytes).ok()?).ok()?;
        document.get("records").is_some().then_some(document)
    });
    documents.next().unwrap()
}
