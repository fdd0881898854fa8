//! Makes single files in a layer directory: system calls relative to a directory descriptor and one name.
//!
//! Every call here names a single component inside a directory that the caller holds open, and creates
//! exclusively: nothing that a layer contains can redirect it.

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};

use super::OPAQUE_XATTR;
use super::attributes::{Attributes, Timestamp};
use super::read::text;
use super::sparse::Extent;

/// Why a file of a layer directory cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// A system call on the layer directory said no.
    #[error("cannot write `{path}` ({call})")]
    Write {
        /// The path inside the layer.
        path: String,
        /// The system call.
        call: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The owner cannot be set: in a user namespace, an id outside its map.
    #[error("cannot give `{path}` to user {uid} and group {gid}")]
    Owner {
        /// The path inside the layer.
        path: String,
        /// The user id.
        uid: u32,
        /// The group id.
        gid: u32,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// What the kernel would not do here, and what was left out for that.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// A device node: a user namespace cannot make any.
    DeviceSkipped {
        /// The path inside the layer.
        path: String,
    },
    /// An extended attribute that the file system or the namespace refuses.
    XattrSkipped {
        /// The path inside the layer.
        path: String,
        /// The attribute.
        name: String,
    },
}

/// What a new file gets by itself here, so that calls which would change nothing are left out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ambient {
    uid: u32,
    gid: u32,
    /// Permission bits that creation takes away.
    umask: u32,
    /// Set-group-id that directories inherit.
    inherited: u32,
}

/// A name that no layer can contain: a reserved prefix makes every entry with it an error.
const PROBE_NAME: &str = ".wh..wh.slipway-probe";

impl Ambient {
    /// Finds out by making a directory in `root` and removing it again: the umask of a process can only be
    /// read by setting it, and other threads would see that.
    pub(crate) fn probe(root: BorrowedFd<'_>) -> Result<Self, MakeError> {
        let failed = |call| move |source| write_error(PROBE_NAME.as_bytes(), call, source);
        rustix::fs::mkdirat(root, PROBE_NAME, Mode::from_raw_mode(0o777)).map_err(failed("mkdirat"))?;
        let stat = rustix::fs::statat(root, PROBE_NAME, AtFlags::SYMLINK_NOFOLLOW);
        rustix::fs::unlinkat(root, PROBE_NAME, AtFlags::REMOVEDIR).map_err(failed("unlinkat"))?;
        let stat = stat.map_err(failed("newfstatat"))?;
        Ok(Self {
            uid: stat.st_uid,
            gid: stat.st_gid,
            umask: 0o777 & !stat.st_mode,
            inherited: stat.st_mode & 0o7000,
        })
    }
}

/// The place of a file that is to be made.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) directory: BorrowedFd<'a>,
    pub(crate) name: &'a [u8],
    /// The path inside the layer, for messages.
    pub(crate) path: &'a [u8],
}

impl Place<'_> {
    fn failed(&self, call: &'static str) -> impl Fn(rustix::io::Errno) -> MakeError + '_ {
        move |source| write_error(self.path, call, source)
    }
}

fn write_error(path: &[u8], call: &'static str, source: rustix::io::Errno) -> MakeError {
    MakeError::Write { path: text(path), call, source: source.into() }
}

/// Collects notes from all threads.
pub(crate) type NoteSink<'a> = &'a (dyn Fn(Note) + Sync);

/// Creates an empty file with the permission bits that creation may have; [`finish_file`] does the rest.
pub(crate) fn create_file(place: Place<'_>, mode: u32) -> Result<OwnedFd, MakeError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(mode & 0o777);
    rustix::fs::openat(place.directory, place.name, flags, mode).map_err(place.failed("openat"))
}

/// Writes `bytes`, which are the file's, or its extents one after another.
pub(crate) fn write_bytes(
    place: Place<'_>,
    file: OwnedFd,
    bytes: &[u8],
    extents: Option<&[Extent]>,
    size: u64,
) -> Result<File, MakeError> {
    let failed = |source| MakeError::Write { path: text(place.path), call: "pwrite64", source };
    let file = File::from(file);
    let Some(extents) = extents else {
        file.write_all_at(bytes, 0).map_err(failed)?;
        return Ok(file);
    };
    file.set_len(size).map_err(failed)?;
    let mut rest = bytes;
    for extent in extents {
        let (now, later) = rest.split_at(extent.length as usize);
        file.write_all_at(now, extent.offset).map_err(failed)?;
        rest = later;
    }
    Ok(file)
}

/// Gives a file that [`create_file`] made its owner, attributes, mode and time.
pub(crate) fn finish_file(
    place: Place<'_>,
    file: BorrowedFd<'_>,
    attributes: &Attributes,
    ambient: &Ambient,
    note: NoteSink<'_>,
) -> Result<(), MakeError> {
    let has = attributes.mode & 0o777 & !ambient.umask;
    set_by_descriptor(place, file, attributes, has, ambient, note)
}

