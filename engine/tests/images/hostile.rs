//! Archives that are broken, or made to break something: refused with a reason, and nothing is visible.

use serde_json::{Value, json};

use crate::fixture::{
    Fixture, archive_of, chain, docker_members, full_config, oci_members, tar_of, two_layers,
};

type Members = Vec<(String, Vec<u8>)>;

/// The error of loading these members; nothing else may have happened.
fn refused(members: &Members) -> String {
    refused_bytes(&archive_of(members))
}

fn refused_bytes(archive: &[u8]) -> String {
    let fixture = Fixture::new();
    let error = chain(&fixture.load(archive).unwrap_err());
    fixture.assert_nothing_visible();
    shortened(&error)
}

/// Digests differ whenever a fixture does; twelve digits are enough to tell which one it is.
fn shortened(text: &str) -> String {
    let mut short = String::new();
    let mut digits = 0;
    for char in text.chars() {
        digits = if char.is_ascii_hexdigit() { digits + 1 } else { 0 };
        if digits <= 12 {
            short.push(char);
        }
    }
    short
}

fn docker() -> Members {
    let layers = two_layers();
    docker_members(&full_config(&layers), &layers, &["app"])
}

fn oci() -> Members {
    let layers = two_layers();
    oci_members(&full_config(&layers), &layers, Some("docker.io/library/app:1"))
}

fn edit(members: &mut Members, name: &str, change: impl FnOnce(&mut Value)) {
    let (_, bytes) = members.iter_mut().find(|(other, _)| other == name).unwrap();
    let mut value = serde_json::from_slice(bytes).unwrap();
    change(&mut value);
    *bytes = serde_json::to_vec(&value).unwrap();
}

#[test]
fn other_files_are_no_archives() {
    let layers = two_layers();
    let texts = [
        ("text", refused_bytes(b"a letter to a friend".repeat(100).as_slice())),
        ("nothing", refused_bytes(b"")),
        ("a root file system", refused_bytes(&layers[0])),
        ("short", refused_bytes(b"x")),
    ];
    insta::assert_snapshot!(texts.map(|(name, error)| format!("{name}: {error}")).join("\n"));
}

#[test]
fn every_truncation_is_noticed() {
    let members = docker();
    let archive = archive_of(&members);
    // Without the zeros behind the last member an archive is still whole.
    let last = members.last().unwrap().1.len();
    let end = archive.len() - 1024 - (last.next_multiple_of(512) - last);
    for length in (0..end).step_by(509) {
        refused_bytes(&archive[..length]);
    }
    refused_bytes(&archive[..end - 1]);
    assert!(Fixture::new().load(&archive[..end]).is_ok());
}

#[test]
fn every_changed_byte_of_a_blob_is_noticed() {
    for (members, skip) in [(docker(), 1), (oci(), 2)] {
        for at in 0..members.len() - skip {
            let mut broken = members.clone();
            let middle = broken[at].1.len() / 2;
            broken[at].1[middle] ^= 1;
            refused(&broken);
        }
    }
}

#[test]
fn manifests_that_name_what_is_not_there() {
    let mut no_layer = docker();
    no_layer.remove(1);
    let mut no_config = docker();
    no_config.remove(0);
    let mut no_blob = oci();
    no_blob.remove(2);
    let mut no_manifest = oci();
    no_manifest.remove(1);
    insta::assert_snapshot!(
        [no_layer, no_config, no_blob, no_manifest].map(|members| refused(&members)).join("\n")
    );
}

#[test]
fn names_that_lead_out_of_the_archive() {
    let outside = Fixture::new();
    std::fs::write(outside.path("secret"), "secret").unwrap();
    let secret = outside.path("secret").display().to_string();
    let climbing = format!("../../../../../../..{secret}");
    let mut errors = Vec::new();
    for path in [&secret, &climbing, "a/../../b"] {
        let mut config = docker();
        edit(&mut config, "manifest.json", |manifest| manifest[0]["Config"] = path.into());
        let mut layer = docker();
        edit(&mut layer, "manifest.json", |manifest| manifest[0]["Layers"][0] = path.into());
        errors.push(refused(&config));
        errors.push(refused(&layer));
    }
    let mut member = docker();
    member.push(("../evil".into(), b"x".to_vec()));
    errors.push(refused(&member));
    let text = errors.join("\n").replace(&secret, "SECRET");
    insta::assert_snapshot!(text);
}

