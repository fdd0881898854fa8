//! The tree of a container: the image's layers below one that takes the changes.

use std::path::PathBuf;

use cache::{ActiveLayer, LayerId, Scaffold, Store, StoreError};
use executor::{LOWERS_MAX, MOUNT_POINT_DIRECTORIES, MOUNT_POINT_FILES, Rootfs};

/// The mount points of every container. Another content needs another name.
const MOUNT_POINTS: Scaffold<'static> =
    Scaffold { name: "mount-points-1", directories: MOUNT_POINT_DIRECTORIES, files: MOUNT_POINT_FILES };

/// Layers, lowest first, and `layer` on top. The mount points that every container needs are below all, so that
/// they need not be created in `layer` and taken away again.
pub(crate) fn rootfs(store: &Store, layers: &[LayerId], layer: &ActiveLayer) -> Result<Rootfs, StoreError> {
    let lowers = lowers(store, layers)?;
    Ok(Rootfs::Overlay { lowers, upper: layer.fs_path(), work: layer.work_path()?, volatile: true })
}

/// What is below the layer that takes the changes, topmost first.
pub(crate) fn lowers(store: &Store, layers: &[LayerId]) -> Result<Vec<PathBuf>, StoreError> {
    let mut lowers = store.lower_paths(layers)?;
    if lowers.len() < LOWERS_MAX {
        lowers.push(store.scaffold(&MOUNT_POINTS)?);
    }
    Ok(lowers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_of_a_name_never_changes() {
        assert_eq!(MOUNT_POINTS.directories, ["dev", "etc", "proc", "sys"]);
        assert_eq!(MOUNT_POINTS.files, ["etc/hostname", "etc/hosts", "etc/resolv.conf"]);
    }
}
