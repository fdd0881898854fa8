//! Ordinary layers, and the rules for whatever may stand in any order.

use std::fs;
use std::process::{Command, Stdio};

use cache::layer::Limits;

use crate::support::{Raw, Tar, applied, apply_to, apply_within, listing};

#[test]
fn every_kind_of_file() {
    let tar = Tar::new()
        .dir("etc/")
        .file("etc/passwd", "root:x:0:0\n")
        .raw(&Raw { mode: 0o4755, ids: (0, 12), ..Raw::new(b'0', "su") })
        .raw(&Raw { mode: 0o1777, ..Raw::new(b'5', "tmp") })
        .raw(&Raw { mode: 0o2755, ids: (3, 4), ..Raw::new(b'5', "mail") })
        .symlink("bin", "usr/bin")
        .hard_link("etc/passwd-", "etc/passwd")
        .raw(&Raw { device: (1, 3), mode: 0o666, ..Raw::new(b'3', "null") })
        .raw(&Raw { device: (8, 1), mode: 0o660, ids: (0, 6), ..Raw::new(b'4', "sda1") })
        .raw(&Raw { mode: 0o600, ..Raw::new(b'6', "fifo") })
        .raw(&Raw { mode: 0o000, ..Raw::new(b'0', "shadow") })
        .end();
    insta::assert_snapshot!(applied(&tar), @r#"
        l 0000 bin -> usr/bin
        d 0755 etc
        f 0644 etc/passwd "root:x:0:0\n" links=2
        f 0644 etc/passwd- "root:x:0:0\n" links=2
        p 0600 fifo
        d 2755 3:4 mail
        c 0666 null 1:3
        b 0660 0:6 sda1 8:1
        f 0000 shadow ""
        f 4755 0:12 su ""
        d 1777 tmp
        "#);
}

#[test]
fn implied_parents_belong_to_root() {
    insta::assert_snapshot!(applied(&Tar::new().file("a/b/c", "x").end()), @r#"
        d 0755 a
        d 0755 a/b
        f 0644 a/b/c "x"
        "#);
}

#[test]
fn the_root_itself_is_ignored() {
    let root = Raw { mode: 0o700, ids: (5, 5), ..Raw::new(b'5', "./") };
    insta::assert_snapshot!(applied(&Tar::new().raw(&root).file("./a", "").end()), @r#"f 0644 a """#);
}

#[test]
fn whiteouts_and_opaque_directories() {
    let tar = Tar::new()
        .file(".wh.gone", "")
        .file("a/.wh.b", "")
        .dir("c")
        .file("c/.wh..wh..opq", "")
        .file("c/new", "")
        .end();
    insta::assert_snapshot!(applied(&tar), @r#"
        d 0755 a
        hidden a/b
        d 0755 c user.overlay.opaque=y
        f 0644 c/new ""
        hidden gone
        "#);
}

#[test]
fn an_opaque_marker_may_come_last_and_first() {
    let first = applied(&Tar::new().file("d/.wh..wh..opq", "").file("d/x", "").dir("d").end());
    let last = applied(&Tar::new().dir("d").file("d/x", "").file("d/.wh..wh..opq", "").end());
    assert_eq!(first, last);
    insta::assert_snapshot!(last, @r#"
        d 0755 d user.overlay.opaque=y
        f 0644 d/x ""
        "#);
}

#[test]
fn a_whiteout_hides_nothing_of_its_own_layer() {
    let file_after = applied(&Tar::new().file(".wh.a", "").file("a", "new").end());
    let file_before = applied(&Tar::new().file("a", "new").file(".wh.a", "").end());
    assert_eq!(file_after, file_before);
    insta::assert_snapshot!(file_after, @r#"f 0644 a "new""#);
    let directory_after = applied(&Tar::new().file(".wh.a", "").dir("a").file("a/b", "").end());
    let directory_before = applied(&Tar::new().dir("a").file("a/b", "").file(".wh.a", "").end());
    assert_eq!(directory_after, directory_before);
    insta::assert_snapshot!(directory_after, @r#"
        d 0755 a user.overlay.opaque=y
        f 0644 a/b ""
        "#);
}

#[test]
fn an_opaque_root_is_reported() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let tar = Tar::new().file(".wh..wh..opq", "").file("a", "").end();
    assert!(apply_to(&tar, directory.path()).expect("a good tar").is_root_opaque);
    insta::assert_snapshot!(listing(directory.path()), @r#"
        opaque /
        f 0644 a ""
        "#);
}

#[test]
fn the_last_of_several_entries_wins() {
    let tar = Tar::new()
        .file("a", "first")
        .file("a", "second")
        .dir("b")
        .file("b/inside", "")
        .file("b", "a file now")
        .file("c", "")
        .dir("c")
        .file("c/inside", "")
        .dir("d")
        .file("d/kept", "")
        .raw(&Raw { mode: 0o700, ..Raw::new(b'5', "d") })
        .end();
    insta::assert_snapshot!(applied(&tar), @r#"
        f 0644 a "second"
        f 0644 b "a file now"
        d 0755 c
        f 0644 c/inside ""
        d 0755 d
        f 0644 d/kept ""
        "#);
}

#[test]
fn a_replaced_file_keeps_its_other_links() {
    let tar = Tar::new().file("a", "old").hard_link("b", "a").file("a", "new").end();
    insta::assert_snapshot!(applied(&tar), @r#"
        f 0644 a "new"
        f 0644 b "old"
        "#);
}

#[test]
fn a_hard_link_to_itself_changes_nothing() {
    insta::assert_snapshot!(applied(&Tar::new().file("a", "x").hard_link("a", "./a").end()), @r#"f 0644 a "x""#);
}

#[test]
fn a_hard_link_may_name_a_symlink() {
    insta::assert_snapshot!(applied(&Tar::new().symlink("a", "nowhere").hard_link("b", "a").end()), @r"
        l 0000 a -> nowhere links=2
        l 0000 b -> nowhere links=2
        ");
}

#[test]
fn long_names_in_both_forms() {
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let pax = Tar::new().pax(&[("path", long.as_bytes())]).file("short", "x").end();
    let name = Raw { data: [long.as_bytes(), b"\0"].concat(), ..Raw::new(b'L', "././@LongLink") };
    let gnu = Tar::new().raw(&name).file("short", "x").end();
    assert_eq!(applied(&pax), applied(&gnu));
    assert!(applied(&pax).ends_with(&format!("{long} \"x\"")));
    let target = Raw { data: [long.as_bytes(), b"\0"].concat(), ..Raw::new(b'K', "././@LongLink") };
    let gnu = applied(&Tar::new().raw(&target).symlink("l", "short").end());
    let pax = applied(&Tar::new().pax(&[("linkpath", long.as_bytes())]).symlink("l", "short").end());
    assert_eq!(gnu, pax);
    assert!(gnu.ends_with(&format!("l -> {long}")));
}

#[test]
fn a_prefix_stands_in_front_of_the_name() {
    let mut block = Raw::new(b'0', "name").block();
    block[345..351].copy_from_slice(b"prefix");
    let tar = Tar(crate::support::with_checksum(block).to_vec()).end();
    insta::assert_snapshot!(applied(&tar), @r#"
        d 0755 prefix
        f 0644 prefix/name ""
        "#);
}

#[test]
fn extended_headers_say_more_than_the_header() {
    let tar = Tar::new()
        .pax(&[
            ("mtime", b"1234567890.125"),
            ("uid", b"3000000"),
            ("gid", b"4000000"),
            ("SCHILY.xattr.user.note", b"hello"),
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
            ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
            ("comment", b"ignored"),
        ])
        .file("a", "")
        .end();
    insta::assert_snapshot!(applied(&tar), @r#"f 0644 3000000:4000000 @1234567890.125000000 a "" user.note=hello"#);
}

#[test]
fn capabilities_survive_the_change_of_owner() {
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let tar = Tar::new()
        .pax(&[("SCHILY.xattr.security.capability", capability)])
        .raw(&Raw { ids: (7, 7), mode: 0o755, ..Raw::new(b'0', "ping") })
        .end();
    insta::assert_snapshot!(applied(&tar), @r#"f 0755 7:7 ping "" security.capability=\x01\x00\x00\x02\x00 \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"#);
}

#[test]
fn access_lists_and_modes_agree() {
    let acl = |entries: &[(u16, u16, u32)]| {
        let mut bytes = 2u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            bytes.extend_from_slice(&tag.to_le_bytes());
            bytes.extend_from_slice(&permissions.to_le_bytes());
            bytes.extend_from_slice(&id.to_le_bytes());
        }
        bytes
    };
    let none = u32::MAX;
    let value = acl(&[(1, 6, none), (2, 6, 1000), (4, 4, none), (0x10, 6, none), (0x20, 0, none)]);
    let default = acl(&[(1, 7, none), (2, 7, 1000), (4, 0, none), (0x10, 7, none), (0x20, 0, none)]);
    let tar = Tar::new()
        .pax(&[("SCHILY.xattr.system.posix_acl_default", &default)])
        .raw(&Raw { mode: 0o750, ..Raw::new(b'5', "d") })
        .file("d/inherits-nothing", "")
        .pax(&[("SCHILY.xattr.system.posix_acl_access", &value)])
        .raw(&Raw { mode: 0o660, ..Raw::new(b'0', "a") })
        .end();
    let listed = applied(&tar);
    assert!(listed.contains("f 0660 a"), "{listed}");
    assert!(
        listed.contains("f 0644 d/inherits-nothing \"\"\n") || listed.ends_with("nothing \"\""),
        "{listed}"
    );
    assert_eq!(listed.matches("posix_acl").count(), 2, "{listed}");
}

#[test]
fn large_and_small_files_are_alike() {
    let large = "0123456789".repeat(500_000);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let tar = Tar::new().file("large", &large).file("small", "s").hard_link("link", "large").end();
    let report = apply_to(&tar, directory.path()).expect("a good tar");
    assert_eq!(report.size_bytes, 5_000_001);
    assert_eq!(fs::read(directory.path().join("link")).expect("the link is there"), large.as_bytes());
}

#[test]
fn the_tar_may_end_without_its_end() {
    let mut tar = Tar::new().file("a", "x");
    insta::assert_snapshot!(applied(&tar.0), @r#"f 0644 a "x""#);
    tar.0.resize(tar.0.len() + 512, 0);
    insta::assert_snapshot!(applied(&tar.0), @r#"f 0644 a "x""#);
    assert_eq!(applied(&[]), "");
}

#[test]
fn a_v7_directory_is_known_by_its_slash() {
    let raw = Raw { magic: b"\0\0\0\0\0\0\0\0", ..Raw::new(0, "old/") };
    insta::assert_snapshot!(applied(&Tar::new().raw(&raw).end()), @"d 0644 old");
}

#[test]
fn global_headers_and_aufs_leftovers_are_ignored() {
    let data = crate::support::pax_record("path", b"everywhere");
    let tar = Tar::new()
        .raw(&Raw { data, ..Raw::new(b'g', "pax_global_header") })
        .dir(".wh..wh.plnk")
        .file(".wh..wh.plnk/12.34", "")
        .file(".wh..wh.aufs", "")
        .file("a", "")
        .end();
    insta::assert_snapshot!(applied(&tar), @r#"f 0644 a """#);
}

/// GNU tar makes sparse archives of a file with holes at the start, in the middle and at the end.
#[test]
fn sparse_files_of_gnu_tar() {
    for format in ["gnu", "posix --sparse-version=1.0", "posix --sparse-version=0.1"] {
        let source = tempfile::tempdir().expect("a temporary directory");
        let script = format!(
            "truncate -s 8M f; for at in 1 3 5 7 9 11 100 1000 2000; do
               printf block$at | dd of=f bs=4096 seek=$at conv=notrunc status=none; done
             tar --format={format} --sparse -cf t.tar f"
        );
        let made = Command::new("sh").args(["-ec", &script]).current_dir(source.path()).status();
        assert!(made.expect("sh runs").success());
        let tar = fs::read(source.path().join("t.tar")).expect("tar made it");
        assert!(tar.len() < 200_000, "{format}: the archive is sparse");
        let target = tempfile::tempdir().expect("a temporary directory");
        apply_to(&tar, target.path()).expect(format);
        let expected = fs::read(source.path().join("f")).expect("the source");
        assert!(fs::read(target.path().join("f")).expect("unpacked") == expected, "{format}");
    }
}

#[test]
fn limits_are_kept() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let error = |tar: &[u8], limits: Limits| {
        apply_within(tar, directory.path(), &limits).expect_err("over the limit").to_string()
    };
    let three = Tar::new().dir("a").dir("b").dir("c").end();
    let limits = Limits { entries_max: 2, ..Limits::default() };
    insta::assert_snapshot!(error(&three, limits), @"the tar has more than 2 entries");
    let big = Tar::new().file("f", &"x".repeat(1000)).end();
    let limits = Limits { file_bytes_total_max: 999, ..Limits::default() };
    insta::assert_snapshot!(error(&big, limits), @"the tar has more than 999 bytes in its files");
    let limits = Limits { xattr_bytes_max: 3, ..Limits::default() };
    let xattr = Tar::new().pax(&[("SCHILY.xattr.user.a", b"1234")]).file("g", "").end();
    insta::assert_snapshot!(error(&xattr, limits), @"the tar has more than 3 bytes in an extended attribute");
    let limits = Limits { extended_header_bytes_max: 10, ..Limits::default() };
    insta::assert_snapshot!(error(&xattr, limits), @"the tar has more than 10 bytes in an extended header");
    let limits = Limits { path_bytes_max: 10, ..Limits::default() };
    insta::assert_snapshot!(error(&Tar::new().dir("elevenbytes").end(), limits), @"the tar has more than 10 bytes in a path");
}

/// Each file alone in its directory, with fewer descriptors than a process usually has.
#[test]
fn few_descriptors_are_enough() {
    let binary = std::env::current_exe().expect("a test knows its binary");
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 512; exec \"$0\" --exact apply::inner_few_descriptors --ignored"])
        .arg(binary)
        .output()
        .expect("sh runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "runs in the process that another test makes"]
fn inner_few_descriptors() {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a temporary directory");
    let mut tar = Tar::new();
    for number in 0..3000 {
        tar = tar.dir(&format!("{number}")).file(&format!("{number}/f"), "");
    }
    let deep = "d/".repeat(700);
    let tar = tar.pax(&[("path", deep.as_bytes())]).dir("x").end();
    let applied = apply_to(&tar, directory.path()).expect("a good tar");
    assert_eq!(applied.entries, 6001);
    let written = crate::support::tar_of(directory.path());
    let again = tempfile::tempdir_in("/dev/shm").expect("a temporary directory");
    apply_to(&written, again.path()).expect("our own tar");
    assert!(crate::support::tar_of(again.path()) == written);
}

/// The same tar unpacked by `umoci`, which other people wrote.
#[test]
fn umoci_agrees() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let script = "mkdir -p src/dir/sub; echo hi > src/dir/file; ln src/dir/file src/hard
        ln -s ../dir src/dir/link; chmod 4711 src/hard; chown 12:34 src/dir/sub; mkfifo src/fifo
        setfattr -n user.note -v 1 src/dir/file 2>/dev/null || true
        find src -exec touch -h -d @1000000000 {} +
        tar --format=posix --pax-option=delete=atime,delete=ctime --xattrs -C src -cf layer.tar dir fifo hard
        umoci init --layout image && umoci new --image image:t
        umoci raw add-layer --image image:t layer.tar && umoci raw unpack --image image:t bundle";
    let made = Command::new("sh")
        .args(["-ec", script])
        .current_dir(root.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .expect("sh runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let ours = root.path().join("ours");
    fs::create_dir(&ours).expect("a new directory");
    apply_to(&fs::read(root.path().join("layer.tar")).expect("tar made it"), &ours).expect("a good tar");
    assert_eq!(listing(&ours), listing(&root.path().join("bundle")));
}
