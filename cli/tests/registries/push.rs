//! `push`.

use std::process::Command;

use crate::server::{Registry, sorted};
use crate::support::{Home, check};

#[test]
fn what_we_push_skopeo_copies() {
    let (home, registry) = (Home::new(), Registry::start());
    let context = home.context("FROM base\nRUN echo 1 > /one\nCMD [\"cat\", \"/one\"]\n", &[]);
    let name = registry.name("app");
    home.ok(&["build", "-q", "-t", &name, &context]);
    insta::assert_snapshot!(sorted(&registry.settled(&home.ok(&["push", &name]))), @"
    <digest>: Preparing
    <digest>: Preparing
    <digest>: Pushed
    <digest>: Pushed
    The push refers to repository [[registry]/app]
    Using default tag: latest
    latest: digest: sha256:<digest> size: 558
    ");
    insta::assert_snapshot!(sorted(&registry.settled(&home.ok(&["push", &name]))), @"
    <digest>: Layer already exists
    <digest>: Layer already exists
    <digest>: Preparing
    <digest>: Preparing
    The push refers to repository [[registry]/app]
    Using default tag: latest
    latest: digest: sha256:<digest> size: 558
    ");
    let told = [
        "events",
        "--since",
        "0",
        "--until",
        "0s",
        "-f",
        "event=push",
        "--format",
        "{{.ID}} {{.Actor.Attributes.name}}",
    ];
    let full = format!("{name}:latest {name}\n");
    assert_eq!(home.ok(&told), full.repeat(2));
    let (layout, bundle) = (home.path("layout"), home.path("bundle"));
    let to = format!("oci:{}:latest", layout.display());
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["copy", "--insecure-policy", "-q", "--src-tls-verify=false"]);
    check(skopeo.arg(format!("docker://{name}")).arg(to));
    let image = format!("{}:latest", layout.display());
    check(Command::new("umoci").args(["unpack", "--image", &image]).arg(&bundle));
    assert_eq!(std::fs::read_to_string(bundle.join("rootfs/one")).unwrap(), "1\n");
    let other = Home::without_base();
    other.ok(&["pull", &name]);
    assert_eq!(other.ok(&["run", &name]), "1\n");
    let id = |home: &Home| home.ok(&["inspect", "--format", "{{.Id}}", &name]);
    assert_eq!(id(&other), id(&home));
}

#[test]
fn an_image_leaves_as_it_came() {
    let (home, registry) = (Home::new(), Registry::start());
    registry.push_with_skopeo(&home, "base", "base:1", &["--dest-compress-format", "zstd"]);
    let digest = |name: &str| registry.inspect_with_skopeo(name, &["--format", "{{.Digest}}"]);
    let other = Home::without_base();
    other.ok(&["pull", &registry.name("base:1")]);
    other.ok(&["tag", &registry.name("base:1"), &registry.name("copy:1")]);
    insta::assert_snapshot!(registry.settled(&other.ok(&["push", &registry.name("copy:1")])), @"
    The push refers to repository [[registry]/copy]
    <digest>: Preparing
    <digest>: Mounted from base
    1: digest: sha256:<digest> size: 405
    ");
    assert_eq!(digest("copy:1"), digest("base:1"));
}

#[test]
fn the_base_is_taken_over_and_only_what_is_new_is_sent() {
    let (home, registry) = (Home::new(), Registry::start());
    registry.push_with_skopeo(&home, "base", "base:1", &[]);
    let other = Home::without_base();
    let context = other.context(&format!("FROM {}\nRUN echo 1 > /one\n", registry.name("base:1")), &[]);
    other.ok(&["build", "-q", "-t", &registry.name("app:1"), &context]);
    insta::assert_snapshot!(sorted(&registry.settled(&other.ok(&["push", &registry.name("app:1")]))), @"
    1: digest: sha256:<digest> size: 558
    <digest>: Mounted from base
    <digest>: Preparing
    <digest>: Preparing
    <digest>: Pushed
    The push refers to repository [[registry]/app]
    ");
}

#[test]
fn the_same_image_is_the_same_manifest_everywhere() {
    let registry = Registry::start();
    let push = |name: &str| {
        let home = Home::new();
        let context = home.context("FROM base\nRUN echo 1 > /one\n", &[]);
        let mut build = home.command(&["build", "-q", "-t", &registry.name(name), &context]);
        check(build.env("SOURCE_DATE_EPOCH", "1700000000"));
        home.ok(&["push", "-q", &registry.name(name)]);
        registry.inspect_with_skopeo(name, &["--raw"])
    };
    let layers = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["layers"][1].clone();
    assert_eq!(layers(&push("a")), layers(&push("b")));
}

#[test]
fn all_tags_leave() {
    let (home, registry) = (Home::new(), Registry::start());
    for tag in ["1", "2"] {
        home.ok(&["tag", "base", &registry.name(&format!("base:{tag}"))]);
    }
    home.ok(&["push", "--all-tags", &registry.name("base")]);
    let tags = registry.inspect_with_skopeo("base:1", &["--format", "{{.RepoTags}}"]);
    assert!(["[1 2]\n", "[2 1]\n"].contains(&tags.as_str()), "{tags}");
}

#[test]
fn what_cannot_be_pushed_is_said() {
    let (home, registry) = (Home::new(), Registry::start());
    let (code, error) = home.fails(&["push", &registry.name("nothing")]);
    assert_eq!(code, 1);
    insta::assert_snapshot!(registry.settled(&error), @"ERROR: an image does not exist locally with the tag: [registry]/nothing:latest");
    let authority = registry.authority.clone();
    drop(registry);
    home.ok(&["tag", "base", &format!("{authority}/base")]);
    assert_eq!(home.fails(&["push", &format!("{authority}/base")]).0, 69);
}
