//! Copies from a build context, which may change at any time.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use cache::tree::{Action, Landing, Source, Target, build, select};
use cache::{Decision, Store};
use tempfile::TempDir;

use crate::files::{MTIME, copied, open, tree};
use crate::support::listing;

const SOURCE: &str = "
    d dir mode=700
    f dir/a 1
    d dir/sub
    f dir/sub/b 2
    h dir/sub/c dir/a
    f top.c 3
    f ignored/secret 4
    l link -> dir/sub
    l to-ignored -> ignored/secret";

fn context(ignored: &str, check: impl FnOnce(&Path, &cache::ContextTree)) {
    let (root, store): (_, TempDir) = (tree(SOURCE), tempfile::tempdir().expect("a temporary directory"));
    let store = Store::open(store.path()).expect("a new store");
    let index = store.context_index(root.path()).expect("a directory");
    let filter = |path: &Path, _: bool| match path.as_os_str().as_bytes() == ignored.as_bytes() {
        true => Decision::Exclude,
        false => Decision::Include,
    };
    let tree = index.scan(&filter).expect("a readable context");
    check(root.path(), &tree);
}

fn copy(tree: &cache::ContextTree, sources: &[&str], to: &str) -> String {
    let layer = tempfile::tempdir().expect("a temporary directory");
    let layer_fd = open(layer.path());
    let target = Target { layer: layer_fd.as_fd(), base: None, mtime: Some(MTIME) };
    let outcome = select(Source::Context(tree), sources, Landing::default())
        .and_then(|selection| build(&target, &[Action::Copy { selection: &selection, destination: to }]));
    match outcome {
        Ok(_) => listing(layer.path()),
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn a_context_is_like_any_tree() {
    context("", |_, tree| {
        for (sources, to) in [
            (&["."][..], "/"),
            (&["dir"], "/x"),
            (&["*.c", "link"], "/y/"),
            (&["dir/*/b"], "/z"),
            (&["link/b"], "/b"),
        ] {
            assert_eq!(copy(tree, sources, to), copied(SOURCE, sources, to), "{sources:?}");
        }
    });
}

#[test]
fn what_is_ignored_is_not_there() {
    context("ignored", |_, tree| {
        insta::assert_snapshot!(copy(tree, &["ignored/secret"], "/"), @r#"error: "/ignored/secret": not found"#);
        insta::assert_snapshot!(copy(tree, &["to-ignored"], "/"), @r#"error: "/to-ignored": not found"#);
        let all = copy(tree, &["."], "/");
        assert!(!all.contains("secret \"4\""), "{all}");
    });
}

#[test]
fn files_of_a_context_belong_to_root() {
    context("", |root, tree| {
        let digest = |tree: &cache::ContextTree| {
            let selection = select(Source::Context(tree), &["dir"], Landing::default()).expect("it exists");
            selection.digest().expect("a readable context")
        };
        std::os::unix::fs::chown(root.join("dir/sub"), Some(1000), Some(1000)).expect("an owner");
        let store = tempfile::tempdir().expect("a temporary directory");
        let index = Store::open(store.path()).expect("a new store");
        let index = index.context_index(root).expect("a directory");
        let after = index.scan(&|_, _| Decision::Include).expect("a readable context");
        assert_eq!(digest(&after), digest(tree));
        assert!(copy(&after, &["dir"], "/").contains("d 0755 sub"));
    });
}

#[test]
fn attributes_of_a_context_neither_land_nor_count() {
    context("", |root, tree| {
        let selected = |tree| select(Source::Context(tree), &["dir"], Landing::default()).expect("it exists");
        let before = selected(tree).digest().expect("a readable context");
        // Of revision 2, with CAP_NET_RAW, see capabilities(7).
        let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let attributes = [
            ("dir", "user.note", &b"n"[..]),
            ("dir/a", "user.note", b"n"),
            ("dir/a", "security.capability", &capability),
        ];
        for (name, attribute, value) in attributes {
            let flags = rustix::fs::XattrFlags::CREATE;
            rustix::fs::setxattr(root.join(name), attribute, value, flags).expect("an attribute");
        }
        let store = tempfile::tempdir().expect("a temporary directory");
        let index = Store::open(store.path()).expect("a new store");
        let index = index.context_index(root).expect("a directory");
        let after = index.scan(&|_, _| Decision::Include).expect("a readable context");
        let (selection, layer) = (selected(&after), tempfile::tempdir().expect("a temporary directory"));
        assert_eq!(selection.digest().expect("a readable context"), before);
        let layer_fd = open(layer.path());
        let target = Target { layer: layer_fd.as_fd(), base: None, mtime: Some(MTIME) };
        let copy = Action::Copy { selection: &selection, destination: "/to" };
        build(&target, &[copy]).expect("it is copied");
        for name in ["to", "to/a"] {
            let mut names = [0; 256];
            let length = rustix::fs::listxattr(layer.path().join(name), &mut names).expect("a list");
            assert_eq!(String::from_utf8_lossy(&names[..length]), "", "{name}");
        }
    });
}

/// Files with several names that sources of their own bring are two files, whichever way their digest is asked for.
#[test]
fn what_is_known_has_the_digest_of_what_is_read() {
    context("", |_, tree| {
        for sources in [&["dir"][..], &["dir/a", "dir/sub/c"], &["dir/*", "top.c", "link"]] {
            let selection = select(Source::Context(tree), sources, Landing::default()).expect("they exist");
            let read = selection.digest().expect("a readable context");
            assert_eq!(selection.known_digest().expect("a readable context"), Some(read), "{sources:?}");
        }
    });
}

#[test]
fn nothing_is_known_before_it_was_read() {
    context("", |_, tree| {
        let selection = select(Source::Context(tree), &["dir"], Landing::default()).expect("it exists");
        assert_eq!(selection.known_digest().expect("a readable context"), None);
    });
}

#[test]
fn the_key_sees_bytes_and_not_times() {
    context("", |root, tree| {
        let digest = |tree: &cache::ContextTree| {
            let selection = select(Source::Context(tree), &["dir"], Landing::default()).expect("it exists");
            selection.digest().expect("a readable context")
        };
        let before = digest(tree);
        let store = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(store.path()).expect("a new store");
        let again = || {
            let index = store.context_index(root).expect("a directory");
            digest(&index.scan(&|_, _| Decision::Include).expect("a readable context"))
        };
        let same = fs::read(root.join("dir/sub/b")).expect("a file");
        fs::write(root.join("dir/sub/b"), same).expect("the same bytes");
        assert_eq!(again(), before);
        fs::write(root.join("dir/sub/b"), "5").expect("other bytes");
        assert_ne!(again(), before);
    });
}

#[test]
fn changes_after_the_scan_are_noticed() {
    let changed = |change: &dyn Fn(&Path)| {
        let mut outcome = String::new();
        context("", |root, tree| {
            change(root);
            outcome = copy(tree, &["dir"], "/");
        });
        outcome
    };
    insta::assert_snapshot!(changed(&|root| fs::write(root.join("dir/sub/b"), "two").expect("a file")), @"error: `dir/sub/b` changed while it was read");
    insta::assert_snapshot!(changed(&|root| fs::write(root.join("dir/sub/b"), "3").expect("a file")), @"error: `dir/sub/b` changed while it was read");
    insta::assert_snapshot!(changed(&|root| fs::remove_file(root.join("dir/sub/b")).expect("a file")), @"error: `dir/sub/b` changed while it was read");
    insta::assert_snapshot!(changed(&|root| {
        fs::remove_file(root.join("dir/sub/b")).expect("a file");
        std::os::unix::fs::symlink("/etc/passwd", root.join("dir/sub/b")).expect("a symlink");
    }), @"error: `dir/sub/b` changed while it was read");
    insta::assert_snapshot!(changed(&|root| {
        fs::remove_file(root.join("dir/sub/b")).expect("a file");
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, root.join("dir/sub/b"), kind, rustix::fs::Mode::RWXU, 0).expect("a fifo");
    }), @"error: `dir/sub/b` changed while it was read");
    insta::assert_snapshot!(changed(&|root| {
        fs::rename(root.join("dir/sub"), root.join("moved")).expect("moved");
        std::os::unix::fs::symlink("/etc", root.join("dir/sub")).expect("a symlink");
    }), @"error: `dir/sub` changed while it was read");
}
