//! Archives of every kind that people have.

use std::io::Write as _;

use engine::images::{Source, find, inspect, load};
use serde_json::json;

use crate::fixture::{
    Fixture, NO_PROGRESS, archive_of, chain, docker_members, full_config, oci_members, run, tar_of,
    two_layers,
};

/// Compresses with a program of the host.
fn compress(fixture: &Fixture, program: &str, bytes: &[u8]) -> Vec<u8> {
    std::fs::write(fixture.path("plain"), bytes).unwrap();
    run("sh", &["-c", &format!("{program} -c plain > packed")], &fixture.path(""));
    std::fs::read(fixture.path("packed")).unwrap()
}

fn texts(fixture: &Fixture, archive: &[u8]) -> Vec<String> {
    match fixture.load(archive) {
        Ok(loaded) => loaded.iter().map(ToString::to_string).collect(),
        Err(error) => vec![chain(&error)],
    }
}

#[test]
fn old_docker_archives_with_linked_layers() {
    let fixture = Fixture::new();
    let layers = two_layers();
    // The same layer twice, the second time as a link: what Docker wrote before version 1.10 and after it.
    let mut twice = full_config(&layers);
    let first = twice["rootfs"]["diff_ids"][0].clone();
    twice["rootfs"]["diff_ids"][1] = first;
    let members = docker_members(&twice, &layers, &["app"]);
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in &members {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        if name.starts_with("0") && name.contains("1/layer.tar") {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            let parent = members[1].0.clone();
            tar.append_link(&mut header, name, format!("../{parent}")).unwrap();
        } else {
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, name, &bytes[..]).unwrap();
        }
    }
    assert_eq!(texts(&fixture, &tar.into_inner().unwrap()), ["Loaded image: app:latest"]);
    let image = fixture.store.image(&find(&fixture.store, "app").unwrap()).unwrap().unwrap();
    assert_eq!(image.layers[0], image.layers[1]);
}

#[test]
fn the_id_is_that_of_the_config_in_the_archive() {
    let fixture = Fixture::new();
    let layers = two_layers();
    let members = docker_members(&full_config(&layers), &layers, &["app"]);
    fixture.load(&archive_of(&members)).unwrap();
    assert_eq!(format!("{}.json", find(&fixture.store, "app").unwrap().0.hex()), members[0].0);
}

#[test]
fn whole_archives_in_every_compression() {
    let layers = two_layers();
    let archive = archive_of(&docker_members(&full_config(&layers), &layers, &["app"]));
    for program in ["gzip", "zstd", "xz", "bzip2"] {
        let fixture = Fixture::new();
        let packed = compress(&fixture, program, &archive);
        assert_eq!(texts(&fixture, &packed), ["Loaded image: app:latest"], "{program}");
    }
}

#[test]
fn layers_in_every_compression() {
    let layers = two_layers();
    let config = full_config(&layers);
    for program in ["gzip", "zstd", "xz", "bzip2"] {
        let fixture = Fixture::new();
        let packed: Vec<Vec<u8>> = layers.iter().map(|layer| compress(&fixture, program, layer)).collect();
        let docker = archive_of(&docker_members(&config, &packed, &["docker"]));
        assert_eq!(texts(&fixture, &docker), ["Loaded image: docker:latest"], "{program}");
        let oci = Fixture::new();
        let archive = archive_of(&oci_members(&config, &packed, Some("docker.io/library/oci:1")));
        assert_eq!(texts(&oci, &archive), ["Loaded image: oci:1"], "{program}");
    }
}

#[test]
fn a_file_is_read_in_place_and_a_pipe_is_not() {
    let layers = two_layers();
    let archive = archive_of(&docker_members(&full_config(&layers), &layers, &["app"]));
    let fixture = Fixture::new();
    std::fs::write(fixture.path("app.tar"), &archive).unwrap();
    let source = Source::File(std::fs::File::open(fixture.path("app.tar")).unwrap());
    assert_eq!(load(&fixture.store, source, NO_PROGRESS).unwrap()[0].to_string(), "Loaded image: app:latest");

    let other = Fixture::new();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(&archive));
    let source = Source::File(std::fs::File::from(std::os::fd::OwnedFd::from(reader)));
    assert_eq!(load(&other.store, source, NO_PROGRESS).unwrap()[0].to_string(), "Loaded image: app:latest");
    writing.join().unwrap().unwrap();
}

