//! `--output` in its four forms.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;

use engine::images::{
    Annotation, AnnotationLevel, Annotations, ArchiveKind, Compression, Existing, ImageError, ImageForm,
    LayerForm, MediaTypes, OnProgress, export, export_archive, find,
};
use engine::{Archive, ArchivePlace, Destination, Output};
use image::ImageId;

use crate::fixture::{EPOCH, Fixture, NO_PROGRESS, archive_of, docker_members, full_config, run, tar_of};

/// An image whose second layer replaces and removes files of the first.
fn layered(fixture: &Fixture) -> ImageId {
    let layers = vec![
        tar_of(&[
            ("etc/", ""),
            ("etc/a", "old"),
            ("etc/gone", "x"),
            ("bin/", ""),
            ("bin/sh", &"shell".repeat(1000)),
        ]),
        tar_of(&[("etc/a", "new"), ("etc/.wh.gone", ""), ("link", "-> /etc/a")]),
    ];
    fixture.load(&archive_of(&docker_members(&full_config(&layers), &layers, &["app:1"]))).unwrap();
    find(&fixture.store, "app:1").unwrap()
}

fn export_to(fixture: &Fixture, id: &ImageId, output: &Output) -> Result<(), String> {
    let references = ["docker.io/library/app:1".parse().unwrap()];
    export(&fixture.store, &(*id).into(), &references, output, NO_PROGRESS)
        .map_err(|error| crate::fixture::chain(&error))
}

fn file(path: PathBuf) -> Destination {
    Destination::File(path)
}

fn archive(path: PathBuf) -> Archive {
    Archive::from(file(path))
}

fn export_oci(
    store: &cache::Store,
    id: &ImageId,
    to: &mut Vec<u8>,
    on_progress: OnProgress<'_>,
) -> Result<(), ImageError> {
    export_archive(store, &(*id).into(), &[], ArchiveKind::Oci, &ImageForm::default(), to, on_progress)
        .map(drop)
}

#[test]
fn an_oci_export_is_what_others_read_and_the_same_each_time() {
    let fixture = Fixture::new();
    let id = layered(&fixture);
    export_to(&fixture, &id, &Output::Oci(archive(fixture.path("one.tar")))).unwrap();
    export_to(&fixture, &id, &Output::Oci(archive(fixture.path("two.tar")))).unwrap();
    let one = fs::read(fixture.path("one.tar")).unwrap();
    assert!(one == fs::read(fixture.path("two.tar")).unwrap());
    let inside = fixture.path("");
    let manifest = run("skopeo", &["inspect", "--raw", "oci-archive:one.tar:1"], &inside);
    assert_eq!(manifest.matches("application/vnd.oci.image.layer.v1.tar+gzip").count(), 2, "{manifest}");
    run("skopeo", &["copy", "--insecure-policy", "oci-archive:one.tar:1", "oci:layout:x"], &inside);
    run("umoci", &["unpack", "--rootless", "--image", "layout:x", "bundle"], &inside);
    assert_eq!(fs::read_to_string(fixture.path("bundle/rootfs/etc/a")).unwrap(), "new");
    assert!(!fixture.path("bundle/rootfs/etc/gone").exists());
    let loaded = Fixture::new().load(&one).unwrap();
    assert_eq!(loaded[0].to_string(), "Loaded image: app:1");
}

#[test]
fn a_layer_is_compressed_once() {
    let fixture = Fixture::new();
    let id = layered(&fixture);
    let seen = std::sync::Mutex::new(Vec::new());
    let on_progress = |part: &str, _: u64, _: Option<u64>| seen.lock().unwrap().push(part.to_owned());
    export_oci(&fixture.store, &id, &mut Vec::new(), &on_progress).unwrap();
    assert!(!seen.lock().unwrap().is_empty());
    seen.lock().unwrap().clear();
    export_oci(&fixture.store, &id, &mut Vec::new(), &on_progress).unwrap();
    assert_eq!(*seen.lock().unwrap(), [""; 0]);
}

#[test]
fn a_damaged_compressed_layer_is_noticed_and_made_again() {
    let fixture = Fixture::new();
    let id = fixture.import("app", &[("a", &"text".repeat(1000))], &[]);
    let mut right = Vec::new();
    export_oci(&fixture.store, &id, &mut right, NO_PROGRESS).unwrap();
    let blobs = fixture.store.root().join("blobs/sha256");
    for entry in fs::read_dir(blobs).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            fs::write(path, bytes).unwrap();
        }
    }
    let error = export_oci(&fixture.store, &id, &mut Vec::new(), NO_PROGRESS).unwrap_err().to_string();
    assert!(error.starts_with("content has digest sha256:"), "{error}");
    let mut again = Vec::new();
    export_oci(&fixture.store, &id, &mut again, NO_PROGRESS).unwrap();
    assert!(again == right);
}

