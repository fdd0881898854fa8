//! What the kernel tells about a file of the context.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FileType, Statx, makedev};

/// Resolution of timestamps on file systems that keep nanoseconds: the kernel takes most of them from a
/// clock that ticks with its timer interrupt, at 100 Hz or faster. A file system that multiplies that still
/// is well below this.
const GRANULARITY: Duration = Duration::from_millis(50);
/// Resolution on file systems that keep whole seconds, with FAT's two seconds as the worst.
const GRANULARITY_WHOLE_SECONDS: Duration = Duration::from_secs(2);

/// A point in time as the file system keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileTime {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanoseconds: u32,
}

impl FileTime {
    /// Whether a change that happens from `now` on is sure to give another timestamp.
    fn is_settled(self, now: SystemTime) -> bool {
        let granularity = if self.nanoseconds == 0 { GRANULARITY_WHOLE_SECONDS } else { GRANULARITY };
        let Some(now) = now.duration_since(UNIX_EPOCH).ok().and_then(|now| now.checked_sub(granularity))
        else {
            return false;
        };
        let now = (i64::try_from(now.as_secs()).unwrap_or(i64::MAX), now.subsec_nanos());
        (self.seconds, self.nanoseconds) < now
    }
}

/// What statx(2) tells about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStat {
    /// Type and permission bits, as in `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Number of hard links.
    pub links: u32,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Inode number.
    pub inode: u64,
    /// Device that the file is on.
    pub device: u64,
    /// Device that the file is, for device nodes.
    pub special_device: u64,
    /// Last change of the content; anybody can set it to anything.
    pub modified: FileTime,
    /// Last change of content or attributes; nobody can set it.
    pub changed: FileTime,
}

impl FileStat {
    /// What kind of file it is.
    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }

    /// Whether two looks at a file saw the same content: everything is equal that a change of the content
    /// changes, which above all is the inode and its time of change.
    pub fn is_same_content(&self, other: &Self) -> bool {
        let Self {
            mode,
            uid: _,
            gid: _,
            links: _,
            size_bytes,
            inode,
            device,
            special_device: _,
            modified,
            changed,
        } = self;
        (*mode, *size_bytes, *inode, *device, *modified, *changed)
            == (other.mode, other.size_bytes, other.inode, other.device, other.modified, other.changed)
    }

    /// Whether content that is read from `now` on may be remembered for this stat. If the file was changed
    /// just before, it can change once more and look the same.
    pub(super) fn is_settled(&self, now: SystemTime) -> bool {
        self.modified.is_settled(now) && self.changed.is_settled(now)
    }
}

impl From<&Statx> for FileStat {
    fn from(statx: &Statx) -> Self {
        let time =
            |time: &rustix::fs::StatxTimestamp| FileTime { seconds: time.tv_sec, nanoseconds: time.tv_nsec };
        Self {
            mode: u32::from(statx.stx_mode),
            uid: statx.stx_uid,
            gid: statx.stx_gid,
            links: statx.stx_nlink,
            size_bytes: statx.stx_size,
            inode: statx.stx_ino,
            device: makedev(statx.stx_dev_major, statx.stx_dev_minor),
            special_device: makedev(statx.stx_rdev_major, statx.stx_rdev_minor),
            modified: time(&statx.stx_mtime),
            changed: time(&statx.stx_ctime),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_times_well_in_the_past_are_settled() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        let settled = |seconds, nanoseconds| FileTime { seconds, nanoseconds }.is_settled(now);
        assert!(settled(999, 900_000_000));
        assert!(!settled(999, 960_000_000), "within the granularity");
        assert!(!settled(1_001, 1), "the clock was set back");
        assert!(!settled(999, 0), "perhaps a file system of whole seconds");
        assert!(settled(997, 0));
        assert!(settled(-5, 0));
    }
}
