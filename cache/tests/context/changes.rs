//! What the index believes, and what it does not.

use std::fs::{self, File, FileTimes};
use std::io::{Seek as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use cache::{ContextError, Decision};
use rustix::fs::{CWD, Mode, mkfifoat};

use crate::support::{Fixture, entry};

#[test]
fn what_looks_the_same_is_not_read_again() {
    let fixture = Fixture::new(&["a", "d/b", "d/e/c"]);
    fixture.settle();
    assert!(fixture.learn());
    assert!(!fixture.learn(), "nothing is new");
    fs::write(fixture.path("d/b"), "other").unwrap();
    fixture.settle();
    assert!(fixture.learn());
    assert!(!fixture.learn());
    fs::remove_file(fixture.path("a")).unwrap();
    assert!(!fixture.learn(), "a file less is nothing to learn");
    fixture.check_digests();
}

#[test]
fn equal_size_and_time_with_other_bytes_is_noticed() {
    let fixture = Fixture::new(&["file"]);
    fixture.settle();
    assert!(fixture.learn());
    let path = fixture.path("file");
    let before = fs::metadata(&path).unwrap();
    fs::write(&path, "elif").unwrap();
    let times = FileTimes::new().set_modified(before.modified().unwrap());
    File::options().write(true).open(&path).unwrap().set_times(times).unwrap();
    let after = fs::metadata(&path).unwrap();
    assert_eq!((before.len(), before.modified().unwrap()), (after.len(), after.modified().unwrap()));
    fixture.check_digests();

    // The same by another file in its place.
    fixture.settle();
    assert!(fixture.learn());
    fs::write(fixture.outside("new"), "leif").unwrap();
    File::options().write(true).open(fixture.outside("new")).unwrap().set_times(times).unwrap();
    fs::rename(fixture.outside("new"), &path).unwrap();
    fixture.check_digests();
}

#[test]
fn what_was_just_written_is_not_believed() {
    let fixture = Fixture::new(&["file"]);
    // Each write is within the granularity of the one before, and all look the same but for the time of change.
    let mut file = File::options().write(true).open(fixture.path("file")).unwrap();
    for round in 0..50 {
        file.rewind().unwrap();
        write!(file, "{round:04}").unwrap();
        // Whether it is remembered depends on how long that took; what matters is that the next write is seen.
        fixture.learn();
        fixture.check_digests();
    }
    fixture.settle();
    assert!(fixture.learn());
}

#[test]
fn a_time_in_the_future_is_never_believed() {
    let fixture = Fixture::new(&["file"]);
    let future = std::time::SystemTime::now() + std::time::Duration::from_secs(1_000);
    let file = File::options().write(true).open(fixture.path("file")).unwrap();
    file.set_times(FileTimes::new().set_modified(future)).unwrap();
    fixture.settle();
    assert!(!fixture.learn());
    fixture.check_digests();
}

#[test]
fn filters_do_not_drive_out_each_others_knowledge() {
    let fixture = Fixture::new(&["a", "b/c", "b/d/e", "z"]);
    fixture.settle();
    assert!(fixture.learn());
    fs::write(fixture.path("z"), "new").unwrap();
    fixture.settle();
    let tree = fixture
        .scan_with(&|path, _| match path.to_str().unwrap() {
            "a" | "b" => Decision::Exclude,
            _ => Decision::Include,
        })
        .unwrap();
    tree.hash_files(tree.entries()).unwrap();
    assert!(tree.save().unwrap());
    assert!(!fixture.learn(), "`a` and all in `b` are still known");
    fixture.check_digests();
}

#[test]
fn a_damaged_index_is_an_empty_one() {
    let fixture = Fixture::new(&["a", "d/b"]);
    fixture.settle();
    assert!(fixture.learn());
    let index = fs::read_dir(fixture.outside("store/contexts")).unwrap().next().unwrap().unwrap().path();
    let good = fs::read(&index).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x20;
        fs::write(&index, bad).unwrap();
        fixture.check_digests();
    }
    fs::write(&index, "").unwrap();
    assert!(fixture.learn(), "it is written anew");
    assert_eq!(fs::read(&index).unwrap(), good);
}

#[test]
fn a_file_that_never_holds_still_is_an_error() {
    let fixture = Fixture::new(&["file"]);
    let mut file = File::options().append(true).open(fixture.path("file")).unwrap();
    file.write_all(&vec![0; 32 << 20]).unwrap();
    let tree = fixture.scan();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                file.write_all(b"x").unwrap();
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
        });
        let result = tree.digest(entry(&tree, "file"));
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(result, Err(ContextError::Changed { .. })), "{result:?}");
    });
    tree.digest(entry(&tree, "file")).unwrap();
    tree.hash_files(tree.entries()).unwrap();
}

#[test]
fn a_file_that_became_something_else_is_an_error_and_no_hang() {
    let fixture = Fixture::new(&["fifo", "link", "gone", "d/file"]);
    let tree = fixture.scan();
    for name in ["fifo", "link", "gone"] {
        fs::remove_file(fixture.path(name)).unwrap();
    }
    mkfifoat(CWD, fixture.path("fifo"), Mode::RUSR).unwrap();
    symlink("d/file", fixture.path("link")).unwrap();
    fs::rename(fixture.path("d"), fixture.path("moved")).unwrap();
    symlink("moved", fixture.path("d")).unwrap();
    for name in ["fifo", "link", "gone", "d/file"] {
        let result = tree.digest(entry(&tree, name));
        assert!(matches!(result, Err(ContextError::Changed { .. })), "{name}: {result:?}");
    }
    assert!(tree.hash_files(tree.entries()).is_err());
}

#[test]
fn later_changes_are_found() {
    let fixture = Fixture::new(&["a", "d/b", "c"]);
    let tree = fixture.scan();
    tree.hash_files(tree.entries()).unwrap();
    assert_eq!(tree.changed_since(tree.entries()).unwrap(), None);
    fs::write(fixture.path("d/new"), "not part of the tree").unwrap();
    assert_eq!(tree.changed_since(tree.entries()).unwrap(), None);
    fs::write(fixture.path("d/b"), "B/d").unwrap();
    assert_eq!(tree.changed_since(tree.entries()).unwrap(), Some("d/b".into()));
    assert_eq!(tree.changed_since([entry(&tree, "c")]).unwrap(), None);
    fs::set_permissions(fixture.path("c"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(tree.changed_since([entry(&tree, "c")]).unwrap(), Some("c".into()));
}
