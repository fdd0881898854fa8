//! `image cp`: images between the store, registries, layouts, archives and other engines.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::server::Registry;
use crate::support::{Home, check};

fn build(home: &Home, name: &str, line: &str) -> String {
    let context = home.context(&format!("FROM base\nRUN echo 1 > /one\n{line}\n"), &[]);
    home.ok(&["build", "-q", "-t", name, &context]).trim().to_owned()
}

fn names(home: &Home) -> String {
    home.ok(&["images", "--format", "{{.Repository}}:{{.Tag}}"])
}

#[test]
fn an_image_goes_everywhere_and_comes_back_the_same() {
    let (home, registry) = (Home::new(), Registry::start());
    let id = build(&home, "app", "CMD cat /one");
    let path = |name: &str| home.path(name).to_str().unwrap().to_owned();
    let places = [
        format!("oci:{}:1", path("layout")),
        format!("docker://{}", registry.name("app:1")),
        format!("oci-archive:{}:1", path("app.tar")),
        format!("docker-archive:{}:app:2", path("docker.tar")),
    ];
    let other = Home::without_base();
    home.ok(&["image", "cp", "-q", "app", &places[0]]);
    for pair in places.windows(2) {
        assert_eq!(other.ok(&["image", "cp", "-q", &pair[0], &pair[1]]).trim(), id, "{pair:?}");
        // What only passes through leaves no image.
        assert_eq!(names(&other), "", "{pair:?}");
    }
    assert_eq!(other.ok(&["image", "cp", "-q", &places[3], "back:1"]).trim(), id);
    assert_eq!(names(&other), "back:1\n");
    assert_eq!(other.ok(&["run", "back:1"]), "1\n");
    // Others read what is there.
    let archive = format!("docker-archive:{}", path("docker.tar"));
    for place in [&places[0], &places[2], &archive] {
        let config = check(Command::new("skopeo").args(["inspect", "--config", place.as_str()]));
        assert!(config.contains("cat /one"), "{place}: {config}");
    }
}

#[test]
fn only_what_a_layout_misses_is_written() {
    let home = Home::new();
    build(&home, "one", "CMD one");
    build(&home, "two", "RUN echo 2 > /two");
    let layout = home.path("layout");
    let copy = |name: &str| {
        let to = format!("oci:{}:{name}", layout.display());
        home.ok(&["image", "cp", "-q", name, &to]);
    };
    let blobs = || {
        let entries = fs::read_dir(layout.join("blobs/sha256")).unwrap().flatten();
        let mut found: Vec<_> = entries.map(|it| (it.file_name(), it.metadata().unwrap().ino())).collect();
        found.sort();
        found
    };
    copy("one");
    let before = blobs();
    copy("two");
    copy("one");
    let after = blobs();
    assert!(before.iter().all(|blob| after.contains(blob)), "a blob was written again");
    // A config, a manifest and a layer.
    assert_eq!(after.len(), before.len() + 3);
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let tag = |entry: &Value| entry["annotations"]["org.opencontainers.image.ref.name"].to_string();
    let tags: Vec<_> = index["manifests"].as_array().unwrap().iter().map(tag).collect();
    assert_eq!(tags, ["\"two\"", "\"one\""]);
    // A blob that is broken is none.
    let largest = after
        .iter()
        .max_by_key(|(name, _)| fs::metadata(layout.join("blobs/sha256").join(name)).unwrap().len());
    let broken = layout.join("blobs/sha256").join(&largest.unwrap().0);
    let whole = fs::read(&broken).unwrap();
    fs::write(&broken, vec![0; whole.len()]).unwrap();
    copy("one");
    assert!(fs::read(&broken).unwrap() == whole, "a broken blob stayed");
}

/// A store of Podman's for a test.
fn storage(home: &Home) -> std::path::PathBuf {
    let (graph, run) = (home.path("graph"), home.path("run"));
    let text = format!(
        "[storage]\ndriver = \"vfs\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n",
        graph.display(),
        run.display()
    );
    let path = home.path("storage.conf");
    fs::write(&path, text).unwrap();
    path
}

fn copy_with(home: &Home, variable: (&str, &str), from: &str, to: &str) -> String {
    let mut command = home.command(&["image", "cp", "-q", from, to]);
    check(command.env(variable.0, variable.1)).trim().to_owned()
}

#[test]
fn podman_and_buildah_find_what_is_copied_to_their_store() {
    let home = Home::new();
    let id = build(&home, "app", "CMD cat /one");
    let config = storage(&home);
    let variable = ("CONTAINERS_STORAGE_CONF", config.to_str().unwrap());
    copy_with(&home, variable, "app", "containers-storage:app:1");
    let images = check(Command::new("buildah").arg("images").env(variable.0, variable.1));
    assert!(images.contains("docker.io/library/app"), "{images}");
    let other = Home::without_base();
    assert_eq!(copy_with(&other, variable, "containers-storage:app:1", "back"), id);
    assert_eq!(other.ok(&["run", "back"]), "1\n");
}

