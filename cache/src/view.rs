//! A chain of layers as one directory, to read from.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, getxattr, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_fd, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use crate::{LayerCopy, LayerId, Store, StoreError};

/// The attribute of a directory that hides what is below it, see overlayfs.rst of the kernel.
const OPAQUE_XATTR: &str = "user.overlay.opaque";
/// What overlayfs stacks (`OVL_MAX_STACK` of the kernel is 500), without the empty directory of a view.
const LOWERS_MAX: usize = 499;
/// Longest string that fsconfig(2) takes, with its NUL.
const FSCONFIG_STRING_BYTES_MAX: usize = 256;

/// The merged view of a chain of layers, read-only.
///
/// Reading it gives what a container on these layers would see: no whiteouts, no overlay attributes. It is
/// a mount that is attached nowhere, so it is in nobody's mount table, and it ends with its descriptor.
/// Where the kernel stacks no layers it is a copy, which goes with the last view.
#[derive(Debug)]
pub struct TreeView {
    root: OwnedFd,
    _copy: Option<LayerCopy>,
}

impl TreeView {
    /// The root directory.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

impl AsFd for TreeView {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root()
    }
}

impl Store {
    /// The merged view of `layers`, lowest first. No layers give an empty directory.
    pub fn view(&self, layers: &[LayerId]) -> Result<TreeView, StoreError> {
        let lowers = self.lower_paths(layers)?;
        self.narrow_leases()?;
        let empty = self.disk().path("empty");
        if lowers.is_empty() {
            let root = self.disk().open_dir("empty")?;
            let missing = || self.disk().read_error("empty", Errno::NOENT);
            return Ok(TreeView { root: root.ok_or_else(missing)?, _copy: None });
        }
        if self.copies_layers() {
            return self.copied_view(&lowers);
        }
        // The empty directory is the second layer that overlayfs wants, and makes that also whiteouts of
        // the lowest layer are interpreted.
        let lowers = lowers.into_iter().chain([empty]).collect::<Vec<_>>();
        match mount_lowers(&lowers) {
            Ok(root) => Ok(TreeView { root, _copy: None }),
            Err((call, source)) if is_refusal(&source) => {
                self.copy_layers_from_now_on(&format!("{call}: {source}"));
                self.copied_view(&lowers)
            }
            Err((call, source)) => Err(StoreError::View { call, layers: layers.len(), source }),
        }
    }

    /// The merged view of `layers` and a directory in the form of an upper one on top of them, read-only. What a container
    /// writes to it meanwhile may be seen or not.
    pub fn view_below(&self, layers: &[LayerId], upper: &Path) -> Result<TreeView, StoreError> {
        let lowers = self.lower_paths(layers)?;
        self.narrow_leases()?;
        let lowers = [upper.to_owned()].into_iter().chain(lowers).chain([self.disk().path("empty")]);
        let lowers: Vec<PathBuf> = lowers.collect();
        match mount_lowers(&lowers) {
            Ok(root) => Ok(TreeView { root, _copy: None }),
            Err((call, source)) => Err(StoreError::View { call, layers: layers.len(), source }),
        }
    }

