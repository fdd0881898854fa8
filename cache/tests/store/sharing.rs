//! Several openings of one store, blobs, images, tags, and stores that are not ours.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use cache::{Store, StoreError};
use image::{BlobDigest, Digest, ImageId};

use crate::support::{Fixture, image, key, layer, look_at_all, names, put_all, record, reference};

#[test]
fn one_opening_sees_at_once_what_another_has_published() {
    let fixture = Fixture::new();
    let (one, other) = (fixture.open(), fixture.open());
    assert!(look_at_all(&other, "a").unwrap().is_empty());
    put_all(&one, "a").unwrap();
    insta::assert_debug_snapshot!(look_at_all(&other, "a").unwrap(), @r#"
        [
            "blob",
            "diff id",
            "image",
            "record",
            "tag",
        ]
        "#);
    assert_eq!(names(&fixture.root().join("durable")).len(), 1);
}

#[test]
fn an_active_layer_is_private_until_it_is_committed() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let active = store.begin_layer().unwrap();
    let (id, path) = (active.id(), active.fs_path());
    assert!(fixture.open().layer(&id).unwrap().is_none());
    drop(active);
    assert!(!path.exists());
    let active = store.begin_layer().unwrap();
    let (id, work) = (active.id(), active.work_path().unwrap());
    fs::create_dir(work.join("work")).unwrap();
    let layer = active.commit().unwrap();
    assert!(fixture.open().layer(&id).unwrap().unwrap().is_empty().unwrap());
    assert!(layer.fs_path().unwrap().ends_with(format!("layers/{id}/fs")));
}

#[test]
fn work_directories_are_left_to_a_sweep_unless_there_are_many() {
    let fixture = Fixture::new();
    let staging = fixture.root().join("staging");
    let store = fixture.open();
    let dead = || names(&staging).iter().filter(|name| name.starts_with(".dead-")).count();
    let mut seen = Vec::new();
    for _ in 0..100 {
        let active = store.begin_layer().unwrap();
        fs::create_dir(active.work_path().unwrap().join("work")).unwrap();
        active.commit().unwrap();
        seen.push(dead());
    }
    assert_eq!((seen[0], seen[63], seen[99]), (1, 64, 64));
    assert!(!store.is_sweep_due());
    drop(store);
    assert_eq!((names(&staging).len(), dead()), (64, 64));
    let stopped = fixture.open().sweep_staging(&AtomicBool::new(true)).unwrap();
    assert_eq!((stopped.removed, stopped.left, names(&staging).len()), (0, 64, 64));
    let swept = fixture.open().sweep_staging(&AtomicBool::new(false)).unwrap();
    assert_eq!((swept.removed, swept.left, names(&staging).len()), (64, 0, 0));
}

#[test]
fn a_work_directory_that_is_empty_is_not_left() {
    let fixture = Fixture::new();
    let store = fixture.open();
    assert!(!store.may_need_sweep());
    let active = store.begin_layer().unwrap();
    active.work_path().unwrap();
    active.commit().unwrap();
    assert!(!store.may_need_sweep());
    assert_eq!(names(&fixture.root().join("staging")).len(), 1);
    let active = store.begin_layer().unwrap();
    fs::create_dir(active.work_path().unwrap().join("work")).unwrap();
    active.commit().unwrap();
    assert!(store.may_need_sweep());
}

#[test]
fn a_sweep_is_due_when_there_is_a_lot() {
    let fixture = Fixture::new();
    for _ in 0..2 {
        let store = fixture.open();
        assert!(!store.is_sweep_due());
        for _ in 0..64 {
            let active = store.begin_layer().unwrap();
            fs::create_dir(active.work_path().unwrap().join("work")).unwrap();
        }
    }
    assert!(fixture.open().is_sweep_due());
}