/// Podman behind Docker's interface.
struct Service(Child);

impl Service {
    fn start(config: &Path, socket: &Path) -> Self {
        let mut command = Command::new("podman");
        command.args(["system", "service", "--time=0", &format!("unix://{}", socket.display())]);
        command.env("CONTAINERS_STORAGE_CONF", config).stdout(Stdio::null()).stderr(Stdio::null());
        let service = Self(command.spawn().expect("the tests need the package podman"));
        let until = Instant::now() + Duration::from_secs(60);
        while std::os::unix::net::UnixStream::connect(socket).is_err() {
            assert!(Instant::now() < until, "podman does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        service
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_daemon_takes_and_gives_images() {
    let home = Home::new();
    let id = build(&home, "app", "CMD cat /one");
    let (config, socket) = (storage(&home), home.path("podman.sock"));
    let host = format!("unix://{}", socket.display());
    let variable = ("DOCKER_HOST", host.as_str());
    let service = Service::start(&config, &socket);
    assert_eq!(copy_with(&home, variable, "app", "docker-daemon:app:1"), id);
    let other = Home::without_base();
    assert_eq!(copy_with(&other, variable, "docker-daemon:app:1", "back"), id);
    assert_eq!(other.ok(&["run", "back"]), "1\n");
    let gone = |from: &str| {
        let mut command = other.command(&["image", "cp", "-q", from, "x"]);
        let output = command.env(variable.0, variable.1).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let error = gone("docker-daemon:nothing:1");
    assert!(error.starts_with("ERROR: cannot copy from or to the Docker daemon: "), "{error}");
    drop(service);
    let error = gone("docker-daemon:app:1");
    assert!(error.starts_with("ERROR: cannot copy from or to the Docker daemon: "), "{error}");
}

#[test]
fn what_is_no_place_or_not_there_is_said() {
    let home = Home::new();
    let fails = |from: &str, to: &str| {
        let (code, error) = home.fails(&["image", "cp", "-q", from, to]);
        format!(
            "{code} {}",
            error.lines().next().unwrap_or_default().replace(home.path("").to_str().unwrap(), "[home]/")
        )
    };
    let missing = format!("oci:{}", home.path("missing").display());
    fs::write(home.path("no.tar"), "no tar").unwrap();
    let shown = [
        fails("nothing", "docker-archive:x"),
        fails(&missing, "x"),
        fails(&format!("oci-archive:{}", home.path("no.tar").display()), "x"),
        fails(&format!("docker-archive:{}", home.path("gone.tar").display()), "x"),
        fails("base", "dir:x"),
    ];
    insta::assert_snapshot!(shown.join("\n"), @"
    1 ERROR: no such image: nothing:latest
    1 ERROR: cannot read `[home]/missing`: No such file or directory (os error 2)
    1 ERROR: the archive is truncated at byte 6
    1 ERROR: cannot read `[home]/gone.tar`: No such file or directory (os error 2)
    1 error: invalid value 'dir:x' for '<DESTINATION>': `dir:` is no place that slipway knows, expected one of docker://, oci:, oci-archive:, docker-archive:, docker-daemon:, containers-storage:
    ");
    assert!(!home.path("x").exists());
}

#[test]
fn a_layout_keeps_what_others_put_into_it_at_the_same_time() {
    let home = Home::new();
    let layout = home.path("layout");
    let tags: Vec<String> = (0..6).map(|number| format!("t{number}")).collect();
    std::thread::scope(|scope| {
        let home = &home;
        for tag in &tags {
            let to = format!("oci:{}:{tag}", layout.display());
            scope.spawn(move || home.ok(&["image", "cp", "-q", "base", &to]));
        }
    });
    let names = || {
        let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
        let name = |it: &Value| it["annotations"]["org.opencontainers.image.ref.name"].to_string();
        let mut names: Vec<_> = index["manifests"].as_array().unwrap().iter().map(name).collect();
        names.sort_unstable();
        names.join(" ")
    };
    assert_eq!(names(), r#""t0" "t1" "t2" "t3" "t4" "t5""#);
    // An output of a build is one more, and takes the place of the same name.
    let context = home.context("FROM base\nRUN echo 1 > /f\n", &[]);
    let output = format!("type=oci,tar=false,dest={}", layout.display());
    for _ in 0..2 {
        home.ok(&["build", "-q", "-t", "app:t0", "-o", &output, &context]);
        assert_eq!(names(), r#""t0" "t1" "t2" "t3" "t4" "t5""#);
    }
    home.ok(&["build", "-q", "-t", "other:t0", "-o", &output, &context]);
    assert_eq!(names(), r#""t0" "t0" "t1" "t2" "t3" "t4" "t5""#);
    for tag in &tags[1..] {
        let mut skopeo = Command::new("skopeo");
        check(skopeo.args(["inspect", "--raw"]).arg(format!("oci:{}:{tag}", layout.display())));
    }
}
