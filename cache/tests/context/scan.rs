//! What a look at a context finds.

use std::ffi::OsStr;
use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use cache::{ContextError, Decision};
use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
use rustix::fs::{CWD, Mode, mkfifoat};

use crate::support::{Fixture, entry, list};

#[test]
fn entries_are_sorted_by_the_names_on_the_way() {
    let fixture = Fixture::new(&["b", "a/z", "a/b/c", "a-b", "a.b", "empty/", "Z"]);
    symlink("../outside", fixture.path("link")).unwrap();
    mkfifoat(CWD, fixture.path("a/fifo"), Mode::RUSR).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(fixture.path("socket")).unwrap();
    let tree = fixture.scan();
    insta::assert_snapshot!(list(&tree), @r"
        Z
        a/
        a/b/
        a/b/c
        a/fifo Fifo
        a/z
        a-b
        a.b
        b
        empty/
        link -> ../outside
        socket Socket
        ");
    assert_eq!(tree.len(), 12);
    assert!(!tree.is_empty());
}

#[test]
fn entries_are_found_by_path() {
    let fixture = Fixture::new(&["a/b/c", "d"]);
    symlink("a", fixture.path("link")).unwrap();
    let tree = fixture.scan();
    assert_eq!(entry(&tree, "a/b/c").path(), Path::new("a/b/c"));
    assert_eq!(entry(&tree, "./a//b").name(), "b");
    assert_eq!(entry(&tree, "d").stat().size_bytes, 1);
    for missing in ["", ".", "x", "a/x", "d/x", "a/../d", "link/b"] {
        assert!(tree.entry(Path::new(missing)).is_none(), "{missing}");
    }
    let below: Vec<_> = entry(&tree, "a").entries().map(|entry| entry.path()).collect();
    assert_eq!(below, [Path::new("a/b"), Path::new("a/b/c")]);
    let children: Vec<_> = entry(&tree, "a").children().map(|entry| entry.path()).collect();
    assert_eq!(children, [Path::new("a/b")]);
    assert_eq!(entry(&tree, "d").children().count() + entry(&tree, "d").entries().count(), 0);
}

#[test]
fn names_are_bytes() {
    let fixture = Fixture::new(&[]);
    let name = OsStr::from_bytes(b"\xff\n\x01");
    fs::write(fixture.context().join(name), "x").unwrap();
    let tree = fixture.scan();
    let found = tree.entries().next().unwrap();
    assert_eq!((found.name(), found.path()), (name, name.into()));
    tree.digest(found).unwrap();
}

#[test]
fn a_filter_prunes_and_descends() {
    let fixture = Fixture::new(&["a", "node/x", "node/y/z", "logs/keep", "logs/other", "old/x/y", "d/"]);
    let tree = fixture
        .scan_with(&|path, is_directory| match path.to_str().unwrap() {
            "node" => Decision::Exclude,
            "logs" | "old" | "old/x" => Decision::DescendOnly,
            "logs/other" | "old/x/y" => Decision::Exclude,
            "a" => Decision::DescendOnly,
            path => {
                assert_eq!(is_directory, path == "d", "{path}");
                Decision::Include
            }
        })
        .unwrap();
    insta::assert_snapshot!(list(&tree), @r"
        d/
        logs/
        logs/keep
        ");
}

#[test]
fn what_is_excluded_is_never_opened() {
    let fixture = Fixture::new(&["kept/file", "secret/file", "kept/key"]);
    let watch = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
    let flags = WatchFlags::OPEN | WatchFlags::ACCESS;
    for path in ["secret", "secret/file", "kept/key"] {
        add_watch(&watch, fixture.path(path), flags).unwrap();
    }
    let tree = fixture
        .scan_with(&|path, _| match path.to_str().unwrap() {
            "secret" | "kept/key" => Decision::Exclude,
            _ => Decision::Include,
        })
        .unwrap();
    tree.hash_files(tree.entries()).unwrap();
    let mut buffer = [MaybeUninit::uninit(); 4096];
    assert!(Reader::new(&watch, &mut buffer).next().is_err(), "nothing has happened to them");
    fs::read(fixture.path("kept/key")).unwrap();
    assert!(Reader::new(&watch, &mut buffer).next().is_ok(), "the watch works");
}

#[test]
fn many_threads_find_what_one_finds() {
    let fixture = Fixture::new(&[]);
    // Wide, deep and uneven, from a fixed seed.
    let mut state = 7_u64;
    let mut random = |max: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % max
    };
    let mut directories = vec![fixture.context()];
    for number in 0..4_000 {
        let parent = directories[random(directories.len() as u64) as usize].clone();
        let path = parent.join(format!("{}-{number}", random(100)));
        if random(4) == 0 {
            fs::create_dir(&path).unwrap();
            directories.push(path);
        } else {
            fs::write(path, number.to_string()).unwrap();
        }
    }
    let expected: String = walkdir::WalkDir::new(fixture.context())
        .min_depth(1)
        .sort_by_file_name()
        .into_iter()
        .map(|entry| {
            let entry = entry.unwrap();
            let path = entry.path().strip_prefix(fixture.context()).unwrap().display();
            format!("{path}{}\n", if entry.file_type().is_dir() { "/" } else { "" })
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(list(&fixture.scan()), expected);
    }
    fixture.check_digests();
    fixture.settle();
    assert!(fixture.learn());
    assert_eq!(list(&fixture.scan()), expected);
    assert!(!fixture.learn());
}

#[test]
fn a_directory_that_is_swapped_for_a_link_leads_nowhere() {
    let fixture = Fixture::new(&["a/b/inside"]);
    fs::create_dir_all(fixture.outside("victim/b")).unwrap();
    fs::write(fixture.outside("victim/b/outside"), "").unwrap();
    symlink("../victim", fixture.path("spare")).unwrap();
    let (one, other) = (fixture.path("a"), fixture.path("spare"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(CWD, &one, CWD, &other, flags).unwrap();
            }
        });
        let (mut seen, mut refused) = (0, 0);
        for _ in 0..3_000 {
            match fixture.scan_with(&|_, _| Decision::Include) {
                Ok(tree) => {
                    let found = list(&tree);
                    assert!(!found.contains("outside"), "{found}");
                    seen += usize::from(found.contains("inside"));
                }
                Err(ContextError::Changed { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(seen > 0 && seen + refused <= 3_000, "{seen} {refused}");
    });
}

#[test]
fn a_context_that_is_none_is_an_error() {
    let fixture = Fixture::new(&["file"]);
    for path in ["missing", "file"] {
        let error = fixture.store().context_index(&fixture.path(path)).unwrap_err();
        assert!(error.to_string().contains(path), "{error}");
    }
    symlink("context", fixture.outside("link")).unwrap();
    let store = fixture.store();
    let through_link = store.context_index(&fixture.outside("link")).unwrap();
    assert_eq!(through_link.scan(&|_, _| Decision::Include).unwrap().len(), 1);
}
