//! ADD and its archives.

use std::fs;
use std::process::Command;

use cache::tree::Landing;

use crate::files::{MTIME, copy_between, tree};
use crate::support::{Raw, Tar};

fn added(tar: &[u8], base: &str, to: &str) -> String {
    let source = tempfile::tempdir().expect("a temporary directory");
    let path = source.path().join("a.tar");
    fs::write(&path, tar).expect("a file");
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(MTIME as u64);
    fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(time)).expect("a time");
    let base = tree(base);
    let landing = Landing { unpacks: true, owner: Some((0, 0)), ..Landing::default() };
    copy_between(source.path(), Some(base.path()), &["a.tar"], to, landing)
}

fn simple() -> Vec<u8> {
    Tar::new().dir("dir").raw(&Raw { ids: (5, 6), data: b"x".to_vec(), ..Raw::new(b'0', "dir/f") }).end()
}

#[test]
fn an_archive_is_unpacked_into_the_destination() {
    insta::assert_snapshot!(added(&simple(), "", "/to"), @r#"
        d 0755 to
        d 0755 to/dir
        f 0644 5:6 to/dir/f "x"
        "#);
    assert_eq!(added(&simple(), "", "/to"), added(&simple(), "", "/to/"));
}

#[test]
fn compressed_archives() {
    let plain = added(&simple(), "", "/to");
    for tool in ["gzip", "zstd -q", "xz", "bzip2"] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::write(directory.path().join("t"), simple()).expect("a file");
        let script = format!("{tool} -c t > t.out");
        let made = Command::new("sh").args(["-ec", &script]).current_dir(directory.path()).status();
        assert!(made.expect("sh runs").success());
        let packed = fs::read(directory.path().join("t.out")).expect("the tool made it");
        assert_eq!(added(&packed, "", "/to"), plain, "{tool}");
    }
}

#[test]
fn what_is_no_archive_is_copied() {
    insta::assert_snapshot!(added(b"just text", "", "/to/"), @r#"
        d 0755 to
        f 0644 to/a.tar "just text"
        "#);
    insta::assert_snapshot!(added(b"\x1f\x8b but no gzip", "", "/to"), @r#"f 0644 to "\u{1f}� but no gzip""#);
    // BuildKit finds no entry in it, and copies it.
    insta::assert_snapshot!(added(&[0; 1024], "", "/to"), @"f 0644 to <1024 bytes>");
}

#[test]
fn chown_applies_to_what_is_in_the_archive() {
    let source = tempfile::tempdir().expect("a temporary directory");
    fs::write(source.path().join("a.tar"), simple()).expect("a file");
    let landing =
        Landing { unpacks: true, owner: Some((1, 2)), archive_owner: Some((1, 2)), ..Landing::default() };
    insta::assert_snapshot!(copy_between(source.path(), None, &["a.tar"], "/to", landing), @r#"
        d 0755 1:2 to
        d 0755 1:2 to/dir
        f 0644 1:2 to/dir/f "x"
        "#);
}

#[test]
fn entries_meet_the_base() {
    let base = "
        d usr/bin mode=711
        l bin -> usr/bin
        d etc mode=700 own=3:3
        f etc/old x
        d replaced/sub
        f linked base";
    let tar = Tar::new()
        .file("bin/tool", "t")
        .file("etc/new", "n")
        .file("replaced", "now a file")
        .hard_link("etc/link", "linked")
        .end();
    insta::assert_snapshot!(added(&tar, base, "/"), @r#"
        d 0700 3:3 etc
        f 0644 etc/link "base" links=2
        f 0644 etc/new "n"
        f 0644 linked "base" links=2
        f 0644 replaced "now a file"
        d 0755 usr
        d 0711 usr/bin
        f 0644 usr/bin/tool "t"
        "#);
}

#[test]
fn a_directory_that_takes_the_place_of_another_hides_it() {
    let tar = Tar::new().file("d", "a file").dir("d").file("d/new", "").end();
    insta::assert_snapshot!(added(&tar, "f d/old x", "/"), @r#"
        d 0755 d user.overlay.opaque=y
        f 0644 d/new ""
        "#);
}

#[test]
fn nothing_leads_out_of_the_destination() {
    let tar =
        Tar::new().symlink("up", "/").symlink("more", "../../..").file("up/a", "1").file("more/b", "2").end();
    insta::assert_snapshot!(added(&tar, "d sub", "/sub"), @r#"
        d 0755 sub
        f 0644 sub/a "1"
        f 0644 sub/b "2"
        l 0000 sub/more -> ../../..
        l 0000 sub/up -> /
        "#);
    insta::assert_snapshot!(added(&Tar::new().file("../x", "1").end(), "", "/sub"), @"error: cannot unpack `a.tar`: layer entry `../x` leaves the root file system");
    insta::assert_snapshot!(added(&Tar::new().hard_link("x", "/etc/passwd").end(), "", "/sub"), @"error: cannot unpack `a.tar`: layer entry `x` is a hard link to `/etc/passwd`, which the layer does not have");
}

#[test]
fn names_of_whiteouts_have_no_meaning_here_and_no_place_in_a_layer() {
    insta::assert_snapshot!(added(&Tar::new().file(".wh.a", "").end(), "f a x", "/"), @"error: cannot unpack `a.tar`: layer entry `.wh.a` has a name that is reserved for whiteouts");
}