/// Makes a directory. Its attributes follow when everything in it is made, see [`finish_directory`].
pub(crate) fn make_directory(place: Place<'_>, mode: u32) -> Result<(), MakeError> {
    let mode = Mode::from_raw_mode(mode & 0o777);
    rustix::fs::mkdirat(place.directory, place.name, mode).map_err(place.failed("mkdirat"))
}

/// Gives an open directory its owner, attributes, mode and time.
pub(crate) fn finish_directory(
    path: &[u8],
    directory: BorrowedFd<'_>,
    attributes: &Attributes,
    ambient: &Ambient,
    note: NoteSink<'_>,
) -> Result<(), MakeError> {
    let place = Place { directory, name: b".", path };
    let has = attributes.mode & 0o777 & !ambient.umask | ambient.inherited;
    set_by_descriptor(place, directory, attributes, has, ambient, note)
}

fn set_by_descriptor(
    place: Place<'_>,
    file: BorrowedFd<'_>,
    attributes: &Attributes,
    mode_now: u32,
    ambient: &Ambient,
    note: NoteSink<'_>,
) -> Result<(), MakeError> {
    let Attributes { uid, gid, mode, mtime, xattrs } = attributes;
    let mut mode_is_right = mode_now == *mode;
    if (*uid, *gid) != (ambient.uid, ambient.gid) {
        rustix::fs::fchown(file, Some(uid_of(*uid)), Some(gid_of(*gid)))
            .map_err(owner_error(place.path, *uid, *gid))?;
        // chown(2) clears set-user-id, set-group-id and file capabilities: they come after it.
        mode_is_right &= mode & 0o6000 == 0;
    }
    for (name, value) in xattrs {
        let set = rustix::fs::fsetxattr(file, name.as_slice(), value, XattrFlags::empty());
        note_or_fail(place, name, set, note)?;
        // An access control list sets the group bits.
        mode_is_right &= !name.starts_with(b"system.posix_acl");
    }
    if !mode_is_right {
        rustix::fs::fchmod(file, Mode::from_raw_mode(*mode)).map_err(place.failed("fchmod"))?;
    }
    if let Some(mtime) = mtime {
        rustix::fs::futimens(file, &both(*mtime)).map_err(place.failed("utimensat"))?;
    }
    Ok(())
}

/// Makes a symlink to `target`.
pub(crate) fn make_symlink(
    place: Place<'_>,
    target: &[u8],
    attributes: &Attributes,
    ambient: &Ambient,
    note: NoteSink<'_>,
) -> Result<(), MakeError> {
    rustix::fs::symlinkat(target, place.directory, place.name).map_err(place.failed("symlinkat"))?;
    set_by_name(place, attributes, None, ambient, note)
}

/// Makes a device node or a fifo. A user namespace cannot make devices: then the result is `false`.
pub(crate) fn make_node(
    place: Place<'_>,
    kind: FileType,
    device: (u32, u32),
    attributes: &Attributes,
    ambient: &Ambient,
    note: NoteSink<'_>,
) -> Result<bool, MakeError> {
    let mode = Mode::from_raw_mode(attributes.mode & 0o777);
    let number = rustix::fs::makedev(device.0, device.1);
    match rustix::fs::mknodat(place.directory, place.name, kind, mode, number) {
        Err(rustix::io::Errno::PERM) if kind != FileType::Fifo => {
            note(Note::DeviceSkipped { path: text(place.path) });
            return Ok(false);
        }
        result => result.map_err(place.failed("mknodat"))?,
    }
    let has = attributes.mode & 0o777 & !ambient.umask;
    set_by_name(place, attributes, Some(has), ambient, note)?;
    Ok(true)
}

/// Makes what overlayfs reads as "there is nothing of this name", see the kernel's overlayfs.rst. Unlike
/// other devices, a user namespace may make it.
pub(crate) fn make_whiteout(place: Place<'_>) -> Result<(), MakeError> {
    rustix::fs::mknodat(place.directory, place.name, FileType::CharacterDevice, Mode::empty(), 0)
        .map_err(place.failed("mknodat"))
}

