//! Carries out what an instruction says, in one layer.

use std::os::fd::BorrowedFd;

use super::copy::Copier;
use super::{Selection, TreeError, change, remove};
use crate::layer::Note;
use crate::layer::apply::Notes;
use crate::layer::assembly::{Assembly, Existing, Landing, ROOT};
use crate::layer::attributes::{Attributes, Timestamp};
use crate::layer::make::Ambient;
use crate::layer::pool;
use crate::layer::read::text;
use crate::layer::work::{Content, Job};

const NANOSECONDS: i64 = 1_000_000_000;

/// The layer that is made.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The new layer's directory: empty, on a file system with `user.` extended attributes.
    pub layer: BorrowedFd<'a>,
    /// A read-only view of what lies below; none for scratch, and for `--link`.
    pub base: Option<BorrowedFd<'a>>,
    /// The time, in seconds since the epoch, of what has no source: directories on the way, files that the
    /// instruction holds. `None` is now.
    pub mtime: Option<i64>,
}

/// One thing to do.
pub enum Action<'a> {
    /// COPY and ADD.
    Copy {
        /// What to copy.
        selection: &'a Selection<'a>,
        /// Where to: an absolute path, with a slash at its end when it is a directory.
        destination: &'a str,
    },
    /// WORKDIR. A directory that exists stays as it is.
    MakeDirectory {
        /// An absolute path.
        path: &'a str,
        /// Permissions of the directory and the missing ones above it.
        mode: u32,
        /// Their owner.
        owner: (u32, u32),
    },
    /// A symlink, where there is nothing of its name.
    MakeSymlink {
        /// An absolute path.
        path: &'a str,
        /// Where it leads.
        target: &'a str,
        /// The owner of the symlink.
        owner: (u32, u32),
    },
    /// Removes what is at a path, and below it. The last component is not followed.
    Remove {
        /// An absolute path.
        path: &'a str,
        /// Whether it may hold patterns of Go's `filepath.Match`.
        is_pattern: bool,
        /// Whether there may be nothing.
        may_be_missing: bool,
    },
    /// Makes the changes that lead from one tree to another: what differs is replaced, what is gone is removed.
    Change {
        /// The root of the tree before.
        from: BorrowedFd<'a>,
        /// The root of the tree after.
        to: BorrowedFd<'a>,
    },
    /// Fails unless there is a directory.
    Expect {
        /// An absolute path.
        path: &'a str,
    },
    /// An action whose files were changed at a time, in nanoseconds since 1970.
    At(i64, Box<Action<'a>>),
    /// A heredoc.
    MakeFile {
        /// An absolute path.
        path: &'a str,
        /// Permissions.
        mode: u32,
        /// The owner of the file and of the missing directories above it.
        owner: (u32, u32),
        /// What is in it.
        content: &'a [u8],
    },
}

/// What went into the layer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Copied {
    /// Files, links and devices; no directories.
    pub files: u64,
    /// Bytes of all regular files; hard links count once.
    pub size_bytes: u64,
    /// What was left out because of where we run, sorted.
    pub notes: Vec<Note>,
}

/// Does `actions` one after another in a new layer. After an error the layer's directory is in no particular
/// state and is to be removed.
pub fn build(target: &Target<'_>, actions: &[Action<'_>]) -> Result<Copied, TreeError> {
    let ambient = Ambient::probe(target.layer)?;
    let notes = Notes::default();
    let note = |note| notes.add(note);
    let work = |job: Job| job.run(&ambient, &note);
    let mut copied = pool::with(work, |pool| -> Result<Copied, TreeError> {
        let mut assembly = Assembly::new(target.layer, target.base, ambient, &note, pool)?;
        let mut copied = Copied::default();
        let mtime = target.mtime.map(|seconds| Timestamp { seconds, nanoseconds: 0 });
        for action in actions {
            run(action, mtime, &mut assembly, &mut copied)?;
        }
        assembly.finish()?;
        Ok(copied)
    })??;
    copied.notes = notes.into_sorted();
    Ok(copied)
}

pub(super) fn run(
    action: &Action<'_>,
    mtime: Option<Timestamp>,
    assembly: &mut Assembly<'_, '_>,
    copied: &mut Copied,
) -> Result<(), TreeError> {
    match action {
        Action::Copy { selection, destination } => {
            Copier::new(selection, destination, mtime, assembly, copied).run()
        }
        Action::At(unix_ns, action) => run(action, Some(time(*unix_ns)), assembly, copied),
        Action::MakeSymlink { path, target, owner: (uid, gid) } => {
            let above = || Attributes::implied_directory(mtime);
            let Landing::Name(parent, name) = assembly.land(ROOT, path.as_bytes(), &above)? else {
                return Err(TreeError::Exists { path: (*path).to_owned() });
            };
            if assembly.existing(parent, &name)?.is_some() {
                return Err(TreeError::Exists { path: (*path).to_owned() });
            }
            let attributes = Attributes { uid: *uid, gid: *gid, mode: 0o777, mtime, xattrs: Vec::new() };
            assembly.make_symlink(parent, &name, target.as_bytes(), &attributes)?;
            copied.files += 1;
            Ok(())
        }
        Action::Remove { path, is_pattern, may_be_missing } => {
            remove::remove(path, *is_pattern, *may_be_missing, assembly)
        }
        Action::Change { from, to } => change::change(*from, *to, assembly, copied),
        Action::Expect { path } => match assembly.find(ROOT, path.as_bytes())? {
            Some(Existing::Directory(_)) => Ok(()),
            Some(_) => Err(TreeError::NoDirectory { path: (*path).to_owned() }),
            None => Err(TreeError::NotFound { path: (*path).to_owned() }),
        },
        Action::MakeDirectory { path, mode, owner: (uid, gid) } => {
            let mode = mode & 0o7777;
            let made = || Attributes { uid: *uid, gid: *gid, mode, mtime, xattrs: Vec::new() };
            assembly.enter(ROOT, path.as_bytes(), &made)?;
            Ok(())
        }
        Action::MakeFile { path, mode, owner: (uid, gid), content } => {
            let (uid, gid, mode) = (*uid, *gid, mode & 0o7777);
            let above = || Attributes { uid, gid, ..Attributes::implied_directory(mtime) };
            let (parent, name) = match assembly.land(ROOT, path.as_bytes(), &above)? {
                Landing::Name(parent, name) => (parent, name),
                Landing::Directory(directory) => {
                    return Err(TreeError::IsADirectory { path: text(&assembly.path(directory)) });
                }
            };
            let size = content.len() as u64;
            let bytes = Content::Bytes { bytes: content.to_vec(), extents: None, size };
            let attributes = Attributes { uid, gid, mode, mtime, xattrs: Vec::new() };
            assembly.make_file(parent, &name, attributes, bytes, content.len())?;
            copied.files += 1;
            copied.size_bytes += size;
            Ok(())
        }
    }
}

pub(super) fn time(unix_ns: i64) -> Timestamp {
    let nanoseconds = u32::try_from(unix_ns.rem_euclid(NANOSECONDS)).expect("less than a second");
    Timestamp { seconds: unix_ns.div_euclid(NANOSECONDS), nanoseconds }
}
