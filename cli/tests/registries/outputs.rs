//! `build --push` and outputs that go to a registry.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::server::Registry;
use crate::support::Home;

fn context(home: &Home) -> String {
    home.context("FROM base\nRUN echo 1 > /one\n", &[])
}

fn manifest(registry: &Registry, name: &str) -> Value {
    serde_json::from_str(&registry.inspect_with_skopeo(name, &["--raw"])).unwrap()
}

#[test]
fn build_pushes_what_it_built() {
    let (home, registry) = (Home::new(), Registry::start());
    let (context, name) = (context(&home), registry.name("app:1"));
    let metadata = home.path("metadata.json");
    home.ok(&["build", "-q", "--push", "-t", &name, "--metadata-file", metadata.to_str().unwrap(), &context]);
    let other = Home::without_base();
    assert_eq!(other.ok(&["run", "-q", &name, "cat", "/one"]), "1\n");
    let told: BTreeMap<String, Value> =
        serde_json::from_str(&std::fs::read_to_string(metadata).unwrap()).unwrap();
    let digest = registry.inspect_with_skopeo("app:1", &["--format", "{{.Digest}}"]);
    assert_eq!(told["containerimage.digest"], digest.trim());
    assert_eq!(told["containerimage.descriptor"]["digest"], digest.trim());
    assert_eq!(told["image.name"], name.as_str());
    assert_eq!(
        told["containerimage.config.digest"],
        home.ok(&["inspect", "--format", "{{.Id}}", &name]).trim()
    );
    let (code, error) = home.fails(&["build", "-q", "--push", &context]);
    assert_eq!(code, 1);
    insta::assert_snapshot!(error, @"
    ERROR: tag is needed when pushing to registry
    hint: name the image with `--tag NAME`
    ");
}

#[test]
fn outputs_say_the_form_in_the_registry() {
    let (home, registry) = (Home::new(), Registry::start());
    let context = context(&home);
    let push = |name: &str, attributes: &str| {
        let output = format!("type=registry,name={},{attributes}", registry.name(name));
        home.ok(&["build", "-q", "-o", &output, &context]);
        manifest(&registry, name)
    };
    let zstd = push("zstd", "compression=zstd,compression-level=5,annotation.org.example.a=b");
    assert_eq!(zstd["layers"][1]["mediaType"], "application/vnd.oci.image.layer.v1.tar+zstd");
    assert_eq!(zstd["annotations"]["org.example.a"], "b");
    let docker = push("docker", "oci-mediatypes=false");
    assert_eq!(docker["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    assert_eq!(docker["layers"][1]["mediaType"], "application/vnd.docker.image.rootfs.diff.tar.gzip");
    let plain = push("plain", "compression=uncompressed");
    assert_eq!(plain["layers"][1]["mediaType"], "application/vnd.oci.image.layer.v1.tar");
    for name in ["zstd", "docker", "plain"] {
        let other = Home::without_base();
        assert_eq!(other.ok(&["run", "-q", &registry.name(name), "cat", "/one"]), "1\n");
    }
}

#[test]
fn several_outputs_at_once() {
    let (home, registry) = (Home::new(), Registry::start());
    let (context, name) = (context(&home), registry.name("app:1"));
    let image = format!("type=image,name={name},push=true");
    let layout = home.path("layout");
    let oci = format!("type=oci,dest={},tar=false", layout.display());
    let archive = home.path("app.tar");
    let docker = format!("type=docker,dest={},name=other:2", archive.display());
    home.ok(&["build", "-q", "-t", "app:3", "-o", &image, "-o", &oci, "-o", &docker, &context]);
    assert!(layout.join("oci-layout").is_file() && layout.join("index.json").is_file());
    let other = Home::without_base();
    assert_eq!(other.ok(&["load", "-q", "-i", archive.to_str().unwrap()]), "Loaded image: other:2\n");
    assert_eq!(other.ok(&["run", "-q", &name, "cat", "/one"]), "1\n");
    let id = |home: &Home, name: &str| home.ok(&["inspect", "--format", "{{.Id}}", name]);
    assert_eq!(id(&other, "other:2"), id(&home, "app:3"));
    assert_eq!(id(&home, &name), id(&home, "app:3"));
}

#[test]
fn a_push_by_digest_gives_no_tag() {
    let (home, registry) = (Home::new(), Registry::start());
    let (context, metadata) = (context(&home), home.path("metadata.json"));
    let output = format!("type=image,name={},push-by-digest=true,push=true", registry.name("app"));
    home.ok(&["build", "-q", "-o", &output, "--metadata-file", metadata.to_str().unwrap(), &context]);
    let told: Value = serde_json::from_str(&std::fs::read_to_string(metadata).unwrap()).unwrap();
    let digest = told["containerimage.digest"].as_str().unwrap();
    let other = Home::without_base();
    other.ok(&["pull", "-q", &format!("{}@{digest}", registry.name("app"))]);
    assert_eq!(other.fails(&["pull", "-q", &registry.name("app")]).0, 1);
}

#[test]
fn cache_only_leaves_no_name_and_times_need_an_epoch() {
    let home = Home::new();
    let context = context(&home);
    home.ok(&["build", "-q", "-t", "app", "-o", "type=cacheonly", &context]);
    assert_eq!(home.fails(&["inspect", "app"]).0, 1);
    let images = || home.ok(&["images", "-aq", "--no-trunc"]);
    let base = images();
    assert_eq!(base.lines().count(), 1, "nor an image without one");
    let log = home.log(&["-t", "app", &context]);
    assert!(log.starts_with("hit "), "{log}");
    // Neither does an archive, and what has a name stays.
    let named = images();
    let tar = format!("type=tar,dest={}", home.path("files.tar").display());
    home.ok(&["build", "-q", "-o", &tar, &context]);
    assert_eq!(images(), named);
    home.ok(&["rmi", "app"]);
    home.ok(&["build", "-q", "-o", &tar, &context]);
    assert_eq!(images(), base);
    let output = format!("type=oci,rewrite-timestamp=true,dest={}", home.path("x.tar").display());
    let (code, error) = home.fails(&["build", "-q", "-o", &output, &context]);
    assert_eq!(code, 1);
    insta::assert_snapshot!(error, @"ERROR: rewrite-timestamp=true needs SOURCE_DATE_EPOCH, which is not set");
}
