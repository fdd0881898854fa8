//! The kernel's own overlay is the reference: whatever is done in one, its upper directory written as a tar
//! and unpacked again gives the same merged tree.

use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use cache::layer;
use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode, OFlags, XattrFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen,
};

use crate::support::{apply_to, listing, tar_of};

/// A mounted overlay. It is attached nowhere, so it ends with its descriptor.
struct Overlay(OwnedFd);

impl Overlay {
    /// `lowers` begins with the uppermost.
    fn mount(lowers: &[&Path], writable: Option<(&Path, &Path)>) -> Self {
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).expect("the kernel has overlayfs");
        let context = context.as_fd();
        fsconfig_set_flag(context, "userxattr").expect("a known option");
        for lower in lowers {
            fsconfig_set_string(context, "lowerdir+", *lower).expect("a lower directory");
        }
        if let Some((upper, work)) = writable {
            fsconfig_set_flag(context, "volatile").expect("a known option");
            fsconfig_set_string(context, "upperdir", upper).expect("an upper directory");
            fsconfig_set_string(context, "workdir", work).expect("a work directory");
        }
        fsconfig_create(context).expect("an overlay");
        let mounted = fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty());
        Self(mounted.expect("a detached mount"))
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

/// Something that a RUN could do.
#[derive(Debug, Clone)]
enum Change {
    Write(String, u8),
    Append(String),
    Remove(String),
    MakeDirectory(String),
    /// Makes a directory of the base opaque.
    Renew(String),
    Rename(String, String),
    Link(String, String),
    Symlink(String),
    Fifo(String),
    Device(String),
    Mode(String, u32),
    Owner(String, u32),
    Xattr(String, u8),
    Capability(String),
}

/// Does it where the kernel lets it; an error of the kernel is an answer like any other.
fn change(root: &Path, change: &Change) {
    let at = |path: &String| root.join(path);
    match change {
        Change::Write(path, byte) => {
            let file = open_to_write(fs::File::options().create(true).truncate(true), &at(path));
            drop(file.and_then(|mut file| file.write_all(&vec![*byte; usize::from(*byte)])));
        }
        Change::Append(path) => {
            let file = open_to_write(fs::File::options().append(true), &at(path));
            drop(file.and_then(|mut file| file.write_all(b"more")));
        }
        Change::Remove(path) => drop(fs::remove_file(at(path)).or_else(|_| fs::remove_dir_all(at(path)))),
        Change::MakeDirectory(path) => drop(fs::create_dir_all(at(path))),
        Change::Renew(path) => {
            drop(fs::remove_file(at(path)).or_else(|_| fs::remove_dir_all(at(path))));
            drop(fs::create_dir(at(path)));
        }
        Change::Rename(from, to) => drop(fs::rename(at(from), at(to))),
        Change::Link(from, to) => drop(fs::hard_link(at(from), at(to))),
        Change::Symlink(path) => drop(symlink("a/b", at(path))),
        Change::Fifo(path) => {
            let _ = rustix::fs::mknodat(CWD, at(path), FileType::Fifo, Mode::from_raw_mode(0o640), 0);
        }
        Change::Device(path) => {
            let device = rustix::fs::makedev(1, 3);
            let mode = Mode::from_raw_mode(0o666);
            let _ = rustix::fs::mknodat(CWD, at(path), FileType::CharacterDevice, mode, device);
        }
        Change::Mode(path, mode) => drop(fs::set_permissions(at(path), PermissionsExt::from_mode(*mode))),
        Change::Owner(path, id) => drop(chown(at(path), Some(*id), Some(id + 1))),
        Change::Xattr(path, value) => {
            let _ = rustix::fs::setxattr(at(path), "user.test", &[*value], XattrFlags::empty());
        }
        Change::Capability(path) => {
            let value = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
            let _ = rustix::fs::setxattr(at(path), "security.capability", value, XattrFlags::empty());
        }
    }
}

/// Does not wait for a reader when the path is a fifo.
fn open_to_write(options: &mut fs::OpenOptions, path: &Path) -> std::io::Result<fs::File> {
    options.write(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path)
}

