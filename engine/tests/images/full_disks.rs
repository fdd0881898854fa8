//! A disk that is full, at every place where something is written.

use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;

use cache::Store;
use engine::images::{
    ArchiveKind, ImageError, ImageForm, ImportOptions, Source, export, export_archive, find, import, load,
};
use engine::{Destination, Output};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
};

use crate::fixture::{EPOCH, Fixture, NO_PROGRESS, archive_of, chain, docker_members, full_config, tar_of};

/// A file system in memory that is attached nowhere and ends with its descriptor.
struct SmallDisk {
    root: OwnedFd,
}

impl SmallDisk {
    fn new(size: &str) -> Self {
        let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
        fsconfig_set_string(&context, "size", size).unwrap();
        fsconfig_create(&context).unwrap();
        let root = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).unwrap();
        Self { root }
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.root.as_raw_fd())).join(name)
    }
}

/// Four megabytes that do not compress.
fn noise() -> String {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b' ' + u8::try_from(state >> 26).unwrap())
    };
    std::iter::repeat_with(next).take(4 << 20).collect()
}

fn assert_disk_is_full(error: &ImageError) {
    let text = chain(error);
    assert!(text.contains("No space left on device") || text.contains("no storage space"), "{text}");
}

#[test]
fn an_import_and_a_load_leave_nothing_and_work_again_with_room() {
    let disk = SmallDisk::new("2m");
    let store = Store::open(&disk.path("store")).unwrap();
    let options = ImportOptions {
        reference: Some("app".parse().unwrap()),
        source_date_epoch: Some(EPOCH),
        ..ImportOptions::default()
    };
    let large = tar_of(&[("a", &noise())]);
    assert_disk_is_full(&import(&store, &mut &large[..], &options, NO_PROGRESS).unwrap_err());
    let layers = vec![large];
    let archive = archive_of(&docker_members(&full_config(&layers), &layers, &["app"]));
    assert_disk_is_full(&load(&store, Source::Stream(&mut &archive[..]), NO_PROGRESS).unwrap_err());
    // Read in place there is no copy of the archive that could fail first.
    let elsewhere = Fixture::new();
    fs::write(elsewhere.path("app.tar"), &archive).unwrap();
    let source = Source::File(fs::File::open(elsewhere.path("app.tar")).unwrap());
    assert_disk_is_full(&load(&store, source, NO_PROGRESS).unwrap_err());

    assert_eq!(store.images().unwrap(), []);
    let small = tar_of(&[("a", &noise()[..1 << 20])]);
    let id = import(&store, &mut &small[..], &options, NO_PROGRESS).unwrap();
    assert_eq!(find(&store, "app").unwrap(), id);
}

#[test]
fn an_export_leaves_the_old_file() {
    let disk = SmallDisk::new("2m");
    let fixture = Fixture::new();
    let id = fixture.import("app", &[("a", &noise())], &[]);
    let to = |name: &str| Destination::File(disk.path(name));
    for output in [Output::Docker(to("f").into()), Output::Oci(to("f").into()), Output::Tar(to("f").into())] {
        fs::write(disk.path("f"), "old").unwrap();
        let error = export(&fixture.store, &id.into(), &[], &output, NO_PROGRESS).unwrap_err();
        assert_disk_is_full(&error);
        assert!(error.to_string().ends_with("/f`"), "{error}");
        assert_eq!(fs::read_to_string(disk.path("f")).unwrap(), "old");
        assert_eq!(fs::read_dir(disk.path("")).unwrap().count(), 1);
    }
    let error = export(&fixture.store, &id.into(), &[], &Output::Local(disk.path("d").into()), NO_PROGRESS)
        .unwrap_err();
    assert_disk_is_full(&error);
    assert_eq!(fs::read_dir(disk.path("d")).unwrap().count(), 0);
}

#[test]
fn compressing_a_layer_leaves_nothing_in_a_full_store() {
    let disk = SmallDisk::new("7m");
    let store = Store::open(&disk.path("store")).unwrap();
    let options = ImportOptions { source_date_epoch: Some(EPOCH), ..ImportOptions::default() };
    let id = import(&store, &mut &tar_of(&[("a", &noise())])[..], &options, NO_PROGRESS).unwrap();
    let blobs = || fs::read_dir(disk.path("store/blobs/sha256")).unwrap().count();
    let before = blobs();
    let form = ImageForm::default();
    let to = &mut Vec::new();
    let error =
        export_archive(&store, &id.into(), &[], ArchiveKind::Oci, &form, to, NO_PROGRESS).unwrap_err();
    assert_disk_is_full(&error);
    assert_eq!(blobs(), before);
}