#[test]
fn digests_that_are_paths() {
    let mut errors = Vec::new();
    for digest in [
        "sha256:../../../../etc/passwd",
        "sha256:",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "../../etc/passwd",
    ] {
        let mut members = oci();
        edit(&mut members, "index.json", |index| index["manifests"][0]["digest"] = digest.into());
        errors.push(refused(&members));
    }
    let layers = two_layers();
    let mut config = full_config(&layers);
    config["rootfs"]["diff_ids"][0] = "sha256:../../../etc/passwd".into();
    errors.push(refused(&docker_members(&config, &layers, &["app"])));
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn documents_that_contradict_each_other() {
    let layers = two_layers();
    let config = full_config(&layers);
    let mut errors = Vec::new();
    // Fewer layers than diff ids, and the layers in the wrong order.
    errors.push(refused(&docker_members(&config, &layers[..1], &["app"])));
    let swapped = vec![layers[1].clone(), layers[0].clone()];
    errors.push(refused(&docker_members(&config, &swapped, &["app"])));
    errors.push(refused(&oci_members(&config, &swapped, None)));
    // A descriptor with the wrong size; one that calls a manifest an index.
    let mut size = oci();
    edit(&mut size, "index.json", |index| index["manifests"][0]["size"] = 7.into());
    errors.push(refused(&size));
    let mut kind = oci();
    edit(&mut kind, "index.json", |index| {
        index["manifests"][0]["mediaType"] = "application/vnd.oci.image.index.v1+json".into();
    });
    errors.push(refused(&kind));
    let mut both = oci();
    edit(&mut both, "index.json", |index| index["layers"] = json!([]));
    errors.push(refused(&both));
    let mut twice = docker();
    twice.push(twice[0].clone());
    errors.push(refused(&twice));
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn values_that_no_image_has() {
    let layers = two_layers();
    let mut errors = Vec::new();
    let mut windows = full_config(&layers);
    windows["os"] = "windows".into();
    errors.push(refused(&docker_members(&windows, &layers, &["app"])));
    for tag in [
        "App",
        "../app",
        "sha256:abc",
        "app@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ] {
        errors.push(refused(&docker_members(&full_config(&layers), &layers, &[tag])));
    }
    for manifest in ["null", "{}", "[{}]", "[", "[{\"Config\":1}]"] {
        let mut members = docker();
        members.last_mut().unwrap().1 = manifest.as_bytes().to_vec();
        errors.push(refused(&members));
    }
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn layers_that_lead_out_of_the_image() {
    let mut layer = tar_of(&[("xx/evil", "evil")]);
    layer[..2].copy_from_slice(b"..");
    let sum: u32 = layer[..512]
        .iter()
        .enumerate()
        .map(|(i, b)| if (148..156).contains(&i) { 32 } else { u32::from(*b) })
        .sum();
    layer[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let layers = vec![layer];
    let error = refused(&docker_members(&full_config(&layers), &layers, &["app"]));
    assert!(error.starts_with("layer sha256:"), "{error}");
}

#[test]
fn tars_that_two_readers_read_differently() {
    let mut archive = archive_of(&docker());
    // A PAX header that gives the first member another size than its own header does.
    let record = b"12 size=100\n";
    let mut header = tar::Header::new_ustar();
    header.set_path("PaxHeaders/x").unwrap();
    header.set_entry_type(tar::EntryType::XHeader);
    header.set_size(record.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    let mut hostile = header.as_bytes().to_vec();
    hostile.extend_from_slice(record);
    hostile.resize(1024, 0);
    hostile.append(&mut archive);
    insta::assert_snapshot!(refused_bytes(&hostile), @"the archive is damaged at byte 1024: it has two sizes");
}

#[test]
fn bombs_are_bounded() {
    let mut header = tar::Header::new_gnu();
    header.set_path("name").unwrap();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(1 << 40);
    header.set_cksum();
    let mut errors = vec![refused_bytes(header.as_bytes())];
    let mut large = docker();
    large.last_mut().unwrap().1 = vec![b' '; 5 << 20];
    errors.push(refused(&large));
    // Links that end nowhere.
    let mut tar = tar::Builder::new(Vec::new());
    for (name, target) in [("manifest.json", "other"), ("other", "manifest.json")] {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, name, target).unwrap();
    }
    errors.push(refused_bytes(&tar.into_inner().unwrap()));
    // An index that contains itself cannot be made; a tower of them can.
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn a_tower_of_indexes_ends() {
    let members = oci();
    let index: Value = serde_json::from_slice(&members.last().unwrap().1).unwrap();
    let mut descriptor = index["manifests"][0].clone();
    let mut members: Members = members[..members.len() - 1].to_vec();
    for _ in 0..8 {
        let inner = serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": [descriptor]})).unwrap();
        let digest = image::Digest::of(&inner);
        descriptor = json!({"mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest.to_string(), "size": inner.len()});
        members.push((format!("blobs/sha256/{}", digest.hex()), inner));
    }
    members.push((
        "index.json".into(),
        serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": [descriptor]})).unwrap(),
    ));
    insta::assert_snapshot!(refused(&members), @"the archive has more than 4 indexes within indexes");
}

#[test]
fn nothing_of_two_images_is_visible_when_one_is_broken() {
    let layers = two_layers();
    let good = docker_members(&full_config(&layers), &layers, &["good"]);
    let mut config = full_config(&layers);
    config["rootfs"]["diff_ids"][1] = image::Digest::of(b"other").to_string().into();
    let bad = docker_members(&config, &layers, &["bad"]);
    let item = |members: &Members| -> Value {
        serde_json::from_slice::<Value>(&members.last().unwrap().1).unwrap()[0].clone()
    };
    let mut members = good[..good.len() - 1].to_vec();
    members.push(bad[0].clone());
    members.push(("manifest.json".into(), serde_json::to_vec(&json!([item(&good), item(&bad)])).unwrap()));
    assert!(refused(&members).starts_with("layer sha256:"));
}

#[test]
fn random_damage_is_refused_or_harmless() {
    let members = oci();
    let archive = archive_of(&members);
    let right = Fixture::new().load(&archive).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let fixture = Fixture::new();
    for _ in 0..400 {
        let mut damaged = archive.clone();
        for _ in 0..=next(3) {
            let at = next(damaged.len());
            damaged[at] = u8::try_from(next(256)).unwrap();
        }
        // Modes and times in headers, or the bytes behind a member, mean nothing; everything else does.
        if let Ok(loaded) = fixture.load(&damaged) {
            let id = |loaded: &engine::images::Loaded| match loaded {
                engine::images::Loaded::Reference { id, .. } | engine::images::Loaded::Id(id) => *id,
            };
            assert_eq!(id(&loaded[0]), id(&right[0]));
        }
    }
}

#[test]
fn an_archive_cannot_take_away_a_blob_of_somebody_else() {
    let fixture = Fixture::new();
    let id = fixture.import("mine", &[("a", "1")], &[]);
    let config = fixture.store.read_blob(&image::BlobDigest(id.0), 1 << 20).unwrap().unwrap();
    // The config of the other image in the place of a layer.
    let layers = vec![config];
    fixture.load(&archive_of(&docker_members(&full_config(&layers), &layers, &["app"]))).unwrap_err();
    assert!(fixture.store.read_blob(&image::BlobDigest(id.0), 1 << 20).unwrap().is_some());
}
