//! The bytes of tars that we write: they decide diff ids, so they may never change.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use cache::layer;
use image::Digest;

use crate::support::{Raw, Tar, apply_to, listing, tar_of};

fn open(path: &Path) -> fs::File {
    fs::File::open(path).expect("the layer exists")
}

/// A layer with something of everything, made from a tar.
fn everything() -> Vec<u8> {
    let long = format!("deep/{}/{}", "d".repeat(120), "f".repeat(120));
    let very_long = format!("deep/{}", "v".repeat(200));
    Tar::new()
        .raw(&Raw { mode: 0o1777, ..Raw::new(b'5', "tmp") })
        .file("a", "hello")
        .hard_link("b", "a")
        .raw(&Raw { mode: 0o6755, ids: (1000, 1001), data: b"#!".to_vec(), ..Raw::new(b'0', "bin/su") })
        .symlink("bin/sh", "../b")
        .pax(&[("path", long.as_bytes())])
        .file("x", "1")
        .pax(&[("path", very_long.as_bytes()), ("uid", b"3000000"), ("mtime", b"-5.5")])
        .file("x", "2")
        .pax(&[("linkpath", very_long.as_bytes())])
        .symlink("deep/link", "")
        .pax(&[("SCHILY.xattr.user.b", b"2"), ("SCHILY.xattr.user.a", b"1\n\0")])
        .file("noted", "")
        .raw(&Raw { device: (5, 1), mode: 0o600, ..Raw::new(b'3', "dev/console") })
        .raw(&Raw { device: (259, 300), mode: 0o660, ..Raw::new(b'4', "dev/disk") })
        .raw(&Raw::new(b'6', "fifo"))
        .file("gone/.wh.file", "")
        .file("hidden/.wh..wh..opq", "")
        .file("hidden/new", "n")
        .file("umlaut-\u{e4}", "")
        .end()
}

fn layer_with_everything() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    apply_to(&everything(), directory.path()).expect("a good tar");
    directory
}

#[test]
fn tar_v1_never_changes() {
    let directory = layer_with_everything();
    let tar = tar_of(directory.path());
    insta::assert_snapshot!(Digest::of(&tar), @"sha256:84acb364861495a860aead018a551cbc0c0277b25a3209bb818c49801f6a7818");
    insta::assert_snapshot!(names_with_gnu_tar(&tar), @r"
        -rw-r--r-- 0/0               5 2001-09-09 01:46:40 a
        hrw-r--r-- 0/0               0 2001-09-09 01:46:40 b link to a
        drwxr-xr-x 0/0               0 2001-09-09 01:46:40 bin/
        lrwxrwxrwx 0/0               0 2001-09-09 01:46:40 bin/sh -> ../b
        -rwsr-sr-x 1000/1001         2 2001-09-09 01:46:40 bin/su
        drwxr-xr-x 0/0               0 2001-09-09 01:46:40 deep/
        drwxr-xr-x 0/0               0 2001-09-09 01:46:40 deep/<d>/
        -rw-r--r-- 0/0               1 2001-09-09 01:46:40 deep/<d>/<f>
        lrwxrwxrwx 0/0               0 2001-09-09 01:46:40 deep/link -> deep/<v>
        -rw-r--r-- 3000000/0         1 1969-12-31 23:59:54 deep/<v>
        drwxr-xr-x 0/0               0 2001-09-09 01:46:40 dev/
        crw------- 0/0             5,1 2001-09-09 01:46:40 dev/console
        brw-rw---- 0/0         259,300 2001-09-09 01:46:40 dev/disk
        prw-r--r-- 0/0               0 2001-09-09 01:46:40 fifo
        drwxr-xr-x 0/0               0 2001-09-09 01:46:40 gone/
        ---------- 0/0               0 1970-01-01 00:00:00 gone/.wh.file
        drwxr-xr-x 0/0               0 2001-09-09 01:46:40 hidden/
        ---------- 0/0               0 1970-01-01 00:00:00 hidden/.wh..wh..opq
        -rw-r--r-- 0/0               1 2001-09-09 01:46:40 hidden/new
        -rw-r--r-- 0/0               0 2001-09-09 01:46:40 noted
        drwxrwxrwt 0/0               0 2001-09-09 01:46:40 tmp/
        -rw-r--r-- 0/0               0 2001-09-09 01:46:40 umlaut-\303\244
        ");
}

/// What GNU tar reads out of it.
fn names_with_gnu_tar(tar: &[u8]) -> String {
    let mut child = Command::new("tar")
        .args(["-tvf", "-", "--numeric-owner", "--utc", "--full-time"])
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tar runs");
    let mut input = child.stdin.take().expect("piped");
    std::io::Write::write_all(&mut input, tar).expect("tar reads");
    drop(input);
    let output = child.wait_with_output().expect("tar ends");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("names are text");
    text.replace(&"d".repeat(120), "<d>").replace(&"f".repeat(120), "<f>").replace(&"v".repeat(200), "<v>")
}

#[test]
fn an_empty_layer_is_the_two_empty_blocks() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let tar = tar_of(directory.path());
    assert_eq!(tar, [0; 1024]);
    insta::assert_snapshot!(Digest::of(&tar), @"sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef");
}

