//! `--chown`: names are those of the image's own files.

use std::io::Read as _;
use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;

/// Largest `/etc/passwd` or `/etc/group` that is read; some 300 000 entries.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Why a text is no owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OwnerError {
    /// The name is not in the image. As in BuildKit that is no error.
    #[error("no {kind} `{name}` in the image's `{file}`")]
    Unknown {
        /// `user` or `group`.
        kind: &'static str,
        /// The name.
        name: String,
        /// Where it was looked for.
        file: &'static str,
    },
    /// A number that no user or group can have.
    #[error("{kind} id `{id}` is not between 0 and {max}", max = i32::MAX)]
    OutOfRange {
        /// `user` or `group`.
        kind: &'static str,
        /// The number as written.
        id: String,
    },
    /// The image's file cannot be used.
    #[error("the image's `{file}` {problem}")]
    File {
        /// Which.
        file: &'static str,
        /// What is wrong.
        problem: String,
    },
}

/// A file of names and where the ids are in its lines.
struct Table {
    kind: &'static str,
    file: &'static str,
}

const USERS: Table = Table { kind: "user", file: "/etc/passwd" };
const GROUPS: Table = Table { kind: "group", file: "/etc/group" };

/// Resolves `user[:group]` beneath `root`. Without a group it is the user's own for a name, and the same
/// number for a number, as in BuildKit. As there root has what belongs to a name that is not in the image; `note` is told.
pub(super) fn resolve(
    text: &str,
    root: BorrowedFd<'_>,
    note: impl Fn(OwnerError),
) -> Result<(u32, u32), OwnerError> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let known = |found: Result<(u32, Option<u32>), OwnerError>| match found {
        Ok(ids) => Ok(Some(ids)),
        Err(unknown @ OwnerError::Unknown { .. }) => {
            note(unknown);
            Ok(None)
        }
        Err(error) => Err(error),
    };
    let (uid, own_gid) = match (user.is_empty(), number(user, &USERS)?) {
        (true, _) => (0, 0),
        (_, Some(uid)) => (uid, uid),
        (_, None) => known(USERS.find(user, root))?.map_or((0, 0), |(uid, gid)| (uid, gid.unwrap_or(uid))),
    };
    let gid = match group {
        None => own_gid,
        Some(group) => match number(group, &GROUPS)? {
            Some(gid) => gid,
            None => known(GROUPS.find(group, root))?.map_or(own_gid, |(gid, _)| gid),
        },
    };
    Ok((uid, gid))
}

/// The id, if the text is decimal digits.
fn number(text: &str, table: &Table) -> Result<Option<u32>, OwnerError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse::<i32>() {
        Ok(id) => Ok(Some(id.unsigned_abs())),
        Err(_) => Err(OwnerError::OutOfRange { kind: table.kind, id: text.to_owned() }),
    }
}

impl Table {
    /// The ids in the third and fourth field of the line that begins with `name`; see passwd(5), group(5).
    fn find(&self, name: &str, root: BorrowedFd<'_>) -> Result<(u32, Option<u32>), OwnerError> {
        let text = self.read(root)?;
        let id = |field: Option<&str>| field?.trim().parse::<i32>().ok().map(i32::unsigned_abs);
        for line in text.lines() {
            let mut fields = line.split(':');
            if fields.next() != Some(name) {
                continue;
            }
            let mut ids = fields.skip(1);
            if let Some(first) = id(ids.next()) {
                return Ok((first, id(ids.next())));
            }
        }
        Err(OwnerError::Unknown { kind: self.kind, name: name.to_owned(), file: self.file })
    }

    /// The file's text; empty when there is none. Whatever the image has in its place cannot block us, lead
    /// out of the image, or fill the memory.
    fn read(&self, root: BorrowedFd<'_>) -> Result<String, OwnerError> {
        let error = |problem: String| OwnerError::File { file: self.file, problem };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = match openat2(root, self.file, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(String::new()),
            Err(errno) => return Err(error(format!("cannot be opened: {errno}"))),
        };
        let stat = fstat(&file).map_err(|errno| error(format!("cannot be looked at: {errno}")))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(error("is not a regular file".to_owned()));
        }
        let mut bytes = Vec::new();
        let read = std::fs::File::from(file).take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|source| error(format!("cannot be read: {source}")))?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(error(format!("is larger than {FILE_BYTES_MAX} bytes")));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    fn resolve(text: &str) -> Result<((u32, u32), Vec<String>), String> {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/passwd"), "app:x:100:200::/:/bin/sh\nbad:x:y:z\n").unwrap();
        std::fs::write(root.path().join("etc/group"), "staff:x:50:\n").unwrap();
        let root = std::fs::File::open(root.path()).unwrap();
        let notes = std::cell::RefCell::new(Vec::new());
        let ids = super::resolve(text, root.as_fd(), |note| notes.borrow_mut().push(note.to_string()));
        Ok((ids.map_err(|error| error.to_string())?, notes.into_inner()))
    }

    fn known(text: &str) -> (u32, u32) {
        let (ids, notes) = resolve(text).unwrap();
        assert_eq!(notes, Vec::<String>::new());
        ids
    }

    #[test]
    fn names_and_numbers() {
        assert_eq!(known("app"), (100, 200));
        assert_eq!(known("app:staff"), (100, 50));
        assert_eq!(known("7"), (7, 7));
        assert_eq!(known("7:8"), (7, 8));
        assert_eq!(known(":staff"), (0, 50));
        assert_eq!(known("app:"), (100, 200));
    }

    #[test]
    fn what_is_not_there_is_named_and_belongs_to_root() {
        let no_user = |name: &str| vec![format!("no user `{name}` in the image's `/etc/passwd`")];
        let no_group = vec!["no group `x` in the image's `/etc/group`".to_owned()];
        assert_eq!(resolve("nobody"), Ok(((0, 0), no_user("nobody"))));
        assert_eq!(resolve("bad:staff"), Ok(((0, 50), no_user("bad"))));
        assert_eq!(resolve("7:x"), Ok(((7, 7), no_group.clone())));
        assert_eq!(resolve("app:x"), Ok(((100, 200), no_group)));
        insta::assert_snapshot!(
            resolve("4294967296").unwrap_err(),
            @"user id `4294967296` is not between 0 and 2147483647"
        );
    }

    #[test]
    fn a_fifo_in_place_of_the_file_is_no_trap() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mknodat(rustix::fs::CWD, root.path().join("etc/passwd"), FileType::Fifo, mode, 0)
            .unwrap();
        let root = std::fs::File::open(root.path()).unwrap();
        let error = super::resolve("app", root.as_fd(), |_| {}).unwrap_err();
        insta::assert_snapshot!(error, @"the image's `/etc/passwd` is not a regular file");
    }
}
