//! Whom a command runs as: Docker's `USER` syntax, resolved in the image's own files.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use crate::error::{Errno as Number, OrKernel, SandboxError};
use crate::tree::open_in_root;

/// Largest `/etc/passwd` or `/etc/group` that is read. 16 MiB are some 300 000 users.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Most supplementary groups: `NGROUPS_MAX` of the kernel.
const GROUPS_MAX: usize = 65536;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// The ids of a process and where its home is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups, the primary one first.
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

/// One line of `/etc/passwd`.
struct PasswdEntry {
    name: Vec<u8>,
    uid: u32,
    gid: u32,
    home: String,
}

/// Resolves `user` in the files beneath the current root directory, by the rules of the reference:
///
/// - No user means user 0; a number is always an id; the id need not be in the file.
/// - The group is the user's own, 0 for an unknown id; the supplementary groups are those that list the user's name.
/// - With an explicit group there are no supplementary groups.
/// - `further` groups are there in any case.
pub(crate) fn resolve(user: &str, further: &[String]) -> Result<Identity, SandboxError> {
    let mut identity = resolve_user(user)?;
    for group in further {
        let gid = find_group(group)?;
        if !identity.groups.contains(&gid) {
            identity.groups.push(gid);
        }
    }
    Ok(identity)
}

fn resolve_user(user: &str) -> Result<Identity, SandboxError> {
    let (user_part, group_part) = user.split_once(':').unwrap_or((user, ""));
    let number = if user_part.is_empty() { Some(0) } else { parse_id(user_part)? };
    let entry = find_user(user_part, number)?;
    let (uid, gid, home) = match (&entry, number) {
        (Some(entry), _) => (entry.uid, entry.gid, entry.home.clone()),
        (None, Some(uid)) => (uid, 0, String::new()),
        (None, None) => return Err(SandboxError::UnknownUser { user: user_part.to_string() }),
    };
    let home = if home.is_empty() { String::from("/") } else { home };
    if !group_part.is_empty() {
        let gid = find_group(group_part)?;
        return Ok(Identity { uid, gid, groups: vec![gid], home });
    }
    let mut groups = vec![gid];
    if let Some(entry) = entry {
        add_memberships(&entry.name, &mut groups)?;
    }
    Ok(Identity { uid, gid, groups, home })
}

/// A number, if the text is one: an optional sign and decimal digits, between 0 and 2^31 - 1.
fn parse_id(text: &str) -> Result<Option<u32>, SandboxError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    let id: Option<i64> = text.parse().ok();
    match id.and_then(|id| u32::try_from(id).ok()).filter(|id| i32::try_from(*id).is_ok()) {
        Some(id) => Ok(Some(id)),
        None => Err(SandboxError::IdOutOfRange { id: text.to_string() }),
    }
}

fn find_user(name: &str, number: Option<u32>) -> Result<Option<PasswdEntry>, SandboxError> {
    let mut found = None;
    each_line(PASSWD, |fields| {
        let [entry_name, _, uid, gid, _, home, ..] = fields else { return true };
        let (Some(uid), Some(gid)) = (entry_id(uid), entry_id(gid)) else { return true };
        let is_it = match number {
            Some(number) => uid == number,
            None => *entry_name == name.as_bytes(),
        };
        if is_it {
            let home = String::from_utf8_lossy(home).into_owned();
            found = Some(PasswdEntry { name: entry_name.to_vec(), uid, gid, home });
        }
        !is_it
    })?;
    Ok(found)
}

fn find_group(group: &str) -> Result<u32, SandboxError> {
    let number = parse_id(group)?;
    if let Some(number) = number {
        return Ok(number);
    }
    let mut found = None;
    each_line(GROUP, |fields| {
        let [name, _, gid, ..] = fields else { return true };
        if *name == group.as_bytes() {
            found = entry_id(gid);
        }
        found.is_none()
    })?;
    found.ok_or_else(|| SandboxError::UnknownGroup { group: group.to_string() })
}

fn add_memberships(name: &[u8], groups: &mut Vec<u32>) -> Result<(), SandboxError> {
    each_line(GROUP, |fields| {
        let [_, _, gid, members, ..] = fields else { return true };
        let is_member = members.split(|byte| *byte == b',').any(|member| member.trim_ascii() == name);
        match entry_id(gid) {
            Some(gid) if is_member && !groups.contains(&gid) => groups.push(gid),
            _ => {}
        }
        groups.len() < GROUPS_MAX
    })
}

/// An id in one of the files. A line with anything else is skipped.
fn entry_id(field: &[u8]) -> Option<u32> {
    let id: u32 = std::str::from_utf8(field).ok()?.trim().parse().ok()?;
    i32::try_from(id).is_ok().then_some(id)
}

/// Calls `visit` with the fields of each line until it returns false. A file that does not exist has no lines.
fn each_line(path: &str, mut visit: impl FnMut(&[&[u8]]) -> bool) -> Result<(), SandboxError> {
    let Some(file) = open_regular(path)? else { return Ok(()) };
    let mut reader = BufReader::new(file.take(FILE_BYTES_MAX + 1));
    let (mut line, mut size) = (Vec::new(), 0);
    loop {
        line.clear();
        let count = reader.read_until(b'\n', &mut line).or_kernel(|| format!("read({path:?})"))?;
        size += count as u64;
        if size > FILE_BYTES_MAX {
            return Err(bad_file(path, &format!("is larger than {FILE_BYTES_MAX} bytes")));
        }
        let text = line.trim_ascii();
        let is_entry = !text.is_empty() && text[0] != b'#';
        let fields: Vec<&[u8]> = text.split(|byte| *byte == b':').collect();
        if count == 0 || (is_entry && !visit(&fields)) {
            return Ok(());
        }
    }
}

/// Opens a file of the image. A FIFO in its place does not make us wait.
fn open_regular(path: &str) -> Result<Option<File>, SandboxError> {
    let call = || format!("open({path:?} in the image)");
    let root =
        rustix::fs::open(c"/", OFlags::PATH | OFlags::CLOEXEC, rustix::fs::Mode::empty()).or_kernel(call)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match open_in_root(root, Path::new(path), flags) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(errno) => return Err(bad_file(path, &format!("cannot be opened: {}", Number::from(errno)))),
        Ok(file) => file,
    };
    let mode = rustix::fs::fstat(&file).or_kernel(call)?.st_mode;
    if FileType::from_raw_mode(mode) != FileType::RegularFile {
        return Err(bad_file(path, "is not a regular file"));
    }
    Ok(Some(File::from(file)))
}

fn bad_file(path: &str, problem: &str) -> SandboxError {
    SandboxError::BadImageFile { path: path.to_string(), problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ids() {
        assert_eq!(parse_id("1000"), Ok(Some(1000)));
        assert_eq!(parse_id("+0"), Ok(Some(0)));
        assert_eq!(parse_id("2147483647"), Ok(Some(2_147_483_647)));
        assert_eq!(parse_id("www-data"), Ok(None));
        assert_eq!(parse_id("1000x"), Ok(None));
        assert_eq!(parse_id("-"), Ok(None));
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for id in ["-1", "4294967296", "2147483648", "4294967295", "99999999999999999999999"] {
            assert_eq!(parse_id(id), Err(SandboxError::IdOutOfRange { id: id.to_string() }));
        }
    }

    #[test]
    fn fields_that_are_no_ids_never_mean_root() {
        assert_eq!(entry_id(b"not-a-number"), None);
        assert_eq!(entry_id(b""), None);
        assert_eq!(entry_id(b"4294967296"), None);
        assert_eq!(entry_id(b"33"), Some(33));
    }
}
