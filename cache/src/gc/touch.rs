//! When records were used last: their modification time, moved on at most once an hour.

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, statat, utimensat};
use rustix::io::Errno;

use crate::record::record_name;
use crate::stamp::lock;
use crate::{Key, Store, StoreError};

/// A use is noted when the one before is older than this.
const TOUCH_SECONDS: i64 = 60 * 60;

/// Keys of the records that one opening of the store has found, in that order.
#[derive(Default)]
pub(crate) struct Hits(Mutex<Vec<Key>>);

impl Hits {
    pub(crate) fn add(&self, key: Key) {
        lock(&self.0).push(key);
    }
}

impl Store {
    /// Notes the use of every record that was found since the last call; how many were moved on. Does not
    /// sync: what is lost with the power is an hour of an age.
    ///
    /// A command that wrote nothing looks at one record only, the last that it found. That is its target,
    /// which is found by nobody who does not use the others as well.
    pub fn note_uses(&self) -> Result<u64, StoreError> {
        let keys = std::mem::take(&mut *lock(&self.inner.hits.0));
        let now = now_unix_s();
        let mut moved = 0;
        for (at, key) in keys.iter().rev().enumerate() {
            if self.touch(key, now)? {
                moved += 1;
            } else if at == 0 && !self.has_session() {
                break;
            }
        }
        Ok(moved)
    }

    /// False when it was used not long ago, or is gone.
    fn touch(&self, key: &Key, now: i64) -> Result<bool, StoreError> {
        let name = record_name(key);
        let used = match statat(self.disk().fd(), &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat.st_mtime,
            Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(self.disk().read_error(&name, error)),
        };
        // A time to come is a clock that was wrong.
        if (0..TOUCH_SECONDS).contains(&(now - used)) {
            return Ok(false);
        }
        let time = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
        let times = Timestamps { last_access: time(UTIME_OMIT), last_modification: time(UTIME_NOW) };
        match utimensat(self.disk().fd(), &name, &times, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT | Errno::ROFS) => Ok(false),
            Err(error) => Err(self.disk().write_error(&name, error)),
        }
    }
}

/// Seconds since 1970.
pub(super) fn now_unix_s() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// Nanoseconds since 1970.
pub(super) fn now_unix_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}
