//! Layers and their tars.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use cache::{Store, StoreError};
use image::{BlobDigest, DiffId, Digest};

use crate::support::{Fixture, layer, names};

/// A tar as GNU tar writes it, which is not how we write it.
fn foreign_tar(fixture: &Fixture) -> Vec<u8> {
    let tree = fixture.path("tree");
    fs::create_dir_all(tree.join("dir")).unwrap();
    fs::write(tree.join("dir/file"), "content").unwrap();
    let output = Command::new("tar").args(["-c", "--format=gnu", "-C"]).arg(&tree).arg(".").output().unwrap();
    assert!(output.status.success());
    output.stdout
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn diff_id(tar: &[u8]) -> DiffId {
    DiffId(Digest::of(tar))
}

fn tar_of(layer: &cache::Layer, clamp: Option<i64>) -> Vec<u8> {
    let mut tar = Vec::new();
    layer.write_tar(&mut tar, clamp).unwrap();
    tar
}

#[test]
fn facts_are_learned_once() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let layer = layer(&store, "file", "content");
    let plain = layer.diff_id(None).unwrap();
    let clamped = layer.diff_id(Some(1_000)).unwrap();
    assert_ne!(plain, clamped);
    assert_eq!(plain, diff_id(&tar_of(&layer, None)));
    assert_eq!(clamped, diff_id(&tar_of(&layer, Some(1_000))));
    let content = layer.content_digest().unwrap();
    assert_eq!(layer.size_bytes().unwrap(), 7);
    // Without the file there is nothing to compute them from.
    fs::remove_file(layer.fs_path().unwrap().join("file")).unwrap();
    let again = fixture.open().layer(&layer.id()).unwrap().unwrap();
    assert_eq!(again.diff_id(None).unwrap(), plain);
    assert_eq!(again.diff_id(Some(1_000)).unwrap(), clamped);
    assert_eq!(again.content_digest().unwrap(), content);
    assert_eq!(again.size_bytes().unwrap(), 7);
    assert_eq!(fixture.open().layer_by_diff_id(&plain).unwrap().unwrap().id(), layer.id());
    assert!(fixture.open().layer_by_diff_id(&clamped).unwrap().is_none());
}

#[test]
fn facts_learned_alone_and_together_are_the_same() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let (one, other) = (layer(&store, "file", "content"), layer(&store, "file", "content"));
    let (size, content) = (one.size_bytes().unwrap(), one.content_digest().unwrap());
    one.diff_id(Some(0)).unwrap();
    other.diff_id(Some(0)).unwrap();
    assert_eq!((other.size_bytes().unwrap(), other.content_digest().unwrap()), (size, content));
    assert_eq!(one.diff_id(Some(0)).unwrap(), other.diff_id(Some(0)).unwrap());
}

#[test]
fn a_layer_of_ours_has_the_diff_id_of_our_tar() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let tar = foreign_tar(&fixture);
    let (layer, id) = store.unpack_layer(&mut &gzip(&tar)[..], None).unwrap();
    assert_eq!(fs::read_to_string(layer.fs_path().unwrap().join("dir/file")).unwrap(), "content");
    assert_eq!(diff_id(&tar_of(&layer, None)), id);
    let (again, _) = store.unpack_layer(&mut &tar[..], None).unwrap();
    assert_eq!(again.id(), layer.id(), "the same content is the same layer");
    assert_eq!(layer.size_bytes().unwrap(), 7);
}

#[test]
fn a_foreign_layer_keeps_its_bytes() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let tar = foreign_tar(&fixture);
    let blob = store.put_blob(&gzip(&tar)).unwrap();
    let layer = store.unpack_blob(&blob, diff_id(&tar)).unwrap();
    assert_eq!(layer.diff_id(None).unwrap(), diff_id(&tar));
    assert_eq!(layer.diff_id(Some(0)).unwrap(), diff_id(&tar), "whatever the clamp is");
    assert_eq!(tar_of(&layer, Some(0)), tar);
    assert_eq!(layer.kept_blob().unwrap(), Some(blob));
    assert_eq!(store.unpack_blob(&blob, diff_id(&tar)).unwrap().id(), layer.id());

    store.remove_blob(&blob).unwrap();
    let lost = layer.write_tar(&mut std::io::sink(), None);
    assert!(matches!(lost, Err(StoreError::WrongDiffId { .. })), "{lost:?}");
    let gone = store.unpack_blob(&blob, diff_id(&tar));
    assert!(matches!(gone, Err(StoreError::NoBlob { .. })));
}

#[test]
fn our_own_tar_comes_back_as_the_same_layer() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let own = layer(&store, "file", "content");
    let tar = tar_of(&own, None);
    let other = Store::open(&fixture.path("other")).unwrap();
    let (copy, _) = other.unpack_layer(&mut &tar[..], Some(diff_id(&tar))).unwrap();
    assert_eq!(tar_of(&copy, None), tar, "no blob is needed");
    own.diff_id(None).unwrap();
    let (known, _) = store.unpack_layer(&mut &tar[..], Some(diff_id(&tar))).unwrap();
    assert_eq!(known.id(), own.id());
}

#[test]
fn a_wrong_tar_leaves_nothing() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let tar = foreign_tar(&fixture);
    let wrong = DiffId(Digest::of(b"other"));
    let unpack = |bytes: &[u8]| store.unpack_layer(&mut &*bytes, Some(wrong)).map(|_| ());
    assert!(matches!(unpack(&tar), Err(StoreError::WrongDiffId { .. })));
    assert!(matches!(unpack(&tar[..700]), Err(StoreError::Apply(_))));
    // Trailing bytes belong to the tar: they are hashed, not ignored.
    let longer = [tar.as_slice(), &[0; 512]].concat();
    let result = store.unpack_layer(&mut &longer[..], Some(diff_id(&tar)));
    assert!(matches!(result, Err(StoreError::WrongDiffId { .. })));
    assert!(names(&fixture.root().join("layers")).is_empty());
    assert!(names(&fixture.root().join("diff-ids")).is_empty());
    let session = fixture.root().join("staging").join(&names(&fixture.root().join("staging"))[0]);
    assert_eq!(names(&session), [""; 0]);
    let nothing = store.open_blob(&BlobDigest(Digest::of(b"")));
    assert!(nothing.unwrap().is_none());
}
