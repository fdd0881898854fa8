//! What survives a power cut, with boots that are only numbers: a store that is opened under another boot
//! id sees the disk as after a reboot, with everything written that was not promised as well.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use image::{BlobDigest, Digest, ImageId, Reference};

use crate::stamp::BootId;
use crate::{Key, LayerId, Record, Store, StoredImage};

struct Machine {
    directory: tempfile::TempDir,
    boot: u8,
}

impl Machine {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), boot: 1 }
    }

    fn root(&self) -> &Path {
        self.directory.path()
    }

    fn open(&self) -> Store {
        Store::open_in_boot(self.root(), BootId([self.boot; 16])).unwrap()
    }

    fn reboot(&mut self) {
        self.boot += 1;
    }
}

fn key(name: &str) -> Key {
    Key(Digest::of(name.as_bytes()))
}

fn layer(store: &Store) -> LayerId {
    let active = store.begin_layer().unwrap();
    fs::write(active.fs_path().join("file"), "x").unwrap();
    active.commit().unwrap().id()
}

fn put_record(store: &Store, name: &str) {
    let record = Record {
        key: key(name),
        offered: None,
        layers: vec![layer(store)],
        content: None,
        created_unix_ns: 0,
        description: String::new(),
        ingredients: Vec::new(),
    };
    store.put_record(&record).unwrap();
}

fn put_image(store: &Store, config: &str) -> ImageId {
    let BlobDigest(id) = store.put_blob(config.as_bytes()).unwrap();
    let image = StoredImage {
        id: ImageId(id),
        manifest: None,
        layers: vec![layer(store)],
        clamp_mtime: None,
        created_unix_s: 0,
        size_bytes: 0,
        labels: Default::default(),
    };
    store.put_image(&image).unwrap();
    ImageId(id)
}

fn tag() -> Reference {
    "app".parse().unwrap()
}

fn records(store: &Store) -> String {
    ["a", "b", "c"].into_iter().filter(|name| store.record(&key(name)).unwrap().is_some()).collect()
}

#[test]
fn records_hold_in_the_same_boot_and_afterwards_if_covered() {
    let mut machine = Machine::new();
    let (one, other) = (machine.open(), machine.open());
    put_record(&one, "a");
    one.make_durable().unwrap();
    put_record(&one, "b");
    put_record(&other, "c");
    drop((one, other));
    assert_eq!(records(&machine.open()), "abc");
    machine.reboot();
    assert_eq!(records(&machine.open()), "a");
    let store = machine.open();
    put_record(&store, "b");
    store.make_durable().unwrap();
    machine.reboot();
    assert_eq!(records(&machine.open()), "ab", "an old marker goes on to count");
}

#[test]
fn a_marker_that_is_lost_or_damaged_covers_nothing() {
    let mut machine = Machine::new();
    let store = machine.open();
    put_record(&store, "a");
    store.make_durable().unwrap();
    drop(store);
    let marker = fs::read_dir(machine.root().join("durable")).unwrap().next().unwrap().unwrap().path();
    let bytes = fs::read(&marker).unwrap();
    machine.reboot();
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        fs::write(&marker, bad).unwrap();
        assert_eq!(records(&machine.open()), "", "byte {at}");
    }
    fs::write(&marker, &bytes).unwrap();
    assert_eq!(records(&machine.open()), "a");
    fs::remove_file(&marker).unwrap();
    assert_eq!(records(&machine.open()), "");
}

#[test]
fn an_image_with_its_tag_is_there_whole_or_not_at_all() {
    let mut machine = Machine::new();
    let store = machine.open();
    let id = put_image(&store, "one");
    store.tag(&tag(), &id).unwrap();
    drop(store);
    assert_eq!(machine.open().resolve(&tag()).unwrap(), Some(id));
    machine.reboot();
    assert_eq!(machine.open().resolve(&tag()).unwrap(), None);
    assert!(machine.open().images().unwrap().is_empty());
    assert!(machine.open().find_images("").unwrap().is_empty());
    assert!(machine.open().tags().unwrap().is_empty());
    // The same build again finds the remains, and promises anew.
    let store = machine.open();
    assert_eq!(put_image(&store, "one"), id);
    assert_eq!(store.tag(&tag(), &id).unwrap(), None);
    store.make_durable().unwrap();
    machine.reboot();
    assert_eq!(machine.open().resolve(&tag()).unwrap(), Some(id));
}

#[test]
fn who_relies_on_the_work_of_a_killed_process_promises_it() {
    let mut machine = Machine::new();
    let killed = machine.open();
    let id = put_image(&killed, "one");
    killed.tag(&tag(), &id).unwrap();
    drop(killed);
    let store = machine.open();
    let image = store.image(&id).unwrap().unwrap();
    store.put_image(&image).unwrap();
    store.tag(&tag(), &id).unwrap();
    store.make_durable().unwrap();
    machine.reboot();
    assert_eq!(machine.open().resolve(&tag()).unwrap(), Some(id));
    assert_eq!(machine.open().image(&id).unwrap(), Some(image));
}

