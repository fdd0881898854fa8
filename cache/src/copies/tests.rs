use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};

use crate::{ActiveLayer, Store};

/// A store, and layers in the form of an overlay's, topmost first.
struct World {
    directory: tempfile::TempDir,
    store: Store,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::open(&directory.path().join("store")).expect("a store");
        let world = Self { directory, store };
        let (low, high) = (world.layer("low"), world.layer("high"));
        for path in ["etc", "gone", "same/deep", "hidden"] {
            fs::create_dir_all(low.join(path)).expect("a directory");
        }
        for path in ["etc/a", "etc/b", "gone/file", "same/deep/file", "hidden/file", "top"] {
            fs::write(low.join(path), path).expect("a file");
        }
        fs::hard_link(low.join("etc/a"), low.join("same/link")).expect("a link");
        symlink("/etc/passwd", low.join("link")).expect("a link");
        fs::set_permissions(low.join("etc/b"), fs::Permissions::from_mode(0o640)).expect("a mode");
        fs::create_dir_all(high.join("hidden")).expect("a directory");
        fs::write(high.join("hidden/new"), "new").expect("a file");
        setxattr(high.join("hidden"), super::node::OPAQUE_XATTR, b"y", XattrFlags::empty())
            .expect("an attribute");
        whiteout(&high.join("gone"));
        world
    }

    fn layer(&self, name: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::create_dir_all(&path).expect("a directory");
        path
    }

    fn lowers(&self) -> Vec<PathBuf> {
        vec![self.layer("high"), self.layer("low")]
    }

    /// What a command that does `work` leaves in its layer.
    fn changes(&self, work: impl FnOnce(&Path)) -> (ActiveLayer, String) {
        let layer = self.store.begin_layer().expect("a layer");
        let copy = self.store.working_copy(&self.lowers(), &layer).expect("a copy");
        work(&layer.fs_path());
        copy.keep_changes().expect("changes");
        let listed = list(&layer.fs_path());
        (layer, listed)
    }
}

fn whiteout(path: &Path) {
    mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0).expect("a node");
}

fn list(root: &Path) -> String {
    let entries = walkdir::WalkDir::new(root).min_depth(1).sort_by_file_name();
    let line = |entry: walkdir::DirEntry| {
        let name = entry.path().strip_prefix(root).expect("beneath").display().to_string();
        let metadata = entry.metadata().expect("metadata");
        let mut value = [0; 1];
        let is_opaque =
            rustix::fs::lgetxattr(entry.path(), super::node::OPAQUE_XATTR, &mut value[..]).is_ok();
        let kind = match (metadata.is_dir(), metadata.is_file(), metadata.is_symlink()) {
            (true, ..) if is_opaque => "opaque",
            (true, ..) => "dir",
            (_, true, _) => "file",
            (.., true) => "link",
            _ => "whiteout",
        };
        format!("{kind} {name}")
    };
    entries.into_iter().map(|entry| line(entry.expect("an entry"))).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_copy_is_what_an_overlay_would_show() {
    let world = World::new();
    let copy = world.store.layer_copy(&world.lowers()).expect("a copy");
    insta::assert_snapshot!(list(copy.path()), @"
    dir etc
    file etc/a
    file etc/b
    dir hidden
    file hidden/new
    link link
    dir same
    dir same/deep
    file same/deep/file
    file same/link
    file top
    ");
    let metadata = |name: &str| fs::metadata(copy.path().join(name)).expect("metadata");
    assert_eq!(metadata("etc/a").ino(), metadata("same/link").ino());
    let original = fs::metadata(world.layer("low").join("etc/b")).expect("metadata");
    assert_eq!(
        (metadata("etc/b").mode(), metadata("etc/b").mtime_nsec()),
        (original.mode(), original.mtime_nsec())
    );
    let path = copy.path().to_owned();
    drop(copy);
    assert!(!path.exists());
}

#[test]
fn no_change_is_an_empty_layer() {
    let world = World::new();
    assert_eq!(world.changes(|root| drop(fs::read(root.join("etc/a")))).1, "");
}

#[test]
fn a_layer_has_what_changed() {
    let world = World::new();
    let (_, listed) = world.changes(|root| {
        fs::write(root.join("etc/b"), "etc/B").expect("a file of the same size");
        fs::remove_file(root.join("top")).expect("removed");
        fs::remove_dir_all(root.join("same/deep")).expect("removed");
        fs::create_dir(root.join("same/deep")).expect("made again");
        fs::write(root.join("same/deep/other"), "").expect("a file");
        fs::rename(root.join("hidden"), root.join("moved")).expect("moved");
    });
    insta::assert_snapshot!(listed, @"
    dir etc
    file etc/b
    whiteout hidden
    dir moved
    file moved/new
    dir same
    opaque same/deep
    file same/deep/other
    whiteout top
    ");
}

/// Equal size and time are no excuse, and nothing that means something to overlayfs gets through.
#[test]
fn a_command_cannot_mislead() {
    let world = World::new();
    let (layer, listed) = world.changes(|root| {
        let path = root.join("etc/b");
        let before = fs::metadata(&path).expect("metadata").modified().expect("a time");
        fs::write(&path, "etc/B").expect("a file");
        fs::File::options().write(true).open(&path).expect("open").set_modified(before).expect("a time");
        fs::create_dir(root.join("new")).expect("a directory");
        whiteout(&root.join("new/node"));
        setxattr(root.join("new"), super::node::OPAQUE_XATTR, b"y", XattrFlags::empty())
            .expect("an attribute");
    });
    assert_eq!(listed, "dir etc\nfile etc/b\ndir new");
    assert_eq!(fs::read_to_string(layer.fs_path().join("etc/b")).expect("a file"), "etc/B");
}
