//! A disk that is full at every possible write. The disk is a tmpfs that is mounted nowhere.

use std::error::Error as _;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;

use cache::{Store, StoreError};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
};

use crate::support::{look_at_all, put_all};

struct Disk {
    root: OwnedFd,
}

impl Disk {
    fn new(option: &str, value: &str) -> Self {
        let tmpfs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).expect("tests run as root");
        fsconfig_set_string(&tmpfs, option, value).unwrap();
        fsconfig_create(&tmpfs).unwrap();
        let root = fsmount(&tmpfs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).unwrap();
        Self { root }
    }

    fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}/store", self.root.as_raw_fd()).into()
    }

    fn free_blocks(&self) -> u64 {
        rustix::fs::fstatvfs(&self.root).unwrap().f_bfree
    }
}

fn is_full(error: &StoreError) -> bool {
    matches!(error, StoreError::Write { .. } | StoreError::Sync { .. })
        && error
            .source()
            .and_then(|source| source.downcast_ref::<io::Error>())
            .is_some_and(|source| source.kind() == io::ErrorKind::StorageFull)
}

#[test]
fn space_that_an_error_used_is_given_back() {
    let disk = Disk::new("size", "1m");
    let store = Store::open(&disk.path()).unwrap();
    put_all(&store, "a").unwrap();
    let before = disk.free_blocks();
    let error = store.put_blob(&vec![1; 2 << 20]).unwrap_err();
    assert!(is_full(&error), "{error:?}");
    assert!(error.to_string().contains("blobs/sha256"), "{error}");
    let error = store.put_blob_from(&mut io::repeat(1), None, u64::MAX).unwrap_err();
    assert!(is_full(&error), "{error:?}");
    assert_eq!(disk.free_blocks(), before);
    store.put_blob(&vec![1; 100 << 10]).unwrap();
    assert!(look_at_all(&store, "a").unwrap().contains(&"image".to_owned()));
}

#[test]
fn no_file_can_be_created_at_any_step() {
    let mut failures = 0;
    for inodes in 1.. {
        let disk = Disk::new("nr_inodes", &inodes.to_string());
        let result = Store::open(&disk.path()).and_then(|store| {
            let result = put_all(&store, "a");
            // Whatever is there is whole.
            look_at_all(&store, "a")?;
            result
        });
        match result {
            Ok(()) => break,
            Err(error) => assert!(is_full(&error), "{inodes} inodes: {error:?}"),
        }
        failures += 1;
    }
    assert!(failures > 20, "{failures}");
}
