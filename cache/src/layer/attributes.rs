//! What a file is besides its name and its bytes.

use rustix::fs::Stat;

/// A point in time as the kernel keeps it: whole seconds since the epoch, rounded down, and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Timestamp {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

/// One extended attribute: its full name and its value.
pub(crate) type Xattr = (Vec<u8>, Vec<u8>);

/// Owner, mode, time and extended attributes of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The twelve permission bits.
    pub(crate) mode: u32,
    /// `None` leaves the time of creation.
    pub(crate) mtime: Option<Timestamp>,
    pub(crate) xattrs: Vec<Xattr>,
}

/// The mode of a directory that something else implied.
pub(crate) const IMPLIED_DIRECTORY_MODE: u32 = 0o755;

impl Attributes {
    /// A directory that nobody described: root's, 0755.
    pub(crate) fn implied_directory(mtime: Option<Timestamp>) -> Self {
        Self { uid: 0, gid: 0, mode: IMPLIED_DIRECTORY_MODE, mtime, xattrs: Vec::new() }
    }
}

/// What stat(2) tells, with the extended attributes that it does not tell.
pub(crate) fn attributes_of(stat: &Stat, xattrs: Vec<Xattr>) -> Attributes {
    let mtime = Timestamp { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 };
    let mode = stat.st_mode & PERMISSION_BITS;
    Attributes { uid: stat.st_uid, gid: stat.st_gid, mode, mtime: Some(mtime), xattrs }
}

/// Read, write, execute three times, set-user-id, set-group-id and sticky.
pub(crate) const PERMISSION_BITS: u32 = 0o7777;

/// Whether an extended attribute steers overlayfs: such a one in a layer could hide or redirect what lies
/// below, so it is never taken from outside and never given out.
pub(crate) fn is_overlay_xattr(name: &[u8]) -> bool {
    name.starts_with(b"user.overlay.") || name.starts_with(b"trusted.overlay.")
}

/// Whether an extended attribute belongs to the host rather than to the layer.
pub(crate) fn is_host_xattr(name: &[u8]) -> bool {
    name == b"security.selinux"
}