#[test]
fn writing_and_applying_are_inverse() {
    let directory = layer_with_everything();
    let tar = tar_of(directory.path());
    let copy = tempfile::tempdir().expect("a temporary directory");
    apply_to(&tar, copy.path()).expect("our own tar");
    assert_eq!(tar_of(copy.path()), tar);
    // Nanoseconds are what a tar with whole seconds loses.
    assert_eq!(listing(copy.path()), listing(directory.path()).replace("@-6.500000000", "@-6.0"));
}

#[test]
fn order_of_creation_and_file_system_do_not_matter() {
    let make = |root: &Path, names: &mut dyn Iterator<Item = usize>| {
        for name in names {
            let path = root.join(format!("{name}"));
            fs::write(&path, format!("{name}")).expect("a new file");
            fs::File::options()
                .write(true)
                .open(&path)
                .and_then(|file| file.set_modified(std::time::UNIX_EPOCH))
                .expect("a new time");
        }
    };
    let first = tempfile::tempdir().expect("a temporary directory");
    make(first.path(), &mut (0..500));
    let second = tempfile::tempdir_in("/dev/shm").expect("a temporary directory in memory");
    make(second.path(), &mut (0..500).rev());
    assert!(tar_of(first.path()) == tar_of(second.path()));
}

#[test]
fn summary_agrees_with_each_part() {
    let directory = layer_with_everything();
    let layer = open(directory.path());
    let layer = layer.as_fd();
    for clamp in [None, Some(0), Some(2_000_000_000)] {
        let summary = layer::summarize(layer, clamp).expect("a readable layer");
        let mut tar = Vec::new();
        layer::write_tar(layer, &mut tar, clamp).expect("a readable layer");
        assert_eq!(summary.diff_id.0, Digest::of(&tar));
        assert_eq!(summary.content, layer::content_digest(layer).expect("a readable layer"));
        assert_eq!(summary.size_bytes, layer::size_bytes(layer).expect("a readable layer"));
        assert_eq!(summary.size_bytes, 5 + 2 + 1 + 1 + 1);
    }
}

