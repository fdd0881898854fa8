//! Caches that outlive the machine: a fresh store finds what another one has built.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::server::{Registry, request};
use crate::support::{Home, check};

/// A build of two stages on a base image of the registry.
pub(crate) const DOCKERFILE: &str = "\
FROM REGISTRY/base:1 AS build
COPY src /src
RUN cat /src > /out
FROM REGISTRY/base:1
RUN echo one > /one
COPY --from=build /out /out
COPY other /other
RUN cat /out /other > /both
";
/// What its build says when nothing has to run.
pub(crate) const ALL_HIT: &str = "\
hit [build 2/3] COPY src /src
hit [build 3/3] RUN cat /src > /out
hit [stage-1 2/5] RUN echo one > /one
hit [stage-1 3/5] COPY --from=build /out /out
hit [stage-1 4/5] COPY other /other
hit [stage-1 5/5] RUN cat /out /other > /both";

/// A registry with a base image, and a cache of the build in it.
pub(crate) struct Warm {
    pub(crate) registry: Registry,
    pub(crate) home: Home,
    /// The attributes of the cache, for both flags.
    pub(crate) cache: String,
}

impl Warm {
    pub(crate) fn new() -> Self {
        let (home, registry) = (Home::new(), Registry::start());
        registry.push_with_skopeo(&home, "base", "base:1", &[]);
        let warm = Self { cache: format!("type=slipway,ref={}", registry.name("cache:1")), registry, home };
        let context = warm.context(&warm.home, "src\n", "other\n");
        warm.home.ok(&["build", "-q", "-t", "app", "--cache-to", &warm.cache, &context]);
        warm
    }

    pub(crate) fn context(&self, home: &Home, source: &str, other: &str) -> String {
        let dockerfile = DOCKERFILE.replace("REGISTRY", &self.registry.authority);
        home.context(&dockerfile, &[("src", source), ("other", other)])
    }

    /// The digest of the cache's manifest, and its blobs.
    pub(crate) fn manifest(&self) -> (String, Vec<String>) {
        let raw = self.registry.inspect_with_skopeo("cache:1", &["--raw"]);
        let manifest: Value = serde_json::from_str(&raw).unwrap();
        let layers = manifest["layers"].as_array().unwrap().iter();
        (
            manifest["config"]["digest"].as_str().unwrap().to_owned(),
            layers.map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect(),
        )
    }
}

/// Layers that are in a store.
pub(crate) fn layers(home: &Home) -> usize {
    fs::read_dir(home.store().join("layers")).unwrap().count()
}

