//! Patterns of sources.

use crate::files::{Copy, copied};

const SOURCE: &str = "
    f a.c 1
    f b.c 2
    f c.h 3
    d dir
    f dir/x.c 4
    f dir/sub/y.c 5
    f other/z.c 6
    l link.c -> dir/x.c
    l tree -> dir
    f [odd] 7
    f .hidden.c 8";

#[test]
fn patterns() {
    insta::assert_snapshot!(copied(SOURCE, &["*.c"], "/to/"), @r#"
        d 0755 to
        f 0644 to/.hidden.c "8"
        f 0644 to/a.c "1"
        f 0644 to/b.c "2"
        f 0644 to/link.c "4"
        "#);
    insta::assert_snapshot!(copied(SOURCE, &["[a-b].?"], "/to/"), @r#"
        d 0755 to
        f 0644 to/a.c "1"
        f 0644 to/b.c "2"
        "#);
    insta::assert_snapshot!(copied(SOURCE, &["*/*.c"], "/to/"), @r#"
        d 0755 to
        f 0644 to/x.c "4"
        f 0644 to/z.c "6"
        "#);
    insta::assert_snapshot!(copied(SOURCE, &["d?r"], "/to/"), @r#"
        d 0755 to
        d 0755 to/sub
        f 0644 to/sub/y.c "5"
        f 0644 to/x.c "4"
        "#);
    insta::assert_snapshot!(copied(SOURCE, &["tree/*.c"], "/to/"), @r#"
        d 0755 to
        f 0644 to/x.c "4"
        "#);
    insta::assert_snapshot!(copied(SOURCE, &["\\[odd\\]*"], "/to/"), @r#"
        d 0755 to
        f 0644 to/[odd] "7"
        "#);
    insta::assert_snapshot!(copied(SOURCE, &["[[]odd]"], "/to/"), @r#"
        d 0755 to
        f 0644 to/[odd] "7"
        "#);
}

#[test]
fn a_pattern_may_match_nothing() {
    insta::assert_snapshot!(copied(SOURCE, &["a.c", "nothing*"], "/to/"), @r#"
        d 0755 to
        f 0644 to/a.c "1"
        "#);
    assert_eq!(copied(SOURCE, &["nothing*", "missing/*"], "/to/"), "");
}

#[test]
fn a_pattern_that_matches_one_file_may_name_a_file() {
    insta::assert_snapshot!(copied(SOURCE, &["a*"], "/to"), @r#"f 0644 to "1""#);
    insta::assert_snapshot!(copied(SOURCE, &["*.c"], "/to"), @r#"f 0644 to "4""#);
}

#[test]
fn wrong_patterns() {
    insta::assert_snapshot!(copied(SOURCE, &["[a-"], "/to/"), @"error: `[a-` is not a valid pattern");
}

#[test]
fn whiteouts_of_a_single_layer_are_not_there() {
    let source = "
        d d
        f d/kept 1";
    let whole = Copy { source, sources: &["d"], to: "/", ..Copy::default() }.layer();
    insta::assert_snapshot!(whole, @r#"f 0644 kept "1""#);
    let directory = crate::files::tree(source);
    let hidden = directory.path().join("d/hidden");
    let kind = rustix::fs::FileType::CharacterDevice;
    rustix::fs::mknodat(rustix::fs::CWD, &hidden, kind, rustix::fs::Mode::empty(), 0).expect("a whiteout");
    let copy = |sources| crate::files::copy_between(directory.path(), None, sources, "/", Default::default());
    assert_eq!(copy(&["d"]), whole);
    assert_eq!(copy(&["d/hidden"]), "error: \"/d/hidden\": not found");
}
