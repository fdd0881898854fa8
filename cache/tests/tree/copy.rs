//! The rules of COPY, one test each.

use std::fs;
use std::os::fd::AsFd;

use cache::Decision;
use cache::tree::{Action, Landing, ModeChange, Target, build};

use crate::files::{Copy, MTIME, copied, copy_between, open, tree};
use crate::support::listing;

#[test]
fn a_file_becomes_the_destination() {
    insta::assert_snapshot!(copied("f a x", &["a"], "/b"), @r#"f 0644 b "x""#);
    insta::assert_snapshot!(copied("f a x", &["/a"], "/new/dir/b"), @r#"
        d 0755 new
        d 0755 new/dir
        f 0644 new/dir/b "x"
        "#);
}

#[test]
fn a_file_goes_into_a_directory() {
    insta::assert_snapshot!(copied("f a x", &["a"], "/dir/"), @r#"
        d 0755 dir
        f 0644 dir/a "x"
        "#);
    insta::assert_snapshot!(copied("f a x", &["a"], "/"), @r#"f 0644 a "x""#);
    let existing = Copy {
        source: "f a x",
        base: "d dir mode=700 own=3:4",
        sources: &["a"],
        to: "/dir",
        ..Copy::default()
    };
    insta::assert_snapshot!(existing.layer(), @r#"
        d 0700 3:4 dir
        f 0644 dir/a "x"
        "#);
}

#[test]
fn a_directory_gives_what_is_in_it() {
    let source = "
        d dir mode=700 own=5:6
        f dir/a x mode=600
        d dir/sub mode=750 own=7:8
        l dir/sub/link -> ../../outside
        f other y";
    insta::assert_snapshot!(copied(source, &["dir"], "/to"), @r#"
        d 0755 to
        f 0600 to/a "x"
        d 0750 7:8 to/sub
        l 0000 to/sub/link -> ../../outside
        "#);
    insta::assert_snapshot!(copied(source, &["dir/"], "/to/"), @r#"
        d 0755 to
        f 0600 to/a "x"
        d 0750 7:8 to/sub
        l 0000 to/sub/link -> ../../outside
        "#);
    insta::assert_snapshot!(copied(source, &["."], "/"), @r#"
        d 0700 5:6 dir
        f 0600 dir/a "x"
        d 0750 7:8 dir/sub
        l 0000 dir/sub/link -> ../../outside
        f 0644 other "y"
        "#);
    assert_eq!(copied(source, &["/"], "/"), copied(source, &["."], "/"));
    assert_eq!(copied(source, &["../.."], "/"), copied(source, &["."], "/"));
}

#[test]
fn several_sources() {
    let source = "
        f a 1
        f b 2
        d d
        f d/c 3";
    insta::assert_snapshot!(copied(source, &["a", "b", "d"], "/to/"), @r#"
        d 0755 to
        f 0644 to/a "1"
        f 0644 to/b "2"
        f 0644 to/c "3"
        "#);
    insta::assert_snapshot!(copied(source, &["a", "b"], "/to"), @r#"f 0644 to "2""#);
    let existing = Copy { source, base: "d to", sources: &["a", "b"], to: "/to", ..Copy::default() };
    insta::assert_snapshot!(existing.layer(), @r#"
        d 0755 to
        f 0644 to/a "1"
        f 0644 to/b "2"
        "#);
}

#[test]
fn a_later_source_replaces_an_earlier_one() {
    let source = "
        f one/a first
        f two/a second";
    insta::assert_snapshot!(copied(source, &["one", "two"], "/"), @r#"f 0644 a "second""#);
}

#[test]
fn a_source_that_is_a_symlink_is_followed() {
    let source = "
        f real/file x
        l link -> real
        l abs -> /real/file
        l out -> ../../../real/file
        l real/up -> ../link/file";
    insta::assert_snapshot!(copied(source, &["link"], "/to/"), @r#"
        d 0755 to
        f 0644 to/file "x"
        l 0000 to/up -> ../link/file
        "#);
    insta::assert_snapshot!(copied(source, &["abs", "out", "link/up"], "/to/"), @r#"
        d 0755 to
        f 0644 to/abs "x"
        f 0644 to/out "x"
        f 0644 to/up "x"
        "#);
}

#[test]
fn what_is_not_there() {
    insta::assert_snapshot!(copied("f a x", &["missing"], "/"), @r#"error: "/missing": not found"#);
    insta::assert_snapshot!(copied("f a x", &["a", "sub/../sub/missing"], "/"), @r#"error: "/sub/missing": not found"#);
    insta::assert_snapshot!(copied("f a x", &["a/b"], "/"), @r#"error: "/a/b": not found"#);
    insta::assert_snapshot!(copied("l dangling -> nowhere", &["dangling"], "/"), @r#"error: "/dangling": not found"#);
    insta::assert_snapshot!(copied("l loop -> loop", &["loop"], "/"), @"error: `loop` goes through more than 40 symlinks");
}

#[test]
fn the_destination_follows_symlinks_of_the_base() {
    let base = "
        d usr/bin mode=711
        l bin -> usr/bin
        l etc -> /private/etc
        d private mode=700 own=1:1
        f private/etc/conf old
        l file -> private/etc/conf
        l dangling -> /made/late";
    let to = |to| Copy { source: "f a x", base, sources: &["a"], to, ..Copy::default() }.layer();
    insta::assert_snapshot!(to("/bin/"), @r#"
        d 0755 usr
        d 0711 usr/bin
        f 0644 usr/bin/a "x"
        "#);
    insta::assert_snapshot!(to("/bin"), @r#"
        d 0755 usr
        d 0711 usr/bin
        f 0644 usr/bin/a "x"
        "#);
    insta::assert_snapshot!(to("/etc/conf"), @r#"
        d 0700 1:1 private
        d 0755 private/etc
        f 0644 private/etc/conf "x"
        "#);
    insta::assert_snapshot!(to("/file"), @r#"
        d 0700 1:1 private
        d 0755 private/etc
        f 0644 private/etc/conf "x"
        "#);
    insta::assert_snapshot!(to("/dangling"), @r#"
        d 0755 made
        f 0644 made/late "x"
        "#);
    insta::assert_snapshot!(to("/dangling/"), @r#"
        d 0755 made
        d 0755 made/late
        f 0644 made/late/a "x"
        "#);
    insta::assert_snapshot!(to("/bin/../../../x"), @r#"f 0644 x "x""#);
}

#[test]
fn directories_on_the_way_keep_what_they_have() {
    let base = "
        d a mode=1777 own=1:2 time=5
        d a/b mode=700 own=3:4 time=6";
    let copy = Copy { source: "f d/x 1", base, sources: &["d"], to: "/a/b/c/d", ..Copy::default() };
    insta::assert_snapshot!(copy.layer(), @r#"
        d 1777 1:2 @5.0 a
        d 0700 3:4 @6.0 a/b
        d 0755 a/b/c
        d 0755 a/b/c/d
        f 0644 a/b/c/d/x "1"
        "#);
}

#[test]
fn a_merged_directory_gets_what_the_source_has_below_the_destination() {
    let source = "
        d dir mode=755 own=1:1 time=1
        d dir/sub mode=711 own=2:2 time=2
        f dir/sub/new x";
    let base = "
        d to mode=700 own=8:8 time=8
        d to/sub mode=700 own=9:9 time=9
        f to/sub/old y";
    insta::assert_snapshot!(Copy { source, base, sources: &["dir"], to: "/to", ..Copy::default() }.layer(), @r#"
        d 0700 8:8 @8.0 to
        d 0711 2:2 @2.0 to/sub
        f 0644 to/sub/new "x"
        "#);
}

#[test]
fn files_and_directories_do_not_replace_each_other() {
    let source = "
        f file x
        d dir
        f dir/name x
        d tree/name
        f tree/name/f x";
    let onto = |base, sources, to| Copy { source, base, sources, to, ..Copy::default() }.layer();
    insta::assert_snapshot!(onto("f to old", &["dir"], "/to"), @"error: cannot copy to non-directory: /to");
    insta::assert_snapshot!(onto("f to old", &["file"], "/to/"), @"error: cannot copy to non-directory: /to");
    insta::assert_snapshot!(onto("f to old", &["file"], "/to/below"), @"error: cannot copy to non-directory: /to");
    insta::assert_snapshot!(onto("d to/name", &["dir"], "/to"), @"error: cannot replace the directory /to/name with a file");
    insta::assert_snapshot!(onto("d to/file", &["file"], "/to"), @"error: cannot replace the directory /to/file with a file");
    insta::assert_snapshot!(onto("f to/name old", &["tree"], "/to"), @"error: cannot copy to non-directory: /to/name");
    // BuildKit refuses a symlink in the place of a directory too, even when it leads to one.
    insta::assert_snapshot!(onto("l to/name -> ..", &["tree"], "/to"), @"error: cannot copy to non-directory: /to/name");
}

#[test]
fn files_replace_files_and_symlinks() {
    let base = "
        f to/a old
        l to/b -> a";
    let copy = Copy { source: "f s/a new\nf s/b new", base, sources: &["s"], to: "/to", ..Copy::default() };
    insta::assert_snapshot!(copy.layer(), @r#"
        d 0755 to
        f 0644 to/a "new"
        f 0644 to/b "new"
        "#);
}

#[test]
fn every_kind_is_copied_but_sockets() {
    let source = tree(
        "f d/setuid x mode=6755 own=1:2
        p d/fifo mode=600
        l d/link -> anywhere own=3:4
        f d/one x
        h d/two d/one",
    );
    let d = source.path().join("d");
    let device = rustix::fs::makedev(1, 3);
    let kind = rustix::fs::FileType::CharacterDevice;
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, d.join("null"), kind, mode, device).expect("a device");
    let _socket = std::os::unix::net::UnixListener::bind(d.join("socket")).expect("a socket");
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(d.join("one"), "user.note", b"n", flags).expect("an xattr");
    rustix::fs::setxattr(&d, "user.overlay.opaque", b"y", flags).expect("an xattr");
    fs::create_dir(d.join("sub")).expect("a directory");
    rustix::fs::setxattr(d.join("sub"), "user.kept", b"k", flags).expect("an xattr");
    rustix::fs::setxattr(d.join("sub"), "user.overlay.opaque", b"y", flags).expect("an xattr");
    for name in ["sub", "null"] {
        let time = rustix::fs::Timespec { tv_sec: MTIME, tv_nsec: 0 };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(rustix::fs::CWD, d.join(name), &times, rustix::fs::AtFlags::empty())
            .expect("a time");
    }
    insta::assert_snapshot!(copy_between(source.path(), None, &["d"], "/d", Landing::default()), @r#"
        d 0755 d
        p 0600 d/fifo
        l 0000 3:4 d/link -> anywhere
        c 0600 d/null 1:3
        f 0644 d/one "x" links=2 user.note=n
        f 6755 1:2 d/setuid "x"
        d 0755 d/sub user.kept=k
        f 0644 d/two "x" links=2 user.note=n
        "#);
}

#[test]
fn owner_and_mode() {
    let source = "
        d s/sub mode=700 own=1:1
        f s/sub/run x mode=700
        f s/text x mode=4600 own=2:2
        l s/link -> text";
    let change: ModeChange = "u=rwX,go=rX".parse().expect("a mode");
    let landing = Landing { owner: Some((10, 20)), mode: Some(&change), ..Landing::default() };
    insta::assert_snapshot!(Copy { source, sources: &["s"], to: "/new/s", landing, ..Copy::default() }.layer(), @r#"
        d 0755 10:20 new
        d 0755 10:20 new/s
        l 0000 10:20 new/s/link -> text
        d 0755 10:20 new/s/sub
        f 0755 10:20 new/s/sub/run "x"
        f 0644 10:20 new/s/text "x"
        "#);
    let octal: ModeChange = "0640".parse().expect("a mode");
    let landing = Landing { mode: Some(&octal), ..Landing::default() };
    insta::assert_snapshot!(Copy { source, sources: &["s"], to: "/s", landing, ..Copy::default() }.layer(), @r#"
        d 0640 s
        l 0000 s/link -> text
        d 0640 1:1 s/sub
        f 0640 s/sub/run "x"
        f 0640 2:2 s/text "x"
        "#);
    let wide: ModeChange = "0770".parse().expect("a mode");
    let landing = Landing { mode: Some(&wide), ..Landing::default() };
    let base = "d there mode=711";
    insta::assert_snapshot!(Copy { source, base, sources: &["s/text"], to: "/there/a/b/t", landing }.layer(), @r#"
        d 0711 there
        d 0770 there/a
        d 0770 there/a/b
        f 0770 2:2 there/a/b/t "x"
        "#);
    let landing = Landing { owner: Some((0, 0)), ..Landing::default() };
    insta::assert_snapshot!(Copy { source, sources: &["s/text"], to: "/t", landing, ..Copy::default() }.layer(), @r#"f 4600 t "x""#);
}

#[test]
fn exclude() {
    let source = "
        f s/a.txt 1
        f s/b.md 2
        f s/sub/c.txt 3
        f s/sub/keep.txt 4
        d s/empty
        f top.txt 5";
    let exclude = |path: &std::path::Path, is_directory: bool| {
        if path.extension().is_some_and(|extension| extension == "txt") && !path.ends_with("keep.txt") {
            return Decision::Exclude;
        }
        match is_directory && (path.ends_with("empty") || path.ends_with("sub")) {
            true => Decision::DescendOnly,
            false => Decision::Include,
        }
    };
    let landing = Landing { exclude: Some(&exclude), ..Landing::default() };
    insta::assert_snapshot!(Copy { source, sources: &["s", "*.txt"], to: "/to/", landing, ..Copy::default() }.layer(), @r#"
        d 0755 to
        f 0644 to/b.md "2"
        d 0755 to/sub
        f 0644 to/sub/keep.txt "4"
        "#);
}

#[test]
fn parents() {
    let source = "
        d x mode=711 own=1:1
        d x/y mode=700 own=2:2
        f x/y/a.txt 1
        f x/y/b.md 2
        f x/z/a.txt 3
        l link -> x";
    let landing = Landing { keeps_parents: true, ..Landing::default() };
    let copy = |base, sources| Copy { source, base, sources, to: "/to", landing }.layer();
    insta::assert_snapshot!(copy("", &["x/y/a.txt"]), @r#"
        d 0755 to
        d 0711 1:1 to/x
        d 0700 2:2 to/x/y
        f 0644 to/x/y/a.txt "1"
        "#);
    insta::assert_snapshot!(copy("", &["x/./y/*.txt"]), @r#"
        d 0755 to
        d 0700 2:2 to/y
        f 0644 to/y/a.txt "1"
        "#);
    insta::assert_snapshot!(copy("", &["x/*/a.txt"]), @r#"
        d 0755 to
        d 0711 1:1 to/x
        d 0700 2:2 to/x/y
        f 0644 to/x/y/a.txt "1"
        d 0755 to/x/z
        f 0644 to/x/z/a.txt "3"
        "#);
    insta::assert_snapshot!(copy("", &["./x/y"]), @r#"
        d 0755 to
        d 0711 1:1 to/x
        d 0700 2:2 to/x/y
        f 0644 to/x/y/a.txt "1"
        f 0644 to/x/y/b.md "2"
        "#);
    insta::assert_snapshot!(copy("", &["**/a.txt"]), @r#"
        d 0755 to
        d 0711 1:1 to/x
        d 0700 2:2 to/x/y
        f 0644 to/x/y/a.txt "1"
        d 0755 to/x/z
        f 0644 to/x/z/a.txt "3"
        "#);
    insta::assert_snapshot!(copy("", &["x/./**/*.md"]), @r#"
        d 0755 to
        d 0700 2:2 to/y
        f 0644 to/y/b.md "2"
        "#);
    insta::assert_snapshot!(copy("d to/x mode=1777", &["x/z/a.txt"]), @r#"
        d 0755 to
        d 1777 to/x
        d 0755 to/x/z
        f 0644 to/x/z/a.txt "3"
        "#);
    insta::assert_snapshot!(copy("f to/x old", &["x/z/a.txt"]), @"error: cannot copy to non-directory: /to/x");
    insta::assert_snapshot!(copy("", &["link/./z"]), @r#"
        d 0755 to
        d 0755 to/z
        f 0644 to/z/a.txt "3"
        "#);
    insta::assert_snapshot!(copy("", &["link"]), @r"
        d 0755 to
        l 0000 to/link -> x
        ");
    insta::assert_snapshot!(copy("", &["x/y/missing"]), @r#"error: "/x/y/missing": not found"#);
    insta::assert_snapshot!(copy("", &["x/./missing"]), @r#"error: "/x/missing": not found"#);
    insta::assert_snapshot!(copy("", &["x/y/a.txt", "missing"]), @r#"error: "/missing": not found"#);
    insta::assert_snapshot!(copy("", &["x/m*/a"]), @"d 0755 to");
    insta::assert_snapshot!(copy("", &["m*/./a"]), @"d 0755 to");
    insta::assert_snapshot!(copy("", &["x/./m*"]), @"d 0755 to");
    insta::assert_snapshot!(copy("", &["x/*/./a.txt"]), @r#"
        d 0755 to
        f 0644 to/a.txt "3"
        "#);
    insta::assert_snapshot!(copy("", &["*/./**/*.md"]), @r#"
        d 0755 to
        d 0700 2:2 to/y
        f 0644 to/y/b.md "2"
        "#);
    assert_eq!(copy("", &["x/."]), copy("", &["x"]));
    insta::assert_snapshot!(copy("", &["x/y/./"]), @r#"
        d 0755 to
        f 0644 to/a.txt "1"
        f 0644 to/b.md "2"
        "#);
}

#[test]
fn make_directory_and_file() {
    let base = tree("d etc mode=700 own=1:1\nl link -> etc");
    let layer = tempfile::tempdir().expect("a temporary directory");
    let (base_fd, layer_fd) = (open(base.path()), open(layer.path()));
    let target = Target { layer: layer_fd.as_fd(), base: Some(base_fd.as_fd()), mtime: Some(MTIME) };
    let actions = [
        Action::MakeDirectory { path: "/srv/app", mode: 0o755, owner: (7, 8) },
        Action::MakeDirectory { path: "/link", mode: 0o777, owner: (0, 0) },
        Action::MakeFile { path: "/link/conf", mode: 0o640, owner: (0, 9), content: b"one" },
        Action::MakeFile { path: "/link/conf", mode: 0o644, owner: (0, 0), content: b"two" },
    ];
    let copied = build(&target, &actions).expect("all can be made");
    assert_eq!((copied.files, copied.size_bytes), (2, 6));
    insta::assert_snapshot!(listing(layer.path()), @r#"
        d 0700 1:1 etc
        f 0644 etc/conf "two"
        d 0755 7:8 srv
        d 0755 7:8 srv/app
        "#);
    let error =
        build(&target, &[Action::MakeFile { path: "/link", mode: 0o644, owner: (0, 0), content: b"" }]);
    insta::assert_snapshot!(error.expect_err("it is a directory"), @"cannot replace the directory /etc with a file");
}

#[test]
fn a_large_tree_arrives_whole() {
    let source = tempfile::tempdir().expect("a temporary directory");
    for directory in 0..20 {
        let path = source.path().join(format!("{directory}/nested"));
        fs::create_dir_all(&path).expect("a directory");
        for file in 0..50 {
            let bytes = vec![file as u8; file * 4001];
            fs::write(path.join(format!("{file}")), bytes).expect("a file");
        }
    }
    let layer = tempfile::tempdir().expect("a temporary directory");
    let (source_fd, layer_fd) = (open(source.path()), open(layer.path()));
    let source_of = cache::tree::Source::Directory(source_fd.as_fd());
    let selection = cache::tree::select(source_of, &["."], Landing::default()).expect("a readable tree");
    let target = Target { layer: layer_fd.as_fd(), base: None, mtime: None };
    let copied = build(&target, &[Action::Copy { selection: &selection, destination: "/" }]).expect("copied");
    assert_eq!(copied.files, 1000);
    assert_eq!(copied.size_bytes, 20 * 4001 * (49 * 50 / 2));
    assert_eq!(crate::support::tar_of(layer.path()), crate::support::tar_of(source.path()));
}