#[test]
fn a_moved_tag_falls_back_to_what_was_promised() {
    let mut machine = Machine::new();
    let store = machine.open();
    let one = put_image(&store, "one");
    store.tag(&tag(), &one).unwrap();
    store.make_durable().unwrap();
    drop(store);
    // Moved twice, and never made durable.
    let store = machine.open();
    for config in ["two", "three"] {
        let id = put_image(&store, config);
        store.tag(&tag(), &id).unwrap();
        assert_eq!(store.resolve(&tag()).unwrap(), Some(id));
    }
    drop(store);
    machine.reboot();
    assert_eq!(machine.open().resolve(&tag()).unwrap(), Some(one));
    assert_eq!(machine.open().tags().unwrap(), [(tag(), one)]);
    // Once more, from there.
    let store = machine.open();
    let four = put_image(&store, "four");
    assert_eq!(store.tag(&tag(), &four).unwrap(), Some(one));
    drop(store);
    machine.reboot();
    assert_eq!(machine.open().resolve(&tag()).unwrap(), Some(one));
    let store = machine.open();
    let five = put_image(&store, "five");
    store.tag(&tag(), &five).unwrap();
    store.make_durable().unwrap();
    assert_eq!(fs::read_dir(machine.root().join("tags")).unwrap().count(), 1, "the old value is forgotten");
    drop(store);
    machine.reboot();
    assert_eq!(machine.open().resolve(&tag()).unwrap(), Some(five));
}

#[test]
fn one_who_makes_durable_does_not_forget_the_old_value_that_another_needs() {
    let mut machine = Machine::new();
    let (one, other) = (machine.open(), machine.open());
    let first = put_image(&one, "first");
    one.tag(&tag(), &first).unwrap();
    one.make_durable().unwrap();
    let second = put_image(&one, "second");
    one.tag(&tag(), &second).unwrap();
    // Between the marker and the forgetting of `one`, `other` moves the tag on.
    one.inner.durability.advance(one.disk(), |name, bytes| one.publish(name, bytes)).unwrap();
    let third = put_image(&other, "third");
    other.tag(&tag(), &third).unwrap();
    one.make_durable().unwrap();
    one.forget_replaced_tags().unwrap();
    machine.reboot();
    assert_eq!(machine.open().resolve(&tag()).unwrap(), Some(second));
}

#[test]
fn a_removed_tag_does_not_come_back() {
    let machine = Machine::new();
    let store = machine.open();
    let one = put_image(&store, "one");
    store.tag(&tag(), &one).unwrap();
    store.make_durable().unwrap();
    let two = put_image(&store, "two");
    store.tag(&tag(), &two).unwrap();
    assert_eq!(store.untag(&tag()).unwrap(), Some(two));
    assert_eq!(store.resolve(&tag()).unwrap(), None);
    assert!(store.tags().unwrap().is_empty());
}

#[test]
fn a_layer_is_found_by_its_diff_id_only_if_that_is_durable() {
    let mut machine = Machine::new();
    let store = machine.open();
    let id = layer(&store);
    let diff_id = store.layer(&id).unwrap().unwrap().diff_id(None).unwrap();
    assert!(machine.open().layer_by_diff_id(&diff_id).unwrap().is_some());
    machine.reboot();
    assert!(machine.open().layer_by_diff_id(&diff_id).unwrap().is_none());
}

#[test]
fn what_is_published_before_is_covered_whoever_publishes_meanwhile() {
    let machine = Machine::new();
    let store = machine.open();
    let published = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (store, published) = (&store, &published);
            scope.spawn(move || {
                for number in 0..50 {
                    let name = format!("{thread}-{number}");
                    put_record(store, &name);
                    published.lock().unwrap().push(name);
                }
            });
        }
        let mut seen = 0;
        while seen < 150 {
            let before = published.lock().unwrap().clone();
            seen = before.len();
            store.make_durable().unwrap();
            let later = Store::open_in_boot(machine.root(), BootId([9; 16])).unwrap();
            for name in before {
                assert!(later.record(&key(&name)).unwrap().is_some(), "{name}");
            }
        }
    });
}

#[test]
fn folded_markers_say_what_the_single_ones_said() {
    let mut machine = Machine::new();
    let alive = machine.open();
    put_record(&alive, "b");
    alive.make_durable().unwrap();
    for _ in 0..70 {
        let store = machine.open();
        put_record(&store, "a");
        store.make_durable().unwrap();
    }
    let not_covered = machine.open();
    put_record(&not_covered, "c");
    drop(not_covered);
    alive.sweep_staging(&AtomicBool::new(false)).unwrap();
    let count = || fs::read_dir(machine.root().join("durable")).unwrap().count();
    assert_eq!(count(), 2, "the folded ones, and that of the session which goes on");
    put_record(&alive, "b");
    alive.make_durable().unwrap();
    machine.open().sweep_staging(&AtomicBool::new(false)).unwrap();
    drop(alive);
    machine.reboot();
    assert_eq!(records(&machine.open()), "ab");
}

#[test]
fn what_another_boot_has_unpacked_counts_for_nothing() {
    use std::os::fd::AsFd as _;

    use crate::tree::{Action, plan};

    let mut machine = Machine::new();
    let store = machine.open();
    let file = Action::MakeFile { path: "/file", mode: 0o644, owner: (0, 0), content: b"whole" };
    let packing = plan(None, None, &[file]).unwrap().unwrap();
    let layer = store.begin_layer().unwrap().commit_packed(&packing, None).unwrap();
    let unpacked = layer.fs_path().unwrap();
    assert_eq!(fs::read(unpacked.join("file")).unwrap(), b"whole");
    let id = layer.id();
    drop((layer, store));
    machine.reboot();
    // Names are on the disk before bytes are.
    fs::write(unpacked.join("file"), "").unwrap();
    let store = machine.open();
    let view = store.view(&[id]).unwrap();
    let mut found = String::new();
    let file =
        rustix::fs::openat(view.as_fd(), "file", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty());
    std::io::Read::read_to_string(&mut fs::File::from(file.unwrap()), &mut found).unwrap();
    assert_eq!(found, "whole");
    assert!(!unpacked.exists(), "it is in nobody's way any more");
}