#[test]
fn sessions_hand_their_directory_on() {
    let fixture = Fixture::new();
    let (spare, staging) = (fixture.root().join("spare"), fixture.root().join("staging"));
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let handed_on = |_: i32| {
        drop(fixture.open().begin_layer().unwrap());
        // One in 32 is not kept.
        if !spare.exists() {
            return false;
        }
        let kept = inode(&spare);
        let _active = fixture.open().begin_layer().unwrap();
        assert!(!spare.exists());
        inode(&staging.join(&names(&staging)[0])) == kept
    };
    assert!((0..20).any(handed_on));
    // What somebody has left there stays no obstacle.
    fs::create_dir_all(spare.join("left/over")).unwrap();
    drop(fixture.open().begin_layer().unwrap());
    assert!(names(&staging).is_empty());
}

#[test]
fn the_staging_directory_ends_with_its_owner() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let active = store.begin_layer().unwrap();
    drop(store);
    assert_eq!(names(&fixture.root().join("staging")).len(), 1, "the layer still needs it");
    drop(active);
    assert!(names(&fixture.root().join("staging")).is_empty());
}

#[test]
fn a_sweep_leaves_what_has_an_owner() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let active = store.begin_layer().unwrap();
    let dead = fixture.root().join("staging/0123456789abcdef");
    fs::create_dir_all(dead.join("x/fs/deep")).unwrap();
    fs::create_dir(fixture.root().join("staging/empty")).unwrap();
    let swept = fixture.open().sweep_staging(&AtomicBool::new(false)).unwrap();
    assert_eq!((swept.removed, swept.in_use, swept.left), (2, 1, 0));
    assert!(active.fs_path().exists() && !dead.exists());
    assert_eq!(store.sweep_staging(&AtomicBool::new(false)).unwrap().in_use, 1, "its own");
}

#[test]
fn sweeps_do_not_disturb_those_who_start() {
    let fixture = Fixture::new();
    drop(fixture.open());
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    assert_eq!(fixture.open().sweep_staging(&AtomicBool::new(false)).unwrap().left, 0);
                }
            });
        }
        let writers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..200 {
                        layer(&fixture.open(), "file", "x");
                    }
                })
            })
            .collect();
        let results: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(results.iter().all(Result::is_ok));
    });
    assert_eq!(names(&fixture.root().join("layers")).len(), 600);
    fixture.open().sweep_staging(&AtomicBool::new(false)).unwrap();
    assert!(names(&fixture.root().join("staging")).is_empty());
}

#[test]
fn a_blob_is_kept_once_and_verified() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let digest = store.put_blob(b"content").unwrap();
    let path = fixture.root().join("blobs/sha256").join(digest.0.hex());
    let before = fs::metadata(&path).unwrap();
    fixture.open().put_blob(b"content").unwrap();
    use std::os::unix::fs::MetadataExt as _;
    assert_eq!(fs::metadata(&path).unwrap().ino(), before.ino(), "nothing was written");

    fs::write(&path, "contents").unwrap();
    assert_eq!(store.read_blob(&digest, 100).unwrap(), None);
    assert!(!path.exists(), "a damaged blob is removed");
    store.put_blob(b"content").unwrap();
    fs::write(&path, "").unwrap();
    store.put_blob(b"content").unwrap();
    assert_eq!(store.read_blob(&digest, 100).unwrap().as_deref(), Some(&b"content"[..]));
    assert!(matches!(store.read_blob(&digest, 6), Err(StoreError::TooLarge { size_bytes_max: 6 })));
}