#[test]
fn times_are_clamped_and_content_ignores_them() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("f");
    let at = |seconds: u64, nanoseconds: u32| {
        fs::write(&path, "x").expect("a file");
        let time = std::time::UNIX_EPOCH + std::time::Duration::new(seconds, nanoseconds);
        fs::File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_modified(time))
            .expect("a new time");
        let root = open(directory.path());
        let clamped = layer::summarize(root.as_fd(), Some(100)).expect("a readable layer");
        let free = layer::summarize(root.as_fd(), None).expect("a readable layer");
        (clamped.diff_id, free.diff_id, free.content)
    };
    let (early, late, later, fraction) = (at(50, 0), at(200, 0), at(300, 0), at(300, 999));
    assert_eq!(early.0, early.1, "not later than the clamp");
    assert_eq!(late.0, later.0);
    assert_ne!(late.1, later.1);
    assert_ne!(early.0, late.0);
    assert_eq!(later.1, fraction.1, "whole seconds");
    assert_eq!((early.2, late.2), (late.2, later.2));
}

#[test]
fn content_sees_everything_but_time() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let path = root.path().join("f");
    let digest = || layer::content_digest(open(root.path()).as_fd()).expect("a readable layer");
    let mut seen = vec![digest()];
    let mut step = |change: &dyn Fn()| {
        change();
        let now = digest();
        assert!(!seen.contains(&now), "change {} is seen", seen.len());
        seen.push(now);
    };
    step(&|| fs::write(&path, "x").expect("a file"));
    step(&|| fs::write(&path, "y").expect("a file"));
    step(&|| fs::set_permissions(&path, PermissionsExt::from_mode(0o4755)).expect("a mode"));
    step(&|| std::os::unix::fs::chown(&path, Some(1), None).expect("an owner"));
    step(&|| std::os::unix::fs::chown(&path, None, Some(1)).expect("a group"));
    step(&|| rustix::fs::setxattr(&path, "user.a", b"1", rustix::fs::XattrFlags::empty()).expect("an xattr"));
    step(&|| fs::hard_link(&path, root.path().join("g")).expect("a link"));
    step(&|| symlink("a", root.path().join("s")).expect("a symlink"));
    step(&|| fs::create_dir(root.path().join("d")).expect("a directory"));
    step(&|| {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(root.path().join("d"), "user.overlay.opaque", b"y", flags).expect("an xattr");
    });
}

#[test]
fn sockets_are_left_out() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let _listener = std::os::unix::net::UnixListener::bind(directory.path().join("s")).expect("a socket");
    assert_eq!(tar_of(directory.path()), [0; 1024]);
}

#[test]
fn layers_that_no_tar_can_tell() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let error = || {
        let layer = open(directory.path());
        layer::write_tar(layer.as_fd(), &mut Vec::new(), None).expect_err("it would lie").to_string()
    };
    fs::write(directory.path().join(".wh.x"), "").expect("a file");
    insta::assert_snapshot!(error(), @"`.wh.x` has a name that is reserved for whiteouts: a layer cannot hold it");
    fs::remove_file(directory.path().join(".wh.x")).expect("it was there");
    let moved = directory.path().join("moved");
    fs::create_dir(&moved).expect("a directory");
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(&moved, "user.overlay.redirect", b"/old", flags).expect("an xattr");
    insta::assert_snapshot!(error(), @"`moved` refers to another layer");
}

/// A size that needs an extended header; the holes make it cheap to have, not to hash.
#[test]
fn more_than_eight_gigabytes() {
    struct Start(Vec<u8>);
    impl std::io::Write for Start {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.extend_from_slice(bytes);
            match self.0.len() > 64 << 10 {
                true => Err(std::io::Error::other("enough")),
                false => Ok(bytes.len()),
            }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = fs::File::create(directory.path().join("big")).expect("a file");
    file.set_len(9 << 30).expect("a size");
    let mut start = Start(Vec::new());
    let layer = open(directory.path());
    let error = layer::write_tar(layer.as_fd(), &mut start, None).expect_err("the writer stops it");
    insta::assert_snapshot!(error, @"cannot write the layer's tar");
    let records = String::from_utf8_lossy(&start.0[512..1024]).into_owned();
    assert_eq!(records.trim_end_matches('\0'), "19 size=9663676416\n");
    assert_eq!(&start.0[1024 + 124..1024 + 136], b"00000000000\0");
}
