//! A writer that is killed at any instant.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use cache::Store;

use crate::support::{Fixture, look_at_all, names, put_all};

const ROUNDS: u64 = 40;

#[test]
fn a_killed_writer_leaves_nothing_in_part() {
    let fixture = Fixture::new();
    drop(fixture.open());
    let mut seen_in_all = 0;
    for round in 0..ROUNDS {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::writer", "--ignored", "--nocapture"])
            .env("SLIPWAY_TEST_STORE", fixture.root())
            .env("SLIPWAY_TEST_ROUND", round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("writing")), "the writer begins");
        // Some instant of the first writes, then later ones.
        std::thread::sleep(Duration::from_micros(round * round * 20));
        writer.kill().unwrap();
        writer.wait().unwrap();

        let store = fixture.open();
        // The last name that was begun is not known; all that are there must be whole.
        let seen: usize =
            (0..200).map(|number| look_at_all(&store, &name(round, number)).unwrap().len()).sum();
        seen_in_all += seen;
        for (reference, id) in store.tags().unwrap() {
            assert!(store.image(&id).unwrap().is_some(), "{reference} has an image");
        }
    }
    assert!(seen_in_all > 0, "the writers got somewhere");
    let store = fixture.open();
    let swept = store.sweep_staging(&AtomicBool::new(false)).unwrap();
    assert_eq!((swept.in_use, swept.left), (0, 0));
    assert!(swept.removed > 0, "killed writers left something");
    // A sweep that finds many sessions that have ended writes them down, and so has a session itself.
    drop(store);
    assert!(names(&fixture.root().join("staging")).is_empty());
    put_all(&fixture.open(), "after").unwrap();
}

fn name(round: u64, number: u64) -> String {
    format!("name-{round}-{number}")
}

/// Writes until it is killed.
#[test]
#[ignore = "the other side of `a_killed_writer_leaves_nothing_in_part`"]
fn writer() {
    let root = std::env::var_os("SLIPWAY_TEST_STORE").expect("only with a store");
    let round = std::env::var("SLIPWAY_TEST_ROUND").unwrap().parse().unwrap();
    println!("writing");
    for number in 0.. {
        let store = Store::open(root.as_ref()).unwrap();
        put_all(&store, &name(round, number)).unwrap();
        if number % 3 == 0 {
            // Killed in the middle of a removal as well.
            store.begin_layer().unwrap();
        }
    }
}
