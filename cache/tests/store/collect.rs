//! What a collection removes, and what it leaves alone.

use std::fs::File;
use std::time::{Duration, SystemTime};

use cache::{Beginning, PruneOptions, Record, Sharing, Store, UsageKind};
use image::{DiffId, Digest, ImageId};

use crate::support::{Fixture, image, key, layer, names, record};

const EVERYTHING: PruneOptions = PruneOptions {
    until_age_s: None,
    max_used_bytes: None,
    reserved_bytes: None,
    min_free_bytes: None,
    ids: Vec::new(),
    kinds: Vec::new(),
    all: false,
};

/// Says that a record was used so many hours ago.
fn used(fixture: &Fixture, name: &str, hours: u64) {
    let hex = key(name).to_string();
    let path = fixture.root().join("records").join(&hex[..2]).join(hex);
    let time = SystemTime::now() - Duration::from_secs(hours * 3600);
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

fn hours_since_use(fixture: &Fixture, name: &str) -> u64 {
    let hex = key(name).to_string();
    let path = fixture.root().join("records").join(&hex[..2]).join(hex);
    let used = path.metadata().unwrap().modified().unwrap();
    used.elapsed().unwrap_or_default().as_secs() / 3600
}

/// Records `a`, `b` and `c`, each with a layer of 10 bytes of its own, used 3, 2 and 1 hours ago; the layer of
/// `c` stands on that of `b`.
fn three_records(fixture: &Fixture) {
    let store = fixture.open();
    let [a, b, c] = ["a", "b", "c"].map(|name| layer(&store, name, "0123456789").id());
    store.put_record(&record("a", &[a])).unwrap();
    store.put_record(&record("b", &[b])).unwrap();
    store.put_record(&record("c", &[b, c])).unwrap();
    for (name, hours) in [("a", 3), ("b", 2), ("c", 1)] {
        used(fixture, name, hours);
    }
}

/// Which records are hits in a new opening, which looks and forgets.
fn hits(fixture: &Fixture) -> String {
    let store = fixture.open();
    ["a", "b", "c", "d"].iter().filter(|name| store.record(&key(name)).unwrap().is_some()).copied().collect()
}

fn layers(fixture: &Fixture) -> usize {
    names(&fixture.root().join("layers")).len()
}

#[test]
fn everything_goes_that_nobody_uses() {
    let fixture = Fixture::new();
    three_records(&fixture);
    let store = fixture.open();
    let pruned = store.prune(&EVERYTHING).unwrap();
    assert_eq!(pruned.ids.len(), 3);
    assert!(pruned.bytes >= 30);
    assert_eq!((hits(&fixture).as_str(), layers(&fixture)), ("", 0));
    assert_eq!(store.prune(&EVERYTHING).unwrap(), cache::Pruned::default());
}

#[test]
fn images_keep_their_layers_and_blobs_and_nothing_else() {
    let fixture = Fixture::new();
    three_records(&fixture);
    let store = fixture.open();
    let layers_of_b = store.record(&key("b")).unwrap().unwrap().layers;
    let config = store.put_blob(b"config").unwrap();
    let orphan = store.put_blob(b"nobody's").unwrap();
    store.put_image(&image(config, &layers_of_b)).unwrap();
    drop(store);
    let store = fixture.open();
    let pruned = store.prune(&EVERYTHING).unwrap();
    assert!(pruned.ids.contains(&orphan.0.to_string()));
    assert_eq!((hits(&fixture).as_str(), layers(&fixture)), ("b", 1));
    assert_eq!(store.images().unwrap().len(), 1);
    assert!(store.open_blob(&config).unwrap().is_some());
    assert!(store.open_blob(&orphan).unwrap().is_none());
    drop(store);
    // All: the record as well, which frees only itself.
    fixture.open().prune(&PruneOptions { all: true, ..EVERYTHING }).unwrap();
    assert_eq!((hits(&fixture).as_str(), layers(&fixture)), ("", 1));
    // Without the image nobody has the layer.
    let store = fixture.open();
    store.remove_image(&ImageId(config.0)).unwrap();
    drop(store);
    fixture.open().prune(&EVERYTHING).unwrap();
    assert_eq!(layers(&fixture), 0);
    assert!(fixture.open().open_blob(&config).unwrap().is_none());
}

#[test]
fn what_was_found_stays_until_its_finder_is_gone() {
    let fixture = Fixture::new();
    three_records(&fixture);
    let build = fixture.open();
    assert!(build.record(&key("c")).unwrap().is_some());
    // From now on the build is known to use that, and only that.
    let active = build.begin_layer().unwrap();
    fixture.open().prune(&PruneOptions { all: true, ..EVERYTHING }).unwrap();
    assert_eq!((hits(&fixture).as_str(), layers(&fixture)), ("bc", 2));
    // What it makes is not collected before it is named either.
    let made = active.commit().unwrap();
    fixture.open().prune(&EVERYTHING).unwrap();
    assert!(made.open().is_ok());
    build.put_record(&record("d", &[made.id()])).unwrap();
    drop((build, made));
    assert_eq!(hits(&fixture), "bcd");
    fixture.open().prune(&EVERYTHING).unwrap();
    assert_eq!((hits(&fixture).as_str(), layers(&fixture)), ("", 0));
}

#[test]
fn who_only_looks_is_waited_for() {
    let fixture = Fixture::new();
    three_records(&fixture);
    let looking = fixture.open();
    assert!(looking.record(&key("a")).unwrap().is_some());
    let pruning = std::thread::spawn({
        let store = fixture.open();
        move || store.prune(&EVERYTHING).unwrap()
    });
    std::thread::sleep(Duration::from_millis(30));
    assert!(!pruning.is_finished(), "it could be about to use anything");
    drop(looking);
    assert_eq!(pruning.join().unwrap().ids.len(), 3);
}

#[test]
fn the_least_recently_used_goes_first() {
    let fixture = Fixture::new();
    three_records(&fixture);
    let store = fixture.open();
    let total: u64 = {
        let detail = store.usage_detail().unwrap();
        detail.items.iter().map(|item| item.size_bytes).sum()
    };
    assert_eq!(total, 30);
    let keep = |bytes| PruneOptions { max_used_bytes: Some(bytes), ..EVERYTHING };
    store.prune(&keep(30)).unwrap();
    assert_eq!(hits(&fixture), "abc");
    store.prune(&keep(29)).unwrap();
    assert_eq!(hits(&fixture), "bc", "a was used three hours ago");
    store.prune(&keep(10)).unwrap();
    assert_eq!((hits(&fixture).as_str(), layers(&fixture)), ("b", 1), "c stands on b");
    store.prune(&PruneOptions { reserved_bytes: Some(10), ..EVERYTHING }).unwrap();
    assert_eq!(hits(&fixture), "b");
    store.prune(&keep(9)).unwrap();
    assert_eq!((hits(&fixture).as_str(), layers(&fixture)), ("", 0));
}

#[test]
fn filters_choose() {
    let fixture = Fixture::new();
    three_records(&fixture);
    let store = fixture.open();
    store.prune(&PruneOptions { kinds: vec![UsageKind::CacheMount], ..EVERYTHING }).unwrap();
    assert_eq!(hits(&fixture), "abc");
    store.prune(&PruneOptions { until_age_s: Some(9000), ..EVERYTHING }).unwrap();
    assert_eq!(hits(&fixture), "bc");
    let b = fixture.open().record(&key("b")).unwrap().unwrap().layers[0].to_string();
    let pruned = store.prune(&PruneOptions { ids: vec![b[..12].to_owned()], ..EVERYTHING }).unwrap();
    assert_eq!(pruned.ids.len(), 2, "what stands on it goes along");
    assert_eq!((hits(&fixture).as_str(), layers(&fixture)), ("", 0));
}

#[test]
fn a_use_is_noted_at_most_once_an_hour() {
    let fixture = Fixture::new();
    three_records(&fixture);
    let store = fixture.open();
    assert!(store.record(&key("a")).unwrap().is_some());
    assert!(store.record(&key("c")).unwrap().is_some());
    assert_eq!(store.note_uses().unwrap(), 2);
    assert_eq!((hours_since_use(&fixture, "a"), hours_since_use(&fixture, "c")), (0, 0));
    assert_eq!(hours_since_use(&fixture, "b"), 2);
    assert_eq!(store.note_uses().unwrap(), 0, "each is noted once");
    // A build that was all hits looks at its target alone.
    used(&fixture, "a", 5);
    let store = fixture.open();
    store.record(&key("a")).unwrap().unwrap();
    store.record(&key("c")).unwrap().unwrap();
    assert_eq!(store.note_uses().unwrap(), 0);
    // One that wrote something looks at all.
    let store = fixture.open();
    store.record(&key("a")).unwrap().unwrap();
    store.record(&key("c")).unwrap().unwrap();
    store.put_record(&record("d", &[])).unwrap();
    assert_eq!(store.note_uses().unwrap(), 1);
}

#[test]
fn kept_blobs_go_with_the_records_that_name_them() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let blob = store.put_blob(b"a compressed layer").unwrap();
    let note = Record { content: Some(blob.0), ..record("a", &[]) };
    store.put_record(&note).unwrap();
    assert_eq!(store.usage_detail().unwrap().kept_blobs.size_bytes, 18);
    drop(store);
    let old = PruneOptions { until_age_s: Some(60), ..EVERYTHING };
    fixture.open().prune(&old).unwrap();
    assert!(fixture.open().open_blob(&blob).unwrap().is_some());
    used(&fixture, "a", 1);
    let pruned = fixture.open().prune(&old).unwrap();
    assert!(pruned.bytes > 18);
    assert!(fixture.open().open_blob(&blob).unwrap().is_none());
}

