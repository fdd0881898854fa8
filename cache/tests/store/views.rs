//! Chains of layers as one tree.

use std::fs;
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use cache::{ActiveLayer, LayerId, Store, StoreError};
use rustix::fs::{CWD, FileType, Mode, XattrFlags, makedev, mknodat, setxattr};

use crate::support::Fixture;

/// Makes a layer from lines: `path content`, `path/` for a directory, `-path` for a whiteout, `path/ opaque`.
fn layer(store: &Store, lines: &str) -> LayerId {
    let active = store.begin_layer().unwrap();
    for line in lines.lines() {
        add(&active, line);
    }
    active.commit().unwrap().id()
}

fn add(active: &ActiveLayer, line: &str) {
    let root = active.fs_path();
    let (path, content) = line.split_once(' ').unwrap_or((line, ""));
    if let Some(path) = path.strip_prefix('-') {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        mknodat(CWD, &path, FileType::CharacterDevice, Mode::empty(), makedev(0, 0)).unwrap();
    } else if path.ends_with('/') {
        fs::create_dir_all(root.join(path)).unwrap();
        if content == "opaque" {
            setxattr(root.join(path), "user.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
        }
    } else {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), content).unwrap();
    }
}

/// All files of a view with their contents, one per line.
fn view(store: &Store, layers: &[LayerId]) -> String {
    let view = store.view(layers).unwrap();
    let root = PathBuf::from(format!("/proc/self/fd/{}/", view.root().as_raw_fd()));
    let mut lines = String::new();
    list(&root, &root, &mut lines);
    lines
}

fn list(root: &Path, directory: &Path, lines: &mut String) {
    let mut entries: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.strip_prefix(root).unwrap().display();
        if path.is_dir() {
            lines.push_str(&format!("{name}/\n"));
            list(root, &path, lines);
        } else {
            let mut content = String::new();
            fs::File::open(&path).unwrap().read_to_string(&mut content).unwrap();
            lines.push_str(&format!("{name} {content}\n"));
        }
    }
}

#[test]
fn later_layers_hide_earlier_ones() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let base = layer(&store, "a 1\nb 1\nd/x 1\nd/y 1\ne/x 1\n-nothing");
    let middle = layer(&store, "-a\nb 2\nd/ opaque\nd/z 2\n-e");
    let top = layer(&store, "c 3\ne/ opaque\ne/w 3");
    assert_eq!(view(&store, &[]), "");
    insta::assert_snapshot!(view(&store, &[base]), @r"
        a 1
        b 1
        d/
        d/x 1
        d/y 1
        e/
        e/x 1
        ");
    insta::assert_snapshot!(view(&store, &[base, middle]), @r"
        b 2
        d/
        d/z 2
        ");
    insta::assert_snapshot!(view(&store, &[base, middle, top]), @r"
        b 2
        c 3
        d/
        d/z 2
        e/
        e/w 3
        ");
}

#[test]
fn a_layer_may_hide_everything_below() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let base = layer(&store, "a 1");
    let opaque = layer(&store, "./ opaque\nb 2");
    let top = layer(&store, "c 3");
    insta::assert_snapshot!(view(&store, &[base, opaque, top]), @r"
        b 2
        c 3
        ");
    assert_eq!(store.lower_paths(&[base, opaque, top]).unwrap().len(), 2);
}

#[test]
fn long_chains_and_long_paths() {
    let fixture = Fixture::new();
    let root = fixture.path(&format!("{}/{}", "a".repeat(200), "b".repeat(200)));
    let store = Store::open(&root).unwrap();
    let layers: Vec<LayerId> = (0..150).map(|number| layer(&store, &format!("{number:03} x"))).collect();
    assert_eq!(view(&store, &layers).lines().count(), 150);
}

#[test]
fn a_view_is_read_only_and_mounted_nowhere() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let layers = [layer(&store, "a 1"), layer(&store, "b 1")];
    let view = store.view(&layers).unwrap();
    let path = format!("/proc/self/fd/{}/new", view.root().as_raw_fd());
    assert_eq!(fs::write(path, "").unwrap_err().kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains(store.root().to_str().unwrap()));
    assert!(matches!(store.view(&[LayerId([7; 16])]), Err(StoreError::NoLayer { .. })));
}

#[test]
fn as_many_layers_as_the_kernel_stacks() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let layers: Vec<_> = (0..500).map(|number| layer(&store, &format!("f{number} x"))).collect();
    assert_eq!(view(&store, &layers[..499]).lines().count(), 499);
    let refused = store.view(&layers).unwrap_err();
    assert_eq!(refused.to_string(), "500 layers are more than the 499 that overlayfs stacks");
}
