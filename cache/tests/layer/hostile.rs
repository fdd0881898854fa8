//! Tars made to break out, to confuse, or to exhaust. Each gives the same tree as the reference or a clear
//! refusal, and never touches anything outside of the layer.

use std::fs;

use crate::support::{Raw, Tar, applied, apply_to, listing, pax_record, with_checksum};

/// Applies a tar to a layer with a bystander beside it, which must not change.
fn contained(tar: &[u8]) -> String {
    let outer = tempfile::tempdir().expect("a temporary directory");
    let layer = outer.path().join("layer");
    fs::create_dir(&layer).expect("a new directory");
    fs::write(outer.path().join("victim"), "untouched").expect("a new file");
    let outcome = match apply_to(tar, &layer) {
        Ok(_) => listing(&layer),
        Err(error) => format!("error: {error}"),
    };
    let mut names: Vec<_> = fs::read_dir(outer.path())
        .expect("a readable directory")
        .map(|entry| entry.expect("a readable entry").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["layer", "victim"]);
    assert_eq!(fs::read_to_string(outer.path().join("victim")).expect("still there"), "untouched");
    outcome
}

#[test]
fn names_that_lead_out() {
    insta::assert_snapshot!(contained(&Tar::new().file("../victim", "x").end()), @"error: layer entry `../victim` leaves the root file system");
    insta::assert_snapshot!(contained(&Tar::new().file("a/../../victim", "x").end()), @"error: layer entry `a/../../victim` leaves the root file system");
    insta::assert_snapshot!(contained(&Tar::new().file("a/../b", "x").end()), @r#"f 0644 b "x""#);
    insta::assert_snapshot!(contained(&Tar::new().file("/abs", "x").end()), @r#"f 0644 abs "x""#);
    insta::assert_snapshot!(contained(&Tar::new().file("..", "x").end()), @"error: layer entry `..` leaves the root file system");
    insta::assert_snapshot!(contained(&Tar::new().pax(&[("path", b"../victim")]).file("ok", "x").end()), @"error: layer entry `../victim` leaves the root file system");
}

#[test]
fn symlink_then_file_through_it() {
    insta::assert_snapshot!(contained(&Tar::new().symlink("up", "..").file("up/victim", "x").end()), @r#"
        l 0000 up -> ..
        f 0644 victim "x"
        "#);
    let absolute = Tar::new().symlink("up", "/../../..").file("up/victim", "x").end();
    insta::assert_snapshot!(contained(&absolute), @r#"
        l 0000 up -> /../../..
        f 0644 victim "x"
        "#);
    let chain = Tar::new().symlink("a", "../b").symlink("b", "c/../..").dir("c").file("a/victim", "x").end();
    insta::assert_snapshot!(contained(&chain), @r#"
        l 0000 a -> ../b
        l 0000 b -> c/../..
        d 0755 c
        f 0644 victim "x"
        "#);
    let dangling = Tar::new().symlink("a", "/new/place").file("a/f", "x").end();
    insta::assert_snapshot!(contained(&dangling), @r#"
        l 0000 a -> /new/place
        d 0755 new
        d 0755 new/place
        f 0644 new/place/f "x"
        "#);
    let over = Tar::new().symlink("a", "../victim").file("a", "x").end();
    insta::assert_snapshot!(contained(&over), @r#"f 0644 a "x""#);
}

#[test]
fn symlink_loops() {
    let looped = Tar::new().symlink("a", "b").symlink("b", "a").file("a/f", "x").end();
    insta::assert_snapshot!(contained(&looped), @"error: `a` goes through more than 40 symlinks");
    insta::assert_snapshot!(contained(&Tar::new().symlink("a", "a/a").file("a/f", "").end()), @"error: `a` goes through more than 40 symlinks");
}

#[test]
fn a_directory_replaced_by_a_symlink_later() {
    let tar = Tar::new().dir("d").file("d/a", "1").symlink("d", "..").file("d/victim", "x").end();
    insta::assert_snapshot!(contained(&tar), @r#"
        l 0000 d -> ..
        f 0644 victim "x"
        "#);
}

#[test]
fn hard_links_out() {
    insta::assert_snapshot!(contained(&Tar::new().hard_link("a", "../victim").end()), @"error: layer entry `a` leaves the root file system");
    insta::assert_snapshot!(contained(&Tar::new().hard_link("a", "/etc/passwd").end()), @"error: layer entry `a` is a hard link to `/etc/passwd`, which the layer does not have");
    let through = Tar::new().symlink("up", "..").hard_link("a", "up/victim").end();
    insta::assert_snapshot!(contained(&through), @"error: layer entry `a` is a hard link to `up/victim`, which the layer does not have");
    let onto = Tar::new().symlink("s", "../victim").hard_link("a", "s").file("a", "x").end();
    insta::assert_snapshot!(contained(&onto), @r#"
        f 0644 a "x"
        l 0000 s -> ../victim
        "#);
    insta::assert_snapshot!(contained(&Tar::new().dir("d").hard_link("a", "d").end()), @"error: layer entry `a` is a hard link to the directory `d`");
    insta::assert_snapshot!(contained(&Tar::new().hard_link("a", "").end()), @"error: layer entry `a` is a hard link to ``, which the layer does not have");
    insta::assert_snapshot!(contained(&Tar::new().file(".wh.w", "").hard_link("a", "w").end()), @"error: layer entry `a` is a hard link to `w`, which the layer does not have");
}

#[test]
fn whiteouts_through_symlinked_parents() {
    let tar = Tar::new().symlink("up", "../..").file("up/.wh.victim", "").end();
    insta::assert_snapshot!(contained(&tar), @r"
        l 0000 up -> ../..
        hidden victim
        ");
    let opaque = Tar::new().symlink("up", "..").file("up/.wh..wh..opq", "").file("kept", "").end();
    insta::assert_snapshot!(contained(&opaque), @r#"
        opaque /
        f 0644 kept ""
        l 0000 up -> ..
        "#);
}

#[test]
fn names_that_only_look_like_whiteouts() {
    for name in [".wh.", ".wh..", ".wh...", ".wh..wh.x", ".wh.d/f", "a/.wh.b/c"] {
        let outcome = contained(&Tar::new().file(name, "").end());
        assert_eq!(outcome, format!("error: layer entry `{name}` has a name that is reserved for whiteouts"),);
    }
}

#[test]
fn devices_that_are_whiteouts() {
    insta::assert_snapshot!(contained(&Tar::new().raw(&Raw::new(b'3', "passwd")).end()), @"error: layer entry `passwd` is the device 0:0, which would hide files of other layers");
}

/// The kernel keeps 12 and 20 bits of a device's numbers: these would turn into 0:0.
#[test]
fn devices_that_turn_into_whiteouts() {
    for device in [(4096, 0), (0, 1 << 20), (4096, 1 << 20)] {
        let tar = Tar::new().raw(&Raw { device, ..Raw::new(b'3', "passwd") }).end();
        assert_eq!(contained(&tar), "error: tar header 1 is malformed: device number");
    }
}

#[test]
fn overlay_attributes_are_stripped() {
    let tar = Tar::new()
        .pax(&[
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
            ("SCHILY.xattr.user.overlay.redirect", b"/secret"),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.trusted.overlay.metacopy", b""),
            ("SCHILY.xattr.user.overlay.whiteout", b""),
            ("SCHILY.xattr.security.selinux", b"x"),
            ("SCHILY.xattr.user.kept", b"1"),
        ])
        .dir("d")
        .end();
    insta::assert_snapshot!(contained(&tar), @"d 0755 d user.kept=1");
}

#[test]
fn two_sizes() {
    let disagree = Tar::new().pax(&[("size", b"0")]).file("a", "data").end();
    insta::assert_snapshot!(contained(&disagree), @"error: tar entry `a` has two sizes: 4 in its header, 0 in its extended header");
    let larger = Tar::new().pax(&[("size", b"1024")]).file("a", "").file("b", "").end();
    insta::assert_snapshot!(contained(&larger), @"error: tar entry `a` has two sizes: 0 in its header, 1024 in its extended header");
    let agree = Tar::new().pax(&[("size", b"4")]).file("a", "data").end();
    insta::assert_snapshot!(contained(&agree), @r#"f 0644 a "data""#);
    let directory = Tar::new().raw(&Raw { size: Some(512), ..Raw::new(b'5', "d") }).file("a", "").end();
    insta::assert_snapshot!(contained(&directory), @"error: tar header 1 is malformed: bytes behind an entry that has none");
    let link = Raw { size: Some(512), link: b"a".to_vec(), ..Raw::new(b'1', "l") };
    insta::assert_snapshot!(contained(&Tar::new().file("a", "").raw(&link).file("b", "").end()), @"error: tar header 2 is malformed: bytes behind an entry that has none");
}

/// The size in the extended header is for the file, not for the long name in between.
#[test]
fn extended_header_then_long_name() {
    let long = Raw { data: b"name\0".to_vec(), ..Raw::new(b'L', "././@LongLink") };
    let hidden = Tar::new().file("hidden", "payload").0;
    let outer = Tar::new()
        .pax(&[("size", hidden.len().to_string().as_bytes())])
        .raw(&long)
        .raw(&Raw { data: hidden.clone(), ..Raw::new(b'0', "x") })
        .end();
    let listed = contained(&outer);
    assert_eq!(listed, format!("f 0644 name <{} bytes>", hidden.len()));
}

#[test]
fn extended_headers_that_are_wrong() {
    let raw =
        |data: &[u8]| Tar::new().raw(&Raw { data: data.to_vec(), ..Raw::new(b'x', "x") }).file("a", "").end();
    insta::assert_snapshot!(contained(&raw(b"garbage")), @"error: tar header 1 is malformed: a malformed PAX record");
    insta::assert_snapshot!(contained(&raw(&pax_record("path", b"a\0b"))), @"error: tar header 1 is malformed: a malformed PAX value");
    insta::assert_snapshot!(contained(&raw(&pax_record("uid", b"-1"))), @"error: tar header 1 is malformed: a malformed PAX value");
    insta::assert_snapshot!(contained(&raw(&pax_record("gid", b"4294967295"))), @"error: tar header 1 is malformed: a malformed PAX value");
    insta::assert_snapshot!(contained(&raw(&pax_record("size", b"99999999999999999999999"))), @"error: tar header 1 is malformed: a malformed PAX value");
    insta::assert_snapshot!(contained(&Tar::new().pax(&[("mtime", b"1")]).end()), @"error: the tar ends in the middle of an entry");
    let twice = Tar::new().pax(&[("size", b"1")]).pax(&[("size", b"0")]).file("a", "").end();
    insta::assert_snapshot!(contained(&twice), @"error: tar header 2 is malformed: two PAX headers for one entry");
}

#[test]
fn sparse_tricks() {
    let sparse = |records: &[(&str, &[u8])], data: &str| {
        contained(&Tar::new().pax(records).file("GNUSparseFile.0/f", data).end())
    };
    let form = |size: &'static [u8]| -> [(&str, &[u8]); 4] {
        [
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"f"),
            ("GNU.sparse.realsize", size),
        ]
    };
    let map = |text: &str| format!("{text}{}", "\0".repeat(512 - text.len()));
    let good = map("1\n2\n3\n") + "abc";
    insta::assert_snapshot!(sparse(&form(b"6"), &good), @r#"f 0644 f "\0\0abc\0""#);
    insta::assert_snapshot!(sparse(&form(b"4"), &good), @"error: tar entry `f` has an invalid map of a sparse file");
    insta::assert_snapshot!(sparse(&form(b"6"), &(map("1\n2\n4\n") + "abc")), @"error: tar entry `f` has an invalid map of a sparse file");
    insta::assert_snapshot!(sparse(&form(b"6"), &(map("2\n2\n2\n3\n1\n") + "abc")), @"error: tar entry `f` has an invalid map of a sparse file");
    insta::assert_snapshot!(sparse(&form(b"6"), "short"), @"error: tar entry `f` has an invalid map of a sparse file");
    insta::assert_snapshot!(sparse(&form(b"6"), &map("99999999999\n")), @"error: tar entry `f` has an invalid map of a sparse file");
    insta::assert_snapshot!(sparse(&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0")], &good), @"error: tar entry `GNUSparseFile.0/f` has an invalid map of a sparse file");
    insta::assert_snapshot!(
        sparse(&[("GNU.sparse.size", b"6"), ("GNU.sparse.offset", b"0"), ("GNU.sparse.numbytes", b"6")], "abcdef"),
        @"error: tar entry `GNUSparseFile.0/f` has an invalid map of a sparse file"
    );
    let name =
        [("GNU.sparse.name", &b"../victim"[..]), ("GNU.sparse.size", b"3"), ("GNU.sparse.map", b"0,3")];
    insta::assert_snapshot!(sparse(&name, "abc"), @"error: layer entry `../victim` leaves the root file system");
    // A petabyte of nothing would be written out by the next export.
    insta::assert_snapshot!(sparse(&form(b"1125899906842624"), &good), @"error: the tar has more than 1099511627776 bytes in its files");
}

#[test]
fn sparse_headers_of_the_old_form_that_are_wrong() {
    let mut block = Raw { magic: b"ustar  \0", data: b"abc".to_vec(), ..Raw::new(b'S', "f") }.block();
    block[386..398].copy_from_slice(b"00000000010\0");
    block[398..410].copy_from_slice(b"00000000004\0");
    block[483..495].copy_from_slice(b"00000000020\0");
    let mut tar = with_checksum(block).to_vec();
    tar.extend_from_slice(b"abc");
    tar.resize(1024, 0);
    insta::assert_snapshot!(contained(&tar), @"error: tar entry `f` has an invalid map of a sparse file");
    block[398..410].copy_from_slice(b"00000000003\0");
    tar[..512].copy_from_slice(&with_checksum(block));
    insta::assert_snapshot!(contained(&tar), @r#"f 0644 f "\0\0\0\0\0\0\0\0abc\0\0\0\0\0""#);
}

#[test]
fn damaged_headers() {
    let mut tar = Tar::new().file("a", "x").end();
    tar[0] ^= 1;
    insta::assert_snapshot!(applied(&tar), @"error: tar header 1 is malformed: wrong checksum");
    insta::assert_snapshot!(applied(b"not a tar at all"), @"error: the tar ends in the middle of an entry");
    insta::assert_snapshot!(applied(&[7; 1024]), @"error: tar header 1 is malformed: wrong checksum");
    let cut = Tar::new().file("a", &"x".repeat(600)).0;
    insta::assert_snapshot!(applied(&cut[..1024]), @"error: the tar ends in the middle of an entry");
    let mut after_zero = Tar::new().file("a", "x").0;
    after_zero.resize(after_zero.len() + 512, 0);
    after_zero.extend_from_slice(&Tar::new().file("b", "y").0);
    insta::assert_snapshot!(applied(&after_zero), @"error: tar header 1 is malformed: data after the end of the archive");
    insta::assert_snapshot!(applied(&Tar::new().raw(&Raw::new(b'V', "label")).end()), @"error: tar entry `label` has the unknown type 'V'");
    let mut signs = Raw::new(b'0', "a").block();
    signs[100..108].copy_from_slice(b"-000644\0");
    insta::assert_snapshot!(applied(&with_checksum(signs)), @"error: tar header 1 is malformed: mode");
}

#[test]
fn names_that_no_file_can_have() {
    let long = format!("a/{}", "n".repeat(256));
    let outcome = contained(&Tar::new().pax(&[("path", long.as_bytes())]).file("x", "").end());
    assert!(outcome.ends_with("has a name that no file can have"), "{outcome}");
    insta::assert_snapshot!(contained(&Tar::new().file("a", "").file("a/b", "").end()), @"error: `a` is not a directory");
    insta::assert_snapshot!(contained(&Tar::new().symlink("s", "").end()), @"error: layer entry `s` has a name that no file can have");
    let deep = "d/".repeat(2100);
    let outcome = contained(&Tar::new().pax(&[("path", deep.as_bytes())]).dir("x").end());
    insta::assert_snapshot!(outcome, @"error: the tar has more than 4095 bytes in a path");
    let steps = "d/".repeat(1500);
    let tar = Tar::new()
        .pax(&[("path", steps.as_bytes())])
        .dir("x")
        .pax(&[("linkpath", steps.as_bytes())])
        .symlink("s", "")
        .pax(&[("path", format!("s/{steps}").as_bytes())])
        .dir("x")
        .end();
    let outcome = contained(&tar);
    assert!(outcome.ends_with("is longer than 4095 bytes"), "{}", &outcome[outcome.len() - 80..]);
}

/// Ten million entries would be refused after four; here in small.
#[test]
fn a_long_chain_of_extended_headers_counts() {
    let mut tar = Tar::new();
    for _ in 0..100 {
        tar = tar.raw(&Raw { data: b"long\0".to_vec(), ..Raw::new(b'L', "l") });
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let limits = cache::layer::Limits { entries_max: 50, ..Default::default() };
    let error = crate::support::apply_within(&tar.end(), directory.path(), &limits).expect_err("too many");
    assert_eq!(error.to_string(), "the tar has more than 50 entries");
}