#[test]
fn an_incoming_blob_is_what_was_promised_or_nothing() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let digest = BlobDigest(Digest::of(b"content"));
    let put = |mut bytes: &[u8], size, max| {
        let result = store.put_blob_from(&mut bytes, Some((digest, size)), max);
        result.map(|(_, size)| size).map_err(|error| error.to_string())
    };
    insta::assert_debug_snapshot!(
        [put(b"contend", 7, 100), put(b"conten", 7, 100), put(b"content!", 7, 100), put(b"content", 7, 6)],
        @r#"
        [
            Err(
                "content has digest sha256:51ef2ad77766cb6e735b373cf7cdfad2edb13201fc39cf9af92c1bfe78047ad1, expected sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73",
            ),
            Err(
                "content has 6 bytes, expected 7",
            ),
            Err(
                "content has 8 bytes, expected 7",
            ),
            Err(
                "content is larger than 6 bytes",
            ),
        ]
        "#
    );
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the line is cut"))
        }
    }
    let broken = store.put_blob_from(&mut b"abc".chain(Broken), None, 100);
    assert!(matches!(broken, Err(StoreError::Input { .. })));
    assert!(names(&fixture.root().join("blobs/sha256")).is_empty());
    assert_eq!(put(b"content", 7, 7), Ok(7));
    let large = vec![7; 3_000_000];
    let (digest, size) = store.put_blob_from(&mut &large[..], None, u64::MAX).unwrap();
    assert_eq!((digest, size), (BlobDigest(Digest::of(&large)), 3_000_000));
    let session = fixture.root().join("staging").join(&names(&fixture.root().join("staging"))[0]);
    assert_eq!(names(&session), [""; 0], "no staged file is left");
}

#[test]
fn a_record_points_at_layers_that_are_there() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let kept = layer(&store, "file", "a");
    let gone = layer(&store, "file", "b");
    store.put_record(&record("a", &[kept.id(), gone.id()])).unwrap();
    fs::remove_dir_all(gone.fs_path().unwrap().parent().unwrap()).unwrap();
    let fresh = fixture.open();
    assert_eq!(fresh.record(&key("a")).unwrap(), None);
    assert!(matches!(fresh.put_record(&record("b", &[gone.id()])), Err(StoreError::NoLayer { .. })));
    let config = fresh.put_blob(b"config").unwrap();
    assert!(matches!(fresh.put_image(&image(config, &[gone.id()])), Err(StoreError::NoLayer { .. })));
    fresh.put_record(&record("a", &[kept.id()])).unwrap();
    assert!(fresh.record(&key("a")).unwrap().is_some(), "a later record takes the place of an earlier one");
    assert!(fresh.remove_record(&key("a")).unwrap());
    assert_eq!(store.record(&key("a")).unwrap(), None);
}

#[test]
fn tags_move_and_follow_their_images() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let put = |config: &[u8]| {
        let config = store.put_blob(config).unwrap();
        store.put_image(&image(config, &[])).unwrap();
        ImageId(config.0)
    };
    let (one, two) = (put(b"one"), put(b"two"));
    assert_eq!(store.tag(&reference("app"), &one).unwrap(), None);
    assert_eq!(store.tag(&reference("docker.io/library/app:latest"), &two).unwrap(), Some(one));
    store.tag(&reference("b:1"), &one).unwrap();
    store.tag(&reference("localhost:5000/c"), &two).unwrap();
    let tags: Vec<String> = store
        .tags()
        .unwrap()
        .into_iter()
        .map(|(reference, id)| format!("{} {}", reference.familiar(), if id == one { "one" } else { "two" }))
        .collect();
    insta::assert_debug_snapshot!(tags, @r#"
        [
            "app:latest two",
            "b:1 one",
            "localhost:5000/c:latest two",
        ]
        "#);

    let hex = one.0.hex();
    assert_eq!(store.find_images(&hex[..12]).unwrap(), [one]);
    assert_eq!(store.find_images("").unwrap().len(), 2);
    assert!(store.find_images("../").unwrap().is_empty());

    assert!(store.remove_image(&two).unwrap());
    assert!(!store.remove_image(&two).unwrap());
    assert_eq!(store.resolve(&reference("app")).unwrap(), None, "its image is gone");
    assert_eq!(store.untag(&reference("b:1")).unwrap(), Some(one));
    assert_eq!(store.untag(&reference("b:1")).unwrap(), None);
    assert!(store.tags().unwrap().is_empty());
}

