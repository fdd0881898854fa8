//! Images that are not what they say: S20 of the targets. Nothing of them becomes visible.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use serde_json::{Value, json};

use crate::server::{Registry, put};
use crate::support::{Home, check};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Puts `app:1` into the registry, its manifest and its config changed.
fn publish(home: &Home, registry: &Registry, change: impl FnOnce(&mut Value, &mut Value)) {
    let context = home.context("FROM scratch\nCOPY f /f\n", &[("f", "content")]);
    home.ok(&["build", "-q", "--push", "-t", &registry.name("app:1"), &context]);
    let read = |flags: &[&str]| -> Value {
        serde_json::from_str(&registry.inspect_with_skopeo("app:1", flags)).unwrap()
    };
    let (mut manifest, mut config) = (read(&["--raw"]), read(&["--config", "--raw"]));
    let before = config.clone();
    change(&mut manifest, &mut config);
    if config != before {
        let bytes = serde_json::to_vec(&config).unwrap();
        let digest = upload(home, registry, &bytes);
        manifest["config"]["digest"] = json!(digest);
        manifest["config"]["size"] = json!(bytes.len());
    }
    put(registry, "/v2/app/manifests/1", MANIFEST, &manifest.to_string());
}

/// Puts a blob into the registry, past all checks of ours.
fn upload(home: &Home, registry: &Registry, bytes: &[u8]) -> String {
    let path = home.path("blob");
    fs::File::create(&path).unwrap().write_all(bytes).unwrap();
    let sum = check(Command::new("sha256sum").arg(&path));
    let digest = format!("sha256:{}", sum.split(' ').next().unwrap());
    let begun = crate::server::request(registry, "POST", "/v2/app/blobs/uploads/", "text/plain", b"");
    let location = begun.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap();
    let target = location.split_once(&registry.authority).unwrap().1.trim();
    let path = format!("{target}&digest={digest}");
    let ended = crate::server::request(registry, "PUT", &path, "application/octet-stream", bytes);
    assert!(ended.starts_with("HTTP/1.1 201"), "{ended}");
    digest
}

/// The error of pulling it, where nothing is left of it.
fn refused(registry: &Registry) -> String {
    let other = Home::without_base();
    let (code, error) = other.fails(&["pull", "-q", &registry.name("app:1")]);
    assert_eq!(code, 1, "{error}");
    assert_eq!(other.ok(&["images", "-qa"]), "");
    let blobs = fs::read_dir(other.store().join("blobs/sha256")).unwrap().count();
    assert_eq!(blobs, 0, "{error}");
    assert_eq!(fs::read_dir(other.store().join("layers")).unwrap().count(), 0, "{error}");
    registry.settled(&error)
}

#[test]
fn a_layer_that_is_not_the_one_of_the_config() {
    let (home, registry) = (Home::new(), Registry::start());
    let other = format!("sha256:{}", "1".repeat(64));
    publish(&home, &registry, |_, config| config["rootfs"]["diff_ids"][0] = json!(other));
    insta::assert_snapshot!(refused(&registry), @"ERROR: layer sha256:<digest> cannot be unpacked: layer has diff id sha256:<digest>, expected sha256:<digest>");
}

#[test]
fn a_size_that_is_not_the_one_of_the_layer() {
    let (home, registry) = (Home::new(), Registry::start());
    let mut size = json!(null);
    publish(&home, &registry, |manifest, _| {
        size = std::mem::replace(&mut manifest["layers"][0]["size"], json!(7));
    });
    let error = refused(&registry).replace(&format!("has {size} bytes"), "has all bytes");
    insta::assert_snapshot!(error, @"ERROR: blob sha256:<digest> has all bytes, expected 7");
}

#[test]
fn a_config_that_is_larger_than_any() {
    let (home, registry) = (Home::new(), Registry::start());
    publish(&home, &registry, |manifest, _| manifest["config"]["size"] = json!(1_u64 << 40));
    insta::assert_snapshot!(refused(&registry), @"ERROR: blob sha256:<digest> has 1099511627776 bytes, at most 4194304 are allowed");
}

#[test]
fn more_layers_than_the_config_knows() {
    let (home, registry) = (Home::new(), Registry::start());
    publish(&home, &registry, |manifest, _| {
        let layer = manifest["layers"][0].clone();
        manifest["layers"].as_array_mut().unwrap().push(layer);
    });
    insta::assert_snapshot!(refused(&registry), @"ERROR: `[registry]/app:1` has 2 layers, its config names 1");
}

#[test]
fn an_image_for_another_system() {
    let (home, registry) = (Home::new(), Registry::start());
    publish(&home, &registry, |_, config| config["os"] = json!("windows"));
    insta::assert_snapshot!(refused(&registry), @"ERROR: `[registry]/app:1` is an image for windows, which does not run on linux");
}