#[test]
fn a_cache_mount_in_use_stays() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let take =
        |store: &Store| store.try_cache_mount("id", Sharing::Shared, &Beginning::default()).unwrap().unwrap();
    let mount = take(&store);
    let file = mount.path().join("file");
    std::fs::write(&file, "12345").unwrap();
    fixture.open().prune(&EVERYTHING).unwrap();
    assert!(file.exists());
    drop(mount);
    let pruned = fixture.open().prune(&EVERYTHING).unwrap();
    assert_eq!(pruned.bytes, 5);
    assert!(!file.exists());
    assert!(take(&store).path().exists(), "it begins anew");
}

#[test]
fn files_of_clients_are_counted_and_go_when_nobody_uses_them() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let place = |number: &str| fixture.root().join("clients/00ff").join(number);
    for number in ["0", "1"] {
        std::fs::create_dir_all(place(number).join("files/deep")).unwrap();
        std::fs::write(place(number).join("files/deep/file"), "0123456789").unwrap();
        std::fs::write(place(number).join("lock"), "").unwrap();
    }
    let items = store.usage_detail().unwrap().items;
    let sizes: Vec<_> = items.iter().map(|item| (item.kind, item.id.as_str(), item.size_bytes)).collect();
    let expected = ["00ff/0", "00ff/1"].map(|id| (UsageKind::Context, id, 10));
    assert_eq!(sizes.iter().collect::<std::collections::BTreeSet<_>>(), expected.iter().collect());
    let used = File::open(place("1").join("lock")).unwrap();
    rustix::fs::flock(&used, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert_eq!(
        store.prune(&EVERYTHING).unwrap(),
        cache::Pruned { ids: vec!["00ff/0".to_owned()], bytes: 10 }
    );
    assert!(!place("0").join("files").exists() && place("0").join("lock").exists());
    assert!(place("1").join("files/deep/file").exists());
    drop(used);
    assert_eq!(store.prune(&EVERYTHING).unwrap().ids, ["00ff/1"]);
}

