//! Keys of copies: what they see, and what not.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use cache::tree::{Landing, ModeChange, Source, digest, select};
use image::Digest;

use crate::files::{open, tree};

const SOURCE: &str = "
    d s/sub mode=750
    f s/sub/a 1
    f s/b 2
    l s/l -> b";

fn selected(root: &Path, sources: &[&str], landing: Landing<'_>) -> Digest {
    let root = open(root);
    let selection = select(Source::Directory(root.as_fd()), sources, landing).expect("a good selection");
    selection.digest().expect("a readable tree")
}

#[test]
fn only_what_lands_counts() {
    let (one, two) = (tree(SOURCE), tree(SOURCE));
    let of = |root: &Path| selected(root, &["s"], Landing::default());
    fs::write(two.path().join("s/b"), "2").expect("the same bytes at another time");
    fs::write(two.path().join("beside"), "x").expect("a file that is not selected");
    assert_eq!(of(one.path()), of(two.path()));
    fs::rename(two.path().join("s"), two.path().join("other")).expect("renamed");
    assert_eq!(
        of(one.path()),
        selected(two.path(), &["other"], Landing::default()),
        "contents land, no name"
    );
    assert_ne!(selected(one.path(), &["s/b"], Landing::default()), of(one.path()));
}

#[test]
fn every_change_is_seen() {
    let source = tree(SOURCE);
    let s = source.path().join("s");
    let now = || (selected(source.path(), &["s"], Landing::default()), whole(&s));
    let mut seen = vec![now()];
    let mut step = |change: &dyn Fn()| {
        change();
        let now = now();
        assert!(seen.iter().all(|before| before.0 != now.0 && before.1 != now.1), "change {}", seen.len());
        seen.push(now);
    };
    let flags = rustix::fs::XattrFlags::empty();
    step(&|| fs::write(s.join("b"), "3").expect("other bytes"));
    step(&|| fs::set_permissions(s.join("b"), PermissionsExt::from_mode(0o755)).expect("a mode"));
    step(&|| chown(s.join("b"), Some(3), None).expect("an owner"));
    step(&|| chown(s.join("sub"), None, Some(3)).expect("a group"));
    step(&|| fs::set_permissions(s.join("sub"), PermissionsExt::from_mode(0o700)).expect("a mode"));
    step(&|| fs::rename(s.join("b"), s.join("c")).expect("a name"));
    step(&|| fs::hard_link(s.join("c"), s.join("d")).expect("a link"));
    step(&|| {
        fs::remove_file(s.join("d")).expect("it was there");
        fs::copy(s.join("c"), s.join("d")).map(drop).expect("the same bytes, no link");
    });
    step(&|| {
        fs::remove_file(s.join("l")).expect("it was there");
        symlink("c", s.join("l")).expect("another target");
    });
    step(&|| fs::create_dir(s.join("empty")).expect("a directory"));
    step(&|| rustix::fs::setxattr(s.join("c"), "user.a", b"1", flags).expect("an xattr"));
    step(&|| rustix::fs::setxattr(s.join("sub"), "user.a", b"1", flags).expect("an xattr"));
}

fn whole(path: &Path) -> Digest {
    let root = open(path.parent().expect("below a temporary directory"));
    digest(root.as_fd(), Path::new(path.file_name().expect("a name"))).expect("a readable tree")
}

#[test]
fn owner_and_mode_count_as_they_land() {
    let (one, two) = (tree("f a x own=1:1 mode=600"), tree("f a x own=2:2 mode=644"));
    assert_ne!(
        selected(one.path(), &["a"], Landing::default()),
        selected(two.path(), &["a"], Landing::default())
    );
    let change: ModeChange = "444".parse().expect("a mode");
    let landing = Landing { owner: Some((0, 0)), mode: Some(&change), ..Landing::default() };
    assert_eq!(selected(one.path(), &["a"], landing), selected(two.path(), &["a"], landing));
}

#[test]
fn names_of_files_count() {
    let (one, two) = (tree("f a x\nl link -> a"), tree("f b x\nl link -> b"));
    assert_ne!(
        selected(one.path(), &["?"], Landing::default()),
        selected(two.path(), &["?"], Landing::default())
    );
    // The link's own name is what lands.
    assert_eq!(
        selected(one.path(), &["link"], Landing::default()),
        selected(two.path(), &["link"], Landing::default())
    );
}

#[test]
fn fields_do_not_run_together() {
    let (one, two) = (tree("f s/ab c"), tree("f s/a bc"));
    assert_ne!(
        selected(one.path(), &["s"], Landing::default()),
        selected(two.path(), &["s"], Landing::default())
    );
}

#[test]
fn the_whole_of_a_tree() {
    let source = tree("d s mode=700\nf s/a 1\nl link -> s");
    let root = open(source.path());
    let of = |path: &str| digest(root.as_fd(), Path::new(path)).map_err(|error| error.to_string());
    assert_eq!(of("/s"), of("link"), "followed");
    assert_ne!(of("/"), of("/s"));
    assert_eq!(of("/none"), Err("\"/none\": not found".to_owned()));
    let before = of("/s");
    fs::set_permissions(source.path().join("s"), PermissionsExt::from_mode(0o711)).expect("a mode");
    assert_ne!(of("/s"), before, "the top's own mode counts");
}