fn sorted(log: &str) -> String {
    let mut lines: Vec<_> = log.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn a_fresh_store_finds_everything_and_downloads_nothing() {
    let warm = Warm::new();
    let other = Home::without_base();
    let context = warm.context(&other, "src\n", "other\n");
    let log = other.log(&["--output=type=cacheonly", "--cache-from", &warm.cache, &context]);
    assert_eq!(sorted(&log), ALL_HIT);
    assert_eq!(layers(&other), 0, "nothing needed a layer");
    let log = other.log(&["-t", "app", "--cache-from", &warm.cache, &context]);
    assert_eq!(sorted(&log), ALL_HIT);
    assert_eq!(layers(&other), 5, "those of the image, not of the other stage");
    assert_eq!(other.ok(&["run", "app", "cat", "/both", "/one"]), "src\nother\none\n");
    let id = |home: &Home| home.ok(&["inspect", "--format", "{{.Id}}", "app"]);
    assert_eq!(id(&other), id(&warm.home));
    // What came is in the store now, and no cache is needed any more.
    let log = other.log(&["-t", "app", &context]);
    assert_eq!(log.matches("hit [stage-1").count(), 4, "{log}");
    other.ok(&["store", "check"]);
}

#[test]
fn a_changed_file_brings_what_lies_below_it() {
    let warm = Warm::new();
    let other = Home::without_base();
    let context = warm.context(&other, "src\n", "changed\n");
    let log = other.log(&["-t", "app", "--cache-from", &warm.cache, "--cache-to", &warm.cache, &context]);
    let expected = ALL_HIT
        .replace("hit [stage-1 4/5]", "run [stage-1 4/5]")
        .replace("hit [stage-1 5/5]", "run [stage-1 5/5]");
    assert_eq!(sorted(&log), sorted(&expected));
    assert_eq!(layers(&other), 5, "the base, two that came, two that were made");
    assert_eq!(other.ok(&["run", "app", "cat", "/both"]), "src\nchanged\n");
    // Both builds are in the cache now.
    for text in ["other\n", "changed\n"] {
        let third = Home::without_base();
        let context = warm.context(&third, "src\n", text);
        let log = third.log(&["--output=type=cacheonly", "--cache-from", &warm.cache, &context]);
        assert_eq!(sorted(&log), ALL_HIT);
    }
}

#[test]
fn an_unchanged_build_is_pushed_without_its_layers() {
    let warm = Warm::new();
    let other = Home::without_base();
    let context = warm.context(&other, "src\n", "other\n");
    let name = warm.registry.name("app:1");
    other.ok(&["build", "-q", "--push", "-t", &name, "--cache-from", &warm.cache, &context]);
    assert_eq!(layers(&other), 0, "the registry has them all");
    other.ok(&["pull", "-q", &name]);
    assert_eq!(other.ok(&["run", &name, "cat", "/both"]), "src\nother\n");
    let id = |home: &Home, name: &str| home.ok(&["inspect", "--format", "{{.Id}}", name]);
    assert_eq!(id(&other, &name), id(&warm.home, "app"));
    // To a registry that has none of them they go through the store, and still none is unpacked.
    let (third, elsewhere) = (Home::without_base(), Registry::start());
    let context = warm.context(&third, "src\n", "other\n");
    let name = elsewhere.name("app:1");
    third.ok(&["build", "-q", "--push", "-t", &name, "--cache-from", &warm.cache, &context]);
    assert_eq!(layers(&third), 0);
    assert_eq!(warm.home.ok(&["run", &name, "cat", "/both"]), "src\nother\n");
}

#[test]
fn an_unchanged_build_writes_nothing() {
    let warm = Warm::new();
    let before = warm.manifest();
    let blobs = |registry: &Registry| {
        let path = registry.blob_path(&format!("sha256:{}", "0".repeat(64)));
        walkdir(path.ancestors().nth(3).unwrap())
    };
    let stored = blobs(&warm.registry);
    let context = warm.context(&warm.home, "src\n", "other\n");
    warm.home.ok(&["build", "-q", "-t", "app", "--cache-to", &warm.cache, &context]);
    let other = Home::without_base();
    let context = warm.context(&other, "src\n", "other\n");
    let flags = ["--cache-from", &warm.cache, "--cache-to", &warm.cache];
    other.ok(&[&["build", "-q", "--output=type=cacheonly"], &flags[..], &[&context]].concat());
    assert_eq!(warm.manifest(), before);
    assert_eq!(blobs(&warm.registry), stored);
    assert_eq!(layers(&other), 0);
}

fn walkdir(path: &std::path::Path) -> String {
    check(Command::new("find").arg(path).args(["-name", "data", "-printf", "%P %T@\n"]))
}

#[test]
fn a_step_that_comes_to_the_same_elsewhere_is_recognised() {
    let (home, registry) = (Home::new(), Registry::start());
    registry.push_with_skopeo(&home, "base", "base:1", &[]);
    let cache = format!("type=slipway,ref={}", registry.name("cache:1"));
    let dockerfile =
        |command: &str| format!("FROM {}\nRUN {command}\nRUN cat /f > /g\n", registry.name("base:1"));
    let context = home.context(&dockerfile("echo x > /f"), &[]);
    home.ok(&["build", "-q", "--cache-to", &cache, &context]);
    let other = Home::without_base();
    let context = other.context(&dockerfile("true; echo x > /f"), &[]);
    insta::assert_snapshot!(other.log(&["-t", "app", "--cache-from", &cache, &context]), @"
    run [2/3] RUN true; echo x > /f
    hit [3/3] RUN cat /f > /g
    ");
    assert_eq!(other.ok(&["run", "app", "cat", "/g"]), "x\n");
}

#[test]
fn only_the_target_is_in_a_small_cache_and_its_form_is_as_asked_for() {
    let warm = Warm::new();
    let context = warm.context(&warm.home, "src\n", "other\n");
    let small = warm.registry.name("small:1");
    let to = format!(
        "type=registry,ref={small},mode=min,compression=zstd,force-compression=true,oci-mediatypes=true"
    );
    warm.home.ok(&["build", "-q", "--cache-to", &to, &context]);
    let raw: Value = serde_json::from_str(&warm.registry.inspect_with_skopeo("small:1", &["--raw"])).unwrap();
    assert_eq!(raw["config"]["mediaType"], "application/vnd.buildkit.cacheconfig.v0");
    let types: Vec<_> = raw["layers"].as_array().unwrap().iter().map(|it| it["mediaType"].clone()).collect();
    // With that of the base, without which BuildKit takes none.
    assert_eq!(types, vec!["application/vnd.oci.image.layer.v1.tar+zstd"; 5]);
    let other = Home::without_base();
    let context = warm.context(&other, "src\n", "other\n");
    let log = other.log(&["-t", "app", "--cache-from", &small, &context]);
    assert!(
        log.contains("hit [stage-1 5/5]")
            && log.contains("run [build 3/3]") == log.contains("run [build 2/3]"),
        "{log}"
    );
    assert_eq!(other.ok(&["run", "app", "cat", "/both"]), "src\nother\n");
}

#[test]
fn a_cache_in_a_directory_is_an_oci_layout() {
    let home = Home::new();
    let (directory, base) = (home.path("cache"), home.path("base-image.tar"));
    home.ok(&["save", "-o", base.to_str().unwrap(), "base"]);
    let shown = directory.display();
    let context = home.context("FROM base\nRUN echo 1 > /f\nCOPY f /g\n", &[("f", "2\n")]);
    let build = |home: &Home, flags: &[&str]| home.log(&[&["-t", "app"], flags, &[&context]].concat());
    for (kind, tag) in [("local", "latest"), ("slipway", "other")] {
        let to = format!("type={kind},dest={shown},tag={tag}");
        build(&home, &["--cache-to", &to]);
        let from = format!("type={kind},src={shown},tag={tag}");
        let other = Home::without_base();
        other.ok(&["load", "-q", "-i", base.to_str().unwrap()]);
        insta::allow_duplicates! {
            insta::assert_snapshot!(sorted(&build(&other, &["--cache-from", &from])), @"
            hit [2/3] RUN echo 1 > /f
            hit [3/3] COPY f /g
            ");
        }
        assert_eq!(other.ok(&["run", "app", "cat", "/f", "/g"]), "1\n2\n");
    }
    let index: Value = serde_json::from_slice(&fs::read(directory.join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2, "both names are there: {index}");
    // Others read the layout, and see blobs that are what they should be.
    let copy = home.path("copy");
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["copy", "--insecure-policy", "-q"]).arg(format!("oci:{shown}:latest"));
    check(skopeo.arg(format!("dir:{}", copy.display())));
    let config = index["manifests"][0]["digest"].as_str().unwrap().replace("sha256:", "");
    let manifest: Value =
        serde_json::from_slice(&fs::read(directory.join("blobs/sha256").join(config)).unwrap()).unwrap();
    let config = manifest["config"]["digest"].as_str().unwrap().replace("sha256:", "");
    let config: Value =
        serde_json::from_slice(&fs::read(directory.join("blobs/sha256").join(config)).unwrap()).unwrap();
    assert!(config["records"].as_array().is_some_and(|records| !records.is_empty()), "{config}");
}

#[test]
fn two_that_write_one_cache_at_the_same_time_leave_one_that_is_whole() {
    let (home, registry) = (Home::new(), Registry::start());
    registry.push_with_skopeo(&home, "base", "base:1", &[]);
    let cache = format!("type=slipway,ref={}", registry.name("cache:1"));
    let base = registry.name("base:1");
    let dockerfile =
        |name: &str| format!("FROM {base}\nRUN echo {name} > /{name}\nRUN cat /{name} > /copy\n");
    let names = ["a", "b", "c"];
    std::thread::scope(|scope| {
        for name in names {
            let (cache, dockerfile) = (&cache, dockerfile(name));
            scope.spawn(move || {
                let home = Home::without_base();
                let context = home.context(&dockerfile, &[]);
                home.ok(&["build", "-q", "--cache-from", cache, "--cache-to", cache, &context]);
            });
        }
    });
    let mut hits = 0;
    for name in names {
        let home = Home::without_base();
        let context = home.context(&dockerfile(name), &[]);
        let log = home.log(&["-t", "app", "--cache-from", &cache, &context]);
        hits += log.matches("hit ").count();
        assert_eq!(home.ok(&["run", "app", "cat", "/copy"]), format!("{name}\n"));
    }
    assert!(hits >= 2, "at least the last writer's results are there");
    assert!(request(&registry, "GET", "/v2/cache/tags/list", "text/plain", b"").contains("\"1\""));
}

#[test]
fn an_image_can_be_the_cache_of_its_own_steps() {
    let (home, registry) = (Home::new(), Registry::start());
    registry.push_with_skopeo(&home, "base", "base:1", &[]);
    let dockerfile = format!("FROM {}\nRUN echo one > /one\nCOPY f /f\n", registry.name("base:1"));
    let context = home.context(&dockerfile, &[("f", "f\n")]);
    let name = registry.name("app:1");
    let build = || home.ok(&["build", "-q", "--push", "-t", &name, "--cache-to", "type=inline", &context]);
    let id = build();
    assert_eq!(build(), id, "it says nothing of the build that wrote it");
    let config = registry.inspect_with_skopeo("app:1", &["--config", "--raw"]);
    let config: Value = serde_json::from_str(&config).unwrap();
    assert!(config["moby.buildkit.cache.v0"].as_str().is_some_and(|text| text.len() > 100), "{config}");
    let other = Home::without_base();
    let context = other.context(&format!("{dockerfile}RUN cat /f > /g\n"), &[("f", "f\n")]);
    let log = other.log(&["-t", "app", "--cache-from", &name, &context]);
    insta::assert_snapshot!(sorted(&log), @"
    hit [2/4] RUN echo one > /one
    hit [3/4] COPY f /f
    run [4/4] RUN cat /f > /g
    ");
    assert_eq!(other.ok(&["run", "app", "cat", "/one", "/g"]), "one\nf\n");
}