/// Few names, so that changes meet.
fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop_oneof!["a", "b", "c"], 1..4).prop_map(|names| names.join("/"))
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let one = prop_oneof![
        4 => (path(), any::<u8>()).prop_map(|(path, byte)| Change::Write(path, byte)),
        1 => path().prop_map(Change::Append),
        3 => path().prop_map(Change::Remove),
        4 => path().prop_map(Change::MakeDirectory),
        2 => path().prop_map(Change::Renew),
        2 => (path(), path()).prop_map(|(from, to)| Change::Rename(from, to)),
        2 => (path(), path()).prop_map(|(from, to)| Change::Link(from, to)),
        1 => path().prop_map(Change::Symlink),
        1 => path().prop_map(Change::Fifo),
        1 => path().prop_map(Change::Device),
        1 => (path(), prop_oneof![Just(0o4755), Just(0o1777), Just(0o600), Just(0o2711)])
            .prop_map(|(path, mode)| Change::Mode(path, mode)),
        1 => (path(), 0u32..3_000_000).prop_map(|(path, id)| Change::Owner(path, id)),
        1 => (path(), any::<u8>()).prop_map(|(path, value)| Change::Xattr(path, value)),
        1 => path().prop_map(Change::Capability),
    ];
    proptest::collection::vec(one, 0..25)
}

/// A tar has whole seconds.
fn whole_seconds(listing: &str) -> String {
    let word = |word: &str| match word.strip_prefix('@').and_then(|time| time.split_once('.')) {
        Some((seconds, _)) => format!("@{seconds}"),
        None => word.to_owned(),
    };
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ");
    listing.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Makes `steps` of changes, each in an overlay on the ones before, and compares after each.
fn check(steps: &[Vec<Change>]) {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let new = |name: String| {
        let path = scratch.path().join(name);
        fs::create_dir(&path).expect("a new directory");
        path
    };
    // The layers as unpacked from their tars, uppermost first.
    let mut layers = vec![new("bottom".to_owned())];
    for made in &steps[0] {
        change(&layers[0], made);
    }
    for (number, step) in steps.iter().enumerate().skip(1) {
        let (upper, work) = (new(format!("upper{number}")), new(format!("work{number}")));
        let lowers: Vec<&Path> = layers.iter().map(PathBuf::as_path).collect();
        let overlay = Overlay::mount(&lowers, Some((&upper, &work)));
        for made in step {
            change(&overlay.path(), made);
        }
        let expected = whole_seconds(&listing(&overlay.path()));
        drop(overlay);
        let tar = tar_of(&upper);
        let unpacked = new(format!("layer{number}"));
        apply_to(&tar, &unpacked).expect("a tar that we wrote");
        assert!(tar_of(&unpacked) == tar, "written and unpacked, the layer is the same");
        let open = |path: &Path| fs::File::open(path).expect("the layer exists");
        let content = |path: &Path| layer::content_digest(open(path).as_fd()).expect("a readable layer");
        assert_eq!(content(&unpacked), content(&upper));
        layers.insert(0, unpacked);
        let lowers: Vec<&Path> = layers.iter().map(PathBuf::as_path).collect();
        let merged = Overlay::mount(&lowers, None);
        assert_same_lines(&expected, &whole_seconds(&listing(&merged.path())));
    }
}

fn assert_same_lines(expected: &str, actual: &str) {
    let missing: Vec<_> =
        expected.lines().filter(|line| !actual.lines().any(|other| other == *line)).collect();
    let extra: Vec<_> = actual.lines().filter(|line| !expected.lines().any(|other| other == *line)).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing: {missing:#?}\nextra: {extra:#?}");
    assert_eq!(expected, actual);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_layer_written_and_unpacked_merges_to_the_same_tree(
        steps in proptest::collection::vec(changes(), 3..4)
    ) {
        check(&steps);
    }
}

#[test]
fn what_overlayfs_makes_is_what_we_read() {
    let directory = |path: &str| Change::MakeDirectory(path.to_owned());
    let write = |path: &str| Change::Write(path.to_owned(), 3);
    check(&[
        vec![directory("a/b"), write("a/b/c"), write("a/c"), write("c"), directory("b")],
        vec![Change::Remove("c".to_owned()), Change::Renew("a/b".to_owned()), write("a/b/a")],
        vec![Change::Renew("a".to_owned()), write("c"), Change::Rename("b".to_owned(), "a/b".to_owned())],
    ]);
}