#[test]
fn an_image_that_is_there_stays_as_it_is() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let config = store.put_blob(b"config").unwrap();
    let first = image(config, &[layer(&store, "file", "a").id()]);
    store.put_image(&first).unwrap();
    store.make_durable().unwrap();
    let again = image(config, &[layer(&store, "file", "a").id()]);
    fixture.open().put_image(&again).unwrap();
    assert_eq!(store.image(&first.id).unwrap(), Some(first.clone()));
    fs::remove_dir_all(store.layer(&first.layers[0]).unwrap().unwrap().fs_path().unwrap()).unwrap();
    fixture.open().put_image(&again).unwrap();
    assert_eq!(fixture.open().image(&first.id).unwrap(), Some(again), "one that is not whole is replaced");
}

#[test]
fn nothing_published_is_nothing_synced() {
    let fixture = Fixture::new();
    let store = fixture.open();
    store.make_durable().unwrap();
    assert!(names(&fixture.root().join("durable")).is_empty());
    assert!(names(&fixture.root().join("staging")).is_empty(), "reading needs no staging directory");
    put_all(&store, "a").unwrap();
    let marker = fixture.root().join("durable").join(&names(&fixture.root().join("durable"))[0]);
    let before = fs::metadata(&marker).unwrap().modified().unwrap();
    store.make_durable().unwrap();
    assert_eq!(fs::metadata(&marker).unwrap().modified().unwrap(), before);
    // Doing the same once more finds everything there.
    let other = fixture.open();
    other.put_blob(b"a").unwrap();
    other.tag(&reference("a"), &ImageId(Digest::of(b"a"))).unwrap();
    other.put_image(&other.image(&ImageId(Digest::of(b"a"))).unwrap().unwrap()).unwrap();
    other.make_durable().unwrap();
    assert_eq!(names(&fixture.root().join("durable")).len(), 1);
}

#[test]
fn directories_that_are_not_ours_are_left_alone() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.root()).unwrap();
    fs::write(fixture.root().join("thesis.tex"), "").unwrap();
    let error = Store::open(&fixture.root()).unwrap_err();
    assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
    assert_eq!(names(&fixture.root()), ["thesis.tex"]);
    let file = fixture.path("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(Store::open(&file), Err(StoreError::Read { .. })));
    let created = Store::open(&fixture.path("a/b/c")).unwrap();
    assert_eq!(created.root(), fixture.path("a/b/c"));
}

#[test]
fn a_newer_store_is_refused_and_not_touched() {
    let fixture = Fixture::new();
    drop(fixture.open());
    fs::write(fixture.root().join("format"), "slipway-store 2\n").unwrap();
    let before = names(&fixture.root());
    let error = Store::open(&fixture.root()).unwrap_err().to_string();
    let error = error.replace(fixture.root().to_str().unwrap(), "ROOT");
    insta::assert_snapshot!(error, @"the store `ROOT` has format 2, this slipway knows formats up to 1; use a newer slipway, or another store with --root");
    assert_eq!(names(&fixture.root()), before);
    fs::write(fixture.root().join("format"), "other 1\n").unwrap();
    assert!(matches!(Store::open(&fixture.root()), Err(StoreError::Read { .. })));
}

#[test]
fn any_number_of_processes_may_create_a_store_at_once() {
    let fixture = Fixture::new();
    std::thread::scope(|scope| {
        let openings: Vec<_> = (0..16).map(|_| scope.spawn(|| Store::open(&fixture.root()))).collect();
        for opening in openings {
            opening.join().unwrap().unwrap();
        }
    });
    put_all(&fixture.open(), "a").unwrap();
    assert!(!names(&fixture.root()).iter().any(|name| name.starts_with('.')));
}

#[test]
fn usage_adds_up_what_is_there() {
    let fixture = Fixture::new();
    let store = fixture.open();
    assert_eq!(store.usage().unwrap(), cache::Usage::default());
    put_all(&store, "a").unwrap();
    put_all(&store, "bb").unwrap();
    layer(&store, "file", "ccc");
    let usage = fixture.open().usage().unwrap();
    assert_eq!(usage.layers, cache::Amount { count: 3, size_bytes: 6 });
    assert_eq!(usage.blobs, cache::Amount { count: 2, size_bytes: 3 });
    assert_eq!((usage.records.count, usage.images, usage.contexts.count), (2, 2, 0));
    assert!(usage.records.size_bytes > 100);
}
