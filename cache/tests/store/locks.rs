//! Locks of keys.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::{Fixture, key, names};

#[test]
fn a_key_has_one_holder_among_all_openings() {
    let fixture = Fixture::new();
    let (one, other) = (fixture.open(), fixture.open());
    let held = one.lock_key(&key("a")).unwrap();
    assert!(other.try_lock_key(&key("a")).unwrap().is_none());
    assert!(one.try_lock_key(&key("a")).unwrap().is_none(), "the same opening is no exception");
    assert!(other.try_lock_key(&key("b")).unwrap().is_some());
    drop(held);
    assert!(other.try_lock_key(&key("a")).unwrap().is_some());
    assert_eq!(names(&fixture.root().join("locks")), ["names"], "one file is enough");
}

#[test]
fn holders_never_overlap() {
    const THREADS: usize = 6;
    const ROUNDS: usize = 300;
    let fixture = Fixture::new();
    let counter = fixture.path("counter");
    fs::write(&counter, "0").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let store = fixture.open();
                for _ in 0..ROUNDS {
                    let _held = store.lock_key(&key("a")).unwrap();
                    let count: usize = fs::read_to_string(&counter).unwrap().parse().unwrap();
                    fs::write(&counter, (count + 1).to_string()).unwrap();
                }
            });
        }
    });
    assert_eq!(fs::read_to_string(&counter).unwrap(), (THREADS * ROUNDS).to_string());
}

#[test]
fn a_lock_dies_with_its_holder() {
    let fixture = Fixture::new();
    drop(fixture.open());
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "locks::holder", "--ignored", "--nocapture"])
        .env("SLIPWAY_TEST_STORE", fixture.root())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let store = fixture.open();
    while store.try_lock_key(&key("held")).unwrap().is_some() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    holder.kill().unwrap();
    drop(store.lock_key(&key("held")).unwrap());
    holder.wait().unwrap();
}

/// Holds a lock until it is killed.
#[test]
#[ignore = "the other side of `a_lock_dies_with_its_holder`"]
fn holder() {
    let root = std::env::var_os("SLIPWAY_TEST_STORE").expect("only with a store");
    let store = cache::Store::open(root.as_ref()).unwrap();
    let _held = store.lock_key(&key("held")).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(60));
    panic!("nobody killed the holder");
}
