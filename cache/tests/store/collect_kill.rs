//! Builds and collections at the same time on one store, each killed at any instant.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cache::{PruneOptions, Store};
use image::ImageId;

use crate::support::{Fixture, image, key, layer, names, record};

const BUILDERS: u64 = 3;
const TIME: Duration = Duration::from_secs(6);
const NAMES: u64 = 4;

/// A process that ends with the test, however that ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn builds_never_lose_what_they_found() {
    let fixture = Fixture::new();
    drop(fixture.open());
    let start = |role: &str, seed: u64| {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("collect_kill::{role}"), "--ignored", "--nocapture"])
            .env("SLIPWAY_TEST_STORE", fixture.root())
            .env("SLIPWAY_TEST_SEED", seed.to_string())
            .stdout(Stdio::null())
            .spawn();
        Process(child.unwrap())
    };
    let mut children = Vec::new();
    for seed in 0..BUILDERS {
        children.push((true, start("builder", seed)));
    }
    children.push((false, start("collector", 0)));
    let (mut seed, until) = (BUILDERS, Instant::now() + TIME);
    while Instant::now() < until {
        std::thread::sleep(Duration::from_micros(20_000 + seed * 7_919 % 60_000));
        // One after the other is killed and started again.
        let at = usize::try_from(seed).unwrap() % children.len();
        let (is_builder, child) = &mut children[at];
        if let Some(status) = child.0.try_wait().unwrap() {
            panic!("{} ended by itself: {status}", if *is_builder { "a builder" } else { "the collector" });
        }
        *child = start(if *is_builder { "builder" } else { "collector" }, seed);
        seed += 1;
    }
    drop(children);

    let store = fixture.open();
    for image in store.images().unwrap() {
        for id in &image.layers {
            assert!(store.layer(id).unwrap().is_some(), "an image is whole");
        }
    }
    for (_, id) in store.tags().unwrap() {
        store.remove_image(&id).unwrap();
    }
    for image in store.images().unwrap() {
        store.remove_image(&image.id).unwrap();
    }
    drop(store);
    fixture.open().prune(&PruneOptions { all: true, ..PruneOptions::default() }).unwrap();
    for directory in ["layers", "blobs/sha256", "diff-ids", "images"] {
        assert_eq!(names(&fixture.root().join(directory)), [""; 0], "nothing is left in {directory}");
    }
}

fn store_root() -> std::ffi::OsString {
    std::env::var_os("SLIPWAY_TEST_STORE").expect("only with a store")
}

/// Finds or makes two steps on each other and an image of them, and looks whether all of it stays.
#[test]
#[ignore = "a part of `builds_never_lose_what_they_found`"]
fn builder() {
    let seed: u64 = std::env::var("SLIPWAY_TEST_SEED").unwrap().parse().unwrap();
    for round in seed.. {
        let store = Store::open(store_root().as_ref()).unwrap();
        let name = format!("step-{}", round * 31 % NAMES);
        let lower = step(&store, &name, &[]);
        let both = step(&store, &format!("{name}-upper"), &lower);
        let config = store.put_blob(name.as_bytes()).unwrap();
        let id = ImageId(config.0);
        store.put_image(&image(config, &both)).unwrap();
        for _ in 0..3 {
            check(&store, &both, &name);
            std::thread::yield_now();
        }
        drop(store);
        // The image keeps it all, also for those who come later.
        let store = Store::open(store_root().as_ref()).unwrap();
        if let Some(image) = store.image(&id).unwrap() {
            check(&store, &image.layers, &name);
            assert_eq!(store.read_blob(&config, 100).unwrap().as_deref(), Some(name.as_bytes()));
        }
        if round % 2 == 0 {
            store.remove_image(&id).unwrap();
        }
    }
}

/// The layers of a step, found or made.
fn step(store: &Store, name: &str, below: &[cache::LayerId]) -> Vec<cache::LayerId> {
    if let Some(found) = store.record(&key(name)).unwrap() {
        return found.layers;
    }
    let made = layer(store, "file", name);
    made.diff_id(None).unwrap();
    let layers: Vec<_> = below.iter().copied().chain([made.id()]).collect();
    store.put_record(&record(name, &layers)).unwrap();
    layers
}

fn check(store: &Store, layers: &[cache::LayerId], name: &str) {
    for (at, id) in layers.iter().enumerate() {
        let layer = store.layer(id).unwrap().expect("what was found stays");
        let content = std::fs::read_to_string(layer.fs_path().unwrap().join("file")).expect("and is whole");
        assert_eq!(content, if at == 0 { name.to_owned() } else { format!("{name}-upper") });
    }
}

#[test]
#[ignore = "a part of `builds_never_lose_what_they_found`"]
fn collector() {
    for round in 0_u64.. {
        let store = Store::open(store_root().as_ref()).unwrap();
        let options = PruneOptions {
            all: round.is_multiple_of(2),
            max_used_bytes: round.is_multiple_of(3).then_some(20),
            ..PruneOptions::default()
        };
        store.prune(&options).unwrap();
    }
}