#[test]
fn a_docker_export_is_a_docker_archive() {
    let fixture = Fixture::new();
    let id = layered(&fixture);
    export_to(&fixture, &id, &Output::Docker(archive(fixture.path("app.tar")))).unwrap();
    let text = run("skopeo", &["inspect", "docker-archive:app.tar:app:1"], &fixture.path(""));
    assert!(text.contains("\"tier\": \"web\""), "{text}");
    assert!(fs::read(fixture.path("app.tar")).unwrap() == fixture.save(&["app:1"]));
}

#[test]
fn a_tar_export_is_the_merged_files() {
    let fixture = Fixture::new();
    let id = layered(&fixture);
    export_to(&fixture, &id, &Output::Tar(file(fixture.path("files.tar")).into())).unwrap();
    let list = run("tar", &["-tvf", "files.tar", "--full-time", "--utc"], &fixture.path(""));
    let names: Vec<&str> = list.lines().map(|line| line.split_whitespace().last().unwrap()).collect();
    assert_eq!(names, ["bin/", "bin/sh", "etc/", "etc/a", "/etc/a"]);
    assert_eq!(run("tar", &["-xOf", "files.tar", "etc/a"], &fixture.path("")), "new");
}

#[test]
fn a_directory_export_is_the_merged_files() {
    let fixture = Fixture::new();
    let id = layered(&fixture);
    let to = fixture.path("out/deep");
    export_to(&fixture, &id, &Output::Local(to.clone().into())).unwrap();
    assert_eq!(fs::read_to_string(to.join("etc/a")).unwrap(), "new");
    assert!(!to.join("etc/gone").exists());
    assert_eq!(fs::read_link(to.join("link")).unwrap(), PathBuf::from("/etc/a"));
    let metadata = fs::metadata(to.join("etc/a")).unwrap();
    assert_eq!((metadata.permissions().mode() & 0o7777, metadata.mtime()), (0o644, EPOCH));
    assert_eq!(fs::metadata(to.join("etc")).unwrap().mtime(), EPOCH);

    // Again, on top of what is there: new contents take the place of old ones, other files stay.
    fs::write(to.join("etc/a"), "mine").unwrap();
    fs::write(to.join("etc/b"), "mine").unwrap();
    export_to(&fixture, &id, &Output::Local(to.clone().into())).unwrap();
    assert_eq!(fs::read_to_string(to.join("etc/a")).unwrap(), "new");
    assert_eq!(fs::read_to_string(to.join("etc/b")).unwrap(), "mine");
}

#[test]
fn a_directory_export_never_leaves_the_directory() {
    let fixture = Fixture::new();
    let id = layered(&fixture);
    let (to, outside) = (fixture.path("out"), fixture.path("outside"));
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("a"), "untouched").unwrap();
    fs::create_dir(&to).unwrap();
    symlink(&outside, to.join("etc")).unwrap();
    let error = export_to(&fixture, &id, &Output::Local(to.clone().into())).unwrap_err();
    assert!(error.starts_with(&format!("cannot write `{}`", to.join("etc").display())), "{error}");
    assert_eq!(fs::read_to_string(outside.join("a")).unwrap(), "untouched");

    // A link in the place of a file is replaced, not followed.
    fs::remove_file(to.join("etc")).unwrap();
    fs::create_dir(to.join("etc")).unwrap();
    symlink(outside.join("a"), to.join("etc/a")).unwrap();
    export_to(&fixture, &id, &Output::Local(to.clone().into())).unwrap();
    assert_eq!(fs::read_to_string(outside.join("a")).unwrap(), "untouched");
    assert!(fs::symlink_metadata(to.join("etc/a")).unwrap().is_file());
}

#[test]
fn a_file_appears_whole_or_not_at_all() {
    let fixture = Fixture::new();
    let id = fixture.import("app:1", &[("a", "hello")], &[]);
    let path = fixture.path("out/app.tar");
    let error = export_to(&fixture, &id, &Output::Docker(archive(path.clone()))).unwrap_err();
    assert!(error.starts_with(&format!("cannot write `{}`", path.display())), "{error}");

    fs::create_dir(fixture.path("out")).unwrap();
    fs::write(&path, "old").unwrap();
    let layer = fixture.store.image(&id).unwrap().unwrap().layers[0];
    let inside = fixture.store.layer(&layer).unwrap().unwrap().fs_path().unwrap().join("a");
    fs::write(&inside, "other").unwrap();
    export_to(&fixture, &id, &Output::Docker(archive(path.clone()))).unwrap_err();
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(fs::read_dir(fixture.path("out")).unwrap().count(), 1);
}

#[test]
fn a_file_that_is_not_complete_has_no_name() {
    let fixture = Fixture::new();
    let id = fixture.import("app:1", &[("a", "hello")], &[]);
    let directory = fixture.path("out");
    fs::create_dir(&directory).unwrap();
    let most = std::sync::atomic::AtomicUsize::new(0);
    let on_progress = |_: &str, _: u64, _: Option<u64>| {
        let count = fs::read_dir(&directory).unwrap().count();
        most.fetch_max(count + 1, std::sync::atomic::Ordering::Relaxed);
    };
    let output = Output::Docker(archive(directory.join("app.tar")));
    export(&fixture.store, &id.into(), &[], &output, &on_progress).unwrap();
    assert_eq!(most.into_inner(), 1, "progress was told, and there was no file then");
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
}