#[test]
fn a_name_moves_to_the_loaded_image() {
    let fixture = Fixture::new();
    let old = fixture.import("app", &[("a", "1")], &[]);
    let layers = two_layers();
    let loaded =
        fixture.load(&archive_of(&docker_members(&full_config(&layers), &layers, &["app"]))).unwrap();
    let engine::images::Loaded::Reference { replaced, id, .. } = &loaded[0] else { panic!("{loaded:?}") };
    assert_eq!(*replaced, Some(old));
    assert_eq!(find(&fixture.store, "app").unwrap(), *id);
}

#[test]
fn oci_layouts_of_skopeo_and_their_names() {
    let fixture = Fixture::new();
    let layers = two_layers();
    let archive = archive_of(&docker_members(&full_config(&layers), &layers, &["app:1"]));
    std::fs::write(fixture.path("docker.tar"), archive).unwrap();
    let inside = fixture.path("");
    run(
        "skopeo",
        &["copy", "--insecure-policy", "docker-archive:docker.tar", "oci-archive:named.tar:quay.io/a/b:1"],
        &inside,
    );
    run(
        "skopeo",
        &["copy", "--insecure-policy", "docker-archive:docker.tar", "oci-archive:tagged.tar:1"],
        &inside,
    );
    let named = std::fs::read(fixture.path("named.tar")).unwrap();
    assert_eq!(texts(&fixture, &named), ["Loaded image: quay.io/a/b:1"]);
    let tagged = std::fs::read(fixture.path("tagged.tar")).unwrap();
    let id = find(&fixture.store, "quay.io/a/b:1").unwrap();
    assert_eq!(texts(&fixture, &tagged), [format!("Loaded image ID: {id}")]);
}

#[test]
fn a_layer_that_others_wrote_leaves_as_it_came() {
    let fixture = Fixture::new();
    // GNU tar's own form: user names, another order, times of its own.
    std::fs::create_dir_all(fixture.path("files/z/y")).unwrap();
    std::fs::write(fixture.path("files/z/y/x"), "text").unwrap();
    std::fs::write(fixture.path("files/a"), "text").unwrap();
    run("tar", &["--format=gnu", "-cf", "layer.tar", "-C", "files", "z", "a", "."], &fixture.path(""));
    let layers = vec![std::fs::read(fixture.path("layer.tar")).unwrap()];
    let mut config = full_config(&layers);
    config["history"] = json!([]);
    fixture.load(&archive_of(&docker_members(&config, &layers, &["app"]))).unwrap();
    let archive = fixture.save(&["app"]);
    let other = Fixture::new();
    assert_eq!(texts(&other, &archive), ["Loaded image: app:latest"]);
    assert_eq!(
        inspect(&other.store, "app").unwrap().root_fs.layers,
        [image::Digest::of(&layers[0]).to_string()]
    );
}

#[test]
fn of_an_image_for_many_platforms_it_is_ours() {
    let fixture = Fixture::new();
    let layers = vec![tar_of(&[("a", "1")])];
    let mut members = Vec::new();
    let mut manifests = Vec::new();
    for architecture in ["s390x", "amd64", "arm64"] {
        let mut config = full_config(&layers);
        config["architecture"] = architecture.into();
        config["history"] = json!([]);
        let own = oci_members(&config, &layers, None);
        let index: serde_json::Value = serde_json::from_slice(&own.last().unwrap().1).unwrap();
        let mut manifest = index["manifests"][0].clone();
        manifest["platform"] = json!({"os": "linux", "architecture": architecture});
        manifests.push(manifest);
        members.extend(own.into_iter().filter(|(name, _)| name.starts_with("blobs")));
    }
    // What BuildKit puts beside images: a description that is none.
    let mut attestation = manifests[0].clone();
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    attestation["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    manifests.insert(0, attestation);
    let inner = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests});
    let inner = serde_json::to_vec(&inner).unwrap();
    let digest = image::Digest::of(&inner);
    let outer = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest.to_string(), "size": inner.len(),
        "annotations": {"io.containerd.image.name": "docker.io/library/many:1"},
    }]});
    members.push((format!("blobs/sha256/{}", digest.hex()), inner));
    members.push(("index.json".into(), serde_json::to_vec(&outer).unwrap()));
    members.sort();
    members.dedup();
    assert_eq!(texts(&fixture, &archive_of(&members)), ["Loaded image: many:1"]);
    let host = image::Platform::host();
    assert_eq!(inspect(&fixture.store, "many:1").unwrap().architecture, host.architecture);
}