/// Sets what a symlink, device or fifo has; `mode_now` is `None` for a symlink, which has no mode.
fn set_by_name(
    place: Place<'_>,
    attributes: &Attributes,
    mode_now: Option<u32>,
    ambient: &Ambient,
    note: NoteSink<'_>,
) -> Result<(), MakeError> {
    let Attributes { uid, gid, mode, mtime, xattrs } = attributes;
    let mut mode_is_right = mode_now.is_none_or(|now| now == *mode);
    if (*uid, *gid) != (ambient.uid, ambient.gid) {
        change_owner(place, *uid, *gid)?;
        mode_is_right &= mode_now.is_none() || mode & 0o6000 == 0;
    }
    for (name, value) in xattrs {
        let path = through_descriptor(place);
        let set = rustix::fs::lsetxattr(path, name.as_slice(), value, XattrFlags::empty());
        note_or_fail(place, name, set, note)?;
        mode_is_right &= mode_now.is_none() || !name.starts_with(b"system.posix_acl");
    }
    if !mode_is_right {
        // Safe without NOFOLLOW: we have just made the node, and it is no symlink.
        rustix::fs::chmodat(place.directory, place.name, Mode::from_raw_mode(*mode), AtFlags::empty())
            .map_err(place.failed("fchmodat"))?;
    }
    match mtime {
        Some(mtime) => change_time(place, *mtime),
        None => Ok(()),
    }
}

/// Changes what a hard link's entry says differently from the entry of the file.
pub(crate) fn change_shared(
    place: Place<'_>,
    from: (u32, u32, u32, Option<Timestamp>),
    to: &Attributes,
) -> Result<(), MakeError> {
    let (uid, gid, mode, mtime) = from;
    let changes_owner = (uid, gid) != (to.uid, to.gid);
    if changes_owner {
        change_owner(place, to.uid, to.gid)?;
    }
    if mode != to.mode || (changes_owner && to.mode & 0o6000 != 0) {
        rustix::fs::chmodat(place.directory, place.name, Mode::from_raw_mode(to.mode), AtFlags::empty())
            .map_err(place.failed("fchmodat"))?;
    }
    match to.mtime {
        Some(time) if mtime != to.mtime => change_time(place, time),
        _ => Ok(()),
    }
}

fn change_owner(place: Place<'_>, uid: u32, gid: u32) -> Result<(), MakeError> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::chownat(place.directory, place.name, Some(uid_of(uid)), Some(gid_of(gid)), flags)
        .map_err(owner_error(place.path, uid, gid))
}

fn change_time(place: Place<'_>, mtime: Timestamp) -> Result<(), MakeError> {
    rustix::fs::utimensat(place.directory, place.name, &both(mtime), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(place.failed("utimensat"))
}

/// A path to a name in an open directory, for the calls on extended attributes: they take no directory
/// descriptor. It resolves only through the descriptor, and the `l` form does not follow the last name.
pub(crate) fn through_descriptor(place: Place<'_>) -> Vec<u8> {
    use std::os::fd::AsRawFd;
    let mut path = format!("/proc/self/fd/{}/", place.directory.as_raw_fd()).into_bytes();
    path.extend_from_slice(place.name);
    path
}

/// What cannot be set because of where we run is left out and noted: a `trusted.` attribute in a user
/// namespace, any attribute on a file system without them, a `user.` attribute on a symlink.
fn note_or_fail(
    place: Place<'_>,
    name: &[u8],
    result: Result<(), rustix::io::Errno>,
    note: NoteSink<'_>,
) -> Result<(), MakeError> {
    use rustix::io::Errno;
    match result {
        // Without its mark an opaque directory would show what it hides.
        Err(error) if name == OPAQUE_XATTR[0] => Err(place.failed("setxattr")(error)),
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::ACCESS) => {
            note(Note::XattrSkipped { path: text(place.path), name: text(name) });
            Ok(())
        }
        result => result.map_err(place.failed("setxattr")),
    }
}

fn owner_error(path: &[u8], uid: u32, gid: u32) -> impl FnOnce(rustix::io::Errno) -> MakeError + '_ {
    move |source| MakeError::Owner { path: text(path), uid, gid, source: source.into() }
}

fn both(mtime: Timestamp) -> Timestamps {
    let time = Timespec { tv_sec: mtime.seconds, tv_nsec: i64::from(mtime.nanoseconds) };
    Timestamps { last_access: time, last_modification: time }
}

fn uid_of(uid: u32) -> Uid {
    Uid::from_raw(uid)
}

fn gid_of(gid: u32) -> Gid {
    Gid::from_raw(gid)
}

/// Removes one name.
pub(crate) fn remove(place: Place<'_>, is_directory: bool) -> Result<(), MakeError> {
    let flags = if is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    rustix::fs::unlinkat(place.directory, place.name, flags).map_err(place.failed("unlinkat"))
}

/// Gives an existing file, not followed when it is a symlink, another name.
pub(crate) fn make_hard_link(from: (BorrowedFd<'_>, &[u8]), place: Place<'_>) -> Result<(), MakeError> {
    rustix::fs::linkat(from.0, from.1, place.directory, place.name, AtFlags::empty())
        .map_err(place.failed("linkat"))
}