#[test]
fn what_is_no_use_goes_whatever_the_limits() {
    let fixture = Fixture::new();
    three_records(&fixture);
    let root = fixture.root();
    let hex = key("a").to_string();
    std::fs::write(root.join("records").join(&hex[..2]).join(&hex), "damaged").unwrap();
    std::fs::create_dir(root.join("layers/0123456789abcdef0123456789abcdef")).unwrap();
    let store = fixture.open();
    let layer = layer(&store, "x", "x");
    let diff_id: DiffId = layer.diff_id(None).unwrap();
    drop((layer, store));
    fixture.open().prune(&PruneOptions { max_used_bytes: Some(1 << 30), ..EVERYTHING }).unwrap();
    assert_eq!((hits(&fixture).as_str(), layers(&fixture)), ("bc", 2));
    assert!(fixture.open().layer_by_diff_id(&diff_id).unwrap().is_none());
    assert!(names(&root.join("diff-ids")).is_empty());
}

#[test]
fn usage_is_told_one_by_one() {
    let fixture = Fixture::new();
    three_records(&fixture);
    let store = fixture.open();
    let layers = store.record(&key("c")).unwrap().unwrap().layers;
    let config = store.put_blob(b"config").unwrap();
    store.put_image(&image(config, &layers[..1])).unwrap();
    let detail = fixture.open().usage_detail().unwrap();
    let item = |id: &cache::LayerId| {
        let item = detail.items.iter().find(|item| item.id == id.to_string()).unwrap();
        (item.images, item.records, item.parent, item.description.clone(), item.created_unix_s)
    };
    assert_eq!(item(&layers[0]), (1, 2, None, "b".to_owned(), Some(0)));
    assert_eq!(item(&layers[1]), (0, 1, Some(layers[0]), "c".to_owned(), Some(0)));
    assert_eq!((detail.images, detail.records.count, detail.blobs.size_bytes), (1, 3, 6));
    assert_eq!(Digest::of(b"config"), config.0);
}

/// Open file description locks on a file that the kernel tells of, see proc(5).
fn locks_on(path: &std::path::Path) -> usize {
    let inode = format!(":{} ", std::os::unix::fs::MetadataExt::ino(&path.metadata().unwrap()));
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    locks.lines().filter(|line| line.contains("OFDLCK") && line.contains(&inode)).count()
}

#[test]
fn a_store_with_many_records_is_collected_in_batches() {
    let fixture = Fixture::new();
    let (count, store) = (1_200, fixture.open());
    let base = layer(&store, "base", "base").id();
    for number in 0..count {
        let id = store.begin_layer().unwrap().commit().unwrap().id();
        store.put_record(&record(&format!("n{number}"), &[base, id])).unwrap();
    }
    drop(store);
    let leases = fixture.root().join("locks/leases");
    let collecting = std::thread::spawn({
        let store = fixture.open();
        move || store.prune(&EVERYTHING).unwrap()
    });
    let mut most = 0;
    while !collecting.is_finished() {
        most = most.max(locks_on(&leases));
    }
    assert_eq!(collecting.join().unwrap().ids.len(), count + 1);
    assert_eq!(layers(&fixture), 0, "the one below all of them went with the last");
    assert!(most < count, "{most} locks at once");
}
