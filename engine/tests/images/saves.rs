//! `save`, read back by us and by others.

use engine::images::{find, save, tag};
use serde_json::Value;

use crate::fixture::{Fixture, NO_PROGRESS, archive_of, docker_members, full_config, run, two_layers};

fn two_images() -> Fixture {
    let fixture = Fixture::new();
    let layers = two_layers();
    fixture.load(&archive_of(&docker_members(&full_config(&layers), &layers, &["app:1"]))).unwrap();
    tag(&fixture.store, "app:1", &"app:2".parse().unwrap()).unwrap();
    fixture.import("localhost:5000/other", &[("etc/", ""), ("etc/b", "other")], &["CMD [\"/x\"]"]);
    fixture
}

fn members(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut tar = tar::Archive::new(archive);
    let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), bytes)
    };
    tar.entries().unwrap().map(read).collect()
}

#[test]
fn an_archive_is_sorted_deterministic_and_has_every_blob_once() {
    let fixture = two_images();
    let archive = fixture.save(&["app", "localhost:5000/other:latest", "app:1"]);
    assert!(archive == fixture.save(&["app", "localhost:5000/other:latest", "app:1"]));
    let members = members(&archive);
    let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    let sorted: std::collections::BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(names, sorted.into_iter().collect::<Vec<_>>());
    for (name, bytes) in &members {
        if let Some(hex) = name.strip_prefix("blobs/sha256/").filter(|hex| !hex.is_empty()) {
            assert_eq!(image::Digest::of(bytes).hex(), hex);
        }
    }
    let document = |name: &str| -> Value {
        serde_json::from_slice(&members.iter().find(|(other, _)| other == name).unwrap().1).unwrap()
    };
    insta::assert_snapshot!(
        ["index.json", "manifest.json", "oci-layout", "repositories"]
            .map(|name| format!("{name}\n{}", serde_json::to_string_pretty(&document(name)).unwrap()))
            .join("\n")
    );
}

#[test]
fn saving_and_loading_gives_the_same_images_and_the_same_archive() {
    let fixture = two_images();
    let archive = fixture.save(&["app:1", "app:2", "localhost:5000/other"]);
    let other = Fixture::new();
    let loaded = other.load(&archive).unwrap();
    let texts: Vec<String> = loaded.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        ["Loaded image: app:1", "Loaded image: app:2", "Loaded image: localhost:5000/other:latest"]
    );
    for name in ["app:1", "localhost:5000/other"] {
        assert_eq!(find(&other.store, name).unwrap(), find(&fixture.store, name).unwrap());
    }
    assert!(other.save(&["app:1", "app:2", "localhost:5000/other"]) == archive);
}

#[test]
fn an_image_saved_by_id_has_no_name() {
    let fixture = two_images();
    let id = find(&fixture.store, "app:1").unwrap();
    let archive = fixture.save(&[&id.0.hex()[..12]]);
    let other = Fixture::new();
    let loaded = other.load(&archive).unwrap();
    assert_eq!(
        loaded.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [format!("Loaded image ID: {id}")]
    );
}

#[test]
fn saving_nothing_or_what_is_not_there_is_an_error() {
    let fixture = Fixture::new();
    let error =
        |names: &[&str]| save(&fixture.store, names, &mut Vec::new(), NO_PROGRESS).unwrap_err().to_string();
    insta::assert_snapshot!(error(&[]), @"no image was named, at least one is needed");
    insta::assert_snapshot!(error(&["app"]), @"no such image: app:latest");
}

#[test]
fn skopeo_and_umoci_accept_what_is_saved() {
    let fixture = two_images();
    std::fs::write(fixture.path("app.tar"), fixture.save(&["app:1"])).unwrap();
    std::fs::write(fixture.path("both.tar"), fixture.save(&["app:1", "localhost:5000/other"])).unwrap();
    let inside = fixture.path("");
    let inspect = |image: &str| -> Value {
        serde_json::from_str(&run("skopeo", &["inspect", image], &inside)).unwrap()
    };
    let docker = inspect("docker-archive:app.tar");
    assert_eq!(docker["Labels"]["tier"], "web");
    assert_eq!(docker["Layers"].as_array().unwrap().len(), 2);
    assert_eq!(inspect("docker-archive:both.tar:localhost:5000/other:latest")["Architecture"], "amd64");
    assert_eq!(inspect("oci-archive:app.tar:1")["Env"][1], "A=b");

    run("skopeo", &["copy", "--insecure-policy", "docker-archive:app.tar", "oci:copied:x"], &inside);
    run(
        "skopeo",
        &["copy", "--insecure-policy", "oci-archive:app.tar:1", "docker-archive:again.tar:app:again"],
        &inside,
    );
    std::fs::create_dir(fixture.path("layout")).unwrap();
    run("tar", &["-xf", "app.tar", "-C", "layout"], &inside);
    run("umoci", &["unpack", "--rootless", "--image", "layout:1", "bundle"], &inside);
    assert_eq!(std::fs::read_to_string(fixture.path("bundle/rootfs/link")).unwrap(), "hello\n");

    let again = Fixture::new();
    let loaded = again.load(&std::fs::read(fixture.path("again.tar")).unwrap()).unwrap();
    assert_eq!(loaded[0].to_string(), "Loaded image: app:again");
}

#[test]
fn a_changed_layer_is_noticed_while_it_is_saved() {
    let fixture = Fixture::new();
    let id = fixture.import("app", &[("a", "right")], &[]);
    fixture.save(&["app"]);
    let layer = fixture.store.image(&id).unwrap().unwrap().layers[0];
    let path = fixture.store.layer(&layer).unwrap().unwrap().fs_path().unwrap().join("a");
    std::fs::write(path, "wrong").unwrap();
    let error = save(&fixture.store, &["app"], &mut Vec::new(), NO_PROGRESS).unwrap_err().to_string();
    assert!(error.contains("no longer has the bytes it was made with"), "{error}");
}

#[test]
fn a_full_destination_is_named_as_such() {
    struct Full(usize);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.0 < bytes.len() {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            self.0 -= bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let fixture = Fixture::new();
    fixture.import("app", &[("a", &"x".repeat(100_000))], &[]);
    let length = fixture.save(&["app"]).len();
    for room in (0..length).step_by(4999) {
        let error = save(&fixture.store, &["app"], &mut Full(room), NO_PROGRESS).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(
            (error.to_string().as_str(), cause.as_str()),
            ("cannot write the archive", "no storage space")
        );
    }
}
