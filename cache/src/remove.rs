//! Removes trees that hold anything at all: any depth, any mode, any number of entries.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::{self, Errno};

/// Directories deeper than this below the top are first moved up, so that neither the stack nor the number
/// of open descriptors grows with the depth of what a container made.
const DEPTH_MAX: usize = 64;

/// How much may be removed.
pub(crate) struct Budget<'a> {
    entries: u64,
    stop: Option<&'a AtomicBool>,
}

impl<'a> Budget<'a> {
    /// As many entries as there are.
    pub(crate) fn unlimited() -> Self {
        Self { entries: u64::MAX, stop: None }
    }

    /// So many entries, and none once `stop` is set.
    pub(crate) fn until(stop: &'a AtomicBool, entries: u64) -> Self {
        Self { entries, stop: Some(stop) }
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.entries == 0 || self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    fn spend(&mut self) -> bool {
        let left = !self.is_spent();
        self.entries = self.entries.saturating_sub(1);
        left
    }
}

/// Removes the directory `name` in `dir` and all that is in it. False when the budget ran out first; a
/// later call goes on. Symbolic links are removed, never followed. What does not exist is removed.
pub(crate) fn remove_tree(dir: BorrowedFd<'_>, name: &CStr, budget: &mut Budget<'_>) -> io::Result<bool> {
    let mut remover = Remover { top: dir, top_name: name, moved: 0, budget };
    // Each pass removes all but what it moved up; the next finds that one level below the top.
    while !remover.remove_dir(dir, name, 0)? {
        if remover.budget.is_spent() {
            return Ok(false);
        }
    }
    Ok(true)
}

struct Remover<'a, 'b> {
    top: BorrowedFd<'a>,
    top_name: &'a CStr,
    /// How many directories were moved up, for their names.
    moved: u64,
    budget: &'a mut Budget<'b>,
}

impl Remover<'_, '_> {
    /// Removes one directory; false when something had to be left in it.
    fn remove_dir(&mut self, parent: BorrowedFd<'_>, name: &CStr, depth: usize) -> io::Result<bool> {
        match unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        if depth > DEPTH_MAX {
            self.move_up(parent, name)?;
            return Ok(false);
        }
        let mut all = true;
        {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let dir = openat(parent, name, flags, Mode::empty())?;
            for entry in Dir::read_from(&dir)? {
                let entry = entry?;
                if entry.file_name() == c"." || entry.file_name() == c".." {
                    continue;
                }
                if !self.budget.spend() {
                    return Ok(false);
                }
                all &= self.remove_entry(dir.as_fd(), entry.file_name(), entry.file_type(), depth)?;
            }
        }
        if !all {
            return Ok(false);
        }
        match unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            // Something was moved up into the top directory after it was listed.
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn remove_entry(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        kind: FileType,
        depth: usize,
    ) -> io::Result<bool> {
        if kind == FileType::Directory {
            return self.remove_dir(dir, name, depth + 1);
        }
        match unlinkat(dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            // A file system that does not tell kinds in its listings.
            Err(Errno::ISDIR) => self.remove_dir(dir, name, depth + 1),
            Err(error) => Err(error),
        }
    }

    /// Moves a deep directory directly below the top, under a name that nobody has there.
    fn move_up(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let top = openat(self.top, self.top_name, flags, Mode::empty())?;
        loop {
            self.moved += 1;
            let to = CString::new(format!(".removing-{}", self.moved)).expect("no NUL in it");
            match renameat(parent, name, &top, &to) {
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
                other => return other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::OwnedFd;

    use rustix::fs::mkdirat;

    use super::*;

    fn directory() -> (tempfile::TempDir, OwnedFd) {
        let temp = tempfile::tempdir().expect("a directory");
        let fd = fs::File::open(temp.path()).expect("it opens").into();
        (temp, fd)
    }

    #[test]
    fn links_are_removed_and_not_followed() {
        let (temp, fd) = directory();
        fs::create_dir_all(temp.path().join("tree/a/b")).unwrap();
        fs::create_dir(temp.path().join("kept")).unwrap();
        fs::write(temp.path().join("kept/file"), "x").unwrap();
        std::os::unix::fs::symlink("../../kept", temp.path().join("tree/a/link")).unwrap();
        assert_eq!(remove_tree(fd.as_fd(), c"tree", &mut Budget::unlimited()), Ok(true));
        assert!(!temp.path().join("tree").exists());
        assert!(temp.path().join("kept/file").exists());
        assert_eq!(remove_tree(fd.as_fd(), c"tree", &mut Budget::unlimited()), Ok(true), "nothing is there");
    }

    #[test]
    fn depth_is_no_limit() {
        let (temp, fd) = directory();
        fs::create_dir(temp.path().join("tree")).unwrap();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut at = openat(&fd, c"tree", flags, Mode::empty()).unwrap();
        for _ in 0..5_000 {
            mkdirat(&at, c"a-rather-long-name", Mode::RWXU).unwrap();
            at = openat(&at, c"a-rather-long-name", flags, Mode::empty()).unwrap();
        }
        assert_eq!(remove_tree(fd.as_fd(), c"tree", &mut Budget::unlimited()), Ok(true));
        assert!(!temp.path().join("tree").exists());
    }

    #[test]
    fn a_budget_ends_the_work_and_a_later_call_goes_on() {
        let (temp, fd) = directory();
        fs::create_dir(temp.path().join("tree")).unwrap();
        for at in 0..30 {
            fs::write(temp.path().join(format!("tree/{at}")), "").unwrap();
        }
        let stop = AtomicBool::new(true);
        assert!(!remove_tree(fd.as_fd(), c"tree", &mut Budget::until(&stop, 100)).unwrap());
        assert_eq!(
            fs::read_dir(temp.path().join("tree")).unwrap().count(),
            30,
            "it was stopped before it began"
        );
        stop.store(false, Ordering::Relaxed);
        let mut calls = 1;
        while !remove_tree(fd.as_fd(), c"tree", &mut Budget::until(&stop, 10)).unwrap() {
            calls += 1;
        }
        assert_eq!(calls, 3);
        assert!(!temp.path().join("tree").exists());
    }
}