    /// The same to write to: what changes goes to `upper`, by way of `work`, an empty directory on the same file system.
    /// Nobody else may stack them meanwhile. Without layers it is `upper` itself.
    pub fn view_with(&self, layers: &[LayerId], upper: &Path, work: &Path) -> Result<TreeView, StoreError> {
        let lowers = self.lower_paths(layers)?;
        self.narrow_leases()?;
        if lowers.is_empty() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let root = openat(rustix::fs::CWD, upper, flags, Mode::empty())
                .map_err(|error| StoreError::Read { path: upper.to_owned(), source: error.into() })?;
            return Ok(TreeView { root, _copy: None });
        }
        match mount(&lowers, Some((upper, work))) {
            Ok(root) => Ok(TreeView { root, _copy: None }),
            Err((call, source)) => Err(StoreError::View { call, layers: layers.len(), source }),
        }
    }

    fn copied_view(&self, lowers: &[PathBuf]) -> Result<TreeView, StoreError> {
        let copy = self.layer_copy(lowers)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(rustix::fs::CWD, copy.path(), flags, Mode::empty())
            .map_err(|error| StoreError::Read { path: copy.path().to_owned(), source: error.into() })?;
        Ok(TreeView { root, _copy: Some(copy) })
    }

    /// The directories to stack for a chain of layers (lowest first): the topmost first, as `lowerdir` has
    /// them. Layers below one that hides everything are left out: overlayfs does not look for that mark on
    /// the root of a layer.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoLayer`] when one is not in the store, [`StoreError::TooManyLayers`] when they cannot be stacked.
    pub fn lower_paths(&self, layers: &[LayerId]) -> Result<Vec<PathBuf>, StoreError> {
        self.require_layers(layers)?;
        let mut lowers = Vec::with_capacity(layers.len());
        for id in layers.iter().rev() {
            let mut name = format!("{}/fs", crate::snapshot::layer_name(id));
            let is_opaque = match self.is_opaque(&name) {
                Err(Errno::NOENT) => {
                    name = self.layer_directory(id)?;
                    // Packed layers come from COPY, which hides nothing.
                    false
                }
                is_opaque => is_opaque.map_err(|error| self.disk().read_error(&name, error))?,
            };
            lowers.push(self.disk().path(&name));
            if is_opaque {
                break;
            }
        }
        if lowers.len() > LOWERS_MAX && !self.copies_layers() {
            return Err(StoreError::TooManyLayers { layers: lowers.len(), max: LOWERS_MAX });
        }
        Ok(lowers)
    }

    /// Whether the root of a layer has the mark that hides all below it.
    fn is_opaque(&self, name: &str) -> Result<bool, Errno> {
        let mut value = [0; 1];
        match getxattr(self.disk().path(name), OPAQUE_XATTR, &mut value[..]) {
            Ok(_) => Ok(value == *b"y"),
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Whether the kernel, or who watches over it, mounts no overlay at all. An overlay that is wrong is also refused like this;
/// its copy then says what is wrong.
fn is_refusal(error: &io::Error) -> bool {
    let refusals = [Errno::PERM, Errno::ACCESS, Errno::NODEV, Errno::NOSYS, Errno::INVAL, Errno::OPNOTSUPP];
    Errno::from_io_error(error).is_some_and(|errno| refusals.contains(&errno))
}

/// Mounts an overlay of the directories, the topmost first, attached nowhere.
fn mount_lowers(lowers: &[PathBuf]) -> Result<OwnedFd, (String, io::Error)> {
    mount(lowers, None)
}

/// The same with a directory that takes what changes, and one to work in. The host's defaults do not decide what shows in a
/// layer.
fn mount(lowers: &[PathBuf], above: Option<(&Path, &Path)>) -> Result<OwnedFd, (String, io::Error)> {
    let failed = |call: &str| {
        let call = call.to_owned();
        move |error: Errno| (call, io::Error::from(error))
    };
    let overlay = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed("fsopen(\"overlay\")"))?;
    fsconfig_set_flag(&overlay, "userxattr").map_err(failed("fsconfig(\"userxattr\")"))?;
    for lower in lowers {
        add_directory(&overlay, "lowerdir+", lower)?;
    }
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    if let Some((upper, work)) = above {
        for option in ["index", "nfs_export", "xino"] {
            fsconfig_set_string(&overlay, option, "off").map_err(failed(&format!("fsconfig({option:?})")))?;
        }
        add_directory(&overlay, "upperdir", upper)?;
        add_directory(&overlay, "workdir", work)?;
    } else {
        attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
    }
    fsconfig_create(&overlay).map_err(failed("fsconfig(FSCONFIG_CMD_CREATE)"))?;
    fsmount(&overlay, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(failed("fsmount"))
}

fn add_directory(overlay: &OwnedFd, key: &str, directory: &Path) -> Result<(), (String, io::Error)> {
    let failed = |call: String| move |error: Errno| (call, io::Error::from(error));
    let call = || format!("fsconfig({key:?}, {directory:?})");
    if directory.as_os_str().len() < FSCONFIG_STRING_BYTES_MAX {
        return fsconfig_set_string(overlay, key, directory).map_err(failed(call()));
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = openat(rustix::fs::CWD, directory, flags, Mode::empty())
        .map_err(failed(format!("open({directory:?})")))?;
    fsconfig_set_fd(overlay, key, &open).map_err(failed(call()))
}
