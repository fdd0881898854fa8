//! Every byte of every small file is changed, and every length cut: a miss, never an error, never a lie.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Fixture, look_at_all, put_all};

/// All files of a store but its format, those that are only locked, and the files inside of layers.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(root).into_iter().filter_entry(|entry| entry.file_name() != "fs") {
        let entry = entry.expect("an entry");
        let is_other = ["format", "lock", "leases", "names"].iter().any(|name| entry.file_name() == *name);
        if entry.file_type().is_file() && !is_other {
            files.push(entry.into_path());
        }
    }
    files
}

#[test]
fn damage_is_a_miss() {
    let fixture = Fixture::new();
    put_all(&fixture.open(), "a").unwrap();
    let whole = look_at_all(&fixture.open(), "a").unwrap();
    let files = files(&fixture.root());
    // Facts; name of the diff id, record, image, tag, blob, durable marker, filling.
    assert_eq!(files.len(), 8, "{files:#?}");
    for file in &files {
        let good = fs::read(file).unwrap();
        let try_with = |bytes: &[u8], what: &str| {
            fs::write(file, bytes).unwrap();
            let seen = look_at_all(&fixture.open(), "a");
            let seen = seen.unwrap_or_else(|error| panic!("{} with {what}: {error}", file.display()));
            assert!(seen.iter().all(|it| whole.contains(it)), "{seen:?}");
        };
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x41;
            try_with(&bad, &format!("byte {at} changed"));
            try_with(&good[..at], &format!("{at} bytes"));
        }
        try_with(&[good.as_slice(), b"x"].concat(), "one byte more");
        try_with(&vec![0; good.len()], "zeros");
        try_with(&vec![7; 20 << 10], "20 KiB of rubbish");
        fs::write(file, &good).unwrap();
    }
    assert_eq!(look_at_all(&fixture.open(), "a").unwrap(), whole);
}

#[test]
fn what_was_damaged_can_be_made_again() {
    let fixture = Fixture::new();
    put_all(&fixture.open(), "a").unwrap();
    let whole = look_at_all(&fixture.open(), "a").unwrap();
    for file in files(&fixture.root()) {
        fs::write(file, "rubbish").unwrap();
    }
    assert!(look_at_all(&fixture.open(), "a").unwrap().is_empty());
    put_all(&fixture.open(), "a").unwrap();
    assert_eq!(look_at_all(&fixture.open(), "a").unwrap(), whole);
}

#[test]
fn a_file_under_another_name_is_not_believed() {
    let fixture = Fixture::new();
    let store = fixture.open();
    put_all(&store, "a").unwrap();
    put_all(&store, "b").unwrap();
    let copy_over = |kind: &str| {
        let root = fixture.root().join(kind);
        let files = files(&root);
        fs::copy(&files[0], &files[1]).unwrap();
    };
    for kind in ["records", "images", "tags"] {
        copy_over(kind);
    }
    let seen =
        look_at_all(&fixture.open(), "a").unwrap().len() + look_at_all(&fixture.open(), "b").unwrap().len();
    // Of one of the two there are record, diff id, image, tag and blob, of the other only the blob.
    assert!((5..=7).contains(&seen), "{seen}");
}
