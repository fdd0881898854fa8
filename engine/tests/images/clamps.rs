//! Images whose own layers have clamped times, on layers that have not.

use std::fs;
use std::time::{Duration, SystemTime};

use cache::{Layer, StoredImage};
use engine::images::{find, save};
use image::{Digest, ImageConfig, ImageId, RootFs, canonical_json};

use crate::fixture::{EPOCH, Fixture, NO_PROGRESS};

/// A layer of one file with a time after the clamp.
fn late_layer(fixture: &Fixture, name: &str) -> Layer {
    let active = fixture.store.begin_layer().unwrap();
    let path = active.fs_path().join(name);
    fs::write(&path, name).unwrap();
    let late = SystemTime::UNIX_EPOCH + Duration::from_secs(EPOCH as u64 + 1000);
    fs::File::options().write(true).open(&path).unwrap().set_modified(late).unwrap();
    active.commit().unwrap()
}

/// As a build with SOURCE_DATE_EPOCH leaves it: the base keeps its diff id, the new layer has a clamped one.
fn clamped_image(fixture: &Fixture) -> ImageId {
    let (base, own) = (late_layer(fixture, "base"), late_layer(fixture, "own"));
    let mut config = ImageConfig::empty(&"linux/amd64".parse().unwrap());
    let diff_ids = vec![base.diff_id(None).unwrap(), own.diff_id(Some(EPOCH)).unwrap()];
    assert_ne!(own.diff_id(None).unwrap(), diff_ids[1]);
    config.rootfs = RootFs { diff_ids, ..RootFs::default() };
    let bytes = canonical_json(&config);
    fixture.store.put_blob(&bytes).unwrap();
    let id = ImageId(Digest::of(&bytes));
    fixture
        .store
        .put_image(&StoredImage {
            id,
            manifest: None,
            layers: vec![base.id(), own.id()],
            clamp_mtime: Some(EPOCH),
            created_unix_s: EPOCH,
            size_bytes: 7,
            labels: Default::default(),
        })
        .unwrap();
    fixture.store.tag(&"app".parse().unwrap(), &id).unwrap();
    id
}

#[test]
fn each_layer_leaves_with_the_times_of_its_diff_id() {
    let fixture = Fixture::new();
    let id = clamped_image(&fixture);
    let archive = fixture.save(&["app"]);
    let other = Fixture::new();
    other.load(&archive).unwrap();
    assert_eq!(find(&other.store, "app").unwrap(), id);
    assert!(other.save(&["app"]) == archive);
}

#[test]
fn a_config_that_names_other_layers_is_damage() {
    let fixture = Fixture::new();
    let id = clamped_image(&fixture);
    let image = fixture.store.image(&id).unwrap().unwrap();
    fixture.store.remove_image(&id).unwrap();
    let error = |layers: Vec<cache::LayerId>| {
        fixture.store.put_image(&StoredImage { layers, ..image.clone() }).unwrap();
        let error = save(&fixture.store, &["app"], &mut Vec::new(), NO_PROGRESS).unwrap_err().to_string();
        fixture.store.remove_image(&id).unwrap();
        error
    };
    let one = error(vec![image.layers[0]]);
    assert!(one.contains("it has 1 layers, its config names 2"), "{one}");
    let swapped = error(vec![image.layers[1], image.layers[0]]);
    assert!(swapped.contains("no longer has the bytes it was made with"), "{swapped}");
}