#[test]
fn pipes_and_devices_are_written_to_and_links_stay() {
    let fixture = Fixture::new();
    let id = fixture.import("app", &[("a", "1")], &[]);
    export_to(&fixture, &id, &Output::Docker(archive("/dev/null".into()))).unwrap();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    fs::write(fixture.path("target"), "old").unwrap();
    symlink("target", fixture.path("link")).unwrap();
    export_to(&fixture, &id, &Output::Tar(file(fixture.path("link")).into())).unwrap();
    assert!(fs::symlink_metadata(fixture.path("link")).unwrap().is_symlink());
    assert_eq!(run("tar", &["-tf", "target"], &fixture.path("")), "a\n");
    let mode = fs::metadata(fixture.path("target")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode & 0o600, 0o600);
}

/// The manifest of an image in this form, in an OCI layout of files.
fn manifest_in(fixture: &Fixture, id: &ImageId, form: ImageForm) -> String {
    let has_oci_types = form.media_types == MediaTypes::Oci;
    let to = ArchivePlace::Directory(fixture.path("layout"));
    export_to(fixture, id, &Output::Oci(Archive { to, names: Vec::new(), form })).unwrap();
    if has_oci_types {
        // Everything that skopeo copies it verifies; in a layout it looks for OCI's types alone.
        run("skopeo", &["copy", "-q", "--insecure-policy", "oci:layout:1", "dir:copy"], &fixture.path(""));
        fs::remove_dir_all(fixture.path("copy")).unwrap();
    }
    let read = |name: &str| fs::read_to_string(fixture.path("layout").join(name)).unwrap();
    let index: serde_json::Value = serde_json::from_str(&read("index.json")).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap().replace(':', "/");
    let raw = read(&format!("blobs/{digest}"));
    fs::remove_dir_all(fixture.path("layout")).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_str(&raw).unwrap();
    let mut parts = vec![manifest["config"].take()];
    parts.extend(manifest["layers"].take().as_array().unwrap().clone());
    let types: Vec<_> = parts.iter().map(|part| part["mediaType"].as_str().unwrap().to_owned()).collect();
    format!("{}\n{}\n{}", manifest["mediaType"], types.join("\n"), manifest["annotations"])
}

#[test]
fn images_leave_in_the_form_that_is_asked_for() {
    let fixture = Fixture::new();
    let id = fixture.import("app", &[("a", &"text".repeat(1000))], &[]);
    let layers = |compression| LayerForm { compression: Some(compression), existing: Existing::Keep };
    let annotations = Annotations(vec![Annotation {
        level: AnnotationLevel::Manifest,
        platform: None,
        key: "org.example.key".to_owned(),
        value: "value".to_owned(),
    }]);
    let zstd = ImageForm {
        layers: layers(Compression::Zstd { level: Some(9) }),
        annotations,
        ..ImageForm::default()
    };
    insta::assert_snapshot!(manifest_in(&fixture, &id, zstd), @r#"
    "application/vnd.oci.image.manifest.v1+json"
    application/vnd.oci.image.config.v1+json
    application/vnd.oci.image.layer.v1.tar+zstd
    {"org.example.key":"value"}
    "#);
    let plain = ImageForm { layers: layers(Compression::None), ..ImageForm::default() };
    insta::assert_snapshot!(manifest_in(&fixture, &id, plain), @r#"
    "application/vnd.oci.image.manifest.v1+json"
    application/vnd.oci.image.config.v1+json
    application/vnd.oci.image.layer.v1.tar
    null
    "#);
    let docker = ImageForm {
        layers: layers(Compression::Gzip { level: Some(1) }),
        media_types: MediaTypes::Docker,
        ..ImageForm::default()
    };
    insta::assert_snapshot!(manifest_in(&fixture, &id, docker), @r#"
    "application/vnd.docker.distribution.manifest.v2+json"
    application/vnd.docker.container.image.v1+json
    application/vnd.docker.image.rootfs.diff.tar.gzip
    null
    "#);
}

#[test]
fn layers_that_came_compressed_are_compressed_anew_only_when_told() {
    let fixture = Fixture::new();
    let id = layered(&fixture);
    let mut gzipped = Vec::new();
    export_oci(&fixture.store, &id, &mut gzipped, NO_PROGRESS).unwrap();
    let other = Fixture::new();
    other.load(&gzipped).unwrap();
    for (existing, expected) in [(Existing::Keep, 2), (Existing::Recompress, 0)] {
        let layers = LayerForm { compression: Some(Compression::Zstd { level: None }), existing };
        let form = ImageForm { layers, ..ImageForm::default() };
        assert_eq!(manifest_in(&other, &id, form).matches("tar+gzip").count(), expected);
    }
}
